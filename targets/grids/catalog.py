"""The shipped grids: countries, cloud regions, hourly areas, and the names by which each is found.

Files hold lists of facts with one source and licence each. A name is compared without case, accents, blanks and
punctuation. A grid's own id, code or name wins over another one's alias; an alias that two grids have is refused.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

import msgspec

from codesign.quantity import Quantity
from codesign.strict_yaml import decode_yaml
from codesign.targets.grids.grid import UNIT, Grid, assumed_interval

CLEANEST_FUEL = 24.0
"""Hydro power, g/kWh (set act): how far a mean that a source rounds to 0 may reach."""


class Countries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Annual means: ISO-3 -> (ISO-2, name, year, g/kWh)."""

    schema: Literal[1]
    source: str
    licence: str
    basis: str
    countries: dict[str, tuple[str, str, int, float]]
    aliases: dict[str, tuple[str, ...]] = {}


class CloudRegions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Means by provider and region: (ISO-3, g/kWh)."""

    schema: Literal[1]
    source: str
    licence: str
    basis: str
    providers: dict[str, dict[str, tuple[str, float]]]
    aliases: dict[str, tuple[str, ...]] = {}


class Area(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A balancing area: name, other names, hours of its standard time ahead of UTC."""

    name: str
    aliases: tuple[str, ...]
    utc_offset: float


class Hourly(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the arrays of the hourly file are."""

    schema: Literal[1]
    file: str
    year: int
    start: str
    step_seconds: float
    intensity_step: float
    source: str
    licence: str
    basis: str
    factors: str
    areas: dict[str, Area]


def data_path() -> Traversable:
    """Return the folder of the shipped files."""
    return files("codesign.targets.grids")


@lru_cache(maxsize=1)
def countries() -> Countries:
    """Return the shipped countries."""
    return decode_yaml(_text("countries.yaml"), Countries, "countries.yaml")


@lru_cache(maxsize=1)
def cloud_regions() -> CloudRegions:
    """Return the shipped cloud regions."""
    return decode_yaml(_text("cloud_regions.yaml"), CloudRegions, "cloud_regions.yaml")


@lru_cache(maxsize=1)
def hourly() -> Hourly:
    """Return what the shipped hourly series are."""
    return decode_yaml(_text("hourly.yaml"), Hourly, "hourly.yaml")


def _text(file: str) -> str:
    return data_path().joinpath(file).read_text(encoding="utf-8")


def country_grid(iso3: str) -> Grid:
    """Return the annual mean of a country by its ISO-3 code."""
    shipped = countries()
    _, name, year, value = shipped.countries[iso3]
    about = {"basis": shipped.basis, "year": year, "source": shipped.source, "licence": shipped.licence}
    if value > 0.0:
        return Grid(id=iso3, name=name, intensity=assumed_interval(value, shipped.source), **about)  # type: ignore[arg-type]
    return Grid(
        id=iso3, name=name, intensity=Quantity(0.0, 0.0, CLEANEST_FUEL, UNIT, shipped.source),
        range_source="rounded to 0 by the source; up to that of hydro power", **about,  # type: ignore[arg-type]
    )  # fmt: skip


def region_grid(identity: str) -> Grid:
    """Return the grid of a cloud region by ``provider:region``."""
    shipped = cloud_regions()
    provider, _, region = identity.partition(":")
    iso3, value = shipped.providers[provider][region]
    return Grid(
        id=identity, name=region_name(provider, region, iso3), intensity=assumed_interval(value, shipped.source),
        basis=shipped.basis, source=shipped.source, licence=shipped.licence, notes=("the source states no year",),
    )  # fmt: skip


def region_name(provider: str, region: str, iso3: str) -> str:
    """Return the name of a cloud region for people."""
    names = countries().countries
    return f"{provider} {region} ({names[iso3][1] if iso3 in names else iso3})"


@lru_cache(maxsize=1)
def own_names() -> dict[str, tuple[str, ...]]:
    """Return normal form -> ids of the grids that have it as id, code or full name."""
    found: dict[str, list[str]] = {}
    for iso3, (iso2, name, _, _) in countries().countries.items():
        for text in (iso3, iso2, name):
            found.setdefault(normal(text), []).append(iso3)
    for provider, here in cloud_regions().providers.items():
        for region in here:
            for text in (f"{provider}:{region}", region):
                found.setdefault(normal(text), []).append(f"{provider}:{region}")
    for identity in hourly().areas:
        found.setdefault(normal(identity), []).append(identity)
    return _unique(found)


@lru_cache(maxsize=1)
def other_names() -> dict[str, tuple[str, ...]]:
    """Return normal form -> ids of the grids that have it as another name."""
    found: dict[str, list[str]] = {}
    areas = {identity: (area.name, *area.aliases) for identity, area in hourly().areas.items()}
    for identity, names in (*countries().aliases.items(), *cloud_regions().aliases.items(), *areas.items()):
        for text in names:
            found.setdefault(normal(text), []).append(identity)
    return _unique(found)


def _unique(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(dict.fromkeys(ids)) for name, ids in found.items()}


@lru_cache(maxsize=1)
def spellings() -> dict[str, str]:
    """Return normal form -> a spelling to suggest, over all names."""
    shown = {iso3: name for iso3, (_, name, _, _) in countries().countries.items()}
    found = {name: shown.get(ids[0], ids[0]) for name, ids in {**other_names(), **own_names()}.items()}
    return {name: text for name, text in found.items() if len(name) > 2}


def normal(name: str) -> str:
    """Return a name without case, accents, blanks and punctuation."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[^a-z0-9]", "", plain.replace("ı", "i"))
