"""NSGA-II with the practice of GEVO, for designs that are sets of changes to one original [1]_.

Most changes break a program, so a share of the evaluations tries single changes first, and later generations go on to
do so. A child's second parent may be any set that was ever found valid, not one of the population alone, and children
that differ from both parents are changed further only now and then: valid changes are put together. What is better
than the original, and worse in nothing, is gathered outright, several designs at once: most changes do not depend on
each other, as GEVO found too, and pairs alone would take many generations.

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

Values = NDArray[np.float64]

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


GATHERED = 0.15
"""Share of the children that gather what was better than the original, and worse in nothing."""
MOST_GATHERED = 8
"""Designs that one of them gathers."""
AS_GOOD = 0.02
"""What a design may be worse by, as a share of the original's objective: measured ones have noise."""


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
        self._good: Points | None = None
        self._original: Values | None = None

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
            gathered = self._gathered(generator, mother[: int(generator.binomial(count, GATHERED))], self.space)
            children = np.concatenate([children, fresh, *gathered])
            children = children[generator.permutation(len(children))]
        return children

    def _gathered(self, generator: np.random.Generator, mothers: Points, space: Composed) -> list[Points]:
        """Return a child a mother: designs better than the original together, in every other child with the mother."""
        if self._good is None or len(self._good) < 2:
            return []
        found = []
        for mother in mothers:
            many = int(generator.integers(2, min(MOST_GATHERED, len(self._good)) + 1))
            chosen = self._good[generator.permutation(len(self._good))[:many]]
            found.append(space.union(np.concatenate([mother[None], chosen]) if generator.random() < 0.5 else chosen))
        return found

    def tell(self, points: Points, results: Results) -> None:
        """Let parents and children compete, and remember what was valid."""
        valid, values = points[results.ok], results.objectives[results.ok]
        self._valid = _joined(self._valid, valid)
        if isinstance(self.space, Composed) and len(valid):
            same = _equal(valid, np.broadcast_to(self.space.original, valid.shape))
            if same.any():
                self._original = values[same.argmax()]
            if self._original is not None:
                room = AS_GOOD * np.abs(self._original)
                harmless = (values <= self._original + room).all(axis=1)
                self._good = _joined(self._good, valid[harmless & (values < self._original - room).any(axis=1)])
        super().tell(points, results)

    def state(self) -> dict[str, Any]:
        """Return the state of ``Nsga2``, how many single changes are left, and what was valid, and good."""
        kept = {"valid": self._valid, "good": self._good, "original": self._original}
        held = {name: pack(array) for name, array in kept.items() if array is not None}
        return {**super().state(), "singles": self._singles, **held}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        super().restore(state)
        self._singles = int(state["singles"])
        self._valid, self._good, self._original = (
            unpack(state[name]) if name in state else None for name in ("valid", "good", "original")
        )


def _joined(first: Points | None, second: Points) -> Points:
    return second if first is None else np.concatenate([first, second])


def _beside(mask: NDArray[np.bool_], points: Points) -> NDArray[np.bool_]:
    return mask.reshape(len(mask), *([1] * (points.ndim - 1)))


def _equal(first: Points, second: Points) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (first == second).reshape(len(first), -1).all(axis=1)
    return same
