"""How long measuring may take: repeats that are enough, and batch sizes that a stated time has no room for."""

from __future__ import annotations

import time
from collections.abc import Callable

from codesign.units import format_si

LEAST_REPEATS = 5
MOST_REPEATS = 500
LONG, LEAST_OF_LONG = 3.0, 2
"""Times the given time after which fewer repeats are enough: two still show whether they scatter."""

MOST_EFFORT = 30.0
"""Times the given time that a whole sweep may take, everything counted: who gives 10 s does not wait an hour."""

PASSES_OF_LONG = 6
"""Passes that a batch size of long passes needs: warm-ups, timed and profiled ones."""


def enough(made: int, elapsed: float, seconds: float, repeats: int | None) -> bool:
    """Return whether ``made`` repeats in ``elapsed`` s are enough where ``seconds`` were given for them.

    Args:
        made: Repeats so far.
        elapsed: Time they took, s.
        seconds: Time given, s.
        repeats: Make exactly so many instead.
    """
    if repeats is not None:
        return made >= repeats
    least = LEAST_REPEATS if elapsed < LONG * seconds else LEAST_OF_LONG
    return made >= least and (elapsed >= seconds or made >= MOST_REPEATS)


class Effort:
    """The clock of a sweep over batch sizes."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start the clock.

        Args:
            seconds: Time given for the timed passes of all batches, s; None leaves no batch out.
            clock: Returns seconds.
        """
        self._seconds, self._clock, self._begin = seconds, clock, clock()
        self._batch, self._pass = 0, 0.0

    def measured(self, batch: int, seconds: float) -> None:
        """Note what a pass of ``batch`` takes, s."""
        self._batch, self._pass = batch, seconds

    def leaves_out(self, batch: int) -> str:
        """Return why there is no time for ``batch``, which is larger than those before; empty where there is."""
        if self._seconds is None or not self._batch:
            return ""
        expected, most = self._pass * batch / self._batch, MOST_EFFORT * self._seconds
        taken = self._clock() - self._begin
        if taken + PASSES_OF_LONG * expected <= most:
            return ""
        over = f"{MOST_EFFORT:g} times the {format_si(self._seconds, 's')} given: raise --time, or fix --repeats"
        if taken > most:
            return f"the sweep has taken {format_si(taken, 's')}, over {over}"
        return f"a pass would take about {format_si(expected, 's')}, and the whole sweep over {over}"
