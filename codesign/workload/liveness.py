"""Peak memory from tensor lifetimes.

A tensor lives from the group that makes it to the last group that reads it. Weights, caches, gradients and
optimizer state live throughout. In training, every activation that the backward pass reads lives across
both passes, once per repeat of its block.
"""

from __future__ import annotations

import numpy as np

from codesign.workload.einsum import Extent, Role, op_ranks
from codesign.workload.graph import Block, Phase, Workload

LASTING = (Role.WEIGHT, Role.KV, Role.GRADIENT, Role.OPTIMIZER, Role.STATE)


def peak_activations(phase: Phase) -> Extent:
    """Return the largest sum of live activation bytes at any group of ``phase`` (one repeat lives at a time)."""
    internal = phase.internal()
    size: dict[str, Extent] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, (_, group) in enumerate(phase.groups()):
        for t, op, _ in group.memory_views(internal):
            if t.role is Role.ACTIVATION:
                ranks = op_ranks(op)
                bytes_here = t.footprint(ranks)
                size[t.name] = np.maximum(size[t.name], bytes_here) if t.name in size else bytes_here
                first.setdefault(t.name, index)
                last[t.name] = index
    peak: Extent = 0
    for index in sorted(set(first.values())):
        alive = sum((size[name] for name in size if first[name] <= index <= last[name]), start=0)
        peak = np.maximum(peak, alive)
    return peak


def saved_activations(forward: Phase, backward: Phase) -> Extent:
    """Return the bytes of forward activations that the backward pass reads, over all repeats.

    Where the backward phase runs a block forward again, only the block's inputs are kept.
    """
    internal = forward.internal()
    read = {name for _, group in backward.groups() for name in group.consumed()}
    again = {block.name.removesuffix(".recompute") for block in backward.blocks if block.name.endswith(".recompute")}
    saved: Extent = 0
    for block in forward.blocks:
        carried, seen = carried_in(block), set[str]()
        for group in block.groups:
            for t, op, _ in group.memory_views(internal):
                kept = t.name in carried if block.name in again else t.name in read
                if t.role is Role.ACTIVATION and kept and t.name not in seen:
                    seen.add(t.name)
                    saved = saved + t.footprint(op_ranks(op)) * block.repeat
    return saved


def carried_in(block: Block) -> frozenset[str]:
    """Return the tensors a block reads before it makes them: what one repeat hands to the next."""
    made, carried = set[str](), set[str]()
    for group in block.groups:
        carried |= group.consumed() - group.produced() - made
        made |= group.produced()
    return frozenset(carried)


def peak_memory(workload: Workload) -> Extent:
    """Return the peak bytes on one device: everything lasting, plus the largest live activations."""
    lasting = workload.footprint(*LASTING)
    names = {phase.name for phase in workload.phases}
    passing: Extent = 0
    for phase in workload.phases:
        passing = np.maximum(passing, peak_activations(phase))
    if {"forward", "backward"} <= names:
        passing = passing + saved_activations(workload.phase("forward"), workload.phase("backward"))
    return lasting + passing
