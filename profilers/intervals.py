"""Sets of moments: unions of intervals, what they cover, and which of them holds a moment. Exact, in integer ns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.profilers.trace import NONE, Int64


def total(column: Int64) -> int:
    """Return the exact sum of a column of up to 2^31 numbers, whatever their size: int64 would wrap."""
    return (int((column >> 32).sum()) << 32) + int((column & 0xFFFFFFFF).sum())


def distinct(column: NDArray[Any]) -> NDArray[Any]:
    """Return the distinct values, rising; ``np.unique`` without its options would import ``numpy.ma``."""
    ordered = np.sort(column)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


class Spans(NamedTuple):
    """Disjoint intervals that do not touch, by start; both columns shape (n,), ns."""

    start: Int64
    end: Int64

    @property
    def length(self) -> int:
        """Return the sum of their lengths, ns."""
        return int((self.end - self.start).sum())


def union(start: Int64, end: Int64) -> Spans:
    """Return the union of intervals in any order; empty ones (``end <= start``) add nothing."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    given = end > start
    start, end = start[given], end[given]
    if not len(start):
        return Spans(start, end)
    reached = np.maximum.accumulate(end)
    opens = np.append(True, start[1:] > reached[:-1])
    closes = np.append(opens[1:], True)
    return Spans(start[opens], reached[closes])


def clipped(spans: Spans, low: int, high: int) -> Spans:
    """Return what of ``spans`` lies within ``low`` to ``high``."""
    start, end = np.maximum(spans.start, low), np.minimum(spans.end, high)
    inside = end > start
    return Spans(start[inside], end[inside])


def covered(spans: Spans, low: Int64, high: Int64) -> Int64:
    """Return how much of each window ``low`` to ``high`` the ``spans`` cover, shape of ``low``, ns."""
    return np.asarray(np.maximum(_covered_before(spans, high) - _covered_before(spans, low), 0), np.int64)


def _covered_before(spans: Spans, moment: Int64) -> Int64:
    """Return the length of ``spans`` before each moment."""
    last = np.searchsorted(spans.start, moment, side="right")
    if not len(spans.start):
        return np.zeros(len(moment), np.int64)
    whole = np.append(0, np.cumsum(spans.end - spans.start))
    beyond = np.where(last > 0, np.maximum(spans.end[last - 1] - moment, 0), 0)
    return np.asarray(whole[last] - beyond, np.int64)


def common(first: Spans, second: Spans) -> int:
    """Return the length of the intersection of two sets, ns."""
    return int(covered(first, second.start, second.end).sum())


def groups(key: NDArray[Any]) -> Iterator[tuple[int, Int64]]:
    """Yield each value of an integer column, in rising order, with its positions in their order."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    opens = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(key) else np.empty(0, np.int64)
    for begin, end in zip(opens.tolist(), [*opens[1:].tolist(), len(key)], strict=False):
        yield int(ordered[begin]), order[begin:end]


def nested(start: Int64, end: Int64) -> tuple[Int64, Int64]:
    """Return the interval around each of those of one thread, and its end.

    A call is open until something starts at or after its end. Clocks read twice may let a child end a little after its
    parent: it is cut there, so that self times are never negative.

    Returns:
        Position of the parent, ``NONE`` for what stands alone, and the end after the cut; shape (n,) both.
    """
    order = np.lexsort((-end, start))
    begins, ends = start[order], end[order]
    around = _around(begins, ends)
    # a stretch in which nothing was open before can be looked at by itself; where all nest, nothing is to be cut
    reached = np.maximum.accumulate(ends)
    stretch = np.append(0, np.cumsum(begins[1:] >= reached[:-1])) if len(order) else order
    late = (around >= 0) & (ends > ends[around])
    if late.any():
        again = np.flatnonzero(np.isin(stretch, stretch[late]))
        inside, ends[again] = _stacked(begins[again], ends[again])
        around[again] = np.where(inside >= 0, again[inside], NONE)
    parent, cut = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    parent[order] = np.where(around >= 0, order[around], NONE) if len(order) else around
    cut[order] = ends
    return parent, cut


def _around(begins: Int64, ends: Int64) -> Int64:
    """Return the parent of each interval, by start, where all of them nest; elsewhere some of them end too late.

    The depth of an interval is how many are open at its start: those that began before less those that ended. Its
    parent is the last one before it whose depth is one less.
    """
    count, lasts = len(begins), ends > begins  # what takes no time is never around anything
    before: Int64 = np.cumsum(lasts) - lasts
    depth = before - np.searchsorted(np.sort(ends[lasts]), begins, side="right")
    places = np.arange(count)
    keys = np.sort((depth * (count + 1) + places)[lasts])
    at = np.searchsorted(keys, (depth - 1) * (count + 1) + places) - 1
    return np.where((depth > 0) & (at >= 0), keys[at] % (count + 1), NONE) if len(keys) else np.full(count, NONE)


def _stacked(begins: Int64, ends: Int64) -> tuple[Int64, Int64]:
    """Return parents and cut ends of intervals by start, one after the other."""
    cut = ends.tolist()
    around: list[int] = []
    stack: list[int] = []
    for place, begin in enumerate(begins.tolist()):
        while stack and begin >= cut[stack[-1]]:
            stack.pop()
        around.append(stack[-1] if stack else NONE)
        if stack and cut[place] > cut[stack[-1]]:
            cut[place] = cut[stack[-1]]
        stack.append(place)
    return np.array(around, np.int64), np.array(cut, np.int64)


class Innermost:
    """Finds the interval around a moment that started last; intervals of equal start count as nested by length.

    A tournament of maxima over the intervals by start: the last one at or before a place whose end reaches far enough
    is found in 2 log2(n) steps over all questions at once, whether or not the intervals nest.
    """

    def __init__(self, start: Int64, end: Int64) -> None:
        """Prepare ``n`` intervals, shape (n,)."""
        self._order = np.lexsort((-end, start))
        self._start = start[self._order]
        self._levels = [end[self._order]]
        while len(self._levels[-1]) > 1:
            last = self._levels[-1]
            padded = np.append(last, np.iinfo(np.int64).min) if len(last) % 2 else last
            self._levels.append(np.maximum(padded[0::2], padded[1::2]))

    def at(self, moment: Int64) -> Int64:
        """Return the position of the innermost interval that holds each moment (ends included), else ``NONE``."""
        return self._last_reaching(np.searchsorted(self._start, moment, side="right"), moment)

    def _last_reaching(self, before: Int64, reach: Int64) -> Int64:
        """Return the last interval of those before ``before``, by start, whose end is at least ``reach``."""
        if not len(self._start):
            return np.full(len(reach), NONE)
        # upwards: the first block to the left that holds such an end; blocks of a level hold 2^level intervals
        right = np.array(before, np.int64)
        level = np.full(len(right), -1)
        block = np.zeros(len(right), np.int64)
        for depth, ends in enumerate(self._levels):
            asking = (level < 0) & (right > 0) & ((right & 1) == 1)
            block[asking] = right[asking] - 1
            hit = np.flatnonzero(asking)
            hit = hit[ends[block[hit]] >= reach[hit]]
            level[hit] = depth
            right >>= 1
        # downwards: the right half if it holds one, else the left
        for depth in range(len(self._levels) - 2, -1, -1):
            inside = np.flatnonzero(level > depth)
            if len(inside):
                ends, right_half = self._levels[depth], 2 * block[inside] + 1
                known = np.minimum(right_half, len(ends) - 1)
                taken = (right_half < len(ends)) & (ends[known] >= reach[inside])
                block[inside] = np.where(taken, right_half, right_half - 1)
        return np.where(level >= 0, self._order[block], NONE)
