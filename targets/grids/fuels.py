"""From generation by fuel to intensity: ``sum(MW_f * g_f) / sum(MW_f)``.

Factors of fuels differ between sets (coal 820 or 995 g/kWh), so that a set is chosen by name and named in the result.
A set may be amended in its text: ``codecarbon,other=475``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import msgspec
import numpy as np

from codesign.errors import UsageError, nearest, printable
from codesign.quantity import Array
from codesign.strict_yaml import decode_yaml
from codesign.targets.grids.grid import HIGHEST

DEFAULT_SET = "grid_mix"
"""The set that reproduces the published hourly intensities of the shipped areas."""


class FactorSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Intensity by fuel, g/kWh generated, life cycle."""

    source: str
    licence: str
    factors: dict[str, float]


class Fuels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shipped sets, and what columns of a mix may be called by fuel."""

    schema: Literal[1]
    columns: dict[str, tuple[str, ...]]
    sets: dict[str, FactorSet]


@lru_cache(maxsize=1)
def fuels() -> Fuels:
    """Return the shipped factor sets."""
    text = files("codesign.targets.grids").joinpath("fuels.yaml").read_text(encoding="utf-8")
    return decode_yaml(text, Fuels, "fuels.yaml")


def fuel_of(column: str) -> str | None:
    """Return the fuel that a column of this name holds, or None; case does not count."""
    name = column.strip().casefold()
    for fuel, others in fuels().columns.items():
        if name in (fuel, *(other.casefold() for other in others)):
            return fuel
    return None


def fuel_factors(text: str = DEFAULT_SET) -> dict[str, float]:
    """Return fuel -> g/kWh of the set that ``text`` names, with its amendments: ``codecarbon,other=475``.

    Raises:
        UsageError: unknown set or fuel, or a factor that is no intensity.
    """
    name, *changes = (part.strip() for part in text.split(","))
    sets = fuels().sets
    if name not in sets:
        raise UsageError(f"unknown factor set {printable(name, 60)!r}", nearest(name, sets))
    factors = dict(sets[name].factors)
    for change in changes:
        column, _, number = change.partition("=")
        fuel = fuel_of(column)
        if fuel is None:
            raise UsageError(
                f"factor set: unknown fuel {printable(column, 60)!r}", nearest(column.strip(), fuels().columns)
            )
        factors[fuel] = _factor(fuel, number)
    return factors


def _factor(fuel: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    if not 0.0 <= value <= HIGHEST:
        raise UsageError(
            f"factor of {fuel}: found {printable(number, 60)!r}", f"expected 0 to {HIGHEST:g} g/kWh, such as {fuel}=475"
        )
    return value


def mix_intensity(generation_mw: Mapping[str, Array], factors: Mapping[str, float]) -> Array:
    """Return the intensity of a generation mix, g/kWh.

    Args:
        generation_mw: Fuel -> generation, MW, arrays that broadcast.
        factors: Fuel -> g/kWh; every fuel that generates anything needs one.

    Raises:
        UsageError: a fuel that generates has no factor.
    """
    unknown = [fuel for fuel, mw in generation_mw.items() if fuel not in factors and np.nansum(np.abs(mw)) > 0.0]
    if unknown:
        raise UsageError(
            f"the factor set has no factor for {', '.join(unknown)}",
            f"amend it, such as SET,{unknown[0]}=475, or choose another set: {', '.join(fuels().sets)}",
        )
    grams = sum((mw * factors.get(fuel, 0.0) for fuel, mw in generation_mw.items()), start=np.zeros(1))
    return np.asarray(grams / sum(generation_mw.values(), start=np.zeros(1)))
