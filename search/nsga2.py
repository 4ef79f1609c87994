"""NSGA-II over whole populations in NumPy, for any space [1]_.

Binary tournaments on (front, crowding), one child per pair, mutation, survival by front and crowding over
parents and children. No point is asked for twice: a child that was seen is mutated again, and where the
space runs dry random unseen points take its place.

References:
    [1] Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
        IEEE TEC 6(2), 2002; constraint domination of section VI.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.search.engine import pack, unpack
from codesign.search.pareto import crowding, fronts
from codesign.search.problem import Points, Results
from codesign.search.space import Space
from codesign.search.unseen import Unseen, generator_of

_TRIES = 4
"""Rounds of variation before random points fill up a generation."""


class Nsga2:
    """Batched NSGA-II; the batch is the population."""

    name = "nsga2"

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        evaluations: int | None = None,
        population: int | None = None,
        crossover: float = 0.9,
        rate: float | None = None,
    ) -> None:
        """Set up for ``space``.

        Args:
            space: any space.
            seed: all randomness derives from it.
            evaluations: the budget if known; a small one gets a small population.
            population: points per generation; 100, or a twentieth of a small budget (at least 12).
            crossover: share of children that have two parents.
            rate: share of the parameters that a mutation changes; 1/D where None.
        """
        self.space, self.seed, self.crossover, self.rate = space, seed, crossover, rate
        self.batch = population or (100 if evaluations is None else int(np.clip(evaluations // 20, 12, 100)))
        self._unseen = Unseen(space, seed)
        self._generation = 0
        self._points: Points | None = None
        self._values = np.zeros((0, 0))
        self._violation = np.zeros(0)
        self._ranks = np.zeros(0, np.int64)
        self._crowding = np.zeros(0)

    def ask(self, count: int) -> Points:
        """Return the next generation's children, or random points for the first."""
        self._generation += 1
        generator = generator_of(self.seed, self._generation)
        if self._points is None or len(self._points) < 2:
            return self._unseen.fill(generator, count)
        found: list[Points] = []
        missing = count
        for attempt in range(_TRIES):
            if not missing or self._unseen.exhausted:
                break
            rate = self.rate if not attempt else 0.25 * (attempt + 1)
            found.append(self._unseen.take(self._children(generator, max(2 * missing, 8), rate), missing))
            missing -= len(found[-1])
        if missing:
            found.append(self._unseen.fill(generator, missing))
        return np.concatenate(found)

    def _parents(self, generator: np.random.Generator, count: int) -> tuple[Points, Points]:
        """Return two parents of each child, each the winner of a tournament."""
        assert self._points is not None
        draws = generator.integers(0, len(self._points), size=(2, 2, count))
        first, second = draws[:, 0], draws[:, 1]
        better = (self._ranks[second] < self._ranks[first]) | (
            (self._ranks[second] == self._ranks[first]) & (self._crowding[second] > self._crowding[first])
        )
        mother, father = np.where(better, second, first)
        return self._points[mother], self._points[father]

    def _children(self, generator: np.random.Generator, count: int, rate: float | None) -> Points:
        mother, father = self._parents(generator, count)
        crossed = self.space.crossover(generator, mother, father)
        both = generator.random(count) < self.crossover
        shape = (count, *([1] * (crossed.ndim - 1)))
        return self.space.mutate(generator, np.where(both.reshape(shape), crossed, mother), rate)

    def tell(self, points: Points, results: Results) -> None:
        """Let parents and children compete."""
        if not len(points):
            return
        self._unseen.note(points)
        values, violation = results.objectives, results.violation
        if self._points is not None:
            points = np.concatenate([self._points, points])
            values = np.concatenate([self._values, values])
            violation = np.concatenate([self._violation, violation])
        ranks = fronts(values, violation)
        distance = crowding(values, ranks)
        keep = np.sort(np.lexsort((-distance, ranks))[: self.batch])
        self._points, self._values, self._violation = points[keep], values[keep], violation[keep]
        self._ranks, self._crowding = ranks[keep], distance[keep]

    def state(self) -> dict[str, Any]:
        """Return generation, population and what was seen."""
        state: dict[str, Any] = {"generation": self._generation, "unseen": self._unseen.state()}
        if self._points is not None:
            state |= {
                "points": pack(self._points),
                "values": pack(self._values),
                "violation": pack(self._violation),
                "ranks": pack(self._ranks),
                "crowding": pack(self._crowding),
            }
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        self._generation = int(state["generation"])
        self._unseen.restore(state["unseen"])
        if "points" in state:
            self._points, self._values = unpack(state["points"]), unpack(state["values"])
            self._violation, self._ranks = unpack(state["violation"]), unpack(state["ranks"])
            self._crowding = unpack(state["crowding"])
