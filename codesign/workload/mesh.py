"""Meshes of devices and sharding: ceil-division with replication, collectives where a sum is split.

A mesh has named axes (dp, tp, pp, ep, cp). A plan says, per mesh axis, which ranks it divides; a chain of
ranks is divided in order, so key-value heads are split first and what is left of the degree splits the
query heads of a group (replicating keys and values when there are fewer than devices). Where a divided
rank is summed over, the output is a partial sum, and an all-reduce over that axis follows [1]_.

.. [1] Shoeybi et al., Megatron-LM, 2019, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import msgspec
import numpy as np

from codesign.workload.einsum import Collective, Einsum, Extent, Lookup, Op
from codesign.workload.graph import Block, Group, Workload

Plan = Mapping[str, tuple[tuple[str, ...], ...]]

TRANSFORMER_PLAN: Plan = {
    "tp": (("kv", "g"), ("h",), ("f",), ("v",)),
    "ep": (("b",), ("e",)),
    "dp": (("b",),),
    "cp": (("c",),),
}
"""Heads, MLP width and vocabulary over tp; batch and experts over ep; batch over dp; context over cp."""


class Mesh(msgspec.Struct, frozen=True):
    """Named axes of a group of devices. Extents are structural: plain integers."""

    axes: Mapping[str, int]

    def size(self, axis: str) -> int:
        """Return the extent of ``axis`` (1 if the mesh lacks it)."""
        return self.axes.get(axis, 1)

    @property
    def devices(self) -> int:
        """Number of devices."""
        return prod(self.axes.values(), start=1)


def ceil_div(extent: Extent, parts: Extent) -> Extent:
    """Return ``ceil(extent / parts)``, exact for integers."""
    if isinstance(extent, int) and isinstance(parts, int):
        return -(-extent // parts)
    return np.ceil(np.asarray(extent) / parts)


def divided(ranks: Mapping[str, Extent], mesh: Mesh, plan: Plan) -> tuple[dict[str, Extent], dict[str, str]]:
    """Return the per-device extents, and for each divided rank the mesh axis that divides it."""
    local, owner = dict(ranks), dict[str, str]()
    for axis, chains in plan.items():
        if mesh.size(axis) == 1:
            continue
        for chain in chains:
            left: Extent = mesh.size(axis)
            for rank in chain:
                if rank not in local:
                    continue
                before = local[rank]
                taken = min(left, before) if isinstance(before, int) else np.minimum(left, before)
                local[rank] = ceil_div(before, taken)
                owner[rank] = axis
                left = ceil_div(left, taken)
                if isinstance(left, int) and left == 1:
                    break
    return local, owner


def shard(workload: Workload, mesh: Mesh, plan: Plan = TRANSFORMER_PLAN) -> Workload:
    """Return what one device of ``mesh`` runs.

    Pipeline stages are the schedule's business (``pp`` does not divide ranks). Collectives over axes of
    extent one are dropped.
    """

    def op_local(op: Op) -> tuple[list[Op], list[Op]]:
        if isinstance(op, Collective):
            return ([op] if mesh.size(op.axis) > 1 else []), []
        if isinstance(op, Lookup):
            local, owner = divided(op.ranks, mesh, plan)
            rows = ceil_div(op.rows, mesh.size("ep") * mesh.size("dp"))
            return [msgspec.structs.replace(op, ranks=local, rows=rows)], []
        if not isinstance(op, Einsum):
            return [op], []
        local, owner = divided(op.ranks, mesh, plan)
        here = msgspec.structs.replace(op, ranks=local)
        sums = sorted({owner[rank] for rank in op.reduced() if rank in owner})
        payload = here.output.footprint(local)
        return [here], [Collective(f"{op.name}.all_reduce", "all_reduce", payload, axis) for axis in sums]

    def group_local(group: Group) -> list[Group]:
        ops: list[Op] = []
        after: list[Op] = []
        for op in group.ops:
            kept, reduces = op_local(op)
            ops += kept
            after += reduces
        local = [msgspec.structs.replace(group, ops=tuple(ops))] if ops else []
        if after:
            local.append(Group(f"{group.name}.all_reduce", tuple(after), "collective"))
        return local

    def block_local(block: Block) -> Block:
        return msgspec.structs.replace(block, groups=tuple(g for group in block.groups for g in group_local(group)))

    phases = tuple(
        msgspec.structs.replace(phase, blocks=tuple(block_local(b) for b in phase.blocks)) for phase in workload.phases
    )
    return msgspec.structs.replace(workload, phases=phases)
