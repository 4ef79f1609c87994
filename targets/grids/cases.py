"""Cases of grids: what a file of generation by fuel says about a year.

Kind ``grid_mix``: ``file`` (relative to the case file), and optionally ``factors``, ``column``, ``year``. Values are
over the hours known, g CO2e per kWh, from the fuels where the file has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import DataError
from codesign.strict_yaml import convert
from codesign.targets.grids.fuels import DEFAULT_SET, fuel_of
from codesign.targets.grids.means import daily_spread, mean_by_generation
from codesign.targets.grids.series_file import read_series
from codesign.targets.grids.table_file import read_table


class GridMix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs of a ``grid_mix`` case; attributes as of ``read_series``."""

    file: str
    factors: str | None = None
    column: str | None = None
    year: int | None = None


def grid_mix(inputs: Mapping[str, Any], folder: Path) -> dict[str, float | None]:
    """Return hours, missing hours, and mean, lowest and highest intensity of a series.

    The mean is over hours; ``mean_by_generation_g_per_kwh`` is null where the file holds no generation,
    ``daily_spread`` where no day is whole.

    Raises:
        DataError: an input is unknown or missing, or the file is wrong.
    """
    asked = convert(dict(inputs), GridMix, "grid_mix")
    path = folder / asked.file
    if not path.is_file():
        raise DataError(f"{path}: no such file", "paths are relative to the case file")
    factors = asked.factors
    if factors is None and asked.column is None and any(fuel_of(name) for name in read_table(str(path)).columns):
        factors = DEFAULT_SET
    series = read_series(str(path), column=asked.column, factors=factors, year=asked.year)
    weighted = None if series.generation_mw is None else mean_by_generation(series).value
    return {
        "hours": series.hours,
        "missing_hours": series.missing_hours,
        "mean_g_per_kwh": float(series.known.mean()),
        "min_g_per_kwh": float(series.known.min()),
        "max_g_per_kwh": float(series.known.max()),
        "mean_by_generation_g_per_kwh": weighted,
        "daily_spread": daily_spread(series),
    }
