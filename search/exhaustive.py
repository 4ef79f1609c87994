"""Every point of a finite space once, in order, in chunks: memory does not grow with the space."""

from __future__ import annotations

from typing import Any

from codesign.errors import UsageError
from codesign.search.problem import Points, Results
from codesign.search.space import Space


class Exhaustive:
    """Streams the space; its whole state is how far it got."""

    name = "exhaustive"

    def __init__(self, space: Space, *, seed: int = 0, evaluations: int | None = None, chunk: int = 16_384) -> None:
        """Set up for ``space``; ``seed`` is accepted and unused, as is the budget.

        Raises:
            UsageError: the space is endless.
        """
        if space.size is None:
            raise UsageError(
                "the exhaustive engine needs a finite space: one parameter is real, or there are too many points",
                "choose nsga2, random or local",
            )
        self.space, self.size, self.batch = space, space.size, chunk
        self._next = 0

    def ask(self, count: int) -> Points:
        """Return the next points in order."""
        start, self._next = self._next, min(self._next + count, self.size)
        return self.space.enumerate(start, self._next)

    def tell(self, points: Points, results: Results) -> None:
        """Ignore results: the order is fixed."""

    def state(self) -> dict[str, Any]:
        """Return the position."""
        return {"next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._next = int(state["next"])
