"""Seconds of a call on a device: repeats of a few calls each, warm-ups discarded.

On a GPU the host first fills the queue behind a kernel that only waits, so that what lies between two events is the
device's time and no launch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

WARM_UPS = 3
LEAST_REPEATS, MOST_REPEATS = 3, 200
"""Of one round."""

REPEAT_S = 1e-4
"""A repeat is so many calls that it takes about this long: a clock's own time does not show in it."""

MOST_CALLS = 50
"""Calls of a repeat; a queue takes a thousand."""

QUEUEING_CYCLES = 40_000
"""Cycles that the waiting kernel waits for each call: more than the host takes to launch it."""


class Clock(Protocol):
    """Times calls on a device."""

    def seconds(self, run: Callable[[], Any], calls: int) -> float:
        """Return seconds of one of ``calls`` calls of ``run`` in a row."""


class HostClock:
    """Calls that return when they are done."""

    def seconds(self, run: Callable[[], Any], calls: int) -> float:
        """Return seconds of one of ``calls`` calls of ``run`` in a row."""
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - begin) / calls


class CudaClock:
    """Calls that only queue work on the current CUDA device."""

    def __init__(self, torch: Any) -> None:
        """Time on the device of ``torch``."""
        self._torch = torch

    def seconds(self, run: Callable[[], Any], calls: int) -> float:
        """Return seconds of one of ``calls`` calls of ``run`` in a row."""
        cuda = self._torch.cuda
        begin, end = (cuda.Event(enable_timing=True) for _ in "be")
        wait = getattr(cuda, "_sleep", None)
        if wait is not None:
            wait(QUEUEING_CYCLES * calls)
        begin.record()
        for _ in range(calls):
            run()
        end.record()
        cuda.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3 / calls


def clock_of(torch: Any, device: str) -> Clock:
    """Return the clock of a device."""
    return CudaClock(torch) if device == "cuda" else HostClock()


def repeats(clock: Clock, run: Callable[[int], Any], seconds: float, start: int = 0) -> list[float]:
    """Return seconds a call of repeated calls of ``run`` within about ``seconds``, warm-ups discarded.

    Args:
        clock: Of the device.
        run: One call, given how many were made before.
        seconds: Time given; a few repeats are made however long they take.
        start: Calls made before.
    """
    made = start

    def once() -> None:
        nonlocal made
        run(made)
        made += 1

    begin = time.perf_counter()
    one = min(clock.seconds(once, 1) for _ in range(WARM_UPS))
    calls = min(max(int(REPEAT_S / max(one, 1e-9)), 1), MOST_CALLS)
    found: list[float] = []
    while len(found) < MOST_REPEATS:
        if len(found) >= LEAST_REPEATS and time.perf_counter() - begin > seconds:
            break
        found.append(clock.seconds(once, calls))
    return found
