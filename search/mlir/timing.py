"""Timing that does not believe noise: programs are timed beside each other, never after each other.

A core that slows down, heats up or is shared slows whatever runs at that moment. So two programs run in turns, A B B A
A B B A ..., every turn gives a pair, and the speed-up is the median of the ratios of the pairs with the interval that
order statistics give without assuming a distribution (David and Nagaraja, "Order Statistics", 3rd edition, section
7.1). What the same program, compiled twice, shows against itself is the band of noise: only a speed-up whose interval
lies wholly above that band is a gain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.profilers.disturbance import Watch

Call = Callable[[], object]

COVERAGE = 0.9
"""Of the interval that a search shows for one measurement."""
CLAIM = 0.99
"""Of the interval that a claimed gain must keep above the band: many programs are compared, each could be lucky."""
LEAST_GAIN = 1.01
"""Speed-ups below this are never claimed: alignment of buffers and code moves runtimes as much."""
ROUNDS = 20
SHORTEST_TURN_S = 300e-6
"""A turn repeats a program until it takes at least this long, so that the clock and the call do not count."""
BUSY = 0.25
"""Other work that takes more than this of one processor disturbs: a measurement then says so."""

SHORTEST_WATCH_S = 0.1
"""The system counts processor time in hundredths of a second: shorter measurements show nothing of other work."""


class Runtime(msgspec.Struct, frozen=True):
    """Seconds of one run: median, interval and least of the turns; ``others`` are processors that other work took."""

    median: float
    low: float
    high: float
    least: float
    turns: int
    others: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether other work ran beside it."""
        return self.others > BUSY


class Speedup(msgspec.Struct, frozen=True):
    """Runtime of the first program over that of the second: median and interval of pairs of turns.

    ``least`` is the ratio of the shortest turns: what other work delays is never the shortest.
    """

    ratio: float
    low: float
    high: float
    least: float
    first: Runtime
    second: Runtime

    @property
    def busy(self) -> bool:
        """Whether other work ran beside it."""
        return self.first.busy

    def gains(self, band: float = 1.0) -> bool:
        """Return whether the second program is faster beyond doubt; ``band`` >= 1 is what noise reaches."""
        return self.low > max(LEAST_GAIN, band)


def interval(values: NDArray[np.float64], coverage: float) -> tuple[float, float, float]:
    """Return (low, median, high): the narrowest symmetric order statistics that cover the median so often.

    With too few values for the coverage the interval is their whole range.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    # P(the median lies outside [x_k, x_n-1-k]) = 2 P(Binomial(n, 1/2) <= k): k is the largest that keeps the coverage
    count, place, ways = len(ordered), 0, 1  # whole numbers: 2^n is beyond a float from n = 1024
    while (ways := ways + math.comb(count, place + 1)) / 2 ** (count - 1) <= 1.0 - coverage:
        place += 1
    return float(ordered[place]), float(np.median(ordered)), float(ordered[count - 1 - place])


def repeats_of(call: Call, shortest: float = SHORTEST_TURN_S) -> int:
    """Return how often ``call`` runs in a turn; it has run often enough to be warm by then."""
    for _ in range(2):
        call()
    spent = min(_turn(call, 1) for _ in range(3))
    return max(1, int(np.ceil(shortest / max(spent, 1e-7))))


def runtime(call: Call, *, budget: float, least: int = 5, most: int = 100) -> Runtime:
    """Return the runtime of one program alone: turns until ``budget`` seconds are spent, ``least`` at least."""
    repeats, watch, began = repeats_of(call), Watch(), time.perf_counter()
    turns: list[float] = []
    while len(turns) < least or (len(turns) < most and time.perf_counter() - began < budget):
        turns.append(_turn(call, repeats))
    return _runtime(np.array(turns), _others(watch, began))


def side_by_side(
    first: Call, second: Call, *, rounds: int = ROUNDS, budget: float | None = None, coverage: float = CLAIM
) -> Speedup:
    """Time two programs in turns.

    Args:
        first: The program to compare with.
        second: The program that may be faster.
        rounds: Pairs of turns; the least, where there is a budget.
        budget: Seconds after which no further pair is begun; None for exactly ``rounds``.
        coverage: Of the interval of the speed-up.
    """
    repeats = repeats_of(first), repeats_of(second)
    watch, began = Watch(), time.perf_counter()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < rounds or (budget is not None and time.perf_counter() - began < budget):
        if len(pairs) % 2:  # who goes first alternates: A B B A
            late = _turn(second, repeats[1])
            pairs.append((_turn(first, repeats[0]), late))
        else:
            early = _turn(first, repeats[0])
            pairs.append((early, _turn(second, repeats[1])))
    times = np.array(pairs)
    low, ratio, high = np.exp(interval(np.log(times[:, 0] / times[:, 1]), coverage)).tolist()
    others = _others(watch, began)
    shortest = times.min(axis=0)
    least = float(shortest[0] / shortest[1])
    each = [_runtime(times[:, place], others) for place in (0, 1)]
    return Speedup(ratio, low, high, least, *each)


def band_of(same: Speedup) -> float:
    """Return what noise reaches: the farther end of the interval of a program against itself, as a factor >= 1."""
    return max(same.high, 1.0 / same.low, 1.0)


def _turn(call: Call, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def _runtime(turns: NDArray[np.float64], others: float) -> Runtime:
    low, median, high = interval(turns, COVERAGE)
    return Runtime(median, low, high, float(turns.min()), len(turns), others)


def _others(watch: Watch, began: float) -> float:
    share = watch.share() if time.perf_counter() - began >= SHORTEST_WATCH_S else None
    return 0.0 if share is None else share.processors
