"""Softmax attention as a cascade of three passes, of two and of one over the keys (FuseMax [1]_, section IV).

Scores are QK[m, p] for key m and query p; m1 counts tiles of keys, m0 the keys of a tile. Three passes: the maximum,
then exponentials and their sum, then the division and the product with V. Two passes: each tile uses its own maximum,
and a correction joins the tiles. One pass: maximum, sum and product are running values, rescaled tile by tile, so that
no buffer grows with the number of keys. Names of Einsums are those of the paper. Elements are 16 bits.

.. [1] Nayak et al., FuseMax: leveraging extended Einsums to optimize attention accelerator design, MICRO 2024.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.accelerator.cascade import Cascade, ranks_of
from codesign.costmodels.accelerator.extents import whole
from codesign.errors import UsageError
from codesign.workload import MULTIPLY_ADD, Axis, Compute, Einsum, Tensor, axes, vector


class AttentionShape(NamedTuple):
    """Extents of one attention layer; fields broadcast over designs.

    Attributes:
        batch: B.
        heads: H.
        queries: P.
        keys: M.
        embedding: E, of a query or key of one head.
        value: F, of a value of one head.
    """

    batch: Any
    heads: Any
    queries: Any
    keys: Any
    embedding: Any = 64
    value: Any = 64


def three_pass(shape: AttentionShape) -> Cascade:
    """Return attention as frameworks write it: the softmax, then its product with V."""
    ranks = _ranks(shape, None)
    return Cascade("3-pass attention", (
        _einsum("QK", ranks, "b h m p", ("Q", "b h e p"), ("K", "b h e m")),
        _einsum("GM", ranks, "b h p", ("QK", "b h m p"), compute=vector()),
        _einsum("SN", ranks, "b h m p", ("QK", "b h m p"), ("GM", "b h p"), compute=vector(flops=2)),
        _einsum("SD", ranks, "b h p", ("SN", "b h m p"), compute=vector()),
        _einsum("A", ranks, "b h m p", ("SN", "b h m p"), ("SD", "b h p"), compute=vector()),
        _einsum("AV", ranks, "b h f p", ("A", "b h m p"), ("V", "b h f m")),
    ))  # fmt: skip


def two_pass(shape: AttentionShape, tile: int = 256) -> Cascade:
    """Return attention with a maximum of each tile, corrected once all tiles are known.

    Raises:
        UsageError: ``tile`` does not divide the keys.
    """
    ranks = _ranks(shape, tile)
    return Cascade("2-pass attention", (
        _einsum("QK", ranks, "b h m1 m0 p", ("Q", "b h e p"), ("K", "b h e m1 m0")),
        _einsum("LM", ranks, "b h m1 p", ("QK", "b h m1 m0 p"), compute=vector()),
        _einsum("SLN", ranks, "b h m1 m0 p", ("QK", "b h m1 m0 p"), ("LM", "b h m1 p"), compute=vector(flops=2)),
        _einsum("SLD", ranks, "b h m1 p", ("SLN", "b h m1 m0 p"), compute=vector()),
        _einsum("GM", ranks, "b h p", ("LM", "b h m1 p"), compute=vector()),
        _einsum("PRM", ranks, "b h m1 p", ("LM", "b h m1 p"), ("GM", "b h p"), compute=vector(flops=2)),
        _einsum("SD", ranks, "b h p", ("SLD", "b h m1 p"), ("PRM", "b h m1 p"), compute=vector(flops=2)),
        _einsum("SC", ranks, "b h m1 p", ("PRM", "b h m1 p"), ("SD", "b h p"), compute=vector()),
        _einsum("A", ranks, "b h m1 m0 p", ("SLN", "b h m1 m0 p"), ("SC", "b h m1 p"), compute=vector()),
        _einsum("AV", ranks, "b h f p", ("A", "b h m1 m0 p"), ("V", "b h f m1 m0")),
    ), {"m": ("m1", "m0")})  # fmt: skip


def one_pass(shape: AttentionShape, tile: int = 256) -> Cascade:
    """Return attention with running maximum, sum and product: generation ``m1 + 1`` from generation ``m1``.

    Raises:
        UsageError: ``tile`` does not divide the keys.
    """
    ranks = _ranks(shape, tile)
    scaled = vector(flops=2)
    return Cascade("1-pass attention", (
        _einsum("QK", ranks, "b h m1 m0 p", ("Q", "b h e p"), ("K", "b h e m1 m0")),
        _einsum("LM", ranks, "b h m1 p", ("QK", "b h m1 m0 p"), compute=vector()),
        _einsum("RM", ranks, "b h m1+ p", ("RM", "b h m1 p"), ("LM", "b h m1 p"), compute=vector()),
        _einsum("SLN", ranks, "b h m1 m0 p", ("QK", "b h m1 m0 p"), ("RM", "b h m1+ p"), compute=scaled),
        _einsum("SLD", ranks, "b h m1 p", ("SLN", "b h m1 m0 p"), compute=vector()),
        _einsum("SLNV", ranks, "b h m1 f p", ("SLN", "b h m1 m0 p"), ("V", "b h f m1 m0")),
        _einsum("PRM", ranks, "b h m1 p", ("RM", "b h m1 p"), ("RM", "b h m1+ p"), compute=scaled),
        _einsum("SPD", ranks, "b h m1 p", ("RD", "b h m1 p"), ("PRM", "b h m1 p"), compute=vector()),
        _einsum("RD", ranks, "b h m1+ p", ("SLD", "b h m1 p"), ("SPD", "b h m1 p"), compute=vector()),
        _einsum("SPNV", ranks, "b h m1 f p", ("RNV", "b h m1 f p"), ("PRM", "b h m1 p"), compute=vector()),
        _einsum("RNV", ranks, "b h m1+ f p", ("SLNV", "b h m1 f p"), ("SPNV", "b h m1 f p"), compute=vector()),
        _einsum("AV", ranks, "b h f p", ("RNV", "b h last f p"), ("RD", "b h last p"), compute=vector()),
    ), {"m": ("m1", "m0")})  # fmt: skip


def _ranks(shape: AttentionShape, tile: int | None) -> dict[str, Any]:
    ranks: dict[str, Any] = {}
    for rank, name in zip("bhpmef", AttentionShape._fields, strict=True):
        extent = whole(name, getattr(shape, name))
        ranks[rank] = extent if extent.ndim else int(extent)
    if tile is not None:
        keys, size = ranks.pop("m"), int(whole("tile", tile))
        if np.any(keys % size):
            raise UsageError(f"tile: {size} does not divide {keys} keys")
        ranks |= {"m1": keys // size, "m0": size}
    return ranks


def _einsum(
    name: str, ranks: dict[str, Any], written: str, *reads: tuple[str, str], compute: Compute = MULTIPLY_ADD
) -> Einsum:
    output, inputs = _view(name, written), tuple(_view(source, where) for source, where in reads)
    used = frozenset[str]().union(*(ranks_of(view) for view in (*inputs, output)))
    return Einsum(name, {rank: ranks[rank] for rank in ranks if rank in used}, inputs, output, compute)


def _view(name: str, where: str) -> Tensor:
    """Return a view whose axis ``m1+`` is one generation on, and ``last`` the final one: an axis without a rank."""
    found: list[Axis] = []
    for word in where.split():
        if word == "last":
            found.append(Axis(()))
        elif word.endswith("+"):
            found.append(Axis(((word[:-1], 1),), 1))
        else:
            found += axes(word)
    return Tensor(name, tuple(found))
