"""Pareto local search: look around the front until every neighbour is known, then start elsewhere.

After Paquete, Chiarandini, Stuetzle, "Pareto local optimum sets in the biobjective traveling salesman
problem", 2004: the least explored, least crowded member of the front is expanded next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.search.engine import pack, unpack
from codesign.search.pareto import crowding, fronts
from codesign.search.problem import Points, Results
from codesign.search.space import Space
from codesign.search.unseen import Unseen, generator_of

_KEEP = 256
"""Longest front kept to expand; crowded members leave first."""


class LocalSearch:
    """Expands neighbourhoods of front members, random points otherwise."""

    name = "local"

    def __init__(
        self, space: Space, *, seed: int = 0, evaluations: int | None = None, starts: int | None = None
    ) -> None:
        """Set up for ``space``; ``starts`` random points begin it and are the batch."""
        self.space, self.seed = space, seed
        self.batch = starts or (64 if evaluations is None else int(np.clip(evaluations // 20, 8, 64)))
        self._unseen = Unseen(space, seed)
        self._batches = 0
        self._points: Points | None = None
        self._values = np.zeros((0, 0))
        self._violation = np.zeros(0)
        self._expanded = np.zeros(0, np.bool_)

    def ask(self, count: int) -> Points:
        """Return unseen neighbours of front members, in order of how lonely the member is, and random points."""
        self._batches += 1
        generator = generator_of(self.seed, self._batches)
        found: list[Points] = []
        missing = count
        if self._points is not None:
            distance = crowding(self._values, np.zeros(len(self._points), np.int64))
            for member in np.lexsort((-distance, self._expanded)).tolist():
                if not missing or self._expanded[member]:
                    break
                around = self.space.neighbours(self._points[member : member + 1])
                around = around[generator.permutation(len(around))]
                found.append(self._unseen.take(around, missing))
                missing -= len(found[-1])
                self._expanded[member] = missing > 0  # otherwise neighbours may be left
        if missing:
            found.append(self._unseen.fill(generator, missing))
        return np.concatenate(found)

    def tell(self, points: Points, results: Results) -> None:
        """Merge the results into the front; while nothing is feasible the least violated points stand in for it."""
        if not len(points):
            return
        self._unseen.note(points)
        values, violation = results.objectives, results.violation
        expanded = np.zeros(len(points), np.bool_)
        if self._points is not None:
            points = np.concatenate([self._points, points])
            values = np.concatenate([self._values, values])
            violation = np.concatenate([self._violation, violation])
            expanded = np.concatenate([self._expanded, expanded])
        ranks = fronts(values, violation)
        keep = np.flatnonzero((ranks == 0) & (np.isfinite(violation) | (violation.min() == np.inf)))
        if len(keep) > _KEEP:
            distance = crowding(values[keep], np.zeros(len(keep), np.int64))
            keep = np.sort(keep[np.argsort(-distance, kind="stable")[:_KEEP]])
        self._points, self._values = points[keep], values[keep]
        self._violation, self._expanded = violation[keep], expanded[keep]

    def state(self) -> dict[str, Any]:
        """Return the front, what was expanded and what was seen."""
        state: dict[str, Any] = {"batches": self._batches, "unseen": self._unseen.state()}
        if self._points is not None:
            state |= {
                "points": pack(self._points),
                "values": pack(self._values),
                "violation": pack(self._violation),
                "expanded": pack(self._expanded),
            }
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        self._batches = int(state["batches"])
        self._unseen.restore(state["unseen"])
        if "points" in state:
            self._points, self._values = unpack(state["points"]), unpack(state["values"])
            self._violation, self._expanded = unpack(state["violation"]), unpack(state["expanded"])
