"""Attention: its work, how kernels tile it, and the features of its shapes.

Prefill gives each core a stripe of queries, which passes over the keys before it tile by tile. Decode gives each core
the heads that share keys of one sequence; where that is fewer than cores, several split the keys (FlashDecoding, Dao et
al. 2023). Kernels read whole tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.physics import STRIPES, Grid, Work
from codesign.costmodels.operators.tilings import log
from codesign.quantity import Array

Shapes = Mapping[str, Array]
"""Name of a shape column -> its values, shape (n,)."""

TILE = 128.0
"""Keys that a kernel reads at once."""

STRIPE, HALF_STRIPE = 128.0, 64.0
"""Queries of one core in prefill; and those of half of its warps, which nothing shortens further."""

CACHED_FROM = 2.0
"""Bytes of a key or value element as products make it, before it is written to the cache in the cache's format."""

SHARED = 64.0
"""Query heads on the same keys that one core takes in decode, at most: the rows of a tile."""

SPLIT = 256.0
"""Keys below which a sequence is not split over cores."""

DECODE_TILES = ((16, 0),)
"""Rows of a tile in decode, as wide as a head."""

ASYNCHRONOUS = 5e12
"""16-bit FLOP/s of a core from which its matrix units read operands by themselves (Hopper has 7.5e12; earlier devices
and those of workstations have 3e12 at most). Without such units stacks run FlashAttention 2, which lets no heads share
keys under a window [1]_.

.. [1] Dao-AILab/flash-attention, csrc/flash_attn/flash_api.cpp: heads take the place of queries where no window is.
"""


OF_SERVERS = (9.0, 10.0)
"""Generation (where there is one), and 16-bit matrix rate over vector rate, from which FlashInfer runs kernels of
TensorRT-LLM: Hopper and Blackwell of servers (15 to 30), not of workstations (4). Both stay when a device only gets
faster."""


class Split(NamedTuple):
    """How decode is spread over the cores; every column of shape (n,).

    Attributes:
        seen: Keys that each query sees.
        shared: Query heads for which keys are read once.
        units: Sequences times groups of such heads.
        parts: In how many parts the keys of a unit are split.
    """

    seen: Array
    shared: Array
    units: Array
    parts: Array


def prefill_work(s: Shapes, on: Columns) -> Work:
    """Return the work of causal attention of ``new`` tokens on ``cached`` ones, of a window where it is not 0.

    Of each query the pairs are the tokens before it; the output is tiled in stripes of queries. A stripe computes whole
    tiles: half of one too much on the diagonal, a whole one with a window, which has two ends.
    """
    b, h, kv, width = s["batch"], s["heads"], s["kv_heads"], s["head_width"]
    new, cached = s["new"], s["cached"]
    pairs = new * cached + new * (new + 1.0) / 2.0
    window = np.where(s["window"] > 0.0, s["window"], np.inf)
    reach = np.minimum(window, new + cached)
    pairs = np.where(np.isfinite(window), np.minimum(pairs, new * reach), pairs)
    flops = 4.0 * b * h * width * pairs
    kept = 2.0 * s["kv_bytes"] * kv * np.minimum(cached + new, reach + new)
    moved = b * width * (2.0 * on.activation * h * new + kept)
    touched = pairs / new + np.where(window < new + cached, TILE, TILE / 2.0)
    touched = np.minimum(touched, np.ceil((new + cached) / TILE) * TILE)
    gathered = _gathered(s, on)
    units, queries = np.where(gathered, b * kv, b * h), np.where(gathered, new * h / kv, new)
    # exponentials of a stripe hide behind nothing; rows of padding take them as well
    functions = units * np.ceil(queries / HALF_STRIPE) * HALF_STRIPE * touched
    return Work(
        flops, moved, (Grid(units, queries, width, 2.0 * touched, STRIPES),), clocked=True, functions=functions,
        begins=units * np.ceil(queries / STRIPE), touched=moved + b * width * new * _prepared(s, on),
    )  # fmt: skip


def _gathered(s: Shapes, on: Columns) -> NDArray[np.bool_]:
    """Return whether query heads that share keys are further queries of one stripe, by what their stack does."""
    level = np.zeros(1) if on.gathers is None else on.gathers
    of_servers = ~(on.generation < OF_SERVERS[0]) & (on.reference > OF_SERVERS[1] * on.vector)
    single, always = s["new"] == 1.0, (level > 3.0) | ((level > 2.0) & ~of_servers)
    return np.asarray(always | (single & ((level > 1.0) | ((level > 0.0) & (s["window"] == 0.0)))))


def _prepared(s: Shapes, on: Columns) -> Array:
    """Return the bytes that move before attention itself, for each new token and element of a head.

    Keys and values are written to the cache; some stacks also take the queries apart from them in a pass of its own.
    """
    h, kv = s["heads"], s["kv_heads"]
    written = 2.0 * kv * s["kv_bytes"]
    taken_apart = (h + 2.0 * kv) * CACHED_FROM + h * on.activation + written
    packed = False if on.packed is None else on.packed > 0.0
    return np.where(packed, taken_apart, 2.0 * kv * CACHED_FROM + written)


def split(s: Shapes, on: Columns) -> Split:
    """Return how decode kernels spread ``s`` over the cores."""
    b, h, width = s["batch"], s["heads"], s["window"]
    seen = np.where(width > 0.0, np.minimum(width, s["cached"]), s["cached"])
    group = h / s["kv_heads"]
    limit = np.inf if on.sharing is None else on.sharing
    alone = (group > limit) | (np.isinf(limit) & _windows_apart(s, on))
    shared = np.where(alone, 1.0, np.minimum(group, SHARED))
    units = b * h / shared
    # rising in the keys: from SPLIT on each core takes as few as that, until no core is left
    parts = np.clip(seen / SPLIT, 1.0, np.maximum(np.floor(on.cores / units), 1.0))
    return Split(seen, shared, units, parts)


def _windows_apart(s: Shapes, on: Columns) -> NDArray[np.bool_]:
    return (s["window"] > 0.0) & (s["kv_bytes"] >= 2.0) & (on.reference < ASYNCHRONOUS * on.cores)


def decode_work(s: Shapes, on: Columns) -> Work:
    """Return the work of one new token a sequence on ``cached`` ones; of a few tokens a whole tile is read."""
    b, h, kv, width = s["batch"], s["heads"], s["kv_heads"], s["head_width"]
    spread = split(s, on)
    queries, key = 2.0 * on.activation * h, 2.0 * s["kv_bytes"] * kv
    moved, tiles = (b * width * (key * keys + queries) for keys in (spread.seen, np.maximum(spread.seen, TILE)))
    keys = np.maximum(spread.seen, TILE) / spread.parts
    # what a core reads binds, and keys may be narrower than the format
    depth = 2.0 * keys * s["kv_bytes"] / on.weight
    grid = Grid(spread.units * spread.parts, spread.shared, width, depth, DECODE_TILES)
    return Work(4.0 * b * h * width * spread.seen, moved, (grid,), touched=tiles, clocked=True)


def _common(s: Shapes, on: Columns) -> list[Array]:
    columns = [log(s[name]) for name in ("batch", "heads", "kv_heads", "head_width", "cached")]
    share = [s["heads"] / s["kv_heads"], s["kv_bytes"], (s["window"] > 0.0).astype(np.float64)]
    return [*columns, *share, *(log(s["batch"] * s[name] / on.cores) for name in ("heads", "kv_heads"))]


def prefill_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    """Return the features of prefill beside the common ones."""
    stripes = s["batch"] * s["heads"] * np.ceil(s["new"] / STRIPE) / on.cores
    reach = np.where(s["window"] > 0.0, np.minimum(s["window"], s["new"] + s["cached"]), s["new"] + s["cached"])
    packed = np.zeros(np.shape(reach)) if on.packed is None else on.packed
    return [*_common(s, on), log(s["new"]), log(stripes), np.ceil(stripes) / stripes, log(reach),
            log(work.grids[0].depth), packed]  # fmt: skip


def decode_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    """Return the features of decode beside the common ones."""
    spread = split(s, on)
    return [*_common(s, on), log(spread.units / on.cores), log(spread.seen), log(spread.parts), log(spread.shared)]
