"""Power usage effectiveness (PUE) by operator: facility energy over IT energy, annual fleet means."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Literal

import msgspec

from codesign.errors import UsageError, nearest, printable
from codesign.strict_yaml import decode_yaml


class Facility(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The PUE of one operator; ``year`` is None where the source states none."""

    name: str
    pue: float
    year: int | None
    source: str
    origin: Literal["published", "assumed"]


class Facilities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shipped facilities."""

    schema: Literal[1]
    licence: str
    facilities: tuple[Facility, ...]


@lru_cache(maxsize=1)
def list_facilities() -> tuple[Facility, ...]:
    """Return every shipped facility."""
    text = files("codesign.targets.grids").joinpath("facilities.yaml").read_text(encoding="utf-8")
    return decode_yaml(text, Facilities, "facilities.yaml").facilities


def load_facility(name: str, *, year: int | None = None) -> Facility:
    """Return the facility of this name, case aside: of ``year``, or the latest.

    Raises:
        UsageError: unknown name, or no figure of that year; the hint lists what there is.
    """
    known = {facility.name.casefold() for facility in list_facilities()}
    named = [facility for facility in list_facilities() if facility.name.casefold() == name.strip().casefold()]
    if not named:
        raise UsageError(f"unknown facility {printable(name, 60)!r}", nearest(name, known))
    fitting = [facility for facility in named if year is None or facility.year == year]
    if not fitting:
        years = ", ".join(str(facility.year or "none stated") for facility in named)
        raise UsageError(f"no PUE of {named[0].name} for {year}", f"years: {years}")
    return max(fitting, key=lambda facility: facility.year or 0)
