"""Operators as extended Einsums: FLOPs, bytes and footprints derive from one description.

An Einsum [1]_ [2]_ names the ranks it iterates over; each tensor axis is an affine function of ranks
(``stride * P + dilation * R - pad`` for a convolution). Rank extents are exact integers or arrays that
broadcast over design points. Four slots belong to techniques and to nothing else:
``density`` (share of the iteration space executed), ``bits`` (effective storage, scales included),
``touched`` (share read per use), ``stored`` (share kept); ``tier`` names the memory that holds a tensor.
Compute dtype is structural and apart from storage: W4A16 computes at the bf16 peak.

Units: FLOP (a multiply-add is 2), bytes, seconds.

.. [1] Odemuyiwa et al., The EDGE language: extended general Einsums, 2024.
.. [2] Nayak et al., FuseMax, MICRO 2024, section 3.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Extent = int | float | NDArray[Any]
"""An exact integer (loop nests), or an array that broadcasts over design points."""

Ranks = Mapping[str, Extent]


class Role(enum.Enum):
    """What a tensor is for; edits select by role, and memory is accounted by role."""

    WEIGHT = "weight"
    ACTIVATION = "activation"
    KV = "kv"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    STATE = "state"
    INDEX = "index"


PERSISTENT = frozenset({Role.WEIGHT, Role.KV, Role.GRADIENT, Role.OPTIMIZER, Role.STATE})
"""Roles that always live in memory, even inside a fused group."""


class Axis(msgspec.Struct, frozen=True):
    """One tensor axis: coordinate ``sum(stride * rank) + offset``, inside ``[0, size)`` if a size is given."""

    terms: tuple[tuple[str, int], ...]
    offset: int = 0
    size: int | None = None

    def extent(self, ranks: Ranks) -> Extent:
        """Return how many coordinates the axis visits: a sliding window visits its union once."""
        if len(self.terms) == 1:
            # one rank visits one coordinate per step, whatever its stride
            return ranks[self.terms[0][0]]
        last: Extent = self.offset
        for rank, stride in self.terms:
            last = last + stride * (ranks[rank] - 1)
        visited = last - max(0, self.offset) + 1
        if self.size is None:
            return visited
        return min(visited, self.size) if isinstance(visited, int) else np.minimum(visited, self.size)


def axes(ranks: str) -> tuple[Axis, ...]:
    """Return one plain axis per rank named in ``ranks`` (``"b s d"``)."""
    return tuple(Axis(((rank, 1),)) for rank in ranks.split())


class Tensor(msgspec.Struct, frozen=True, eq=False):
    """A tensor as one operator sees it. The producer of a cache writes a slice of what its reader sees."""

    name: str
    axes: tuple[Axis, ...]
    role: Role = Role.ACTIVATION
    bits: Extent = 16
    touched: Extent = 1
    stored: Extent = 1
    tier: str = "device"

    def elements(self, ranks: Ranks) -> Extent:
        """Return the number of elements of this view."""
        return prod((axis.extent(ranks) for axis in self.axes), start=1)

    def footprint(self, ranks: Ranks) -> Extent:
        """Return the bytes this view occupies."""
        return self.elements(ranks) * self.bits * self.stored / 8

    def traffic(self, ranks: Ranks) -> Extent:
        """Return the bytes moved when this view is read or written once."""
        return self.footprint(ranks) * self.touched


def tensor(name: str, ranks: str, role: Role = Role.ACTIVATION, bits: Extent = 16, **slots: Any) -> Tensor:
    """Return a tensor with one plain axis per rank in ``ranks``."""
    return Tensor(name, axes(ranks), role, bits, **slots)


class Compute(msgspec.Struct, frozen=True):
    """What one iteration point costs: the unit that runs it, the compute dtype, FLOP per point."""

    unit: str = "tensor"
    dtype: str = "bf16"
    flops: float = 2.0


MULTIPLY_ADD = Compute()


def vector(dtype: str = "fp32", flops: float = 1.0) -> Compute:
    """Return elementwise work of ``flops`` per point on the vector unit."""
    return Compute("vector", dtype, flops)


class Einsum(msgspec.Struct, frozen=True, eq=False):
    """``output[...] = combine(inputs[...])`` over ``ranks``; ranks absent from the output are reduced."""

    name: str
    ranks: Ranks
    inputs: tuple[Tensor, ...]
    output: Tensor
    compute: Compute = MULTIPLY_ADD
    density: Extent = 1

    def points(self) -> Extent:
        """Return the executed iteration points."""
        return prod(self.ranks.values(), start=1) * self.density

    def flops(self) -> Extent:
        """Return the executed FLOP."""
        return self.points() * self.compute.flops

    def reduced(self) -> frozenset[str]:
        """Return the ranks that the output does not carry."""
        kept = {rank for axis in self.output.axes for rank, _ in axis.terms}
        return frozenset(self.ranks) - kept


class Lookup(msgspec.Struct, frozen=True, eq=False):
    """Gather of ``rows`` rows of a table: only the rows looked up move. ``ranks`` give the table's extents."""

    name: str
    ranks: Ranks
    table: Tensor
    rows: Extent
    output: Tensor

    def gathered(self) -> Extent:
        """Return the bytes read from the table: one row is the table without its first axis."""
        row = prod((axis.extent(self.ranks) for axis in self.table.axes[1:]), start=1)
        return self.rows * row * self.table.bits / 8 * self.table.touched


class Collective(msgspec.Struct, frozen=True, eq=False):
    """A collective of ``payload`` bytes per participant over the mesh axis ``axis``.

    ``kind`` is all_reduce, all_gather, reduce_scatter, all_to_all or send; ``payload`` is the full vector
    for the first three (as NCCL counts it), what one participant holds for the others.
    """

    name: str
    kind: str
    payload: Extent
    axis: str


class Transfer(msgspec.Struct, frozen=True, eq=False):
    """Bytes moved between two memory tiers, over a link named after the pair."""

    name: str
    payload: Extent
    source: str
    destination: str


class Host(msgspec.Struct, frozen=True, eq=False):
    """Work of the host in seconds that no kernel hides (sampling, scheduling)."""

    name: str
    seconds: Extent


Op = Einsum | Lookup | Collective | Transfer | Host


def op_inputs(op: Op) -> tuple[Tensor, ...]:
    """Return the tensors that ``op`` reads."""
    if isinstance(op, Einsum):
        return op.inputs
    return (op.table,) if isinstance(op, Lookup) else ()


def op_output(op: Op) -> Tensor | None:
    """Return the tensor that ``op`` writes."""
    return op.output if isinstance(op, Einsum | Lookup) else None


def op_ranks(op: Op) -> Ranks:
    """Return the rank extents of ``op`` (empty for operators that are no Einsum)."""
    return op.ranks if isinstance(op, Einsum | Lookup) else {}
