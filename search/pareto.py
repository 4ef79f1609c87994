"""Pareto arithmetic on minimised objectives: dominance, fronts, an archive that grows batch by batch.

Rows of +inf are points without values and never enter a front. Among equal objective vectors the first
wins, so fronts have no duplicates and do not depend on how a batch was split. Constraint domination
follows Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002, section VI.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_CELLS = 8_000_000
"""Comparisons per block of a pairwise test: bounds its memory to some tens of MB."""


def nondominated(values: Floats) -> Mask:
    """Return (N,) true for rows of ``values`` (N, M) that no other row dominates; of equal rows the first."""
    count, width = values.shape
    keep = np.zeros(count, dtype=np.bool_)
    finite = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(finite):
        return keep
    rows = values[finite]
    order = np.lexsort(tuple(rows[:, c] for c in reversed(range(width))))  # stable: equal rows stay in index order
    rows = rows[order]
    if width == 1:
        chosen = np.array([0])
    elif width == 2:
        best = np.minimum.accumulate(rows[:, 1])
        chosen = np.flatnonzero(np.concatenate([[True], rows[1:, 1] < best[:-1]]))
    else:
        chosen = _filter(rows)
    keep[finite[order[chosen]]] = True
    return keep


def _filter(rows: Floats) -> NDArray[np.intp]:
    """Return the indices of the front of lexicographically sorted rows: only an earlier row can dominate a later."""
    left = np.arange(len(rows))
    if len(rows) > 64:  # a few strong rows remove most of the rest
        span = np.ptp(rows, axis=0)
        score = ((rows - rows.min(axis=0)) / np.where(span > 0.0, span, 1.0)).sum(axis=1)
        for pick in np.argsort(score, kind="stable")[:16].tolist():
            worse = (rows[left] >= rows[pick]).all(axis=1) & (left != pick)
            equal_earlier = (left < pick) & (rows[left] == rows[pick]).all(axis=1)
            left = left[~worse | equal_earlier]
    front: list[NDArray[np.intp]] = []
    size = 256
    while len(left):
        head, left = left[:size], left[size:]
        beaten = _beaten(rows[head], rows[head], strict=True)
        head = head[~beaten]
        front.append(head)
        left = left[~_beaten(rows[left], rows[head], strict=False)]
    return np.concatenate(front)


def _beaten(rows: Floats, by: Floats, *, strict: bool) -> Mask:
    """Return which ``rows`` some row of ``by`` dominates or equals.

    ``strict`` compares a sorted set with itself: only an earlier row counts there.
    """
    result = np.zeros(len(rows), dtype=np.bool_)
    step = max(1, _CELLS // max(1, len(by)))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        below: Mask = np.ones((len(part), len(by)), dtype=np.bool_)
        for column in range(rows.shape[1]):
            below &= by[None, :, column] <= part[:, None, column]
        if strict:
            below &= np.arange(len(by))[None, :] < np.arange(start, start + len(part))[:, None]
        result[start : start + step] = below.any(axis=1)
    return result


def fronts(values: Floats, violation: Floats | None = None) -> NDArray[np.int64]:
    """Return (N,) the front number of every row, 0 the best, under constraint domination.

    Feasible rows (violation 0) are sorted by Pareto dominance; violated ones follow, least violation first.
    Equal rows share a front.
    """
    count = len(values)
    ranks = np.zeros(count, dtype=np.int64)
    violation = np.zeros(count) if violation is None else violation
    broken = (violation > 0.0) | ~np.isfinite(values).all(axis=1)
    feasible = np.flatnonzero(~broken)
    level = 0
    if len(feasible):
        ranks[feasible] = _peel(values[feasible])
        level = int(ranks[feasible].max()) + 1
    if broken.any():
        amount = np.where(violation[broken] > 0.0, violation[broken], np.inf)
        ranks[broken] = level + np.unique(amount, return_inverse=True)[1]
    return ranks


def _peel(values: Floats) -> NDArray[np.int64]:
    """Return front numbers by removing one front after the other; memory N^2 bits of a population."""
    no_worse = np.ones((len(values), len(values)), dtype=np.bool_)
    for column in values.T:
        no_worse &= column[:, None] <= column[None, :]
    dominates = no_worse & ~no_worse.T
    beaten_by = dominates.sum(axis=0)
    ranks = np.full(len(values), -1, dtype=np.int64)
    level = 0
    current = beaten_by == 0
    while current.any():
        ranks[current] = level
        beaten_by = beaten_by - dominates[current].sum(axis=0)
        current = (beaten_by == 0) & (ranks < 0)
        level += 1
    return ranks


def crowding(values: Floats, ranks: NDArray[np.int64]) -> Floats:
    """Return (N,) crowding distances within each front (Deb 2002, section III.B); extremes are +inf."""
    count, width = values.shape
    distance = np.zeros(count)
    safe = np.where(np.isfinite(values), values, 0.0)
    for column in range(width):
        order = np.lexsort((safe[:, column], ranks))
        sorted_values, sorted_ranks = safe[order, column], ranks[order]
        first = np.concatenate([[True], sorted_ranks[1:] != sorted_ranks[:-1]])
        last = np.concatenate([first[1:], [True]])
        group = np.cumsum(first) - 1
        span = (sorted_values[last] - sorted_values[first])[group]
        gap = np.zeros(count)
        gap[1:-1] = sorted_values[2:] - sorted_values[:-2]
        part = np.where(span > 0.0, gap / np.where(span > 0.0, span, 1.0), 0.0)
        part[first | last] = np.inf
        distance[order] += part
    return distance


class Archive:
    """The front of everything offered so far: objectives (K, M) and the caller's ids (K,), in id order."""

    def __init__(self, width: int) -> None:
        self.values: Floats = np.zeros((0, width))
        self.ids: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def offer(self, values: Floats, ids: NDArray[np.int64]) -> Mask:
        """Add rows; return which of them are on the front now. Rows must come in ascending id."""
        fresh = np.isfinite(values).all(axis=1)
        candidates = np.flatnonzero(fresh)
        entered = np.zeros(len(values), dtype=np.bool_)
        if len(self) and len(candidates):
            candidates = candidates[~self._screen(values[candidates])]
        candidates = candidates[nondominated(values[candidates])]
        if len(self) and len(candidates):
            candidates = candidates[~_beaten(values[candidates], self.values, strict=False)]
        if not len(candidates):
            return entered
        added = values[candidates]
        if len(self):
            stay = ~_beaten(self.values, added, strict=False)  # equality is impossible here: it was screened out above
            self.values, self.ids = self.values[stay], self.ids[stay]
        self.values = np.concatenate([self.values, added])
        self.ids = np.concatenate([self.ids, ids[candidates]])
        order = np.argsort(self.ids, kind="stable")
        self.values, self.ids = self.values[order], self.ids[order]
        entered[candidates] = True
        return entered

    def _screen(self, values: Floats) -> Mask:
        """Cheaply find rows beaten by a few strong members, so that large batches shrink before the full test."""
        beaten = np.zeros(len(values), dtype=np.bool_)
        if len(values) < 256:
            return beaten
        low, span = self.values.min(axis=0), np.ptp(self.values, axis=0)
        score = ((self.values - low) / np.where(span > 0.0, span, 1.0)).sum(axis=1)
        left = np.arange(len(values))
        for pick in np.argsort(score, kind="stable")[:: max(1, len(score) // 32)][:32].tolist():
            worse = np.ones(len(left), dtype=np.bool_)
            for column in range(values.shape[1]):
                worse &= values[left, column] >= self.values[pick, column]
            beaten[left[worse]] = True
            left = left[~worse]
        return beaten
