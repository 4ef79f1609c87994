"""Parts of a series and other steps of it: days, finer and coarser slots, bridged gaps."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np

from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.targets.grids.grid import IntensitySeries

DAY_S = 86_400.0


def cut(series: IntensitySeries, first: int, last: int) -> IntensitySeries:
    """Return the slots from ``first`` up to, not including, ``last``."""
    start = None if series.start is None else series.start + timedelta(seconds=first * series.step_seconds)
    generation = None if series.generation_mw is None else series.generation_mw[first:last]
    return IntensitySeries(series.values[first:last], series.step_seconds, start, generation, series.notes)


def days(series: IntensitySeries, first: int, count: int = 1) -> IntensitySeries:
    """Return ``count`` days from day ``first``; day 0 is the first 24 h of the series.

    Raises:
        UsageError: the series does not hold them.
    """
    in_a_day = round(DAY_S / series.step_seconds)
    whole = len(series.values) // in_a_day
    if not (first >= 0 and count >= 1 and first + count <= whole):
        raise UsageError(f"days {first} to {first + count - 1} of a series", f"it holds days 0 to {whole - 1}")
    return cut(series, first * in_a_day, (first + count) * in_a_day)


def resample(series: IntensitySeries, step_seconds: float) -> IntensitySeries:
    """Return the series in slots of another length.

    Finer slots repeat the value of their hour (intensity and power do not change by cutting time up); coarser slots
    take the mean of the slots known inside them, and are missing where none is. An incomplete last slot is left off.

    Raises:
        UsageError: neither step divides the other.
    """
    if not 60.0 <= step_seconds <= DAY_S:
        raise UsageError(f"a step of {step_seconds:g} s", "expected a minute to a day")
    finer, coarser = series.step_seconds / step_seconds, step_seconds / series.step_seconds
    if finer >= 1.0 and finer == round(finer):
        times = round(finer)
        generation = None if series.generation_mw is None else np.repeat(series.generation_mw, times)
        values = np.repeat(series.values, times)
    elif coarser == round(coarser):
        values = _grouped(series.values, round(coarser))
        generation = None if series.generation_mw is None else _grouped(series.generation_mw, round(coarser))
    else:
        raise UsageError(
            f"steps of {series.step_seconds:g} s to steps of {step_seconds:g} s", "one has to divide the other"
        )
    return IntensitySeries(values, float(step_seconds), series.start, generation, series.notes)


def _grouped(values: Array, size: int) -> Array:
    """Return the mean of each ``size`` values, over those known; NaN where none is."""
    parts = values[: len(values) // size * size].reshape(-1, size)
    count = np.isfinite(parts).sum(axis=1)
    return np.where(count > 0, np.nansum(parts, axis=1) / np.maximum(count, 1), np.nan)


def gaps(series: IntensitySeries) -> tuple[tuple[int, int], ...]:
    """Return (first slot, slots) of each gap, in order."""
    missing = np.isnan(series.values)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(np.int8)))
    return tuple((int(begin), int(end - begin)) for begin, end in zip(edges[::2], edges[1::2], strict=True))


def bridged(series: IntensitySeries, max_gap_hours: float = 0.0) -> IntensitySeries:
    """Return the series with its gaps bridged by straight lines, for what needs a value in every slot.

    Args:
        series: With or without gaps.
        max_gap_hours: Longest gap that is bridged; 0 refuses every gap.

    Raises:
        DataError: a longer gap, or one at either end; says where.
    """
    holes = gaps(series)
    if not holes:
        return series
    for first, count in holes:
        hours = count * series.step_seconds / 3600.0
        if hours > max_gap_hours:
            raise DataError(
                f"{_when(series, first)}: {hours:g} hours are missing",
                f"bridged are gaps up to {max_gap_hours:g} hours: fill it, or allow longer ones",
            )
        if first == 0 or first + count == len(series.values):
            raise DataError(f"{_when(series, first)}: the gap is at an end", "nothing to bridge to: cut the series")
    slot = np.arange(len(series.values))
    known = np.isfinite(series.values)
    values = np.interp(slot, slot[known], series.values[known])
    hours = series.missing_hours
    note = f"{hours:g} missing hours in {len(holes)} gaps bridged by straight lines"
    return msgspec.structs.replace(series, values=values, notes=(*series.notes, note))


def _when(series: IntensitySeries, slot: int) -> str:
    if series.start is None:
        return f"hour {slot * series.step_seconds / 3600.0:g}"
    return (series.start + timedelta(seconds=slot * series.step_seconds)).strftime("%Y-%m-%dT%H:%MZ")
