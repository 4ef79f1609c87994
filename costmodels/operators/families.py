"""Families of operators: the shape columns of each, the work they ask for, and the features of their shapes.

FLOP and bytes are the closed forms of the operators; shapes are positive whole numbers, columns of length n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators import processors
from codesign.costmodels.operators.attention import decode_features, decode_work, prefill_features, prefill_work
from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.physics import Grid, Work, bound, rate, waves
from codesign.quantity import Array

Shapes = Mapping[str, Array]
"""Name of a shape column -> its values, shape (n,)."""

UNARY, BINARY, SOFTMAX, NORMALISATION = 0.0, 1.0, 2.0, 3.0
"""Kinds of vector operators, in the column ``kind``."""

FUNCTION = 0.5
"""A unary one of a function that is no single instruction; only processors tell it from other unary ones."""

KINDS = (UNARY, FUNCTION, BINARY, SOFTMAX, NORMALISATION)

VECTOR_FLOP = np.array([1.0, 1.0, 5.0, 6.0])
VECTOR_TENSORS = np.array([2.0, 3.0, 2.0, 2.0])
"""FLOP an element and tensors moved, by kind."""

SKEW_EXPERTS = 1.0
"""Routing skew of an even distribution over experts."""


class Family(NamedTuple):
    """One family.

    Attributes:
        name: Ours.
        shape: Its columns, and the default of those that may be left out (None: required).
        work: Shapes, device columns -> work.
        grows: Columns in which the latency never falls.
        sweeps: Column in which the rows of one shape differ: what is told from neighbours of one shape is no new shape.
        features: Shapes, work, device columns -> features of the shape beside the common ones.
    """

    name: str
    shape: Mapping[str, float | None]
    work: Callable[[Shapes, Columns], Work]
    grows: tuple[str, ...]
    sweeps: str
    features: Callable[[Shapes, Work, Columns], list[Array]]


def _log(values: Array) -> Array:
    return np.log2(np.maximum(values, 1e-12))


def gemm_work(s: Shapes, on: Columns) -> Work:
    """Return the work of ``batch`` products of (m, k) and (k, n)."""
    b, m, n, k = s["batch"], s["m"], s["n"], s["k"]
    moved = b * (on.activation * m * k + on.weight * k * n + on.output * m * n)
    return Work(2.0 * b * m * n * k, moved, (Grid(b, m, n, k),))


def _gemm_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    aligned = [(s[axis] % size == 0).astype(np.float64) for axis, size in (
        ("m", 8), ("n", 8), ("k", 8), ("n", 64), ("k", 64), ("n", 128),
    )]  # fmt: skip
    return [*(_log(s[axis]) for axis in ("batch", "m", "n", "k")), *_tilings(work.grids[0], on), *aligned]


def _tilings(grid: Grid, on: Columns) -> list[Array]:
    """Return, for some tiles, waves, what the last one wastes, and the padding of rows."""
    found: list[Array] = []
    for height, width in ((64, 64), (128, 128), (128, 256)):
        count = waves(grid, on, height, width)
        found += [_log(count), np.ceil(count) / count, np.ceil(grid.rows / height) * height / grid.rows]
    return found


def convolution_work(s: Shapes, on: Columns) -> Work:
    """Return the work of a convolution as the product of an implicit GEMM; input and weights move once."""
    side = np.floor((s["size"] + 2.0 * s["padding"] - s["kernel"]) / s["stride"]) + 1.0
    m, n, k = s["batch"] * side**2, s["outputs"], s["inputs"] * s["kernel"] ** 2
    moved = (
        on.activation * s["batch"] * s["inputs"] * s["size"] ** 2 + on.weight * n * k + on.output * m * n
    )  # fmt: skip
    flops = 2.0 * m * n * k
    # Winograd's minimal filtering (Lavin and Gray, CVPR 2016): 4 x 4 outputs of a 3 x 3 kernel by a quarter of the work
    fewest = np.where((s["kernel"] == 3) & (s["stride"] == 1), flops / 4.0, flops)
    return Work(flops, moved, (Grid(np.ones_like(m), m, n, k),), fewest=(fewest, moved))


def _convolution_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    grid = work.grids[0]
    named = [s[name] for name in ("kernel", "stride", "padding")]
    return [*(_log(s[name]) for name in ("batch", "inputs", "outputs", "size")), *named, _log(grid.rows),
            _log(grid.depth), *_tilings(grid, on)]  # fmt: skip


def moe_work(s: Shapes, on: Columns) -> Work:
    """Return the work of a gated MLP whose tokens are routed to ``topk`` of ``experts``, on one of tp x ep devices."""
    tokens, d, width = s["tokens"], s["hidden"], s["inter"] / s["tp"]
    here = np.maximum(s["experts"] / s["ep"], 1.0)
    routed = tokens * s["topk"] / s["ep"]
    active = here * (1.0 - (1.0 - 1.0 / s["experts"]) ** (tokens * s["topk"]))
    rows = np.maximum(routed / np.maximum(active, 1.0), 1.0)
    moved = 3.0 * active * d * width * on.weight + 2.0 * tokens * d * on.output + 3.0 * routed * width * on.activation
    grids = (Grid(active, rows, 2.0 * width, d), Grid(active, rows, d, width))
    flops = 6.0 * routed * d * width
    # routing that is not even needs fewer experts' weights, at least those of one token
    one = 3.0 * np.minimum(s["topk"], here) / s["ep"] * d * width * on.weight
    return Work(flops, moved, grids, fewest=(flops, one), clocked=True)


def _moe_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    grid = work.grids[0]
    columns = [_log(s[name]) for name in ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep")]
    tiles = grid.repeats * np.ceil(grid.rows / 64.0) * np.ceil(grid.columns / 128.0) / on.cores
    return [*columns, s["skew"], _log(grid.rows), _log(grid.repeats), _log(tiles), np.ceil(tiles) / tiles,
            *_tilings(grid, on)]  # fmt: skip


def vector_work(s: Shapes, on: Columns) -> Work:
    """Return the work of an operator on ``rows`` x ``length`` elements, by its kind."""
    kind = s["kind"].astype(np.int64)
    elements = s["rows"] * s["length"]
    return Work(VECTOR_FLOP[kind] * elements, VECTOR_TENSORS[kind] * on.activation * elements, (), True)


def _vector_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    kinds = [(np.floor(s["kind"]) == kind).astype(np.float64) for kind in (UNARY, BINARY, SOFTMAX, NORMALISATION)]
    spread = s["rows"] / on.cores
    return [_log(s["rows"]), _log(s["length"]), *kinds, _log(spread), np.ceil(spread) / spread,
            (s["length"] % 4 == 0).astype(np.float64), (s["length"] % 128 == 0).astype(np.float64)]  # fmt: skip


ATTENTION = {"batch": None, "heads": None, "kv_heads": None, "head_width": None, "cached": None, "window": 0.0,
             "kv_bytes": None}  # fmt: skip

FAMILIES = {
    family.name: family._replace(work=processors.aware(family.name, family.work))
    for family in (
        Family("gemm", {"batch": 1.0, "m": None, "n": None, "k": None}, gemm_work, ("batch", "m", "n", "k"), "m",
               _gemm_features),
        Family("convolution", dict.fromkeys(("batch", "inputs", "outputs", "size", "kernel", "stride", "padding")),
               convolution_work, ("batch",), "batch", _convolution_features),
        Family("prefill", {**ATTENTION, "new": None}, prefill_work, ("batch", "heads", "cached", "new"),
               "new", prefill_features),
        Family("decode", ATTENTION, decode_work, ("batch", "kv_heads", "cached"), "cached",
               decode_features),
        Family("moe", {**dict.fromkeys(("tokens", "hidden", "inter", "topk", "experts")), "tp": 1.0, "ep": 1.0,
                       "skew": SKEW_EXPERTS}, moe_work, ("tokens",), "tokens", _moe_features),
        Family("vector", dict.fromkeys(("rows", "length", "kind")), vector_work, ("rows",), "rows", _vector_features),
    )
}  # fmt: skip


def features(
    family: Family,
    s: Shapes,
    work: Work,
    on: Columns,
    expected: Array,
    floor: Array,
    *,
    by_power: bool,
    by_generation: bool = False,
) -> NDArray[np.float32]:
    """Return the features of each row, shape (n, features): dimensionless where they can be, and no device's name.

    Args:
        family: Of the rows.
        s: Their shapes.
        work: Their work.
        on: Their devices and formats.
        expected: What the physical form says, s.
        floor: Its floor, s, shape (n,).
        by_power: Add watts of the device for its peak rate, in W for each TFLOP/s.
        by_generation: Add the generation of its architecture.
    """
    common = [
        _log(work.flops / work.bytes) - _log(rate(work, on) / on.bandwidth), _log(work.flops / rate(work, on) / floor),
        _log(work.bytes / on.bandwidth / floor), _log(work.bytes / on.cache), _log(expected / floor),
        _log(bound(work, on) / expected), on.weight, on.activation,
    ]  # fmt: skip
    if by_power:
        common.append(on.power / on.reference * 1e12)
    last = [on.generation] if by_generation else []
    return np.stack(np.broadcast_arrays(*common, *family.features(s, work, on), *last), axis=1).astype(np.float32)
