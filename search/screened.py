"""A space whose variations are screened: a cheap guess picks among several before anything is evaluated.

Spaces own variation, so every engine searches a screened space as it searches the one inside. A share of the variations
passes unscreened: what the guess is wrong about can still be found (Ansor keeps a share of random programs for the same
reason, Zheng and others, OSDI 2020, section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.quantity import Array
from codesign.search.space import Composed, Points, Space

Guess = Callable[[Points], Array]
"""Points (N, ...) to how good each promises to be, (N,): lower is better, infinite where it cannot run."""


class ScreenedSpace:
    """``space`` with mutations and samples drawn several times each, the most promising kept."""

    def __init__(self, space: Space, guess: Guess, *, draws: int = 4, unscreened: float = 0.2) -> None:
        """Wrap ``space``.

        Args:
            space: What is searched.
            guess: Tells which points promise most.
            draws: Variations among which one is chosen.
            unscreened: Share of the variations that are taken as they come, 0 to 1.
        """
        self.space, self.guess, self.draws, self.unscreened = space, guess, draws, unscreened
        self.kind, self.size = space.kind, space.size

    def sample(self, generator: np.random.Generator, count: int) -> Points:
        """Return ``count`` random points, most of them the best of several."""
        return self._best(generator, [self.space.sample(generator, count) for _ in range(self.draws)])

    def mutate(self, generator: np.random.Generator, points: Points, rate: float | None = None) -> Points:
        """Return ``points`` changed in at least one place each, most of them the best of several changes."""
        return self._best(generator, [self.space.mutate(generator, points, rate) for _ in range(self.draws)])

    def _best(self, generator: np.random.Generator, drawn: list[Points]) -> Points:
        together = np.stack(drawn)  # (draws, N, ...)
        scores = self.guess(together.reshape(-1, *together.shape[2:])).reshape(together.shape[:2])
        free = generator.random(together.shape[1]) < self.unscreened
        # ties, and points of which nothing is known, go to the first draw: it is as random as any
        choice = np.where(free, 0, np.argmin(np.where(np.isnan(scores), np.inf, scores), axis=0))
        chosen: Points = together[choice, np.arange(together.shape[1])]
        return chosen

    def crossover(self, generator: np.random.Generator, first: Points, second: Points) -> Points:
        """Return one child per pair of parents."""
        return self.space.crossover(generator, first, second)

    def neighbours(self, point: Points) -> Points:
        """Return the distinct points one step away from ``point``."""
        return self.space.neighbours(point)

    def key(self, points: Points) -> NDArray[np.uint64]:
        """Return a number per point: equal designs have equal numbers."""
        return self.space.key(points)

    def enumerate(self, start: int, stop: int) -> Points:
        """Return points number ``start`` to ``stop`` (excluded) of a finite space."""
        return self.space.enumerate(start, stop)

    def at(self, numbers: NDArray[np.int64]) -> Points:
        """Return the points of these numbers."""
        return self.space.at(numbers)

    def rows(self, points: Points) -> list[dict[str, Any]]:
        """Return each point as parameter -> value."""
        return self.space.rows(points)

    def describe(self) -> list[dict[str, Any]]:
        """Return the parameters as ``run.json`` lists them."""
        return self.space.describe()

    def to_json(self) -> dict[str, Any]:
        """Return the space inside as JSON types: designs are those of the space inside."""
        return self.space.to_json()


class ScreenedChanges(ScreenedSpace):
    """A screened space of sets of changes; single changes and unions of designs pass unscreened.

    Single changes are the parts that later designs are made of: a guess must not keep any of them out.
    """

    def __init__(self, space: Composed, guess: Guess, **options: Any) -> None:
        """Wrap ``space``; the options are those of ``ScreenedSpace``."""
        super().__init__(space, guess, **options)
        self.changes = space

    @property
    def original(self) -> Points:
        """The design without changes, (1, D)."""
        return self.changes.original

    def single(self, generator: np.random.Generator, count: int) -> Points:
        """Return ``count`` random designs of one change each."""
        return self.changes.single(generator, count)

    def union(self, points: Points) -> Points:
        """Return the design (1, D) of all changes of ``points`` that go together."""
        return self.changes.union(points)
