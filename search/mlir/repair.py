"""How a tensor of one shape stands in for another of the same element type, by aligning trailing dimensions.

The rule of GEVO-ML: surplus leading dimensions are sliced to 1 and dropped, larger dimensions are sliced around their
centre, smaller ones padded around it with ones, missing leading ones broadcast. It depends on the two types alone, so
that an edit replays to the same program wherever it is applied.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.search.mlir.graph import Refused, TensorType


class Slice(msgspec.Struct, frozen=True, tag="slice"):
    """Keep ``start[d] : stop[d]`` of every dimension."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __str__(self) -> str:
        return "slice [" + ", ".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True)) + "]"


class Reshape(msgspec.Struct, frozen=True, tag="reshape"):
    """The same elements in another shape."""

    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"reshape to {list(self.shape)}"


class Pad(msgspec.Struct, frozen=True, tag="pad"):
    """Add ``low[d]`` ones before and ``high[d]`` after."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    def __str__(self) -> str:
        return f"pad with ones by {list(self.low)} before and {list(self.high)} after"


class Broadcast(msgspec.Struct, frozen=True, tag="broadcast"):
    """Repeat along new leading dimensions."""

    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"broadcast to {list(self.shape)}"


Step = Slice | Reshape | Pad | Broadcast


@lru_cache(maxsize=65536)
def repair(found: TensorType, wanted: TensorType) -> tuple[Step, ...]:
    """Return the steps that make a tensor of type ``wanted`` of one of type ``found``; none where they are equal.

    Raises:
        Refused: another element type, or a tensor without elements.
    """
    if found == wanted:
        return ()
    if found.element != wanted.element:
        raise Refused(f"a value of {found} cannot stand for {wanted}: other elements")
    if not found.size or not wanted.size:
        raise Refused(f"a value of {found} cannot stand for {wanted}: no elements")
    steps: list[Step] = []
    surplus = max(len(found.shape) - len(wanted.shape), 0)
    target = wanted.shape[max(len(wanted.shape) - len(found.shape), 0) :]
    kept = (1,) * surplus + tuple(min(a, b) for a, b in zip(found.shape[surplus:], target, strict=True))
    if kept != found.shape:
        start = tuple((have - keep) // 2 for have, keep in zip(found.shape, kept, strict=True))
        steps.append(Slice(start, tuple(a + keep for a, keep in zip(start, kept, strict=True))))
    inner = kept[surplus:]
    if surplus:
        steps.append(Reshape(inner))
    if inner != target:
        low = tuple((want - have) // 2 for have, want in zip(inner, target, strict=True))
        high = tuple(want - have - a for have, want, a in zip(inner, target, low, strict=True))
        steps.append(Pad(low, high))
    if target != wanted.shape:
        steps.append(Broadcast(wanted.shape))
    return tuple(steps)


def shape_after(step: Step, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a step makes of ``shape``."""
    if isinstance(step, Slice):
        return tuple(b - a for a, b in zip(step.start, step.stop, strict=True))
    if isinstance(step, Pad):
        return tuple(low + have + high for low, have, high in zip(step.low, shape, step.high, strict=True))
    return step.shape


def perform(step: Step, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return what a step makes of an array: the meaning of repair, for tests and explanations."""
    if isinstance(step, Slice):
        return array[tuple(slice(a, b) for a, b in zip(step.start, step.stop, strict=True))]
    if isinstance(step, Pad):
        return np.pad(array, list(zip(step.low, step.high, strict=True)), constant_values=1)
    if isinstance(step, Reshape):
        return array.reshape(step.shape)
    return np.broadcast_to(array, step.shape)
