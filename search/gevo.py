"""NSGA-II with the practice of GEVO, for designs that are sets of changes to one original [1]_.

Most changes break a program, so a share of the evaluations tries single changes first, and later generations go on to
do so. A child's second parent may be any set that was ever found valid, not one of the population alone, and children
that differ from both parents are changed further only now and then: valid changes are put together.

References:
    [1] Liou, Wang, Forrest, Wu, "GEVO: GPU code optimization using evolutionary computation", ACM TACO 17(4), 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.search.engine import pack, unpack
from codesign.search.nsga2 import Nsga2
from codesign.search.problem import Points, Results
from codesign.search.space import Composed, Space
from codesign.search.unseen import generator_of

SINGLE = 0.2
"""Share of the budget that tries single changes."""
UNKNOWN_BUDGET = 400
"""Evaluations that are assumed where no budget is given."""
FROM_ALL = 0.5
"""Share of the second parents that are drawn from all valid designs so far."""
FURTHER = 0.3
"""Share of the children of two parents that are changed further."""


FRESH = 0.2
"""Share of the later children that are single changes again: a small population alone would lose what it lacks."""


class Gevo(Nsga2):
    """Batched NSGA-II that tries single changes first and puts together those that are valid."""

    name = "gevo"

    def __init__(
        self, space: Space, *, seed: int = 0, evaluations: int | None = None, population: int | None = None
    ) -> None:
        """Set up for ``space``; spaces whose designs are not sets of changes begin with random designs.

        Args:
            space: any space.
            seed: all randomness derives from it.
            evaluations: the budget if known; a fifth of it tries single changes.
            population: as of ``Nsga2``.
        """
        super().__init__(space, seed=seed, evaluations=evaluations, population=population)
        single = isinstance(space, Composed)
        self._singles = int(SINGLE * (evaluations or UNKNOWN_BUDGET)) if single else 0
        self._valid: Points | None = None

    def ask(self, count: int) -> Points:
        """Return single changes as long as their share lasts, then children."""
        if self._singles <= 0 or not isinstance(self.space, Composed):
            return super().ask(count)
        self._generation += 1
        wanted = min(count, self._singles)
        self._singles -= wanted
        drawn = self.space.single(generator_of(self.seed, self._generation), 4 * wanted)
        found = self._unseen.take(drawn, wanted)
        if len(found):
            return found
        self._singles = 0  # a program so small that all its single changes were tried
        return super().ask(count)

    def _children(self, generator: np.random.Generator, count: int, rate: float | None) -> Points:
        mother, father = self._parents(generator, count)
        if self._valid is not None and len(self._valid):
            other = generator.random(count) < FROM_ALL
            father = father.copy()
            father[other] = self._valid[generator.integers(0, len(self._valid), int(other.sum()))]
        crossed = self.space.crossover(generator, mother, father)
        both = generator.random(count) < self.crossover
        children = np.where(_beside(both, crossed), crossed, mother)
        alike = _equal(children, mother) | _equal(children, father)
        further = alike | (generator.random(count) < FURTHER)
        if further.any():
            children[further] = self.space.mutate(generator, children[further], rate)
        if isinstance(self.space, Composed):
            fresh = self.space.single(generator, int(generator.binomial(count, FRESH)))
            children = np.concatenate([children, fresh])[generator.permutation(count + len(fresh))]
        return children

    def tell(self, points: Points, results: Results) -> None:
        """Let parents and children compete, and remember what was valid."""
        good = points[results.ok]
        self._valid = good if self._valid is None else np.concatenate([self._valid, good])
        super().tell(points, results)

    def state(self) -> dict[str, Any]:
        """Return the state of ``Nsga2``, how many single changes are left, and what was valid."""
        state = {**super().state(), "singles": self._singles}
        return state if self._valid is None else {**state, "valid": pack(self._valid)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        super().restore(state)
        self._singles = int(state["singles"])
        self._valid = unpack(state["valid"]) if "valid" in state else None


def _beside(mask: NDArray[np.bool_], points: Points) -> NDArray[np.bool_]:
    return mask.reshape(len(mask), *([1] * (points.ndim - 1)))


def _equal(first: Points, second: Points) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (first == second).reshape(len(first), -1).all(axis=1)
    return same
