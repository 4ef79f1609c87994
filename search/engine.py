"""The protocol of engines: ask for points, tell their results.

An engine holds no hidden random state: what it asks in batch b depends on the seed, b and what it was told.
``tell`` may also bring points that were never asked for (a baseline). ``ask`` returns fewer points than
wanted, or none, when a finite space is used up.
"""

from __future__ import annotations

import base64
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codesign.search.problem import Points, Results


class Engine(Protocol):
    """Chooses what to evaluate next."""

    name: str
    batch: int
    """Points per batch; fixed by the engine, never by the number of workers."""

    def ask(self, count: int) -> Points:
        """Return at most ``count`` points to evaluate; none when there is nothing left."""
        ...

    def tell(self, points: Points, results: Results) -> None:
        """Take in results of points, in the order they were asked."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state between two batches as JSON types."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that an engine of the same arguments returned."""
        ...


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """Return an array as JSON types, exactly."""
    array = np.ascontiguousarray(array)
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def unpack(packed: dict[str, Any]) -> NDArray[Any]:
    """Return the array that ``pack`` took."""
    flat = np.frombuffer(base64.b64decode(packed["data"]), np.dtype(packed["dtype"]))
    return flat.reshape(packed["shape"]).copy()
