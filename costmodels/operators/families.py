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
from codesign.costmodels.operators.mixture import mixture_features, mixture_work
from codesign.costmodels.operators.physics import LOADS, MIXED_POWER_HARDNESS, Grid, Work, bound, rate
from codesign.costmodels.operators.routing import SKEW_EXPERTS
from codesign.costmodels.operators.tilings import log, tilings
from codesign.costmodels.operators.vector_kinds import BINARY, NORMALISATION, SOFTMAX, UNARY
from codesign.quantity import Array

Shapes = Mapping[str, Array]
"""Name of a shape column -> its values, shape (n,)."""

VECTOR_FLOP = np.array([1.0, 1.0, 5.0, 6.0])
VECTOR_TENSORS = np.array([2.0, 3.0, 2.0, 2.0])
"""FLOP an element and tensors moved, by kind."""


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


def gemm_work(s: Shapes, on: Columns) -> Work:
    """Return the work of ``batch`` products of (m, k) and (k, n); some formats first convert the (m, k)."""
    b, m, n, k = s["batch"], s["m"], s["n"], s["k"]
    moved = b * (on.activation * m * k + on.weight * k * n + on.output * m * n)
    # fp32 is never converted to, and the eighth parameter of its products is another
    converted = None if np.all(on.full > 0.0) else b * m * k * on.converting
    grid = Grid(b, m, n, k, loads=LOADS, least=on.tile)
    return Work(2.0 * b * m * n * k, moved, (grid,), converted=converted)


def _gemm_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    aligned = [(s[axis] % size == 0).astype(np.float64) for axis, size in (
        ("m", 8), ("n", 8), ("k", 8), ("n", 64), ("k", 64), ("n", 128),
    )]  # fmt: skip
    return [*(log(s[axis]) for axis in ("batch", "m", "n", "k")), *tilings(work.grids[0], on), *aligned]


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
    grid = Grid(np.ones_like(m), m, n, k)
    return Work(flops, moved, (grid,), fewest=(fewest, moved), power_hardness=MIXED_POWER_HARDNESS)


def _convolution_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    grid = work.grids[0]
    named = [s[name] for name in ("kernel", "stride", "padding")]
    return [*(log(s[name]) for name in ("batch", "inputs", "outputs", "size")), *named, log(grid.rows),
            log(grid.depth), *tilings(grid, on)]  # fmt: skip


def vector_work(s: Shapes, on: Columns) -> Work:
    """Return the work of an operator on ``rows`` x ``length`` elements, by its kind."""
    kind = s["kind"].astype(np.int64)
    elements = s["rows"] * s["length"]
    return Work(VECTOR_FLOP[kind] * elements, VECTOR_TENSORS[kind] * on.activation * elements, (), True)


def _vector_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    kinds = [(np.floor(s["kind"]) == kind).astype(np.float64) for kind in (UNARY, BINARY, SOFTMAX, NORMALISATION)]
    spread = s["rows"] / on.cores
    return [log(s["rows"]), log(s["length"]), *kinds, log(spread), np.ceil(spread) / spread,
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
                       "skew": SKEW_EXPERTS}, mixture_work, ("tokens",), "tokens", mixture_features),
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
        log(work.flops / work.bytes) - log(rate(work, on) / on.bandwidth), log(work.flops / rate(work, on) / floor),
        log(work.bytes / on.bandwidth / floor), log(work.bytes / on.cache), log(expected / floor),
        log(bound(work, on) / expected), on.weight, on.activation,
    ]  # fmt: skip
    if by_power:
        common.append(on.power / on.reference * 1e12)
    last = [on.generation] if by_generation else []
    return np.stack(np.broadcast_arrays(*common, *family.features(s, work, on), *last), axis=1).astype(np.float32)
