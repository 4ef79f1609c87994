"""Random points: a finite space in random order without repeats, an endless one by independent draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.search.problem import Points, Results
from codesign.search.space import Space
from codesign.search.unseen import generator_of, shuffled


class RandomSearch:
    """The yardstick for every other engine; its state is a counter."""

    name = "random"

    def __init__(self, space: Space, *, seed: int = 0, evaluations: int | None = None, chunk: int = 1000) -> None:
        """Set up for ``space``; ``chunk`` points per batch."""
        self.space, self.seed = space, seed
        self.batch = chunk if evaluations is None else max(1, min(chunk, evaluations // 8))
        self._next = 0
        self._batches = 0

    def ask(self, count: int) -> Points:
        """Return new random points."""
        size = self.space.size
        if size is None:
            self._batches += 1
            return self.space.sample(generator_of(self.seed, self._batches), count)
        numbers = np.arange(self._next, min(self._next + count, size), dtype=np.int64)
        self._next += len(numbers)
        return self.space.at(shuffled(numbers, size, self.seed))

    def tell(self, points: Points, results: Results) -> None:
        """Ignore results."""

    def state(self) -> dict[str, Any]:
        """Return the counters."""
        return {"next": self._next, "batches": self._batches}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the counters."""
        self._next, self._batches = int(state["next"]), int(state["batches"])
