"""Hypervolume: the volume that a front dominates below a reference point, all objectives minimised.

Exact by a sweep in two and three dimensions [1]_ and by WFG beyond [2]_. For long fronts in four and more
dimensions ``history`` and ``measure`` fall back on quasi-Monte Carlo with a stated error, and say so.

References:
    [1] Beume, Fonseca, Lopez-Ibanez, Paquete, Vahrenhold, "On the complexity of computing the hypervolume
        indicator", IEEE TEC 13(5), 2009, section III (dimension sweep, staircase in the plane).
    [2] While, Bradstreet, Barone, "A fast way of calculating exact hypervolumes", IEEE TEC 16(1), 2012.
    [3] Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018 (the R sequence).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.search.pareto import Archive, nondominated

Floats = NDArray[np.float64]

SAMPLES = 1 << 15
"""Points of a quasi-Monte Carlo estimate."""
EXACT_ROWS = {1: 10**9, 2: 10**9, 3: 200_000, 4: 400, 5: 60, 6: 30}
"""Longest front that ``measure`` does exactly, by number of objectives: about a second each."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A hypervolume with how it was found; ``error`` is one standard error, 0 when exact."""

    value: float
    method: str
    error: float = 0.0


def hypervolume(front: Floats, reference: Floats | Sequence[float]) -> float:
    """Return the exact hypervolume of ``front`` (K, M) below ``reference`` (M,); any rows are allowed."""
    corner = np.asarray(reference, dtype=np.float64)
    rows = np.asarray(front, dtype=np.float64).reshape(-1, len(corner))
    rows = rows[(rows < corner).all(axis=1)]
    return _exact(rows[nondominated(rows)], corner) if len(rows) else 0.0


def _exact(rows: Floats, corner: Floats) -> float:
    """Dispatch on the number of objectives; rows are mutually nondominated and inside the corner."""
    if not len(rows):
        return 0.0
    if len(rows) == 1:
        return float(np.prod(corner - rows[0]))
    width = len(corner)
    if width == 1:
        return float(corner[0] - rows[:, 0].min())
    if width == 2:
        return _plane(rows, corner)
    if width == 3:
        return _sweep(rows, corner)
    return _wfg(rows, corner)


def _plane(rows: Floats, corner: Floats) -> float:
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    above = np.concatenate([[corner[1]], rows[:-1, 1]])
    return float(((corner[0] - rows[:, 0]) * (above - rows[:, 1])).sum())


def _sweep(rows: Floats, corner: Floats) -> float:
    """Sweep the third objective upward; keep the staircase of the first two and the area below it."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0], rows[:, 2]))]
    right, top, end = corner.tolist()
    xs: list[float] = []  # ascending
    ys: list[float] = []  # descending
    area = volume = 0.0
    heights = [*rows[1:, 2].tolist(), end]
    for (x, y, z), upper in zip(rows.tolist(), heights, strict=True):
        at = bisect_left(xs, x)
        ceiling = ys[at - 1] if at else top
        if y < ceiling:
            if at < len(xs) and xs[at] == x and ys[at] <= y:
                volume += area * (upper - z)
                continue
            stop, level, edge = at, ceiling, x
            while stop < len(xs) and ys[stop] >= y:  # the new step covers these
                area += (xs[stop] - edge) * (level - y)
                level, edge = ys[stop], xs[stop]
                stop += 1
            area += ((xs[stop] if stop < len(xs) else right) - edge) * (level - y)
            xs[at:stop] = [x]
            ys[at:stop] = [y]
        volume += area * (upper - z)
    return volume


def _wfg(rows: Floats, corner: Floats) -> float:
    """Sum exclusive volumes: the box of each point less what the points after it share with it."""
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]  # worst last objective first: shared parts shrink early
    boxes = np.prod(corner - rows, axis=1)
    total = 0.0
    for index in range(len(rows)):
        rest = np.maximum(rows[index + 1 :], rows[index])
        shared = _exact(rest[nondominated(rest)], corner) if len(rest) else 0.0
        total += float(boxes[index]) - shared
    return total


def reference_point(front: Floats) -> Floats:
    """Return a reference for ``front``: its worst value of each objective and a tenth of the range beyond.

    For objectives whose best value is near 0 this is the nadir times 1.1. An objective that does not vary
    gets a tenth of its size (or 1), so that no volume is flat.
    """
    worst, span = front.max(axis=0), np.ptp(front, axis=0)
    size = np.where(np.abs(worst) > 0.0, np.abs(worst), 1.0)
    corner: Floats = worst + 0.1 * np.where(span > 0.0, span, size)
    return corner


def measure(front: Floats, reference: Floats) -> Measure:
    """Return the hypervolume of ``front``, exact where that takes about a second at most."""
    inside = front[(front < reference).all(axis=1)]
    if len(inside) <= EXACT_ROWS.get(front.shape[1], 20):
        return Measure(hypervolume(inside, reference), "exact")
    births, box = _births(inside, np.arange(len(inside)), reference)
    return _estimate(births < len(inside), box)


def _estimate(hit: NDArray[np.bool_], box: float) -> Measure:
    share = float(hit.mean())
    error = box * float(np.sqrt(share * (1.0 - share) / len(hit)))
    return Measure(box * share, f"quasi-Monte Carlo, {len(hit)} points", error)


def history(
    values: Floats, ids: NDArray[np.int64], counts: Sequence[int], reference: Floats
) -> tuple[list[float], Measure]:
    """Return the hypervolume after each of ``counts`` evaluations, against one reference: it never falls.

    Args:
        values: (K, M) every point that was on the front at some time.
        ids: (K,) evaluation number of each, ascending.
        counts: numbers of evaluations, ascending.
        reference: (M,) reference point.

    Returns:
        The hypervolume at each count, and the last one with its method.
    """
    inside = (values < reference).all(axis=1)
    rows, numbers = values[inside], ids[inside]
    if not len(rows):
        return [0.0] * len(counts), Measure(0.0, "exact")
    work = len(rows) * max(1, len(counts))
    if values.shape[1] <= 2 or (values.shape[1] == 3 and work <= 400_000):
        series = _exact_history(rows, numbers, counts, reference)
        return series, Measure(series[-1] if series else 0.0, "exact")
    births, box = _births(rows, numbers, reference)
    born = np.sort(births)
    series = [box * float(np.searchsorted(born, count, side="left")) / len(born) for count in counts]
    last = _estimate(births < np.iinfo(np.int64).max, box)
    front = rows[nondominated(rows)]
    if len(front) <= EXACT_ROWS.get(values.shape[1], 20) and last.value > 0.0:
        exact = hypervolume(front, reference)
        series = [s * exact / last.value for s in series]  # the curve is sampled, its end is exact
        last = Measure(exact, "exact")
    return series, last


def _exact_history(rows: Floats, ids: NDArray[np.int64], counts: Sequence[int], reference: Floats) -> list[float]:
    """Return the exact hypervolume at each count; the front grows from one count to the next."""
    archive = Archive(len(reference))
    series: list[float] = []
    start = 0
    for count in counts:
        stop = int(np.searchsorted(ids, count))
        entered = archive.offer(rows[start:stop], ids[start:stop])
        changed = bool(entered.any()) or not series
        series.append(_exact(archive.values, reference) if changed else series[-1])
        start = stop
    return series


def _births(rows: Floats, ids: NDArray[np.int64], reference: Floats) -> tuple[NDArray[np.int64], float]:
    """Return for quasi-random points of the box below the reference the first id that dominates each, and the box."""
    low = rows.min(axis=0)
    width = len(reference)
    root = 1.0
    for _ in range(60):  # the R sequence's constant: root of x^(d+1) = x + 1
        root = (1.0 + root) ** (1.0 / (width + 1.0))
    steps = root ** -np.arange(1.0, width + 1.0)
    places = low + np.mod(0.5 + np.arange(1.0, SAMPLES + 1.0)[:, None] * steps, 1.0) * (reference - low)
    births = np.full(SAMPLES, np.iinfo(np.int64).max)
    left = np.arange(SAMPLES)
    for start in range(0, len(rows), 64):
        block, numbers = rows[start : start + 64], ids[start : start + 64]
        covered = np.ones((len(left), len(block)), dtype=np.bool_)
        for column in range(width):
            covered &= block[None, :, column] <= places[left, None, column]
        hit = covered.any(axis=1)
        births[left[hit]] = numbers[np.argmax(covered[hit], axis=1)]
        left = left[~hit]
        if not len(left):
            break
    return births, float(np.prod(reference - low))
