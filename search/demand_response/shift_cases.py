"""Cases of job shifting: a series, a table of jobs, forecasts from columns or from seeds.

Kind ``shift_jobs``: ``series`` (CSV) and its ``column``; ``jobs`` (CSV of start_slot, length_slots, slack_slots; slot 0
is the first of the series); ``slots_per_hour`` (default: those of the series); either ``forecast_columns``, names in
the series file, or ``forecast_error`` (share of the mean) with ``forecast_seeds``. Savings are means over the
forecasts, in % of the carbon of starting every job at once; ``_perfect`` sees the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from codesign.errors import DataError
from codesign.quantity import Array
from codesign.search.demand_response.shifting import Jobs, Shifted, noisy_forecasts, shift
from codesign.strict_yaml import convert
from codesign.targets.grids import IntensitySeries, bridged, open_series, read_series, resample
from codesign.targets.grids.table_file import Table, numbers_of, read_table

LONGEST_SLOTS = 1_000_000

MOST_COLUMNS = 1000


class ShiftJobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs of a ``shift_jobs`` case."""

    series: str
    jobs: str
    column: str | None = None
    slots_per_hour: int | None = None
    drop_jobs_starting_after_end: bool = True
    forecast_columns: tuple[str, ...] = ()
    forecast_error: float | None = None
    forecast_seeds: int | None = None
    max_gap_hours: float = 0.0


def shift_jobs(inputs: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Return how many jobs there are and what moving them saves, in %, contiguous and interruptible.

    Raises:
        DataError: an input is unknown, missing or contradicts another, or a file is wrong.
        UsageError: the question cannot be answered (``shift``).
    """
    asked = convert(dict(inputs), ShiftJobs, "shift_jobs")
    path = str(folder / asked.series)
    series = _in_slots(read_series(path, column=asked.column), asked)
    truth = series.values
    forecasts = _forecasts(asked, path, truth)
    jobs = read_jobs(str(folder / asked.jobs))
    inside = jobs.start < len(truth)
    if asked.drop_jobs_starting_after_end:
        jobs = Jobs(jobs.start[inside], jobs.length[inside], jobs.slack[inside])
    found, perfect = shift(truth, forecasts, jobs), shift(truth, truth[None], jobs)
    return {
        "jobs": found.jobs,
        **_percent(found, ""),
        **_percent(perfect, "_perfect"),
    }


def read_jobs(path: str) -> Jobs:
    """Return the jobs of a CSV with columns start_slot, length_slots, slack_slots.

    Raises:
        DataError: naming line and column.
    """
    table = read_table(path)
    starts, lengths, slacks = (
        _whole(table, name, least) for name, least in (("start_slot", 0), ("length_slots", 1), ("slack_slots", 0))
    )
    return Jobs(starts, lengths, slacks)


def _whole(table: Table, column: str, least: int) -> Any:
    values = numbers_of(table, column)
    wrong = ~((values >= least) & (values <= LONGEST_SLOTS) & (values == np.rint(values)))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{table.at(row)}: {column}: found {table.columns[column][row]!r}",
            f"expected a whole number of slots from {least}, at most {LONGEST_SLOTS:,}",
        )
    return values.astype(np.int64)


def _in_slots(series: IntensitySeries, asked: ShiftJobs) -> IntensitySeries:
    """Return the series in the slots of the jobs, its gaps bridged as far as asked."""
    whole = bridged(series, asked.max_gap_hours)
    if asked.slots_per_hour is None:
        return whole
    if not 1 <= asked.slots_per_hour <= 60:
        raise DataError(f"shift_jobs: slots_per_hour: found {asked.slots_per_hour}", "expected 1 to 60")
    return resample(whole, 3600.0 / asked.slots_per_hour)


def _forecasts(asked: ShiftJobs, path: str, truth: Array) -> Array:
    """Return the forecasts (f, n), from columns of the file or as truth with noise."""
    noise = asked.forecast_error is not None or asked.forecast_seeds is not None
    if bool(asked.forecast_columns) == noise:
        raise DataError(
            "shift_jobs: forecasts come from one of two places",
            "give forecast_columns, or forecast_error with forecast_seeds",
        )
    if not asked.forecast_columns:
        if asked.forecast_error is None or asked.forecast_seeds is None:
            raise DataError("shift_jobs: forecast_error and forecast_seeds belong together", "give both")
        return noisy_forecasts(truth, asked.forecast_error, asked.forecast_seeds)
    if len(asked.forecast_columns) > MOST_COLUMNS:
        raise DataError(f"shift_jobs: {len(asked.forecast_columns)} forecast columns", f"at most {MOST_COLUMNS}")
    opened = open_series(path)
    step = opened.axis.step_seconds
    columns = [IntensitySeries(opened.numbers(name), step, opened.axis.start) for name in asked.forecast_columns]
    return np.stack([_in_slots(column, asked).values for column in columns])


def _percent(found: Shifted, suffix: str) -> dict[str, float]:
    return {
        f"saved_pct_contiguous{suffix}": 100.0 * float(found.contiguous.mean()),
        f"saved_pct_interruptible{suffix}": 100.0 * float(found.interruptible.mean()),
    }
