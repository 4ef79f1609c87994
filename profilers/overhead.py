"""What the profiler itself costs: the same pass with and without it, in turns, compared at their minima.

A minimum over many passes is what the machine does undisturbed. Each turn has a ratio of its own, and the median of
them counts: a machine that changes its pace from one turn to the next changes both sides of a ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from codesign.profilers.torch_cpu import recorded_durations

MODES = {"plain": False, "shapes": True}
"""Mode -> whether the profiler records shapes."""

ROUNDS = 10
MOST_PASSES = 100
LEAST_PASSES = 3


def passes_within(seconds: float, latency: float) -> int:
    """Return the passes a round can make of each kind so that all rounds take about ``seconds``; 0 is too few."""
    passes = int(seconds / (latency * ROUNDS * (1 + 2 * len(MODES))))
    return 0 if passes < LEAST_PASSES else min(passes, MOST_PASSES)


def profiler_overhead(run: Callable[[], Any], passes: int) -> dict[str, float]:
    """Return mode (``plain``, ``shapes``) -> profiled over unprofiled time of a pass, minima of a round, median round.

    Args:
        run: One pass on the processor, warm.
        passes: Of each kind in each of the rounds.
    """
    ratios: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        unprofiled: list[int] = []
        for _ in range(passes):
            start = time.perf_counter_ns()
            run()
            unprofiled.append(time.perf_counter_ns() - start)
        for mode, shapes in MODES.items():
            ratios[mode].append(min(recorded_durations(run, passes, with_shapes=shapes)) / min(unprofiled))
    return {mode: median(found) for mode, found in ratios.items()}
