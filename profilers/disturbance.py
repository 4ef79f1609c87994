"""Whether other work ran beside a measurement: what the system counts of all processes, less our own.

A median hides short disturbances and shows none of a steady one: two processes on one core both run at half its speed,
evenly. The system's own account of processor time tells them apart.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of busy time: user, nice, system, interrupts, soft interrupts, stolen by other guests."""

DISTURBING = 0.10
"""Share of the processors that other work takes from which measurements are called disturbed (assumed)."""


class Share(msgspec.Struct, frozen=True):
    """What other work took of this machine: processors, on average, of how many."""

    processors: float
    of: int

    @property
    def fraction(self) -> float:
        """Return the share of all processors, from 0 to 1."""
        return self.processors / self.of


class Watch:
    """Counts the processor time of other processes from its creation on."""

    def __init__(self, stat: Path = STAT) -> None:
        """Start counting; ``stat`` is the system's account."""
        self._stat = stat
        self._busy, self._own, self._begin = _busy_seconds(stat), _own_seconds(), time.perf_counter()

    def share(self) -> Share | None:
        """Return what other processes took since; None where the system does not say."""
        busy, own, end = _busy_seconds(self._stat), _own_seconds(), time.perf_counter()
        count = os.cpu_count() or 1
        if busy is None or self._busy is None or end <= self._begin:
            return None
        others = (busy - self._busy - (own - self._own)) / (end - self._begin)
        return Share(min(max(others, 0.0), float(count)), count)


def drift(rounds: Sequence[float]) -> float:
    """Return ln of the slowest round over the fastest: what changes between repeats that lie apart."""
    return math.log(max(rounds) / min(rounds))


def _busy_seconds(stat: Path) -> float | None:
    try:
        words = stat.read_text(encoding="utf-8").partition("\n")[0].split()
        ticks = sum(int(words[1 + column]) for column in BUSY)
    except (OSError, ValueError, IndexError):
        return None
    return ticks / float(os.sysconf("SC_CLK_TCK"))


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
