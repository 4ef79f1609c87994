"""Where the time goes by name: kernels, operators, copies, graphs."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.profilers.attribution import Attribution, Nesting
from codesign.profilers.metrics import microseconds
from codesign.profilers.pairing import Pairing
from codesign.profilers.tklqt import LaunchLatency
from codesign.profilers.trace import Int64, Trace, Work

HIGHEST = 100
"""Levels above an operator in which a call of the same name is looked for: models nest some ten deep."""


class KernelUse(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of the kernels of one name, us."""

    name: str
    count: int
    time_us: float
    longest_us: float


class OperatorUse(msgspec.Struct, frozen=True, kw_only=True):
    """All calls of one operator, us.

    Attributes:
        name: As the framework names it.
        count: Calls.
        time_us: With what it calls; within a call of the same name, the outer one alone counts.
        self_us: Without the operators it calls.
        longest_us: Of the longest call.
        kernel_us: Kernels launched by it itself; None where no device was traced.
    """

    name: str
    count: int
    time_us: float
    self_us: float
    longest_us: float
    kernel_us: float | None


class CopyUse(msgspec.Struct, frozen=True, kw_only=True):
    """All copies or sets of one name (``Memcpy HtoD (Pinned -> Device)``); bytes are 0 where not recorded."""

    name: str
    kind: str
    count: int
    bytes: int
    time_us: float


class GraphUse(msgspec.Struct, frozen=True, kw_only=True):
    """Launches of graphs, apart: one call each, however many kernels.

    Attributes:
        launches: Launches with at least one kernel.
        kernels: Kernels of all of them.
        kernels_per_launch: On average.
        call_us: Launch calls on the host, all of them.
        kernel_us: Kernels, sum of durations.
        longest_latency_us: Longest wait from a launch to its first kernel.
    """

    launches: int
    kernels: int
    kernels_per_launch: float
    call_us: float
    kernel_us: float
    longest_latency_us: float


def kernel_uses(trace: Trace, pairing: Pairing) -> tuple[KernelUse, ...]:
    """Return the kernels by name, the longest in total first, then by name."""
    name, duration = trace.work.name[pairing.kernel], trace.work.duration[pairing.kernel]
    rows = [
        KernelUse(name=trace.names[n], count=c, time_us=_us(t), longest_us=_us(m))
        for n, c, t, m in zip(*_summed(name, duration), strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.time_us, row.name)))


def operator_uses(
    trace: Trace, nesting: Nesting, pairing: Pairing, attribution: Attribution
) -> tuple[OperatorUse, ...]:
    """Return the operators by name, those of most self time first, then by name."""
    operators = trace.operators
    outer = np.where(_within_same_name(operators.name, nesting), 0, operators.duration)
    names, counts, times, longest = _summed(operators.name, outer)
    place = np.searchsorted(names, operators.name)
    own, device = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    np.add.at(own, place, nesting.self_time)
    linked = attribution.operator >= 0
    np.add.at(device, place[attribution.operator[linked]], trace.work.duration[pairing.kernel[linked]])
    traced = len(pairing.kernel) > 0
    rows = [
        OperatorUse(name=trace.names[n], count=c, time_us=_us(t), longest_us=_us(m), self_us=_us(s),
                    kernel_us=_us(d) if traced else None)
        for n, c, t, m, s, d in zip(names, counts, times, longest, own.tolist(), device.tolist(), strict=True)
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: (-row.self_us, row.name)))


def copy_uses(trace: Trace) -> tuple[CopyUse, ...]:
    """Return the copies and sets of memory by name, the longest in total first."""
    work, rows = trace.work, []
    for kind, label in ((Work.COPY, "copy"), (Work.SET, "set")):
        chosen = np.flatnonzero(work.work == kind)
        names, counts, times, _ = _summed(work.name[chosen], work.duration[chosen])
        moved = np.zeros(len(names), np.int64)
        np.add.at(moved, np.searchsorted(names, work.name[chosen]), work.bytes[chosen])
        rows += [
            CopyUse(name=trace.names[n], kind=label, count=c, bytes=b, time_us=_us(t))
            for n, c, t, b in zip(names, counts, times, moved.tolist(), strict=True)
        ]
    return tuple(sorted(rows, key=lambda row: (-row.time_us, row.name)))


def graph_use(trace: Trace, pairing: Pairing, latency: LaunchLatency) -> GraphUse | None:
    """Return the launches of graphs; None without any."""
    launches, kernels = int(latency.graph.sum()), int(pairing.graph.sum())
    if not launches:
        return None
    return GraphUse(
        launches=launches, kernels=kernels, kernels_per_launch=kernels / launches,
        call_us=_us(int(latency.call[latency.graph].sum())),
        kernel_us=_us(int(trace.work.duration[pairing.kernel[pairing.graph]].sum())),
        longest_latency_us=_us(int(latency.latency[latency.graph].max())),
    )  # fmt: skip


def _within_same_name(names: NDArray[np.int32], nesting: Nesting) -> NDArray[np.bool_]:
    """Return the mask of operators that run within a call of their own name, looked for in ``HIGHEST`` levels."""
    inside = np.zeros(len(names), bool)
    rows = np.flatnonzero(nesting.parent >= 0)
    around = nesting.parent[rows]
    for _ in range(HIGHEST):
        same = names[around] == names[rows]
        inside[rows[same]] = True
        above = nesting.parent[around]
        further = ~same & (above >= 0)
        rows, around = rows[further], above[further]
        if not len(rows):
            break
    return inside


def _summed(name: NDArray[np.int32], duration: Int64) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return the distinct names, rising, and for each the count, the sum and the maximum of ``duration``."""
    names, place, counts = np.unique(name, return_inverse=True, return_counts=True)
    times, longest = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    np.add.at(times, place, duration)
    np.maximum.at(longest, place, duration)
    return names.tolist(), counts.tolist(), times.tolist(), longest.tolist()


def _us(nanoseconds: int) -> float:
    return microseconds(nanoseconds) or 0.0
