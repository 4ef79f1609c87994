"""Which operators to measure on a device: few, of shapes that models have, and each unlike the others.

Of each family a pool of plausible shapes is laid out in what its latency depends on: bound, intensity over the
machine's balance, bytes over the cache, and rows of a product (a decode step has few, a prompt many), all as
logarithms. Shapes are the middles of parts of that pool: begun with points each farthest from those before (Gonzalez,
1985), then moved to the middle of what is nearest to them (Lloyd, 1982). Corners alone would say little of what lies
between, where the operators of models are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Columns, Device, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.profilers.operators import Operator
from codesign.quantity import Array
from codesign.targets import Target

Shape = Mapping[str, int]

LONGEST_S = {"cpu": 0.02, "gpu": 0.01}
"""Bound of the largest operator measured, s: real ones take up to a few times longer, several times over."""

FAST = 1.3
"""A narrow dtype is measured too where its peak is above this times that of fp32."""

LARGEST_ACTIVATION = 2**24
"""Bytes of the largest activation on a processor: for a larger result, or a copy in another layout, glibc takes fresh
pages from the system at every call, whose cost is the allocator's and no operator's."""

SKINNY = 0.25
"""Share of products that have one row: libraries run them by other kernels, and a decode step of one sequence has no
others. The longest of them is taken, which shows the bandwidth, and the longest that computes, which shows the rate."""

ROUNDS = 8
"""Times that shapes are moved to the middle of their parts."""

ASSUMED_CACHE = 32 * 2**20
LEAST_POOL, MOST_POOL = 2**28, 2**30


class Quota(NamedTuple):
    """How many shapes of an operator are measured in the main dtype, and in each further one."""

    op: str
    main: int
    further: int


QUOTAS = {
    "cpu": (
        Quota("gemm", 12, 5), Quota("bmm", 2, 0), Quota("conv", 8, 0), Quota("context_attention", 4, 3),
        Quota("generation_attention", 4, 2), Quota("softmax", 2, 0), Quota("layernorm", 3, 0), Quota("add", 2, 0),
        Quota("gelu", 2, 0), Quota("embedding", 1, 0),
    ),
    "gpu": (
        Quota("gemm", 12, 3), Quota("bmm", 2, 0), Quota("conv", 5, 1), Quota("context_attention", 5, 0),
        Quota("generation_attention", 5, 0), Quota("softmax", 2, 0), Quota("layernorm", 2, 0), Quota("add", 2, 0),
        Quota("gelu", 1, 0), Quota("embedding", 1, 0),
    ),
}  # fmt: skip
"""By kind of device; the main dtype is fp32 on processors, bf16 elsewhere."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
LAYERS = ((256, 256), (768, 768), (2304, 768), (3072, 768), (768, 3072), (1000, 2048), (1024, 4096), (2048, 2048),
          (8192, 2048), (2048, 8192), (4096, 4096), (6144, 4096), (14336, 4096), (4096, 14336),
          (32000, 1024))  # fmt: skip
"""Rows, and (outputs, inputs) of linear layers."""

STAGES = ((64, 64, 56), (256, 64, 56), (64, 256, 56), (128, 128, 28), (512, 128, 28), (128, 512, 28), (256, 256, 14),
          (1024, 256, 14), (256, 1024, 14), (512, 512, 7), (2048, 512, 7), (512, 2048, 7))  # fmt: skip
"""(Outputs, inputs, side) of the convolutions of residual networks."""


def chosen_shapes(target: Target) -> tuple[Operator, ...]:
    """Return 20 to 50 operators to measure on ``target``, the same for the same target.

    Raises:
        UsageError: it does not state its cores, clock or cache.
    """
    found: list[Operator] = []
    for pool in pools(target):
        found += [Operator(pool.op, pool.dtype, dict(pool.shapes[place])) for place in _chosen(pool)]
    return tuple(found)


class Pool(NamedTuple):
    """Shapes of an operator that a target can be measured with.

    Attributes:
        op: The operator.
        dtype: Its dtype.
        quota: How many of them are measured.
        shapes: None of a bound above ``LONGEST_S``.
        where: Their coordinates, shape (n, d).
        bound: Their bounds, s, shape (n,).
    """

    op: str
    dtype: str
    quota: int
    shapes: Sequence[Shape]
    where: Array
    bound: Array


def pools(target: Target) -> Iterator[Pool]:
    """Yield the pool of each operator and dtype that is measured on ``target``.

    Raises:
        UsageError: it does not state its cores, clock or cache.
    """
    device = device_of(target)
    kind = "cpu" if target.kind == "cpu" else "gpu"
    main, *further = dtypes(target)
    for dtype, quota in [(main, q) for q in QUOTAS[kind]] + [(d, q) for d in further for q in QUOTAS[kind]]:
        if not (count := quota.main if dtype == main else quota.further):
            continue
        shapes = [shape for shape in candidates(quota.op) if _allowed(quota.op, shape, target)]
        where, bound = coordinates(quota.op, shapes, device, dtype)
        short = np.flatnonzero(bound <= LONGEST_S[kind])
        yield Pool(quota.op, dtype, count, [shapes[place] for place in short], where[short], bound[short])


def _chosen(pool: Pool) -> list[int]:
    """Return the positions of the shapes of ``pool`` that are measured."""
    count, where, bound = pool.quota, pool.where, pool.bound
    if pool.op != "gemm" or count < 2:
        return [int(place) for place in spread_out(where, count)]
    one = np.array([shape["m"] == 1 for shape in pool.shapes])
    peak = np.argmax(np.where(where[:, 1] > 0.0, bound, 0.0))
    stream = np.argmax(np.where(one, bound, 0.0))
    places = np.arange(len(bound))
    inner = (places != peak) & (places != stream)
    skinny, others, rows = places[one & inner], places[~one & inner], max(round(SKINNY * count), 1)
    taken = (skinny[spread_out(where[skinny], rows - 1)], others[spread_out(where[others], count - rows - 1)])
    return [int(place) for place in (stream, *np.concatenate(taken), peak)]


def dtypes(target: Target) -> tuple[str, ...]:
    """Return the dtypes to measure, the main one first: fp32 on processors, and what is faster than it."""
    device = device_of(target)
    if target.kind == "cpu":
        return ("fp32", "bf16") if device.matrix.get("bf16", 0.0) > FAST * device.vector else ("fp32",)
    return tuple(dtype for dtype in ("bf16", "fp16", "tf32", "fp32") if dtype in {*device.matrix, "fp32"})


def _allowed(op: str, shape: Shape, target: Target) -> bool:
    """Return whether two weights at least have room in the pool, and no activation needs pages of its own."""
    if 8 * weight_elements(op, shape) > LEAST_POOL:
        return False
    return target.kind != "cpu" or 4 * largest_activation(op, shape) <= LARGEST_ACTIVATION


def pool_bytes(target: Target) -> int:
    """Return the bytes of weights to take turns with: twice the cache, within what is quick to fill."""
    return int(min(max(2.0 * (target.cache_bytes or ASSUMED_CACHE), LEAST_POOL), _most(target)))


def _most(target: Target) -> int:
    # the pages of a larger one take seconds to come from a virtual machine's host
    return LEAST_POOL if target.kind == "cpu" else MOST_POOL


def candidates(op: str) -> list[Shape]:
    """Return the pool of shapes of an operator, named as in public tables."""
    return [dict(shape) for shape in _CANDIDATES[op]()]


def _products() -> Iterator[Shape]:
    return ({"m": m, "n": n, "k": k} for m, (n, k) in product(ROWS, LAYERS))


def _batched() -> Iterator[Shape]:
    sizes = product((4, 12, 48, 192), (64, 128, 512), (64, 128, 512), (64, 128))
    return ({"B": b, "M": m, "N": n, "K": k} for b, m, n, k in sizes)


def _convolutions() -> Iterator[Shape]:
    for batch, (outputs, inputs, side) in product((1, 2, 4, 8, 16, 32, 64), STAGES):
        for kernel, stride in ((1, 1), (3, 1), (3, 2)):
            if kernel == 1 or outputs == inputs:
                yield _convolution(batch, inputs, outputs, side, kernel, stride)
    for batch in (1, 4, 16, 64):
        yield _convolution(batch, 3, 64, 224, 7, 2)


def _convolution(batch: int, inputs: int, outputs: int, side: int, kernel: int, stride: int) -> Shape:
    return {"B": batch, "Input_Channel": inputs, "Output_Channel": outputs, "Input_Size": side, "Kernel_Size": kernel,
            "Stride": stride, "Padding": kernel // 2}  # fmt: skip


HEADS = ((12, 12, 64), (16, 16, 64), (32, 8, 64), (32, 8, 128), (32, 32, 128), (64, 8, 128))
"""Heads, key-value heads and width of a head."""


def _attention(batches: tuple[int, ...], lengths: tuple[int, ...]) -> Iterator[Shape]:
    for b, (heads, shared, width), length in product(batches, HEADS, lengths):
        yield {"batch_size": b, "isl": length, "step": 0, "num_heads": heads, "num_key_value_heads": shared,
               "head_dim": width}  # fmt: skip


def _vectors() -> Iterator[Shape]:
    return ({"B": b, "H": h} for b, h in product((1, 16, 128, 512, 2048, 8192), (768, 2048, 3072, 8192)))


def _lookups() -> Iterator[Shape]:
    return ({"B": b, "H": h, "rows": 32_000} for b, h in product((1, 16, 128, 512, 2048), (768, 1024)))


_CANDIDATES = {
    "gemm": _products, "bmm": _batched, "conv": _convolutions,
    "context_attention": lambda: _attention((1, 4, 16), (64, 128, 256, 512, 1024, 2048)),
    "generation_attention": lambda: _attention((1, 4, 16, 64), (128, 512, 1024, 4096)),
    **dict.fromkeys(("softmax", "layernorm", "add", "gelu"), _vectors), "embedding": _lookups,
}  # fmt: skip


def weight_elements(op: str, shape: Shape) -> int:
    """Return the elements of the tensor that is taken from the pool."""
    if op == "gemm":
        return shape["n"] * shape["k"]
    if op == "generation_attention":
        return 2 * shape["batch_size"] * shape["num_key_value_heads"] * shape["isl"] * shape["head_dim"]
    return shape["rows"] * shape["H"] if op == "embedding" else 0


def largest_activation(op: str, shape: Shape) -> int:
    """Return the elements of the operator's largest activation."""
    if op == "gemm":
        return shape["m"] * max(shape["n"], shape["k"])
    if op == "bmm":
        m, n, k = shape["M"], shape["N"], shape["K"]
        return shape["B"] * max(m * n, n * k, m * k)
    if op == "conv":
        side = (shape["Input_Size"] + 2 * shape["Padding"] - shape["Kernel_Size"]) // shape["Stride"] + 1
        return shape["B"] * max(shape["Output_Channel"] * side**2, shape["Input_Channel"] * shape["Input_Size"] ** 2)
    if op in ("context_attention", "generation_attention"):
        new = shape["isl"] if op == "context_attention" else 1
        return shape["batch_size"] * shape["num_heads"] * new * shape["head_dim"]
    return shape["B"] * shape["H"]


def work_of(op: str, shapes: Sequence[Shape], device: Device, dtype: str) -> tuple[physics.Work, Columns]:
    """Return the work of ``op`` in each of ``shapes`` on ``device``, and the device's columns."""
    # a lookup moves what an operator on one tensor moves
    operator = OPERATORS.get(op, OPERATORS["relu"])
    form, zeros = format_of(dtype), np.zeros(len(shapes), np.int64)
    on = Columns.of((device,), zeros, (form,), zeros)
    sizes = {ours: np.array([shape.get(theirs, 0) for shape in shapes], np.float64)
             for ours, theirs in operator.columns.items()}  # fmt: skip
    sizes |= {name: np.full(len(shapes), value) for name, value in operator.fixed.items()}
    if operator.family in ("prefill", "decode"):
        sizes["kv_bytes"] = np.full(len(shapes), form.weight)
    if operator.family == "decode":
        sizes["cached"] = np.array([shape["isl"] for shape in shapes], np.float64)
    return FAMILIES[operator.family].work(sizes, on), on


def coordinates(op: str, pool: Sequence[Shape], device: Device, dtype: str) -> tuple[Array, Array]:
    """Return where each shape lies, (n, d) logarithms, and its bound in s, (n,)."""
    work, on = work_of(op, pool, device, dtype)
    bound = physics.bound(work, on)
    balance = physics.rate(work, on) / on.bandwidth
    columns = [np.log(bound), np.log(work.flops / work.bytes / balance), np.log(work.bytes / on.cache)]
    if work.grids:
        columns.append(np.log(work.grids[0].rows))
    return np.stack(columns, axis=1), bound


def spread_out(where: Array, count: int) -> Array:
    """Return the positions of ``count`` points, each in the middle of its part of ``where``.

    Args:
        where: Points, shape (n, d); each coordinate counts by its range.
        count: At most this many are returned, fewer where there are fewer.
    """
    count = min(count, len(where))
    if count == 0:
        return np.zeros(0, np.int64)
    scaled = (where - where.min(axis=0)) / np.maximum(np.ptp(where, axis=0), 1e-9)
    chosen = [int(np.argmin(_distance(scaled, np.median(scaled, axis=0))))]
    nearest = np.full(len(scaled), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, _distance(scaled, scaled[chosen[-1]]))
        chosen.append(int(np.argmax(nearest)))
    for _ in range(ROUNDS):
        part = np.argmin(np.stack([_distance(scaled, scaled[place]) for place in chosen]), axis=0)
        chosen = [_middle(scaled, np.flatnonzero(part == number), place) for number, place in enumerate(chosen)]
    return np.array(chosen, np.int64)


def _middle(points: Array, part: NDArray[np.int64], place: int) -> int:
    """Return the position, among ``part``, of the point nearest to the mean of it; ``place`` where it is empty."""
    if not len(part):  # a twin that was chosen before has it all
        return place
    return int(part[np.argmin(_distance(points[part], points[part].mean(axis=0)))])


def _distance(points: Array, point: Array) -> Array:
    return np.asarray(np.linalg.norm(points - point, axis=1))
