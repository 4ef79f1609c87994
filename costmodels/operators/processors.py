"""How processors do operators: how often each byte passes which cache, and what a call of a library costs.

Libraries copy an operand before they multiply: they read it, write it in the order in which the kernel reads, and read
it again. Products copy their weights, but not for one row on vector units; convolutions copy all their tensors, into
blocks of channels and back; attention copies what it is given. A decode step reads keys and values again for every head
that shares them. Elementwise operators pass each tensor once.

A tensor passes a core's own caches as far as it fits them, then the last-level cache, then memory. Weights and cached
keys and values come from memory once, because those of the other layers passed the caches since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.physics import USUAL_CACHE, OnProcessor, Work
from codesign.costmodels.operators.vector_kinds import FUNCTION, LOOKUP
from codesign.quantity import Array

Shapes = Mapping[str, Array]
"""Name of a shape column -> its values, shape (n,)."""

COPY = 3.0
"""Passes of a byte that is copied and used: read, written, read again."""

WIDE = 4.0
"""Bytes of a weight from which products run on vector units."""

PART = 2.0**15
"""Elements that torch leaves to one core of an elementwise operator, before another joins."""

VECTOR_FLOP = np.array([1.0, 1.0, 20.0, 7.0])
"""FLOP an element by kind of vector operator: an exponential, within a softmax, takes about 15 (assumed)."""

VECTOR_CALLS = np.array([1.0, 1.0, 2.0, 2.5])
"""What a call costs by kind of vector operator, over an addition's (torch 2.13 on one processor)."""

FUNCTION_FLOP, FUNCTION_CALLS = 15.0, 10.0
"""The same of a function that is no single instruction, such as GELU, which torch leaves to oneDNN."""

LOOKUP_CALLS = 2.0
"""What a call costs that reads rows of a table, over an addition's (one processor)."""


class Prior(NamedTuple):
    """The physical form of a family on a processor that nothing was measured of, as in ``physics.PROCESSOR_NAMES``."""

    floor_s: float
    matrix: float
    memory: float
    cache: float


PRIORS = {
    "gemm": Prior(5e-6, 0.90, 0.85, 0.45), "moe": Prior(20e-6, 0.70, 0.85, 0.45),
    "convolution": Prior(8e-6, 0.80, 0.85, 0.30), "prefill": Prior(8e-6, 0.40, 0.85, 0.30),
    "decode": Prior(10e-6, 0.30, 0.75, 0.45), "vector": Prior(1e-6, 0.30, 0.70, USUAL_CACHE),
}  # fmt: skip
"""By family (assumed, near what torch shows on one server processor; another may have other libraries)."""

SPREAD = np.array([1.0, 0.4, 0.3, 0.7, 0.1])
"""Standard deviation of the logarithm of each parameter, and of the level, between processors (assumed)."""

NARROW_SPREAD = np.array([2.0, 3.0, 0.6, 0.7, 0.1])
"""The same of a narrow format, around where fp32 ended: other libraries run it, and where one has no kernel for it, it
computes number by number, a hundredth as fast (chosen on one processor)."""


class Passes(NamedTuple):
    """Bytes that pass each place; every column of shape (n,)."""

    memory: Array
    far: Array
    near: Array


def together(*found: Passes) -> Passes:
    """Return the bytes of all of ``found``."""
    return Passes(*(np.asarray(sum(columns)) for columns in zip(*found, strict=True)))


def passes(
    size: Array, on: Columns, times: Array | float = 1.0, held: Array | None = None, *, in_panels: bool = False
) -> Passes:
    """Return where ``size`` bytes pass, ``times`` each.

    Args:
        size: Bytes.
        on: The processor of each row.
        times: How often each byte passes.
        held: Bytes that have to stay in a cache between two passes; None for ``size``.
        in_panels: They pass in panels that the last-level cache holds, however many they are.
    """
    held = np.maximum(size if held is None else held, 1.0)
    near = np.minimum(on.private / held, 1.0)
    cached = np.where(in_panels, 1.0, np.minimum(np.maximum(on.cache, on.private) / held, 1.0))
    every = size * times
    return Passes(every * (1.0 - cached), every * (cached - near), every * near)


def cold(size: Array) -> Passes:
    """Return ``size`` bytes that come from memory."""
    return Passes(size, np.zeros(np.shape(size)), np.zeros(np.shape(size)))


def _copies(rows: Array, on: Columns) -> Array:
    """Return how often weights pass a cache: matrix units, of narrow formats, want their own order even for one row."""
    return np.where((rows > 1.0) | (on.weight < WIDE), COPY, 0.0)


def _gemm(s: Shapes, work: Work, on: Columns) -> Passes:
    second = on.weight * s["batch"] * s["n"] * s["k"]
    others = s["batch"] * s["m"] * (on.activation * s["k"] + on.output * s["n"])
    copies = np.where(s["batch"] == 1.0, _copies(s["m"], on), COPY)
    # one operand at least is read for the first time
    return together(cold(second / s["batch"]), passes(second, on, copies, in_panels=True), passes(others, on))


def _experts(s: Shapes, work: Work, on: Columns) -> Passes:
    weights = sum((grid.repeats * grid.columns * grid.depth for grid in work.grids), np.zeros(1)) * on.weight
    others = np.maximum(work.bytes - weights, 0.0)
    copies = passes(weights, on, _copies(work.grids[0].rows, on), in_panels=True)
    return together(cold(weights), copies, passes(others, on))


def _convolution(s: Shapes, work: Work, on: Columns) -> Passes:
    grid = work.grids[0]
    image = on.activation * s["batch"] * s["inputs"] * s["size"] ** 2
    weights, result = on.weight * grid.columns * grid.depth, on.output * grid.rows * grid.columns
    return together(cold(weights), *(passes(size, on, COPY) for size in (weights, image, result)))


def _prefill(s: Shapes, work: Work, on: Columns) -> Passes:
    queries = on.activation * s["batch"] * s["heads"] * s["head_width"] * s["new"]
    kept = np.maximum(work.bytes - 2.0 * queries, 0.0)
    return together(*(passes(size, on, COPY) for size in (queries, queries, kept / 2.0, kept / 2.0)))


def _decode(s: Shapes, work: Work, on: Columns) -> Passes:
    queries = 2.0 * on.activation * s["batch"] * s["heads"] * s["head_width"]
    kept = np.maximum(work.bytes - queries, 0.0)
    of_head = kept / (s["batch"] * s["kv_heads"])
    again = passes(kept, on, s["heads"] / s["kv_heads"], of_head * on.cores)
    return together(cold(kept), again, passes(queries, on))


def _vector(s: Shapes, work: Work, on: Columns) -> Passes:
    # the rows of a table come from memory
    table = np.where(s["kind"] == LOOKUP, work.bytes / 2.0, 0.0)
    return together(cold(table), passes(work.bytes - table, on))


PASSES: Mapping[str, Callable[[Shapes, Work, Columns], Passes]] = {
    "gemm": _gemm, "moe": _experts, "convolution": _convolution, "prefill": _prefill, "decode": _decode,
    "vector": _vector,
}  # fmt: skip


def aware(family: str, work: Callable[[Shapes, Columns], Work]) -> Callable[[Shapes, Columns], Work]:
    """Return ``work`` of ``family``, which on processors also says how they do it."""

    def found(s: Shapes, on: Columns) -> Work:
        plain = work(s, on)
        return plain._replace(processor=on_processor(family, s, plain, on)) if np.any(on.private) else plain

    return found


def on_processor(family: str, s: Shapes, work: Work, on: Columns) -> OnProcessor:
    """Return how processors do operators of ``family``.

    Args:
        family: Of the operators.
        s: Their shapes.
        work: What they ask of any device.
        on: Their processors and formats.
    """
    flops, calls, parallel = work.flops, np.ones(np.shape(work.flops)), np.ones(np.shape(work.flops))
    if family == "vector":
        elements, kind = s["rows"] * s["length"], s["kind"].astype(np.int64)
        function, lookup = s["kind"] == FUNCTION, s["kind"] == LOOKUP
        flops = np.where(function, FUNCTION_FLOP, VECTOR_FLOP[kind]) * elements
        calls = np.select([function, lookup], [FUNCTION_CALLS, LOOKUP_CALLS], VECTOR_CALLS[kind])
        parallel = np.clip(elements / PART, 1.0, on.cores) / on.cores
    # the rate that a target states is that of a stream
    last_level = on.last_level if family == "vector" else np.zeros(np.shape(work.flops))
    return OnProcessor(flops, *PASSES[family](s, work, on), calls, parallel, last_level)
