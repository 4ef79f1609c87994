"""A spec with its series written out: what the CSV files and shipped series hold, cut to the hours studied."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError
from codesign.search.demand_response.fleet import DAY_H
from codesign.search.demand_response.hourly_csv import Hourly, read_hourly
from codesign.search.demand_response.spec import MOST_HOURS, Column, DemandResponseSpec, Grid, Numbers

Floats = NDArray[np.float64]


def inlined(asked: DemandResponseSpec, folder: Path, name: str) -> DemandResponseSpec:
    """Return ``asked`` with the numbers of every series in it.

    Args:
        asked: The study.
        folder: Where the paths of the spec start.
        name: The file that errors name.

    Raises:
        DataError: a series cannot be read, has a gap, or is too short.
    """
    hours = _hours(asked.grid, name)
    found = hourly_intensity(asked.grid, folder, name)
    if len(found.values) < len(hours):
        raise DataError(
            f"{name}: grid: the series ends after {hours.start + len(found.values):,} hours, expected {hours.stop:,}",
            "choose an earlier day or fewer days",
        )
    file = f"{Path(asked.grid.csv).name}, {asked.grid.column}" if asked.grid.csv else ""
    source = asked.grid.source or asked.grid.series or file
    grid = Grid(
        values=tuple(found.values.tolist()), kind=asked.grid.kind, source=source, start=asked.grid.start or found.start
    )
    fleet = asked.fleet
    if fleet is not None:
        fleet = msgspec.structs.replace(fleet, shape=_shape(fleet.shape, hours, folder, f"{name}: fleet.shape"))
    workloads = tuple(
        w if w.shape is None
        else msgspec.structs.replace(w, shape=_shape(w.shape, hours, folder, f"{name}: workloads[{place}].shape"))
        for place, w in enumerate(asked.workloads)
    )  # fmt: skip
    return msgspec.structs.replace(asked, grid=grid, fleet=fleet, workloads=workloads)


def hourly_intensity(grid: Grid, folder: Path = Path(), name: str = "spec") -> Hourly:
    """Return the carbon intensity of the hours studied, g CO2e/kWh.

    Raises:
        DataError: not exactly one source is stated, or it cannot be read.
    """
    hours = _hours(grid, name)
    stated = [bool(grid.series), bool(grid.csv), bool(grid.values)]
    if sum(stated) != 1:
        hint = "state one of series, csv (with column) and values"
        raise DataError(f"{name}: grid: found {sum(stated)} sources of intensity, expected one", hint)
    if grid.series and grid.kind != "average":
        raise DataError(f"{name}: grid.kind: shipped series are average, found {grid.kind}", "leave it out")
    if grid.csv:
        return read_hourly(folder / grid.csv, grid.column, hours.start, len(hours), shown=grid.csv)
    if grid.values:
        return Hourly(np.array(grid.values[hours.start : hours.stop]), grid.start)
    return _shipped(grid.series, hours, name)


def _shipped(series: str, hours: range, name: str) -> Hourly:
    """Return hours of a series that comes with the package."""
    try:
        load: Any = import_module("codesign.targets.grids").load_grid
    except ModuleNotFoundError:
        raise DataError(
            f"{name}: grid.series: no series is shipped", "name a CSV file: grid.csv, grid.column"
        ) from None
    values = np.asarray(load(series).series.values, np.float64)
    return Hourly(values[hours.start : hours.stop], "")


def _hours(grid: Grid, name: str) -> range:
    most = MOST_HOURS // DAY_H
    if not 0 <= grid.day < 10 * most:
        raise DataError(f"{name}: grid.day: found {grid.day}, expected 0 to {10 * most - 1}", "day 0 is the first")
    if grid.days is None and grid.values:
        if not grid.day * DAY_H < len(grid.values) <= (grid.day + most) * DAY_H:
            found = f"{len(grid.values):,} values from day {grid.day}"
            raise DataError(f"{name}: grid.values: found {found}, expected 1 to {MOST_HOURS:,} hours")
        return range(grid.day * DAY_H, len(grid.values))
    days = 1 if grid.days is None else grid.days
    if not 1 <= days <= most:
        raise DataError(f"{name}: grid.days: found {days}, expected 1 to {most}")
    return range(grid.day * DAY_H, (grid.day + days) * DAY_H)


def _shape(shape: Column | Numbers, hours: range, folder: Path, where: str) -> Numbers:
    """Return a load shape over the hours studied; a list repeats."""
    if isinstance(shape, Column):
        found = read_hourly(folder / shape.csv, shape.column, hours.start, len(hours), shown=shape.csv)
        if len(found.values) < len(hours):
            last = hours.start + len(found.values)
            raise DataError(f"{where}: {shape.csv} ends after {last:,} hours, expected {hours.stop:,}")
        return tuple(found.values.tolist())
    return tuple(repeated(shape, len(hours), where).tolist())


def repeated(values: Numbers, hours: int, where: str) -> Floats:
    """Return a list repeated over ``hours``.

    Raises:
        DataError: the list does not fit a whole number of times.
    """
    if not values or hours % len(values):
        raise DataError(f"{where}: found {len(values)} values, expected {hours} or a divisor of it, such as 24")
    return np.tile(np.asarray(values, np.float64), hours // len(values))


def from_mapping(spec: Mapping[str, Any], name: str) -> DemandResponseSpec:
    """Return a spec of plain data, decoded strictly."""
    from codesign.strict_yaml import convert

    return convert(dict(spec), DemandResponseSpec, name)
