"""What the network sees of an operator: inputs that its latency rises with, and inputs that say what kind it is.

The first are times, in units of the floor, and sizes: each grows, or stays, when the operator grows or the device gets
slower, and no input of the second sort changes then. A network that rises with the first is monotone in both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.families import Family, Shapes
from codesign.costmodels.operators.physics import Grid, Work, rate
from codesign.costmodels.operators.vector_kinds import BINARY, NORMALISATION, SOFTMAX, UNARY
from codesign.quantity import Array

LEAST = -8.0
"""Logarithm to base 2 below which a time beside the floor makes no difference."""

TILES = ((64, 64), (128, 128), (128, 256))

RISING = {
    "gemm": ("batch", "m"), "convolution": ("batch",), "vector": ("rows",), "moe": ("tokens",),
    "prefill": ("batch", "new", "cached"), "decode": ("batch", "cached"),
}  # fmt: skip
"""Family -> sizes that its latency rises with: those that a design varies while the model stays."""

KIND = {
    "gemm": ("n", "k"), "convolution": ("inputs", "outputs", "size", "kernel", "stride"), "vector": ("length",),
    "moe": ("hidden", "inter", "topk", "experts", "tp", "ep", "skew"),
    "prefill": ("heads", "kv_heads", "head_width", "kv_bytes"),
    "decode": ("heads", "kv_heads", "head_width", "kv_bytes"),
}  # fmt: skip
"""Family -> sizes that say what kind of operator it is: kernels are chosen by them, so latency may fall with them."""

ALIGNED = {"gemm": (("n", 8), ("k", 8), ("n", 64), ("k", 64), ("n", 128)), "vector": (("length", 4), ("length", 128))}


class Inputs(NamedTuple):
    """Inputs of the network.

    Attributes:
        rising: Shape (n, r); latency never falls with any.
        kind: Shape (n, k).
    """

    rising: NDArray[np.float64]
    kind: NDArray[np.float64]


def inputs(family: Family, s: Shapes, work: Work, on: Columns, expected: Array, floor: Array) -> Inputs:
    """Return the inputs of each row.

    Args:
        family: Of the rows.
        s: Their shapes.
        work: Their work.
        on: Their devices and formats.
        expected: What the physical form says, s.
        floor: Its floor, s.
    """
    peak = rate(work, on)
    times = [expected, work.flops / peak, work.bytes / on.bandwidth, work.bytes / np.maximum(on.cache_bandwidth, 1.0)]
    for grid in () if family.name == "decode" else work.grids[:1]:
        tiles = TILES if grid.tiles[0][1] else ((64, 0), (128, 0))
        times += [_tiled(grid, on.cores, peak, height, width) for height, width in tiles]
    rising = [np.maximum(np.log2(time / floor), LEAST) for time in times]
    rising += [np.log2(np.maximum(s[name], 0.5)) for name in RISING[family.name]]
    kind = [on.weight, on.activation, *(np.log2(np.maximum(s[name], 0.5)) for name in KIND[family.name])]
    kind += [(s[name] % size == 0).astype(np.float64) for name, size in ALIGNED.get(family.name, ())]
    if family.name in ("prefill", "decode"):
        kind.append((s["window"] > 0.0).astype(np.float64))
    if family.name == "vector":
        kind += [(np.floor(s["kind"]) == which).astype(np.float64) for which in (UNARY, BINARY, SOFTMAX, NORMALISATION)]
    count = np.shape(expected)
    return Inputs(*(np.stack([np.broadcast_to(c, count) for c in columns], axis=1) for columns in (rising, kind)))


def _tiled(grid: Grid, cores: Array, peak: Array, height: int, width: int) -> Array:
    """Return the seconds of waves of one tile size at the peak."""
    wide = np.asarray(width or grid.columns, np.float64)
    count = np.ceil(grid.repeats * np.ceil(grid.rows / height) * np.ceil(grid.columns / wide) / cores)
    return np.asarray(count * height * wide * grid.depth * 2.0 * cores / peak)
