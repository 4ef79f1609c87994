"""What sets the attention kernels of software stacks apart, as columns over rows of operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.quantity import Array


class Stack(NamedTuple):
    """One stack.

    Attributes:
        sharing: Most query heads for which a decode kernel reads keys and values once; with more it reads them again
            for every head.
        packed: Whether its prefill also takes queries, keys and values apart and writes them to the cache.
    """

    sharing: float = np.inf
    packed: bool = False


PLAIN = Stack()
STACKS = {"trtllm": Stack(32.0, True)}
"""Name of a stack, without version -> what its kernels do; ``PLAIN`` for others. TensorRT-LLM 1.0 to 1.3: its kernels
for shared keys stop at 32 heads, where public tables show the step."""


def of_stacks(stacks: Sequence[str], stack: NDArray[np.int64]) -> dict[str, Array]:
    """Return the columns of rows whose stack is a position in ``stacks``; none where every stack is plain."""
    found = [STACKS.get(name, PLAIN) for name in stacks]
    if all(one is PLAIN for one in found):
        return {}
    columns = zip(Stack._fields, zip(*found, strict=True), strict=True)
    return {name: np.array(values, np.float64)[stack] for name, values in columns}
