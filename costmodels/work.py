"""What a phase asks of any target: FLOP per unit and dtype, bytes, messages, launches, per group.

Nothing here depends on a target, so one structure's work is derived once and priced on every target.
Units: FLOP, bytes, seconds. Arrays broadcast over design points; swept groups carry a leading axis of
quadrature nodes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from codesign.costmodels.operators.shapes import Shape, shapes_of
from codesign.workload.einsum import PERSISTENT, Collective, Compute, Einsum, Host, Lookup, Transfer, op_ranks
from codesign.workload.graph import Group, Phase
from codesign.workload.sweep import at, quadrature


class GroupWork(msgspec.Struct, frozen=True, eq=False):
    """The work of one launch of a group.

    ``compute`` sums FLOP per kind of compute, tensor units first; ``lasting`` bytes belong to weights, caches and
    state, ``passing`` bytes to activations that die with the next kernel. ``shapes`` are the measured operators that it
    is like, ``ops`` its operators themselves.
    """

    name: str
    family: str
    repeat: Any
    compute: tuple[tuple[Compute, Any], ...]
    lasting: Any
    passing: Any
    collectives: tuple[Collective, ...]
    transfers: tuple[Transfer, ...]
    host: Any
    launches: int
    main: bool
    kernel: bool
    swept: bool
    shapes: tuple[Shape, ...] = ()
    ops: tuple[Any, ...] = ()


class PhaseWork(msgspec.Struct, frozen=True, eq=False):
    """The work of a phase: its groups, and the quadrature weights of its sweep (None where it runs once)."""

    name: str
    groups: tuple[GroupWork, ...]
    weights: Any


def phase_work(phase: Phase) -> PhaseWork:
    """Return the work of all steps of ``phase``."""
    internal = phase.internal()
    weights: Any = None
    extents: Any = None
    if phase.steps is not None:
        extents, weights = quadrature(phase.steps)
    groups = []
    for block, group in phase.groups():
        changed = _at_nodes(group, phase.steps.rank, extents) if phase.steps is not None else group
        groups.append(group_work(changed, block.repeat, internal, swept=changed is not group))
    return PhaseWork(phase.name, tuple(groups), weights)


def group_work(group: Group, repeat: Any, internal: frozenset[str], swept: bool = False) -> GroupWork:
    """Return the work of one launch of ``group``; tensors named in ``internal`` never touch memory."""
    compute: dict[Compute, Any] = {}
    collectives: list[Collective] = []
    transfers: list[Transfer] = []
    host: Any = 0.0
    kernel = False
    for op in group.ops:
        if isinstance(op, Einsum):
            kernel = True
            # FLOP per point is in the count already: two operators of one dtype share an entry
            kind = Compute(op.compute.unit, op.compute.dtype)
            compute[kind] = compute.get(kind, 0.0) + op.flops()
        elif isinstance(op, Lookup):
            kernel = True
        elif isinstance(op, Collective):
            collectives.append(op)
        elif isinstance(op, Transfer):
            transfers.append(op)
        elif isinstance(op, Host):
            host = host + op.seconds
    lasting: Any = 0.0
    passing: Any = 0.0
    for t, op, is_write in group.memory_views(internal):
        size = op.gathered() if isinstance(op, Lookup) and not is_write else t.traffic(op_ranks(op))
        if t.role in PERSISTENT:
            lasting = lasting + size
        else:
            passing = passing + size
    ordered = tuple(sorted(compute.items(), key=lambda item: item[0].unit != "tensor"))
    return GroupWork(
        group.name, group.family, repeat, ordered, lasting, passing, tuple(collectives), tuple(transfers), host,
        group.launches, group.stream == "main", kernel, swept, shapes_of(group),
        group.ops,
    )  # fmt: skip


def _at_nodes(group: Group, rank: str, extents: Any) -> Group:
    ops = tuple(at(op, rank, extents) for op in group.ops)
    if all(new is old for new, old in zip(ops, group.ops, strict=True)):
        return group
    return msgspec.structs.replace(group, ops=ops)
