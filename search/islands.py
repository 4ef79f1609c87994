"""Islands: large populations that each breed for one weighing of the objectives, then look around their best.

Every island minimises a weighted sum of the objectives' logarithms (a weighted product, so that scales do not
matter): one island an objective, one a pair, one for all. They begin with what the space knows to be good, if anything,
and with random points. A batch breeds all islands at once; every point is offered to every island. Now and then the
whole neighbourhoods of the islands' best points are asked in one batch, until all are known; when nothing improves any
more the islands start again from random points, and the search's archive keeps what was found.

Decomposition after Zhang and Li, "MOEA/D: a multiobjective evolutionary algorithm based on decomposition", IEEE TEC
11(6), 2007. Made for spaces whose points cost microseconds; for dear evaluations NSGA-II spends fewer of them.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from codesign.search.engine import pack, unpack
from codesign.search.problem import Points, Results
from codesign.search.space import Begun, Space
from codesign.search.unseen import Unseen, generator_of

Floats = NDArray[np.float64]

LARGEST_BATCH = 2048
"""Points of a batch: enough to keep array arithmetic busy."""
PATIENCE = 8
"""Batches without an improvement of any island before they start again."""
EVERY = 3
"""A neighbourhood is asked every so many batches, and whenever a batch improved nothing."""
DEEP = 4
"""Members of each island, best first, that a neighbourhood may be that of."""
SHARE = 0.05
"""Weight of every objective on an island that is not its own: among equals, the better all-round point."""
BROKEN = 1e6
"""Score of a point that breaks a limit, above any sum of logarithms."""


@runtime_checkable
class Breeding(Protocol):
    """A space that crosses and mutates in one go."""

    def breed(self, generator: np.random.Generator, first: Points, second: Points, pairs: NDArray[np.intp]) -> Points:
        """Return ``first`` mutated, those at ``pairs`` crossed with ``second`` before."""
        ...


class Islands:
    """Batched evolution by weighted products, with local search."""

    name = "islands"

    def __init__(
        self, space: Space, *, seed: int = 0, evaluations: int | None = None, population: int | None = None,
        top_up: bool = True, starts: bool = True,
    ) -> None:  # fmt: skip
        """Set up for ``space``.

        Args:
            space: Any space.
            seed: All randomness derives from it.
            evaluations: The budget if known; a small one gets small batches.
            population: Points of a batch, over all islands; a twelfth of the budget, at most 2048, where None.
            top_up: Whether random points make up for children that are known; where not, batches are smaller.
            starts: Whether the first batch takes the points that the space knows to begin with, if it does.
        """
        self.space, self.seed, self.top_up = space, seed, top_up
        budget = LARGEST_BATCH * 12 if evaluations is None else evaluations
        self.batch = population or int(np.clip(budget // 12, 12, LARGEST_BATCH))
        self.starts = starts
        self._unseen = Unseen(space, seed)
        self._turn, self._stale = 0, 0
        self._points: Points | None = None
        self._values: Floats = np.zeros((0, 0))
        self._violation: Floats = np.zeros(0)
        self._ranked = np.zeros((0, 0), np.int64)
        self._best: Floats = np.zeros(0)
        self._expanded: set[int] = set()

    # --- asking -------------------------------------------------------------------------------------------------

    def ask(self, count: int) -> Points:
        """Return children of every island, or the neighbourhoods of the best, or random points to begin with."""
        self._turn += 1
        generator = generator_of(self.seed, self._turn)
        if self._stale > PATIENCE:
            self._points, self._best, self._stale = None, np.zeros(0), 0
            self._expanded.clear()
        if self._points is None or len(self._points) < 2:
            begin = self.space.sample(generator, 0)
            if self._turn == 1 and self.starts and isinstance(self.space, Begun):
                begin = self.space.starts()[:count]
            begin = np.concatenate([begin, self.space.sample(generator, count - len(begin))])
            return self._fresh(generator, begin, count)
        if self._stale or self._turn % EVERY == 0:
            around = self._neighbourhoods(generator, count)
            if len(around):
                return around
        children = self._children(generator, self._points, count)
        return self._fresh(generator, children, count)

    def _fresh(self, generator: np.random.Generator, points: Points, count: int) -> Points:
        """Return new points among ``points``; random ones make up for those that are known."""
        if self.space.size is not None:
            found = self._unseen.take(points, count)
            missing = count - len(found)
            return np.concatenate([found, self._unseen.fill(generator, missing)]) if missing else found
        keys, first = np.unique(self.space.key(points), return_index=True)
        if self._points is not None:
            first = first[~np.isin(keys, self.space.key(self._points))]
        found = points[np.sort(first)]
        if len(found) and not self.top_up:
            return found
        missing = count - len(found)
        return np.concatenate([found, self.space.sample(generator, missing)]) if missing else found

    def _neighbourhoods(self, generator: np.random.Generator, count: int) -> Points:
        """Return what lies around the best points not looked around yet; nothing where all are known."""
        assert self._points is not None
        parts: list[Points] = []
        for place in dict.fromkeys(self._ranked[:, :DEEP].T.reshape(-1).tolist()):
            point = self._points[place : place + 1]
            key = int(self.space.key(point)[0])
            if key not in self._expanded and sum(map(len, parts)) < count:
                self._expanded.add(key)
                parts.append(self.space.neighbours(point))
        around = np.concatenate(parts) if parts else self._points[:0]
        around = around[generator.permutation(len(around))][:count]
        return self._unseen.take(around, count) if self.space.size is not None else around

    def _children(self, generator: np.random.Generator, points: Points, count: int) -> Points:
        islands, size = self._ranked.shape
        home = generator.integers(islands, size=count)
        # of three draws the best ranked becomes the mother, of two the father
        mother = self._ranked[home, generator.integers(size, size=(3, count)).min(axis=0)]
        abroad = np.where(generator.random(count) < 0.1, generator.integers(islands, size=count), home)
        father = self._ranked[abroad, generator.integers(size, size=(2, count)).min(axis=0)]
        children = points[mother]
        pairs = np.flatnonzero(generator.random(count) < 0.6)
        if isinstance(self.space, Breeding):
            return self.space.breed(generator, children, points[father[pairs]], pairs)
        if len(pairs):
            children[pairs] = self.space.crossover(generator, points[mother[pairs]], points[father[pairs]])
        return self.space.mutate(generator, children)

    # --- being told ---------------------------------------------------------------------------------------------

    def tell(self, points: Points, results: Results) -> None:
        """Offer the points to every island."""
        if not len(points):
            return
        if self.space.size is not None:
            self._unseen.note(points)
        values, violation = results.objectives, results.violation
        if self._points is not None:
            points = np.concatenate([self._points, points])
            values = np.concatenate([self._values, values])
            violation = np.concatenate([self._violation, violation])
        scores = score(values, violation)
        size = min(len(points), max(2, self.batch // len(scores)))
        ranked = _ranked(scores)[:, :size]
        best = np.take_along_axis(scores, ranked[:, :1], axis=1)[:, 0]
        improved = not len(self._best) or bool((best < self._best - 1e-12).any())
        self._stale = 0 if improved else self._stale + 1
        self._best = best
        kept = np.unique(ranked)
        self._points, self._values, self._violation = points[kept], values[kept], violation[kept]
        self._ranked = np.searchsorted(kept, ranked)

    # --- state --------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return turn, islands and what was seen."""
        state: dict[str, Any] = {"turn": self._turn, "stale": self._stale, "unseen": self._unseen.state()}
        state |= {"expanded": sorted(self._expanded), "best": pack(self._best)}
        if self._points is not None:
            state |= {
                "points": pack(self._points), "values": pack(self._values), "violation": pack(self._violation),
                "ranked": pack(self._ranked),
            }  # fmt: skip
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        self._turn, self._stale = int(state["turn"]), int(state["stale"])
        self._unseen.restore(state["unseen"])
        self._expanded, self._best = set(state["expanded"]), unpack(state["best"])
        if "points" in state:
            self._points, self._values = unpack(state["points"]), unpack(state["values"])
            self._violation, self._ranked = unpack(state["violation"]), unpack(state["ranked"])


def _ranked(scores: Floats) -> NDArray[np.int64]:
    """Return (islands, N) the points of each island, best first; those that equal a better one come last.

    Many designs have twins that cost the same: an island full of twins has nothing to breed from.
    """
    order = np.argsort(scores, axis=1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=1)
    twin = np.zeros(scores.shape, dtype=np.bool_)
    twin[:, 1:] = np.diff(ordered, axis=1) <= 1e-12
    return np.take_along_axis(order, np.argsort(twin, axis=1, kind="stable"), axis=1)


def weighings(objectives: int) -> Floats:
    """Return (islands, objectives) weights: each objective, each pair, all; rows add up to 1."""
    rows = [one for size in (1, 2) for one in combinations(range(objectives), size)]
    rows += [tuple(range(objectives))] if objectives > 2 else []
    weights = np.full((len(rows), objectives), SHARE / objectives)
    for row, members in zip(weights, rows, strict=True):
        row[list(members)] += (1.0 - SHARE) / len(members)
    return weights


def score(values: Floats, violation: Floats) -> Floats:
    """Return (islands, N) what each island makes of each point, lower is better.

    Objectives that are not all positive are moved there, by the range that the points span.
    """
    finite: NDArray[np.bool_] = np.all(np.isfinite(values), axis=1)
    scaled: Floats = np.where(finite[:, None], values, 1.0)
    low: Floats = np.min(scaled, axis=0)
    moved = np.where(low > 0.0, scaled, scaled - low + np.maximum(np.ptp(scaled, axis=0), 1e-12))
    scores: Floats = weighings(values.shape[1]) @ np.log(moved).T
    broken = (violation > 0.0) | ~finite
    worse = np.where(np.isfinite(violation) & (violation > 0.0), np.minimum(violation, BROKEN), 2.0 * BROKEN)
    return np.where(broken, BROKEN + worse, scores)
