"""The engine that asks for what its space already knows: fronts of networks, merged, and of fused cascades, joined."""

from __future__ import annotations

from typing import Any

from codesign.errors import UsageError
from codesign.search.problem import Points, Results
from codesign.search.space import Space


class Merge:
    """Hands out the points of ``space.front()``; its whole state is how far it got."""

    name = "merge"

    def __init__(self, space: Space, *, seed: int = 0, evaluations: int | None = None) -> None:
        """Set up for ``space``; seed and budget are accepted and unused.

        Raises:
            UsageError: a space that knows no front.
        """
        front = getattr(space, "front", None)
        if front is None:
            raise UsageError(
                "the merge engine takes mappings of a cascade or a whole model only", "choose nsga2 or random"
            )
        self.points: Points = front()
        self.batch = max(1, len(self.points))
        self._next = 0

    def ask(self, count: int) -> Points:
        """Return the next points of the front."""
        start, self._next = self._next, min(self._next + count, len(self.points))
        return self.points[start : self._next]

    def tell(self, points: Points, results: Results) -> None:
        """Ignore results: the front is known."""

    def state(self) -> dict[str, Any]:
        """Return the position."""
        return {"next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._next = int(state["next"])
