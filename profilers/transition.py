"""The batch size at which a model turns from host-bound to device-bound, with an interval.

Two rules. On a processor: where the compute share of a pass crosses one half, with the knee of latency over batch as a
cross-check. On a GPU: the knee of TKLQT over batch (SKIP, arXiv 2504.11750: flat while launches bound the model, rising
once kernels queue). A knee is the join of a flat and a rising line in log-log, found by an exact scan over the segments
(Hudson, J. Am. Stat. Assoc. 61, 1966: the join is where the separate fits meet, or at a point profiled).

Intervals are bootstrapped over iterations, taken as independent. The level of a batch is the median of its iterations;
its deviations are widened as for Student's t (Hesterberg, arXiv 1411.5279, section 5.3), or a few iterations would look
surer than they are. A knee also carries the misfit of its two lines, drawn with random signs (wild bootstrap): between
eight batch sizes this is most of what is unknown. Results do not depend on the unit of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError

Array = NDArray[np.float64]

HALF = 0.5
"""Compute share at which a pass turns from dispatch-bound to compute-bound."""

LEAST_RISE = 2.0
"""Factor by which the level must rise beyond the knee, or the sweep ended too early to tell a rise from noise."""

LEAST_SLOPE = 0.5
"""Exponent of batch beyond the knee under which the growth is neither flat nor that of a bound device (about 1)."""

LEAST_EXPLAINED = 0.8
"""Share of the variance over batch that flat-then-rising must explain."""

LEAST_BATCHES = 4
"""Batch sizes under which a knee, of three parameters, fits anything."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sweep over batch sizes turns from host-bound to device-bound.

    Attributes:
        batch: Where it turns, between the sizes profiled; None where the sweep does not show it.
        low: Lower end of the interval; None where it reaches below the smallest batch profiled, or is unresolved.
        high: Upper end of the interval; None where it reaches above the largest batch profiled, or is unresolved.
        coverage: Probability with which the interval is meant to hold the transition, 0 to 1.
        rule: ``compute share``, ``latency knee`` or ``TKLQT knee``.
        crossed: ``between`` (the sizes profiled), ``below`` (device-bound from the smallest on), ``above`` (host-bound
            up to the largest), ``non-monotone`` (crossed more than once, ``batch`` is the last crossing upwards) or
            ``unresolved``.
        explanation: The outcome in a sentence.
    """

    batch: float | None
    low: float | None
    high: float | None
    coverage: float
    rule: str
    crossed: str
    explanation: str


def share_crossing(
    batches: Sequence[int],
    shares: Sequence[Sequence[float]],
    *,
    seed: int,
    coverage: float = 0.9,
    resamples: int = 2000,
) -> Transition:
    """Return where the compute share of a pass crosses one half.

    Args:
        batches: Batch sizes profiled, in any order.
        shares: Per batch the compute share of each iteration, 0 to 1.
        seed: Of the resampling.
        coverage: Of the interval, 0 to 1.
        resamples: Of the bootstrap.

    Returns:
        The crossing, linear in the logarithm of batch between two sizes profiled.

    Raises:
        DataError: no batch, a batch twice, below 1, without iterations, or with a share that is no number.
    """
    sweep = _Sweep.read(batches, shares)
    seen = sweep.levels()
    draws = seen + sweep.deviations(seed, coverage, resamples)
    point = float(_last_rise(sweep.at, seen[None, :])[0])
    low, high = (-np.inf, np.inf) if sweep.single else _interval(_last_rise(sweep.at, draws), coverage)
    above = seen >= HALF
    turns = int(np.count_nonzero(above[1:] != above[:-1]))
    crossed = "non-monotone" if turns > 1 or (turns and above[0]) else _place(point)
    first, last = sweep.batches[0], sweep.batches[-1]
    listed = ", ".join(f"{level:.0%} at {batch}" for batch, level in zip(sweep.batches, seen, strict=True))
    said = {
        "between": f"compute takes half of a pass from batch {_near(point)} on",
        "below": f"compute takes half of a pass or more from the smallest batch, {first}, on",
        "above": f"compute takes less than half of a pass up to the largest batch, {last}",
        "non-monotone": f"the compute share crosses one half {turns} times"
        + (f", upwards for good at batch {_near(point)}" if np.isfinite(point) else " and ends below it"),
    }
    return _transition(sweep, "compute share", crossed, point, (low, high), coverage, f"{said[crossed]} ({listed})")


def latency_knee(
    batches: Sequence[int],
    seconds: Sequence[Sequence[float]],
    *,
    seed: int,
    coverage: float = 0.9,
    resamples: int = 2000,
) -> Transition:
    """Return the knee of latency over batch: constant while the host bounds a pass, then growing with the batch.

    Args:
        batches: Batch sizes profiled, in any order.
        seconds: Per batch the unprofiled time of each iteration, in any unit of time.
        seed: Of the resampling.
        coverage: Of the interval, 0 to 1.
        resamples: Of the bootstrap.

    Raises:
        DataError: no batch, a batch twice, below 1, without iterations, or with a time that is not positive.
    """
    return _knee("latency knee", "latency", batches, seconds, seed, coverage, resamples)


def tklqt_knee(
    batches: Sequence[int],
    tklqt: Sequence[Sequence[float]],
    *,
    seed: int,
    coverage: float = 0.9,
    resamples: int = 2000,
) -> Transition:
    """Return the knee of TKLQT per launch over batch, SKIP's transition (arXiv 2504.11750).

    Args:
        batches: Batch sizes profiled, in any order.
        tklqt: Per batch the TKLQT over the number of launches, of each iteration, in any unit of time.
        seed: Of the resampling.
        coverage: Of the interval, 0 to 1.
        resamples: Of the bootstrap.

    Raises:
        DataError: no batch, a batch twice, below 1, without iterations, or with a time that is not positive.
    """
    return _knee("TKLQT knee", "TKLQT per launch", batches, tklqt, seed, coverage, resamples)


def _knee(
    rule: str,
    what: str,
    batches: Sequence[int],
    samples: Sequence[Sequence[float]],
    seed: int,
    coverage: float,
    resamples: int,
) -> Transition:
    """Return the knee of positive ``samples`` over batch; ``what`` names them in the explanation."""
    sweep = _Sweep.read(batches, samples, positive=True)
    if len(sweep.batches) < LEAST_BATCHES:
        said = f"a knee needs {LEAST_BATCHES} batch sizes, {len(sweep.batches)} were profiled"
        return _transition(sweep, rule, "unresolved", np.nan, (-np.inf, np.inf), coverage, said)
    seen = sweep.levels()
    fit = _hinge(sweep.at, seen[None, :])
    fitted = fit.level[:, None] + fit.slope[:, None] * np.maximum(0.0, sweep.at - fit.low[:, None])
    misfit = (seen - fitted) * np.sqrt(len(seen) / (len(seen) - 3))
    signs = np.random.Generator(np.random.Philox(seed + 1)).choice((-1.0, 1.0), (resamples, len(seen)))
    drawn = _hinge(sweep.at, fitted + misfit * signs + sweep.deviations(seed, coverage, resamples))
    low, _ = _interval(_located(sweep.at, drawn, drawn.low), coverage)
    _, high = _interval(_located(sweep.at, drawn, drawn.high), coverage)
    point = float(_located(sweep.at, fit, (fit.low + fit.high) / 2)[0])
    if low == -np.inf and point < sweep.at[1]:  # the flat part is one batch, and may be none
        point = -np.inf
    crossed, slope, spread = _place(point), float(fit.slope[0]), float(((seen - seen.mean()) ** 2).sum())
    said = {
        "between": f"{what} is flat up to batch {_near(point)}, then grows as batch^{slope:.2g}",
        "below": f"{what} grows as batch^{slope:.2g} from the smallest batch, {sweep.batches[0]}, on",
        "above": f"{what} does not rise by a factor of {LEAST_RISE:g} up to the largest batch, {sweep.batches[-1]}",
    }[crossed]
    fits = np.ptp(seen) < np.log(LEAST_RISE) if crossed == "above" else fit.error[0] <= (1 - LEAST_EXPLAINED) * spread
    if crossed != "above" and slope < LEAST_SLOPE:
        crossed, said = "unresolved", f"{what} grows as batch^{slope:.2g}: neither flat nor in proportion"
    elif not fits:
        crossed, said = "unresolved", f"{what} over batch is not flat and then rising"
    elif low == -np.inf and high == np.inf:
        crossed, said = "unresolved", f"{what} varies too much between iterations or batch sizes to place the knee"
    return _transition(sweep, rule, crossed, point, (low, high), coverage, said)


class _Sweep(NamedTuple):
    """Samples by batch, ascending; ``at`` is the natural logarithm of the batch sizes."""

    batches: tuple[int, ...]
    at: Array
    samples: tuple[Array, ...]

    @classmethod
    def read(cls, batches: Sequence[int], samples: Sequence[Sequence[float]], *, positive: bool = False) -> _Sweep:
        """Return the sweep, of the logarithms of ``positive`` samples; raises DataError as the callers say."""
        if not batches or len(batches) != len(samples):
            raise DataError(f"{len(batches)} batch sizes with {len(samples)} lists of samples", "give one list a batch")
        if len(set(batches)) < len(batches) or min(batches) < 1:
            raise DataError(f"batch sizes {list(batches)}", "give each once, from 1 up")
        order = sorted(range(len(batches)), key=lambda row: batches[row])
        rows = tuple(np.asarray(samples[row], dtype=np.float64) for row in order)
        for row, values in zip(order, rows, strict=True):
            if not values.size or not np.isfinite(values).all() or (positive and (values <= 0).any()):
                wanted = "positive finite numbers" if positive else "finite numbers"
                raise DataError(f"samples of batch {batches[row]}: found {values.tolist()[:4]}", f"expected {wanted}")
        ordered = tuple(batches[row] for row in order)
        return cls(ordered, np.log(np.array(ordered, float)), tuple(np.log(r) for r in rows) if positive else rows)

    @property
    def single(self) -> bool:
        """Return whether some batch has one iteration: its scatter is unknown."""
        return any(len(values) < 2 for values in self.samples)

    def levels(self) -> Array:
        """Return the median of each batch, shape (batches,)."""
        return np.array([np.median(values) for values in self.samples])

    def deviations(self, seed: int, coverage: float, resamples: int) -> Array:
        """Return resampled medians less the median, widened for few iterations, shape (resamples, batches)."""
        from scipy.special import ndtri, stdtrit

        generator = np.random.Generator(np.random.Philox(seed))
        found = np.zeros((resamples, len(self.samples)))
        tail = 0.5 + coverage / 2
        for column, values in enumerate(self.samples):
            if (count := len(values)) < 2:
                continue
            drawn = values[generator.integers(0, count, (resamples, count))]
            wider = stdtrit(count - 1, tail) / ndtri(tail) * np.sqrt(count / (count - 1))
            found[:, column] = (np.median(drawn, axis=1) - np.median(values)) * wider
        return found


class _Hinge(NamedTuple):
    """Fits of level + slope * max(0, at - knee), one an entry; a knee that the data leave open has two ends."""

    low: Array
    high: Array
    level: Array
    slope: Array
    error: Array
    """Sum of squares left."""


def _hinge(at: Array, values: Array) -> _Hinge:
    """Return the least-squares fit of each row of ``values`` (rows, batches) over ``at`` (batches,), ascending."""
    rows, count = values.shape
    best = _Hinge(*(np.full(rows, np.inf) for _ in _Hinge._fields))
    for left in range(count - 1):
        ramp = np.maximum(0.0, at - at[left])
        level, slope, error = _line(ramp, values)
        # beyond the last but one batch only one point rises: the knee may be anywhere between the two
        end = at[left + 1] if left == count - 2 else at[left]
        best = _better(best, _Hinge(np.full(rows, at[left]), np.full(rows, end), level, slope, error))
        if left < count - 2:
            level = values[:, : left + 1].mean(axis=1)
            offset, slope, error = _line(at[left + 1 :], values[:, left + 1 :])
            error = error + ((values[:, : left + 1] - level[:, None]) ** 2).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                meet = (level - offset) / slope
            error = np.where((meet > at[left]) & (meet < at[left + 1]), error, np.inf)
            best = _better(best, _Hinge(meet, meet, level, slope, error))
    return best


def _line(at: Array, values: Array) -> tuple[Array, Array, Array]:
    """Return offset, slope and squared error of the straight line through each row of ``values``."""
    centred = at - at.mean()
    slope = values @ centred / (centred @ centred)
    offset = values.mean(axis=1) - slope * at.mean()
    return offset, slope, ((values - offset[:, None] - slope[:, None] * at) ** 2).sum(axis=1)


def _better(first: _Hinge, second: _Hinge) -> _Hinge:
    """Return row by row the fit with less error, the first where they tie."""
    less = second.error < first.error
    return _Hinge(*(np.where(less, b, a) for a, b in zip(first, second, strict=True)))


def _located(at: Array, fit: _Hinge, knee: Array) -> Array:
    """Return ``knee``, -inf where all of the sweep rises, +inf where it does not rise enough to tell."""
    rise = fit.slope * (at[-1] - fit.low)
    return np.where(rise < np.log(LEAST_RISE), np.inf, np.where(knee <= at[0], -np.inf, knee))


def _last_rise(at: Array, levels: Array) -> Array:
    """Return where each row of ``levels`` last crosses one half upwards; -inf and +inf are outside the sweep."""
    above = levels >= HALF
    rises = ~above[:, :-1] & above[:, 1:]
    found = np.where(above.all(axis=1), -np.inf, np.full(len(levels), np.inf))
    if rises.shape[1]:
        row = np.flatnonzero(rises.any(axis=1) & above[:, -1])
        left = rises.shape[1] - 1 - np.argmax(rises[row, ::-1], axis=1)
        part = (HALF - levels[row, left]) / (levels[row, left + 1] - levels[row, left])
        found[row] = at[left] + part * (at[left + 1] - at[left])
    return found


def _interval(draws: Array, coverage: float) -> tuple[float, float]:
    """Return the central interval of ``draws``, which may be infinite."""
    ordered = np.sort(draws)
    skipped = int(len(ordered) * (1 - coverage) / 2)
    return float(ordered[skipped]), float(ordered[-1 - skipped])


def _place(point: float) -> str:
    """Return the outcome of a transition at ``point``, log batch."""
    return "between" if np.isfinite(point) else "below" if point < 0 else "above"


def _near(point: float) -> str:
    """Return a batch size for a sentence, from its logarithm."""
    return f"{np.exp(point):.3g}"


def _transition(
    sweep: _Sweep, rule: str, crossed: str, point: float, ends: tuple[float, float], coverage: float, said: str
) -> Transition:
    """Return the result, out of logarithms; an end of the interval outside the sweep is open."""
    shown = crossed in {"between", "non-monotone"} and np.isfinite(point)
    if crossed == "unresolved":
        bounds: list[float | None] = [None, None]
    else:
        # the point estimate is in its own interval, whatever the resampling drew
        low, high = (min(ends[0], point), max(ends[1], point)) if shown else ends
        low, high = min(low, float(sweep.at[-1])), max(high, float(sweep.at[0]))
        bounds = [float(np.exp(end)) if np.isfinite(end) else None for end in (low, high)]
        words = ["-" if bound is None else f"{bound:.3g}" for bound in bounds]
        span = {
            (False, False): f"{words[0]} to {words[1]}",
            (True, False): f"{words[1]} or less",
            (False, True): f"{words[0]} or more",
            (True, True): "of any size",
        }[bounds[0] is None, bounds[1] is None]
        said = f"{said}; {coverage:.0%} interval of the transition: batch {span}"
    return Transition(
        batch=float(np.exp(point)) if shown else None,
        low=bounds[0],
        high=bounds[1],
        coverage=coverage,
        rule=rule,
        crossed=crossed,
        explanation=said,
    )
