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

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.factors import COUNT, LONG_MESSAGE, F
from codesign.costmodels.kernel_models import KernelTime, kernel_times
from codesign.costmodels.machine import Machine
from codesign.costmodels.work import GroupWork, PhaseWork, phase_work
from codesign.quantity import Array, Column
from codesign.workload.graph import Block, Phase


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


def group_cost(work: GroupWork, machine: Machine, mesh: dict[str, int], fitted: KernelTime | None = None) -> GroupCost:
    """Return the cost of one launch of a group on ``machine``; ``fitted`` is what the models of operators say of it."""
    short, long = _link_seconds(work, machine, mesh)
    link = short + long
    kernel = _kernel(work, machine, fitted) if work.kernel else _Kernel()
    parts = dict(kernel.parts)
    communicates = _any(link)
    if communicates:
        parts[F.LINK] = np.asarray(short)
    if _any(long):
        parts[F.LONG_LINK] = np.asarray(long)
    if _any(work.host):
        parts[F.HOST] = np.asarray(work.host)
    return GroupCost(
        work.name, work.family, work.repeat, kernel.seconds + link + work.host, parts, kernel.flops,
        work.lasting + work.passing, kernel.peak_seconds, kernel.arithmetic, kernel.memory,
        np.square(kernel.own * work.repeat), work.launches if work.kernel else int(communicates), work.main,
    )  # fmt: skip


def _any(part: Any) -> bool:
    """Return whether any point has some of ``part``; most groups have none, as a plain number."""
    return bool(part) if isinstance(part, float) else bool(np.any(part))


class _Kernel(NamedTuple):
    """The device's part of a group; ``own`` is the standard deviation of its own error, s."""

    parts: Mapping[F, Any] = {}
    seconds: Any = 0.0
    arithmetic: Any = 0.0
    memory: Any = 0.0
    flops: Any = 0.0
    peak_seconds: Any = 0.0
    own: Any = 0.0


def _kernel(work: GroupWork, machine: Machine, fitted: KernelTime | None) -> _Kernel:
    compute: dict[F, Any] = {}
    flops: Any = 0.0
    peak_seconds: Any = 0.0
    curve = machine.efficiency("vector", None)
    for position, (kind, count) in enumerate(work.compute):
        here = machine.efficiency(work.family, kind)
        at_peak = count / machine.peak(kind)
        factor = _rate_factor(work.family, kind.unit)
        compute[factor] = compute.get(factor, 0.0) + at_peak / here.rate
        flops, peak_seconds = flops + count, peak_seconds + at_peak
        # the first kind is the tensor unit's where there is one: it decides floor and bandwidth share
        curve = here if position == 0 else curve
    memory = _memory_seconds(work, machine, curve.memory)
    arithmetic = sum(compute.values(), start=0.0)
    bound = arithmetic >= memory
    longer, floor, own = np.maximum(arithmetic, memory), np.asarray(curve.floor * work.launches), curve.own
    scale: Any = 1.0
    if fitted is not None:
        # the closed form tells what binds, and overlays of factors move what was fitted as they move the closed form
        binding = [np.where(bound, part, 0.0) * machine.scales.get(factor, 1.0) for factor, part in compute.items()]
        moved = sum(binding, start=np.where(bound, 0.0, memory) * machine.scales.get(F.BANDWIDTH, 1.0))
        scale = np.divide(fitted.seconds - fitted.floor, longer) * np.divide(moved, longer)
        floor, own = fitted.floor * machine.scales.get(F.FLOOR, 1.0), fitted.own
    parts = {factor: np.where(bound, part * scale, 0.0) for factor, part in compute.items()}
    parts[F.BANDWIDTH] = np.where(bound, 0.0, memory * scale)
    parts[F.FLOOR] = floor
    beyond = longer * scale
    return _Kernel(parts, beyond + floor, arithmetic, memory, flops, peak_seconds, own * beyond)


def _rate_factor(family: str, unit: str) -> F:
    if unit != "tensor":
        return F.VECTOR
    return F.ATTENTION if family.startswith("attention") else F.MATRIX


def _link_seconds(work: GroupWork, machine: Machine, mesh: dict[str, int]) -> tuple[Any, Any]:
    """Return the time of the group's collectives and transfers, and of its collectives of long messages."""
    total: Any = 0.0
    long: Any = 0.0
    scale = machine.scales.get(F.LONG_LINK, 1.0)
    for op in work.collectives:
        participants = mesh.get(op.axis, 1)
        if participants > 1:
            line = machine.link(op.axis)
            payload = op.payload / participants if op.kind == "all_to_all" else op.payload
            seconds = line.in_engine(op.kind, payload, participants)
            is_long = np.asarray(payload) > LONG_MESSAGE
            total = total + np.where(is_long, 0.0, seconds)
            long = long + np.where(is_long, seconds * (scale / line.scale), 0.0)
    for transfer in work.transfers:
        line = machine.link("host")
        total = total + transfer.payload / line.bandwidth + line.latency
    return total, long


def _memory_seconds(work: GroupWork, machine: Machine, share: float) -> Any:
    """Return the time to move the group's bytes: short-lived tensors move at cache bandwidth where they fit."""
    bandwidth = share * machine.bandwidth
    cached = np.where(work.passing <= machine.cache_bytes, share * machine.cache_bandwidth, bandwidth)
    return work.lasting / bandwidth + work.passing / cached


def phase_cost(
    phase: Phase | PhaseWork, machine: Machine, mesh: dict[str, int], execution: str, own_quantising: float = 0.0
) -> PhaseCost:
    """Return the cost of all steps of ``phase`` (or of its work, derived before) for every point.

    ``own_quantising`` is the share of the kernels that quantise what a product reads that run on their own.
    """
    work = phase if isinstance(phase, PhaseWork) else phase_work(phase)
    fitted = kernel_times(work.groups, machine, execution, own_quantising)
    costs = [group_cost(group, machine, mesh, found) for group, found in zip(work.groups, fitted, strict=True)]
    fixed = [cost for cost, group in zip(costs, work.groups, strict=True) if not group.swept]
    swept = [cost for cost, group in zip(costs, work.groups, strict=True) if group.swept]
    device = _accumulate(fixed) + _accumulate(swept)
    launches = sum((c.launches * c.repeat for c in costs), start=0.0)
    seconds = machine.with_host(device, launches, execution)
    shape = seconds.value.shape
    if work.weights is not None:
        seconds, device = _summed(seconds, work.weights, shape), _summed(device, work.weights, shape)

    def over_steps(name: str) -> Any:
        one = sum((getattr(c, name) * c.repeat for c in fixed), start=0.0)
        if work.weights is None:
            return np.asarray(one, dtype=np.float64)
        many = sum((getattr(c, name) * c.repeat for c in swept), start=0.0)
        return np.sum(work.weights * (one + many), axis=0) if swept else one * np.sum(work.weights, axis=0)

    return PhaseCost(
        work.name, seconds, device, over_steps("flops"), over_steps("bytes"), over_steps("peak_seconds"), tuple(costs)
    )


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
