"""A user's series of intensities from a CSV: a column of g/kWh, generation by fuel, or both.

Rows are steps of one length (an hour, half an hour, ...). An empty cell is a missing hour: it is counted, skipped in
means and never taken for zero. What cannot be right is refused with its line.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from codesign.errors import DataError, printable
from codesign.quantity import Array
from codesign.targets.grids.fuels import DEFAULT_SET, fuel_factors, fuel_of, fuels, mix_intensity
from codesign.targets.grids.grid import HIGHEST, LOWEST, Grid, IntensitySeries, Kind, assumed_interval
from codesign.targets.grids.slots import cut
from codesign.targets.grids.table_file import SHOWN, Table, numbers_of, read_table
from codesign.targets.grids.time_axis import Axis, axis_of, time_column

INTENSITY_COLUMN = "avg_ci_g_per_kwh"

DISAGREE = 0.01
"""Relative difference of a column's mean from that of its mix above which a note says so."""


class SeriesFile(msgspec.Struct, frozen=True, eq=False):
    """An opened series: its table and its time axis; ``numbers`` reads one column."""

    table: Table
    axis: Axis

    def numbers(self, column: str) -> Array:
        """Return a column on the axis (slots,), NaN where missing; finite, otherwise unchecked."""
        return self.axis.spread(numbers_of(self.table, column))


def open_series(path: str, *, year: int | None = None) -> SeriesFile:
    """Return the table and time axis of a CSV; ``year`` dates rows that only count hours.

    Raises:
        DataError: unreadable, too large, or a time column that is not regular; names the line.
    """
    table = read_table(path)
    return SeriesFile(table, axis_of(table, year=year))


def read_series(
    path: str,
    *,
    column: str | None = None,
    factors: str | None = None,
    kind: Kind = "average",
    year: int | None = None,
) -> IntensitySeries:
    """Return the intensity over time in a CSV.

    Args:
        path: ``.csv`` or ``.csv.gz``.
        column: Column of g/kWh; default ``avg_ci_g_per_kwh`` where there is one, else computed from the fuels.
        factors: Set of fuel factors (``fuel_factors``): computes from the fuels even beside a column of intensities.
        kind: Marginal intensities may be zero, average ones may not.
        year: Only the slots of this year; of rows that count hours, the year they count in.

    Raises:
        DataError: naming file, line and column, what was found and what to do.
        UsageError: unknown factor set.
    """
    if column is not None and factors is not None:
        raise DataError(f"{path}: a column and a factor set are given", "intensities come from one of the two")
    opened = open_series(path, year=year)
    generation = _generation(opened.table)
    notes = list(opened.axis.notes)
    named = column or (INTENSITY_COLUMN if INTENSITY_COLUMN in opened.table.columns and factors is None else None)
    if named is not None:
        values = numbers_of(opened.table, named)
        _check_intensities(opened.table, named, values, kind)
        notes += _disagreement(values, generation, named)
    elif generation:
        values = mix_intensity(generation, fuel_factors(factors or DEFAULT_SET))
        notes.append(f"computed from generation by fuel with the factors {factors or DEFAULT_SET}")
        notes += _unused(opened.table)
    else:
        fuel_names = ", ".join(f"{others[0] if others else fuel}" for fuel, others in fuels().columns.items())
        raise DataError(
            f"{path}: no column {INTENSITY_COLUMN!r} and no generation by fuel",
            f"name the column of g/kWh (--column), or give MW in columns such as {fuel_names}",
        )
    total = opened.axis.spread(np.asarray(sum(generation.values(), start=np.zeros(1)))) if generation else None
    axis = opened.axis
    series = IntensitySeries(axis.spread(values), axis.step_seconds, axis.start, total, tuple(notes))
    series = series if year is None else of_year(series, year, path)
    if series.missing_hours > series.hours:
        raise DataError(
            f"{path}: {series.missing_hours:g} hours are missing and only {series.hours:g} known",
            "a mean over less than half of the hours says little: give a shorter span",
        )
    return series


def series_grid(path: str, series: IntensitySeries, *, kind: Kind = "average") -> Grid:
    """Return the grid of a user's series: its intensity is the mean over the hours known."""
    mean = float(series.known.mean())
    source = f"{path}, {series.hours:g} hours"
    years = {year for year in (_year_of(series, 0), _year_of(series, len(series.values) - 1)) if year}
    return Grid(
        id=path, name=path, intensity=assumed_interval(mean, source), kind=kind, basis="as the file has it",
        year=years.pop() if len(years) == 1 else None, source=source, licence="of the file", series=series,
        notes=series.notes,
    )  # fmt: skip


def of_year(series: IntensitySeries, year: int, path: str) -> IntensitySeries:
    """Return the slots of one year.

    Raises:
        DataError: the series holds none; the hint says which years it holds.
    """
    if series.start is None:
        return series
    begin = (datetime(year, 1, 1, tzinfo=UTC) - series.start).total_seconds() / series.step_seconds
    end = (datetime(year + 1, 1, 1, tzinfo=UTC) - series.start).total_seconds() / series.step_seconds
    first, last = max(0, int(np.ceil(begin))), min(len(series.values), int(np.ceil(end)))
    if first >= last or not np.isfinite(series.values[first:last]).any():
        held = dict.fromkeys((_year_of(series, 0), _year_of(series, len(series.values) - 1)))
        raise DataError(f"{path}: no hour of {year}", f"it holds {' to '.join(map(str, held))}")
    return cut(series, first, last)


def _year_of(series: IntensitySeries, slot: int) -> int | None:
    return None if series.start is None else (series.start + timedelta(seconds=slot * series.step_seconds)).year


def _generation(table: Table) -> dict[str, Array]:
    """Return fuel -> MW of each row; a row that misses a fuel is missing, a fuel that misses every row is none."""
    time = time_column(table)
    columns = {name: fuel for name in table.columns if name != time and (fuel := fuel_of(name)) is not None}
    found: dict[str, Array] = {}
    for name, fuel in columns.items():
        if fuel in found:
            raise DataError(f"{table.path}: two columns hold {fuel}", f"keep one of {', '.join(columns)}")
        megawatts = numbers_of(table, name)
        negative = megawatts < 0.0
        if negative.any():
            row = int(negative.argmax())
            raise DataError(
                f"{table.at(row)}: {name}: generation of {megawatts[row]:g} MW is negative",
                "write 0 where a plant only consumes, and leave storage out",
            )
        if np.isfinite(megawatts).any():
            found[fuel] = megawatts
    if found:
        total = np.asarray(sum(found.values(), start=np.zeros(1)))
        if (total == 0.0).any():
            row = int((total == 0.0).argmax())
            raise DataError(
                f"{table.at(row)}: nothing is generated", "leave the cells empty where the hour is not known"
            )
    return found


def _check_intensities(table: Table, column: str, values: Array, kind: Kind) -> None:
    """Refuse intensities that cannot be g/kWh."""
    name = printable(column, SHOWN)
    known = values[np.isfinite(values)]
    if not known.size:
        raise DataError(f"{table.path}: {name}: no value", "expected g/kWh in at least half of the rows")
    for wrong, found, hint in (
        (values < 0.0, "is negative", "expected g/kWh from 0"),
        (values > HIGHEST, f"is above {HIGHEST:g} g/kWh", "expected g per kWh: multiply lb/MWh by 0.4536"),
        ((values == 0.0) & (kind == "average"), "is zero",
         "leave the cell empty where the hour is not known; a marginal series may hold 0"),
    ):  # fmt: skip
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{table.at(row)}: {name}: {values[row]:g} {found}", hint)
    if known.max() < LOWEST:
        raise DataError(
            f"{table.path}: {name}: the highest value is {known.max():g}: this looks like kg/kWh",
            "expected g/kWh: multiply by 1000",
        )


def _disagreement(values: Array, generation: dict[str, Array], column: str) -> list[str]:
    """Return a note where the column's mean is not that of the generation beside it."""
    factors = fuel_factors()
    if not generation or any(fuel not in factors for fuel in generation):
        return []
    mix = mix_intensity(generation, factors)
    both = np.isfinite(values) & np.isfinite(mix)
    if not both.any():
        return []
    apart = float(mix[both].mean() / values[both].mean() - 1.0)
    if abs(apart) <= DISAGREE:
        return []
    return [f"the mean of {column} and that of its mix with the factors {DEFAULT_SET} differ by {apart:+.1%}"]


def _unused(table: Table) -> list[str]:
    """Return a note of the columns that are neither time nor a known fuel: one could be a fuel left out."""
    time = time_column(table)
    rest = [name for name in table.columns if name not in (time, INTENSITY_COLUMN) and fuel_of(name) is None]
    return [f"columns not used: {', '.join(printable(name, SHOWN) for name in rest[:8])}"] if rest else []
