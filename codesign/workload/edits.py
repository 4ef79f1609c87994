"""The primitive edits that techniques are made of.

A technique is a function Workload -> Workload composed of these: retype, scale a slot, move to a tier,
replace, split, merge, overlap, repeat, mix. Nothing else writes ``density``, ``bits``, ``touched``,
``stored`` or ``tier``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from codesign.workload.einsum import Compute, Einsum, Extent, Lookup, Op, Role, Tensor, Transfer
from codesign.workload.graph import Block, Group, Phase, Workload
from codesign.workload.sweep import at

Select = Callable[[Tensor], bool]
replace = msgspec.structs.replace


def by_role(*roles: Role) -> Select:
    """Select tensors by role."""
    return lambda t: t.role in roles


def by_name(*names: str) -> Select:
    """Select tensors by name."""
    return lambda t: t.name in names


def map_groups(workload: Workload, change: Callable[[Group], Group | Sequence[Group]]) -> Workload:
    """Return ``workload`` with every group replaced by the group or groups that ``change`` returns."""

    def changed(block: Block) -> Block:
        groups: list[Group] = []
        for group in block.groups:
            new = change(group)
            groups.extend([new] if isinstance(new, Group) else new)
        return replace(block, groups=tuple(groups))

    phases = tuple(replace(phase, blocks=tuple(changed(b) for b in phase.blocks)) for phase in workload.phases)
    return replace(workload, phases=phases)


def map_ops(workload: Workload, change: Callable[[Op], Op]) -> Workload:
    """Return ``workload`` with every operator replaced by what ``change`` returns."""
    return map_groups(workload, lambda group: replace(group, ops=tuple(change(op) for op in group.ops)))


def map_tensors(workload: Workload, select: Select, change: Callable[[Tensor], Tensor]) -> Workload:
    """Return ``workload`` with every selected tensor view changed."""

    def one(t: Tensor) -> Tensor:
        return change(t) if select(t) else t

    def op_changed(op: Op) -> Op:
        if isinstance(op, Einsum):
            return replace(op, inputs=tuple(one(t) for t in op.inputs), output=one(op.output))
        if isinstance(op, Lookup):
            return replace(op, table=one(op.table), output=one(op.output))
        return op

    return map_ops(workload, op_changed)


def retype(workload: Workload, select: Select, bits: Extent) -> Workload:
    """Set the effective storage bits (scales included) of the selected tensors."""
    return map_tensors(workload, select, lambda t: replace(t, bits=bits))


def compute_dtype(workload: Workload, dtype: str, families: frozenset[str] | None = None) -> Workload:
    """Run the tensor-unit operators (of the given group families, or all) at another compute dtype."""

    def change(group: Group) -> Group:
        if families is not None and group.family not in families:
            return group
        return replace(group, ops=tuple(_at_dtype(op, dtype) for op in group.ops))

    return map_groups(workload, change)


def _at_dtype(op: Op, dtype: str) -> Op:
    if isinstance(op, Einsum) and op.compute.unit == "tensor":
        return replace(op, compute=Compute("tensor", dtype, op.compute.flops))
    return op


def scale(workload: Workload, slot: str, select: Select, ratio: Extent) -> Workload:
    """Multiply ``slot`` (touched or stored) of the selected tensors by ``ratio``."""
    if slot not in ("touched", "stored"):
        raise ValueError(f"slot {slot!r} is not one of touched, stored")
    return map_tensors(workload, select, lambda t: replace(t, **{slot: getattr(t, slot) * ratio}))


def densify(workload: Workload, names: frozenset[str], ratio: Extent) -> Workload:
    """Multiply the executed share of the iteration space of the named operators by ``ratio``."""

    def change(op: Op) -> Op:
        return replace(op, density=op.density * ratio) if isinstance(op, Einsum) and op.name in names else op

    return map_ops(workload, change)


def move(workload: Workload, select: Select, tier: str, hit_rate: Extent = 0.0) -> Workload:
    """Keep the selected tensors in ``tier``; a share ``hit_rate`` of their reads is served by a cache on the device.

    Each group that reads such a tensor first transfers the missing share over the link to the device.
    """

    def change(group: Group) -> Group:
        misses: list[Op] = []
        for t, op, is_write in group.memory_views():
            if select(t) and not is_write and isinstance(op, Einsum):
                misses.append(Transfer(f"{t.name}.load", t.traffic(op.ranks) * (1 - hit_rate), tier, "device"))
        return replace(group, ops=(*misses, *group.ops)) if misses else group

    loaded = map_groups(workload, change)
    return map_tensors(loaded, select, lambda t: replace(t, tier=tier))


def substitute(workload: Workload, name: str, groups: Sequence[Group]) -> Workload:
    """Replace every group called ``name`` by ``groups``."""
    return map_groups(workload, lambda group: tuple(groups) if group.name == name else group)


def split(workload: Workload, name: str, rank: str, tile: int) -> Workload:
    """Split the group ``name`` along ``rank`` into tiles of ``tile``, the last one the remainder.

    Each piece is a launch of its own, and reads again whatever lacks the rank.
    """

    def change(group: Group) -> Group | Sequence[Group]:
        if group.name != name:
            return group
        extent = next(int(op.ranks[rank]) for op in group.ops if isinstance(op, Einsum) and rank in op.ranks)
        sizes = [min(tile, extent - start) for start in range(0, extent, tile)]
        return [
            replace(group, name=f"{name}.{index}", ops=tuple(at(op, rank, size) for op in group.ops))
            for index, size in enumerate(sizes)
        ]

    return map_groups(workload, change)


def merge(workload: Workload, names: Sequence[str], name: str) -> Workload:
    """Fuse adjacent groups called ``names``, in this order, into one kernel of the first one's family."""

    def changed(block: Block) -> Block:
        groups = list(block.groups)
        for start in range(len(groups) - len(names) + 1):
            if [g.name for g in groups[start : start + len(names)]] == list(names):
                chain = groups[start : start + len(names)]
                fused = Group(name, tuple(op for g in chain for op in g.ops), chain[0].family)
                return replace(block, groups=(*groups[:start], fused, *groups[start + len(names) :]))
        return block

    phases = tuple(replace(phase, blocks=tuple(changed(b) for b in phase.blocks)) for phase in workload.phases)
    return replace(workload, phases=phases)


def overlap(workload: Workload, names: frozenset[str], stream: str) -> Workload:
    """Run the named groups on ``stream``, beside the group that stands before them in program order."""
    return map_groups(workload, lambda g: replace(g, stream=stream) if g.name in names else g)


def repeat(workload: Workload, phase: str, times: Extent) -> Workload:
    """Multiply how often the blocks of ``phase`` run (denoising steps, best-of-N, speculative acceptance)."""
    phases = tuple(
        replace(p, blocks=tuple(replace(b, repeat=b.repeat * times) for b in p.blocks)) if p.name == phase else p
        for p in workload.phases
    )
    return replace(workload, phases=phases)


def mix(parts: Sequence[tuple[Extent, Workload]], name: str) -> Workload:
    """Return the expected workload of a mixture: each part's phases run with its probability."""
    phases: list[Phase] = []
    units: dict[str, Any] = {}
    for weight, part in parts:
        for phase in part.phases:
            blocks = tuple(replace(b, repeat=b.repeat * weight) for b in phase.blocks)
            phases.append(replace(phase, name=f"{part.name}.{phase.name}", blocks=blocks))
        for unit, count in part.units.items():
            units[unit] = units.get(unit, 0) + weight * count
    return Workload(name, tuple(phases), units)


def recompute(workload: Workload, forward: str = "forward", backward: str = "backward") -> Workload:
    """Run the forward pass of every repeated block again before its backward pass (activation checkpointing)."""
    source = workload.phase(forward)
    again = tuple(b for b in source.blocks if not isinstance(b.repeat, int) or b.repeat > 1)
    phases = tuple(
        replace(p, blocks=(*(replace(b, name=f"{b.name}.recompute") for b in again), *p.blocks))
        if p.name == backward
        else p
        for p in workload.phases
    )
    return replace(workload, phases=phases)
