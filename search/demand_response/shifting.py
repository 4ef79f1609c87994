"""Moving jobs in time to cleaner hours, against starting each at once (Wiesner et al., "Let's Wait Awhile", 2021).

A job has a start, a length and a slack in slots of equal length, and draws the same power throughout. It runs

- **contiguous**: in the window of its length that begins within its slack and is forecast to be cleanest, or
- **interruptible**: in its length's number of cleanest forecast slots of start .. start + length + slack.

Decisions see the forecast, the account uses the truth. A window that reaches beyond the series is cut there; a job that
starts beyond it is refused. Of equal windows the earliest runs, of equal slots the earlier. This moves energy and saves
none: operational carbon only, never embodied carbon.

Shapes: n slots, m jobs, f forecasts.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.quantity import Array

Slots = NDArray[np.int64]

CELLS = 2_000_000
"""Slots of windows looked at together: bounds memory to some 100 MB."""

MOST_CELLS = 2_000_000_000
"""Slots of windows in a whole question: above it an input is taken for a mistake."""


class Jobs(msgspec.Struct, frozen=True, eq=False):
    """Jobs as arrays of shape (m,), in slots: first slot, length (at least 1), slack (at least 0)."""

    start: Slots
    length: Slots
    slack: Slots


class Shifted(msgspec.Struct, frozen=True, eq=False):
    """What shifting saves.

    Attributes:
        jobs: Jobs counted.
        contiguous: Saved share of the carbon of starting at once, by forecast, shape (f,).
        interruptible: The same where jobs may pause.
    """

    jobs: int
    contiguous: Array
    interruptible: Array


def noisy_forecasts(truth: Array, error: float, seeds: int) -> Array:
    """Return forecasts (seeds, n): the truth plus independent normal errors, generator ``default_rng(k)`` for row k.

    Args:
        truth: Intensity, shape (n,).
        error: Standard deviation as a share of the mean of ``truth``.
        seeds: How many, seeds 0, 1, ...
    """
    if not 0.0 <= error <= 10.0:
        raise UsageError(f"forecast error is {error:g}", "expected a share of the mean, such as 0.05")
    if not 1 <= seeds <= 1000:
        raise UsageError(f"{seeds} forecast seeds", "expected 1 to 1000")
    spread = error * float(truth.mean())
    return np.stack([truth + np.random.default_rng(seed).normal(0.0, spread, len(truth)) for seed in range(seeds)])


def shift(truth: Array, forecasts: Array, jobs: Jobs) -> Shifted:
    """Return what moving ``jobs`` saves under each forecast.

    Args:
        truth: Intensity of each slot, shape (n,), every slot known.
        forecasts: What the decisions see, shape (f, n).
        jobs: Jobs that start within the series.

    Raises:
        UsageError: shapes that do not fit, missing values, jobs outside the series, or more than can be looked at.
    """
    _check(truth, forecasts, jobs)
    slots = len(truth)
    horizon = np.minimum(jobs.start + jobs.length + jobs.slack, slots)
    length = np.minimum(jobs.length, horizon - jobs.start)
    before = np.concatenate(([0.0], np.cumsum(truth)))
    at_once = float((before[jobs.start + length] - before[jobs.start]).sum())
    if at_once <= 0.0:
        raise UsageError("starting at once emits nothing", "a share of nothing cannot be saved")
    emitted = np.zeros((2, len(forecasts)))
    width = int((horizon - jobs.start).max())
    batch = max(1, CELLS // width)
    # jobs of similar windows share a batch, so that short ones are not padded to the longest of all
    order = np.argsort(horizon - jobs.start, kind="stable")
    for first in range(0, len(order), batch):
        some = order[first : first + batch]
        window = _Windows(jobs.start[some], length[some], horizon[some])
        for place, forecast in enumerate(forecasts):
            emitted[0, place] += window.contiguous(truth, forecast)
            emitted[1, place] += window.interruptible(truth, forecast)
    saved = 1.0 - emitted / at_once
    return Shifted(len(order), saved[0], saved[1])


class _Windows:
    """The windows of some jobs as one padded array (jobs, longest window)."""

    def __init__(self, start: Slots, length: Slots, horizon: Slots) -> None:
        self.start, self.length = start, length
        reach = np.arange(int((horizon - start).max()))
        slot = start[:, None] + reach
        self.inside = slot < horizon[:, None]
        self.slot = np.where(self.inside, slot, 0)
        # a window may begin where its end still lies within the job's horizon
        self.begins = slot + length[:, None] <= horizon[:, None]

    def contiguous(self, truth: Array, forecast: Array) -> float:
        """Return what the jobs emit in their cleanest forecast windows; sums of windows are differences of sums."""
        before = np.concatenate(([0.0], np.cumsum(forecast)))
        begin = np.where(self.begins, self.slot, 0)
        sums = np.where(self.begins, before[begin + self.length[:, None]] - before[begin], np.inf)
        chosen = self.start + sums.argmin(axis=1)
        true = np.concatenate(([0.0], np.cumsum(truth)))
        return float((true[chosen + self.length] - true[chosen]).sum())

    def interruptible(self, truth: Array, forecast: Array) -> float:
        """Return what the jobs emit in their cleanest forecast slots."""
        seen = np.where(self.inside, forecast[self.slot], np.inf)
        order = np.argsort(seen, axis=1, kind="stable")
        cleanest = np.take_along_axis(truth[self.slot], order, axis=1)
        return float(np.take_along_axis(np.cumsum(cleanest, axis=1), self.length[:, None] - 1, axis=1).sum())


def _check(truth: Array, forecasts: Array, jobs: Jobs) -> None:
    if truth.ndim != 1 or forecasts.ndim != 2 or forecasts.shape[1:] != truth.shape or not len(forecasts):
        raise UsageError(f"forecasts have shape {forecasts.shape}", f"expected (forecasts, {len(truth)})")
    if not (np.isfinite(truth).all() and np.isfinite(forecasts).all()):
        raise UsageError("the series has missing slots", "bridge short gaps first (max_gap_hours), or cut the series")
    if not len(jobs.start):
        raise UsageError("no job", "at least one that starts within the series")
    if (jobs.length < 1).any() or (jobs.slack < 0).any():
        raise UsageError("a job has no length or a negative slack", "expected lengths from 1 and slacks from 0")
    outside = (jobs.start < 0) | (jobs.start >= len(truth))
    if outside.any():
        raise UsageError(
            f"{int(outside.sum())} of {len(outside)} jobs start outside the series of {len(truth)} slots",
            "drop them, or bring a longer series",
        )
    cells = int(np.minimum(jobs.length + jobs.slack, len(truth)).sum()) * len(forecasts)
    if cells > MOST_CELLS:
        raise UsageError(f"{cells:,} slots to look at", f"at most {MOST_CELLS:,}: fewer jobs, or fewer forecasts")
