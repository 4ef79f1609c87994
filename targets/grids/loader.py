"""Finding a grid by what a user writes: a number, a country, a cloud region, an hourly area, a CSV."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

import msgspec

from codesign.errors import UsageError, printable
from codesign.targets.grids.catalog import (
    cloud_regions,
    countries,
    country_grid,
    hourly,
    normal,
    other_names,
    own_names,
    region_grid,
    region_name,
    spellings,
)
from codesign.targets.grids.grid import HIGHEST, LOWEST, UNIT, Grid, Kind, assumed_interval
from codesign.targets.grids.hourly import hourly_grid
from codesign.targets.grids.series_file import read_series, series_grid

LONGEST = 4096
"""Characters of a name or path."""

SHOWN = 60

_NUMBER = re.compile(r"\s*([-+]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([^0-9\s].*)?\s*")

SCALES = {"g/kwh": 1.0, "kg/kwh": 1000.0, "kg/mwh": 1.0, "t/mwh": 1000.0, "g/mwh": 1e-3, "lb/mwh": 0.45359237}
"""Unit of an intensity, without "CO2e" and blanks -> g/kWh."""


def load_grid(
    text: str | float,
    *,
    year: int | None = None,
    column: str | None = None,
    factors: str | None = None,
    kind: Kind | None = None,
) -> Grid:
    """Return the grid that ``text`` names.

    Args:
        text: A number (``400``, ``369 g/kWh``), a country by ISO code or English name (``FRA``, ``fr``, ``france``), a
            cloud region (``gcp:us-central1``, ``us-central1``), an hourly area (``ERCO``, ``texas``), or the path of a
            CSV of intensities or of generation by fuel (``.csv``, ``.csv.gz``).
        year: Year of the data; a label of a number, a choice in a CSV, and refused where it is not the shipped one.
        column: Of a CSV, the column of g/kWh (``read_series``).
        factors: Of a CSV, the set of fuel factors (``fuel_factors``).
        kind: ``average`` (default) or ``marginal``, of a number or CSV; what is shipped is average.

    Raises:
        UsageError: unknown (nearest names follow) or ambiguous (all are listed), or a number that is no g/kWh.
        DataError: a CSV is wrong; names line and column.
    """
    if kind not in (None, "average", "marginal"):
        raise UsageError(f"unknown kind {printable(str(kind), SHOWN)!r}", "expected average or marginal")
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UsageError(
            f"grid: found {printable(repr(text), SHOWN)}", "expected a number, a name or the path of a CSV"
        )
    given = str(text).strip()
    if not given or len(given) > LONGEST:
        raise UsageError("grid is empty" if not given else "grid is too long", "expected a name, such as FRA or ERCO")
    if is_path(given):
        series = read_series(given, column=column, factors=factors, kind=kind or "average", year=year)
        return series_grid(given, series, kind=kind or "average")
    if column is not None or factors is not None:
        raise UsageError(f"a column or factor set beside {printable(given, SHOWN)!r}", "they are of a CSV")
    number = _NUMBER.fullmatch(given)
    if number is not None or given.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return _typed(given, *(number.groups() if number else (given, None)), year=year, kind=kind or "average")
    found = _named(given)
    if kind == "marginal":
        raise UsageError(f"{found.name} is shipped as average only", "bring marginal intensities as a CSV")
    if year is not None and year != found.year:
        held = found.year if found.year is not None else "no year, the source states none"
        raise UsageError(f"no intensity of {found.name} for {year}", f"shipped is {held}; bring your own as a CSV")
    return found


class Entry(msgspec.Struct, frozen=True):
    """One shipped grid in a list; ``intensity`` is its mean, g/kWh, ``year`` None where the source states none."""

    id: str
    name: str
    sort: Literal["country", "cloud region", "hourly"]
    year: int | None
    intensity: float


def list_grids() -> tuple[Entry, ...]:
    """Return every shipped grid: hourly areas, cloud regions, countries."""
    areas = [
        Entry(identity, area.name, "hourly", hourly().year, hourly_grid(identity).intensity.value)
        for identity, area in hourly().areas.items()
    ]
    regions = [
        Entry(f"{provider}:{region}", region_name(provider, region, iso3), "cloud region", None, value)
        for provider, here in cloud_regions().providers.items()
        for region, (iso3, value) in here.items()
    ]
    means = [Entry(iso3, name, "country", year, g) for iso3, (_, name, year, g) in countries().countries.items()]
    return (*areas, *regions, *means)


def is_path(text: str) -> bool:
    """Say whether ``text`` is the path of a series and not a name."""
    return text.lower().endswith((".csv", ".csv.gz")) or ("/" in text and not _NUMBER.fullmatch(text)) or "\\" in text


def _typed(given: str, digits: str, unit: str | None, *, year: int | None, kind: Kind) -> Grid:
    """Return the grid of a number that a user typed: with the range of any annual mean, labelled assumed."""
    plain = re.sub(r"(?<=g)co2(eq|e)?(?=/)", "", re.sub(r"\s+", "", (unit or "g/kWh").casefold()))
    plain = re.sub(r"^(k?g|t|lb)co2(eq|e)?/", r"\1/", plain).replace("₂", "2")
    if plain not in SCALES:
        raise UsageError(
            f"grid is {printable(given, SHOWN)!r}: unknown unit {printable(unit or '', SHOWN)!r}",
            "expected g/kWh, kg/kWh, kg/MWh, t/MWh or lb/MWh, such as '369 g/kWh'",
        )
    value = float(digits.replace("_", "")) * SCALES[plain]
    if not math.isfinite(value) or not 0.0 <= value <= HIGHEST:
        raise UsageError(f"grid is {value:g} {UNIT}", f"expected 0 to {HIGHEST:g} g per kWh, not kg")
    if unit is None and 0.0 < value < LOWEST:
        raise UsageError(
            f"grid is {value:g} {UNIT}, which looks like kg/kWh",
            f"write '{value:g} kg/kWh' for {value * 1000.0:g} g/kWh, or '{value:g} g/kWh' if it is",
        )
    return Grid(
        id=f"{value!r}", name=f"{value:g} g/kWh", intensity=assumed_interval(value, "as given"), kind=kind, year=year,
        named=False,
    )  # fmt: skip


def _named(given: str) -> Grid:
    name = normal(given)
    own, other = own_names().get(name, ()), other_names().get(name, ())
    found = own or other
    if len(found) == 1:
        rest = [identity for identity in other if identity not in found]
        grid = grid_of(found[0])
        if not rest:
            return grid
        note = f"{grid.name} is read as {found[0]}; {', '.join(rest)} goes by that name too"
        return msgspec.structs.replace(grid, notes=(*grid.notes, note))
    if found:
        raise UsageError(f"grid {printable(given, SHOWN)!r} is ambiguous", f"write one of {', '.join(found)}")
    raise UsageError(f"unknown grid {printable(given, SHOWN)!r}", _nearest(name))


def grid_of(identity: str) -> Grid:
    """Return a shipped grid by its id, as ``list_grids`` has it."""
    if identity in hourly().areas:
        return hourly_grid(identity)
    return region_grid(identity) if ":" in identity else country_grid(identity)


def _nearest(name: str) -> str:
    """Return a hint: the nearest names, or the kinds of names there are."""
    close = get_close_matches(name, spellings(), n=4, cutoff=0.7) if name else []
    shown: Iterable[str] = dict.fromkeys(spellings()[found] for found in close)
    if close:
        return f"did you mean {' or '.join(list(shown)[:3])}?"
    regions = sum(map(len, cloud_regions().providers.values()))
    return (
        f"{len(countries().countries)} countries (FRA), {regions} cloud regions "
        f"(gcp:us-central1), hourly areas ({', '.join(hourly().areas)}), a number of g/kWh, or a CSV; "
        "see `codesign carbon grids`"
    )
