"""Means over a series, each saying which one it is: over hours, weighted by generation, weighted by a load.

They differ: hours of much wind are often hours of little load. Missing hours are skipped in every mean, and counted.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from codesign.errors import UsageError
from codesign.quantity import Array
from codesign.targets.grids.grid import UNIT, IntensitySeries

DAY_S = 86_400.0
HOUR_S = 3600.0


class Mean(msgspec.Struct, frozen=True):
    """A mean intensity.

    Attributes:
        value: g/kWh.
        over: What weighs: hours alike, the grid's generation, or the user's load.
        hours: Hours that it is over.
        missing_hours: Hours skipped.
        unit: Of the value.
    """

    value: float
    over: Literal["hours", "generation", "load"]
    hours: float
    missing_hours: float
    unit: str = UNIT


class Profile(msgspec.Struct, frozen=True, eq=False):
    """Intensity by hour of the day, g/kWh, arrays of shape (24,): mean, lowest and highest of each hour."""

    mean: Array
    low: Array
    high: Array
    utc_offset: float


def mean_over_hours(series: IntensitySeries) -> Mean:
    """Return the mean in which every hour weighs alike: that of a flat load."""
    return Mean(float(series.known.mean()), "hours", series.hours, series.missing_hours)


def mean_by_generation(series: IntensitySeries) -> Mean:
    """Return the mean weighted by what the grid generates: that of the average kWh of the grid.

    Raises:
        UsageError: the series holds no generation.
    """
    if series.generation_mw is None:
        raise UsageError("the series holds no generation", "its mean over hours is known; add columns of MW by fuel")
    return _weighted(series, series.generation_mw, "generation")


def mean_by_load(series: IntensitySeries, load: ArrayLike) -> Mean:
    """Return the mean weighted by a load: that of what the user draws.

    Args:
        series: The intensity.
        load: Power in any unit, from 0: one value a slot, or of one day, then repeated every day from the first slot.

    Raises:
        UsageError: another length, negative or not finite, or nothing drawn in the hours known.
    """
    weights = np.asarray(load, dtype=np.float64)
    slots, in_a_day = len(series.values), round(DAY_S / series.step_seconds)
    if weights.shape not in ((slots,), (in_a_day,)):
        raise UsageError(f"load has shape {weights.shape}", f"expected {slots} values, or the {in_a_day} of one day")
    if not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise UsageError("load holds negative or unknown values", "expected power from 0 in every slot")
    return _weighted(series, np.resize(weights, slots), "load")


def _weighted(series: IntensitySeries, weights: Array, over: Literal["generation", "load"]) -> Mean:
    known = np.isfinite(series.values) & np.isfinite(weights)
    total = float(weights[known].sum())
    if total <= 0.0:
        raise UsageError(f"the {over} is 0 in every hour that is known", "a weighted mean needs some")
    value = float(series.values[known] @ weights[known]) / total
    hours = float(known.sum()) * series.step_seconds / HOUR_S
    return Mean(value, over, hours, len(known) * series.step_seconds / HOUR_S - hours)


def daily_spread(series: IntensitySeries) -> float | None:
    """Return the mean over days of (highest - lowest) / mean: how much moving a load within a day can find.

    Days are of 24 h from the first slot; a day that misses an hour is left out. None where no day is whole.
    """
    in_a_day = round(DAY_S / series.step_seconds)
    whole = len(series.values) // in_a_day
    days = series.values[: whole * in_a_day].reshape(whole, in_a_day)
    days = days[np.isfinite(days).all(axis=1)]
    means = days.mean(axis=1)
    if in_a_day < 2 or not means.size or not (means > 0.0).all():
        return None
    return float(((days.max(axis=1) - days.min(axis=1)) / means).mean())


def hour_of_day(series: IntensitySeries, utc_offset: float = 0.0) -> Profile:
    """Return the profile by hour of the day, at ``utc_offset`` hours ahead of UTC; NaN for an hour without values.

    Rows that only count hours are taken to begin at midnight UTC.

    Raises:
        UsageError: no offset that exists, or slots longer than an hour.
    """
    if not -12.0 <= utc_offset <= 14.0:
        raise UsageError(f"UTC offset is {utc_offset:g} h", "expected -12 to 14")
    if series.step_seconds > HOUR_S:
        raise UsageError(f"a step of {series.step_seconds / HOUR_S:g} h has no hours of the day", "needs 1 h or less")
    first = 0.0 if series.start is None else series.start.timestamp() % DAY_S
    seconds = first + utc_offset * HOUR_S + np.arange(len(series.values)) * series.step_seconds
    hour = (np.floor(seconds / HOUR_S) % 24).astype(np.intp)
    known = np.isfinite(series.values)
    hour, values = hour[known], series.values[known]
    count = np.bincount(hour, minlength=24)
    low, high = np.full(24, np.inf), np.full(24, -np.inf)
    np.minimum.at(low, hour, values)
    np.maximum.at(high, hour, values)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(hour, values, minlength=24) / count
    empty = count == 0
    return Profile(mean, np.where(empty, np.nan, low), np.where(empty, np.nan, high), utc_offset)
