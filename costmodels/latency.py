"""Latency of phases: floor + bound / efficiency per kernel, a host term per phase.

A kernel takes ``floor + max(FLOP / (rate * peak), bytes / (share * bandwidth))``: time adds, it does not
max, over a launch-independent floor. Tensors that fit the on-chip cache and die with the next kernel move at the
cache's bandwidth; weights and caches always come from memory. A phase takes the soft maximum (p = 4) of
its device time and of the host time to launch it [1]_. Every second is attributed to the factor that
binds it, so the slopes of a latency are its breakdown.

Units: seconds, bytes, FLOP. Arrays broadcast over design points; loops run over operators only.

.. [1] SKIP/TKLQT (arXiv 2504.11750): launch-bound and device-bound regions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.collectives import collective_seconds
from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.machine import Machine
from codesign.quantity import Array, Column
from codesign.workload.einsum import PERSISTENT, Collective, Einsum, Host, Lookup, Transfer, op_ranks
from codesign.workload.graph import Block, Group, Phase
from codesign.workload.sweep import at, quadrature


class GroupCost(msgspec.Struct, frozen=True, eq=False):
    """Cost of one launch of a group; everything broadcasts over points.

    ``parts`` attributes its seconds to factors; ``arithmetic`` and ``memory`` are the two bounds in seconds,
    efficiency included.
    """

    name: str
    family: str
    repeat: Any
    seconds: Any
    parts: dict[F, Any]
    flops: Any
    bytes: Any
    peak_seconds: Any
    arithmetic: Any
    memory: Any
    own_variance: Any
    launches: int
    main: bool


class PhaseCost(msgspec.Struct, frozen=True, eq=False):
    """Cost of a phase (all its steps): latency, device-busy time, work, and energy-weighted FLOP.

    ``seconds`` and ``busy`` are columns over points; ``relative_flops`` is the sum of FLOP over the peak of
    each operator's dtype, in seconds at peak.
    """

    name: str
    seconds: Column
    busy: Column
    flops: Array
    bytes: Array
    peak_seconds: Array
    groups: tuple[GroupCost, ...]


def group_cost(
    group: Group, repeat: Any, internal: frozenset[str], machine: Machine, mesh: dict[str, int]
) -> GroupCost:
    """Return the cost of one launch of ``group`` on ``machine``."""
    compute: dict[F, Any] = {}
    flops: Any = 0
    peak_seconds: Any = 0
    link: Any = 0.0
    host: Any = 0.0
    floor = memory_share = own = 0.0
    has_kernel = False
    for op in group.ops:
        if isinstance(op, Einsum):
            has_kernel = True
            curve = machine.efficiency(group.family, op.compute)
            peak = machine.peak(op.compute)
            work = op.flops()
            factor = _rate_factor(group.family, op.compute.unit)
            compute[factor] = compute.get(factor, 0.0) + work / (curve.rate * peak)
            flops, peak_seconds = flops + work, peak_seconds + work / peak
            if op.compute.unit == "tensor" or not floor:
                floor, memory_share, own = curve.floor, curve.memory, curve.own
        elif isinstance(op, Lookup):
            has_kernel = True
            curve = machine.efficiency("vector", None)
            floor, memory_share, own = curve.floor, curve.memory, curve.own
        elif isinstance(op, Collective):
            participants = mesh.get(op.axis, 1)
            if participants == 1:
                continue
            line = machine.link(op.axis)
            payload = op.payload / participants if op.kind == "all_to_all" else op.payload
            link = link + collective_seconds(op.kind, payload, participants, line.bandwidth, line.latency)
        elif isinstance(op, Transfer):
            line = machine.link("host")
            link = link + op.payload / line.bandwidth + line.latency
        elif isinstance(op, Host):
            host = host + op.seconds
    parts: dict[F, Any] = {}
    moved: Any = 0.0
    seconds: Any = 0.0
    arithmetic: Any = 0.0
    memory: Any = 0.0
    if has_kernel:
        moved, memory = _memory_seconds(group, internal, machine, memory_share)
        arithmetic = sum(compute.values(), start=0.0)
        bound = arithmetic >= memory
        for factor, part in compute.items():
            parts[factor] = np.where(bound, part, 0.0)
        parts[F.BANDWIDTH] = np.where(bound, 0.0, memory)
        parts[F.FLOOR] = np.asarray(floor * group.launches)
        seconds = np.maximum(arithmetic, memory) + floor * group.launches
        own = own * np.maximum(arithmetic, memory)
    if np.any(link):
        parts[F.LINK] = np.asarray(link)
    if np.any(host):
        parts[F.HOST] = np.asarray(host)
    seconds = seconds + link + host
    launches = group.launches if has_kernel else int(bool(np.any(link)))
    return GroupCost(
        group.name, group.family, repeat, seconds, parts, flops, moved, peak_seconds,
        arithmetic, memory, np.square(own * repeat), launches, group.stream == "main",
    )  # fmt: skip


def _rate_factor(family: str, unit: str) -> F:
    if unit != "tensor":
        return F.VECTOR
    return F.ATTENTION if family.startswith("attention") else F.MATRIX


def _memory_seconds(group: Group, internal: frozenset[str], machine: Machine, share: float) -> tuple[Any, Any]:
    """Return (bytes moved, seconds to move them): short-lived tensors move at cache bandwidth where they fit."""
    lasting: Any = 0.0
    passing: Any = 0.0
    for t, op, is_write in group.memory_views(internal):
        size = op.gathered() if isinstance(op, Lookup) and not is_write else t.traffic(op_ranks(op))
        if t.role in PERSISTENT:
            lasting = lasting + size
        else:
            passing = passing + size
    bandwidth = share * machine.bandwidth
    cached = np.where(passing <= machine.cache_bytes, share * machine.cache_bandwidth, bandwidth)
    return lasting + passing, lasting / bandwidth + passing / cached


def phase_cost(phase: Phase, machine: Machine, mesh: dict[str, int], execution: str) -> PhaseCost:
    """Return the cost of all steps of ``phase`` for every point."""
    internal = phase.internal()
    fixed: list[GroupCost] = []
    swept: list[GroupCost] = []
    weights: Any = 1.0
    extents: Any = None
    if phase.steps is not None:
        extents, weights = quadrature(phase.steps)
    for block, group in phase.groups():
        changed = _at_nodes(group, phase.steps.rank, extents) if phase.steps is not None else group
        cost = group_cost(changed, block.repeat, internal, machine, mesh)
        (fixed if changed is group else swept).append(cost)
    constant, varying = _accumulate(fixed), _accumulate(swept)
    device = constant + varying
    launches = sum((c.launches * c.repeat for c in (*fixed, *swept)), start=0.0)
    seconds = machine.with_host(device, launches, execution)
    shape = seconds.value.shape
    if phase.steps is not None:
        seconds, device = _summed(seconds, weights, shape), _summed(device, weights, shape)

    def over_steps(one: Any, many: Any) -> Any:
        if phase.steps is None:
            return np.asarray(one, dtype=np.float64)
        return np.sum(weights * (one + many), axis=0) if swept else one * np.sum(weights, axis=0)

    work = {
        name: over_steps(
            sum((getattr(c, name) * c.repeat for c in fixed), start=0.0),
            sum((getattr(c, name) * c.repeat for c in swept), start=0.0),
        )
        for name in ("flops", "bytes", "peak_seconds")
    }
    return PhaseCost(phase.name, seconds, device, work["flops"], work["bytes"], work["peak_seconds"], (*fixed, *swept))


def _at_nodes(group: Group, rank: str, extents: Any) -> Group:
    ops = tuple(at(op, rank, extents) for op in group.ops)
    if all(new is old for new, old in zip(ops, group.ops, strict=True)):
        return group
    return msgspec.structs.replace(group, ops=ops)


def _accumulate(costs: Iterable[GroupCost]) -> Column:
    """Return the device time of groups in program order; groups off the main stream hide behind the one before."""
    parts: dict[F, Any] = {}
    variance: Any = 0.0
    previous: GroupCost | None = None
    for cost in costs:
        if cost.main or previous is None:
            _add(parts, cost.parts, cost.repeat)
            previous = cost
        else:
            # beside the main stream: the longer of the two counts, with its own attribution
            longer = cost.seconds > previous.seconds
            _add(parts, {f: np.where(longer, -p, 0.0) for f, p in previous.parts.items()}, cost.repeat)
            _add(parts, {f: np.where(longer, p, 0.0) for f, p in cost.parts.items()}, cost.repeat)
        variance = variance + cost.own_variance
    shape = np.broadcast_shapes(*(np.shape(p) for p in parts.values()), np.shape(variance))
    slopes = np.zeros((COUNT, *shape))
    for factor, part in parts.items():
        slopes[factor] = part
    return Column(slopes.sum(axis=0), slopes, np.broadcast_to(variance, shape))


def _add(total: dict[F, Any], parts: dict[F, Any], repeat: Any) -> None:
    for factor, part in parts.items():
        total[factor] = total.get(factor, 0.0) + part * repeat


def _summed(column: Column, weights: Any, shape: tuple[int, ...]) -> Column:
    """Sum a column over quadrature nodes (axis 0), or over the steps if it does not vary with them."""
    if len(shape) < 2:
        steps: Array = np.sum(weights, axis=0)
        return column * steps
    own = np.sqrt(np.broadcast_to(column.variance, shape))
    return Column(
        np.sum(weights * column.value, axis=0),
        np.sum(weights * np.broadcast_to(column.slopes, (COUNT, *shape)), axis=1),
        np.sum(weights * own, axis=0) ** 2,
    )


def largest_stage(phase: Phase, stages: int) -> Phase:
    """Return the busiest pipeline stage: its share of the repeated layers (rounded up) and the blocks after them."""
    if stages == 1:
        return phase
    repeated = [b for b in phase.blocks if isinstance(b.repeat, int) and b.repeat > 1]
    if not repeated:
        return phase
    main = max(repeated, key=lambda b: b.repeat)
    layers = sum(b.repeat for b in repeated)
    after = phase.blocks[phase.blocks.index(main) + 1 :]
    share = -(-layers // stages)
    blocks: tuple[Block, ...] = (msgspec.structs.replace(main, repeat=share), *after)
    return msgspec.structs.replace(phase, blocks=blocks)
