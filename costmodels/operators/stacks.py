"""What sets the kernels of software stacks apart, as columns over rows of operators.

A stack is a framework, or a framework and the sort of its kernels (``vllm/triton``): one operator is run by several.
"""

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
        gathers: Whether its prefill takes the query heads that share keys as further queries of one stripe: never (0),
            for a single new token without a window (1) or with one too (2), always (4), or always but on devices of
            servers, where it is as 2 (3: FlashInfer runs kernels of TensorRT-LLM there, ``attention.OF_SERVERS``).
        elsewhere: Whether tokens routed to experts of other devices pass between its products as well: not at all (0),
            or so (1); with 2 the outputs of its products, of whatever experts, also pass once more each way.
    """

    sharing: float = np.inf
    packed: bool = False
    gathers: int = 0
    elsewhere: int = 0


PLAIN = Stack()
TRITON, MARLIN = Stack(gathers=4, elsewhere=2), Stack(elsewhere=1)
STACKS = {
    "trtllm": Stack(32.0, True), "vllm": TRITON, "sglang": TRITON, "vllm/triton": TRITON, "vllm/marlin": MARLIN,
    "vllm/fa2": Stack(gathers=1), "vllm/trtllm-gen": Stack(gathers=2),
    **dict.fromkeys(("trtllm/flashinfer", "vllm/flashinfer"), Stack(gathers=3)),
    **dict.fromkeys(("vllm/fa3", "vllm/fa4", "sglang/fa2"), Stack(gathers=4)),
}  # fmt: skip
"""Name of a stack, without version -> what its kernels do; ``PLAIN`` for others. TensorRT-LLM 1.0 to 1.3: its kernels
for shared keys stop at 32 heads, where public tables show the step. vLLM 0.14 to 0.24: with experts on several devices
its Triton kernels write zeros for tokens of others, which its other kernels skip, and outputs pass more often in
any case (``mixture.AGAIN``). FlashAttention 2 gathers heads by its source (``attention.ASYNCHRONOUS``); of the others
measured rows tell: the form alone is off by 14 against 32 % in Triton, by 10 against 15 % in SGLang. A name of a
framework alone stands for what it runs on most devices."""

KERNELS = (
    ("triton", "triton"), ("marlin", "marlin"), ("cutlass", "cutlass"), ("trtllm", "trtllm-gen"), ("fa3", "fa3"),
    ("fa4", "fa4"), ("flashinfer", "flashinfer"), ("fused_moe", "triton"), ("flash_att", "fa2"),
)  # fmt: skip
"""Part of a kernel's name in public tables -> its sort; the first that fits. Flash attention without a number is the
second."""


BY_KERNEL = frozenset(("prefill", "moe"))
"""Families whose sorts of kernels are told apart."""


def stack_named(framework: str, kernel: str = "") -> str:
    """Return the stack of a framework, its version after a slash not looked at, and the name of a kernel.

    Either may be empty; of a kernel alone the stack is ``/sort``.
    """
    name, text = framework.partition("/")[0].strip().lower(), kernel.lower()
    sort = next((sort for part, sort in KERNELS if part in text), "")
    return f"{name}/{sort}" if sort else name


def nearest_stack(stack: str, known: Sequence[str]) -> str:
    """Return which of ``known`` stands for ``stack``.

    That is itself where it names framework and sort or is known; else the first of its framework, or of its sort, or of
    all.
    """
    name, _, sort = stack.partition("/")
    if (name and sort) or stack in known or not known:
        return stack
    alike = [one for one in known if one.partition("/")[0 if name else 2] == (name or sort)] if name or sort else []
    return next(iter(alike or known))


def of_stacks(stacks: Sequence[str], stack: NDArray[np.int64]) -> dict[str, Array]:
    """Return the columns of rows whose stack is a position in ``stacks``; none where every stack is plain."""
    found = [STACKS.get(name, PLAIN) for name in stacks]
    if all(one is PLAIN for one in found):
        return {}
    columns = zip(Stack._fields, zip(*found, strict=True), strict=True)
    return {name: np.array(values, np.float64)[stack] for name, values in columns}
