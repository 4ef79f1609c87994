"""What the page shows of an analysed trace."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.profilers.analysis import Analysis
from codesign.profilers.idle import COLLECTIVES
from codesign.profilers.pairing import LAUNCH, started_by
from codesign.profilers.trace import NONE, Int64, Trace, Work
from codesign.report.profile.view import (
    Chain,
    Copies,
    Coverage,
    Fusion,
    Kind,
    Lane,
    Metric,
    Part,
    ProfileView,
    Split,
    Timeline,
    Use,
    Uses,
)

SHOWN_NAMES = 100
"""Names of each table on the page: the union of so many by time and by count."""

FIGURES: dict[str, tuple[str, ...]] = {
    "": ("inference_latency_us", "wall_us"),
    "launches": (
        "tklqt_us", "launch_call_us", "queue_us", "early_start_us", "launch_latency_p05_us", "launch_latency_p50_us",
        "launch_latency_p95_us", "launch_latency_max_us", "launch_count", "graph_launch_count",
        "negative_latency_count",
    ),
    "device": (
        "kernel_count", "unique_kernel_name_count", "kernel_time_us", "akd_us", "gpu_busy_us", "gpu_idle_us",
        "gpu_busy_in_il_us", "gpu_idle_in_il_us", "memcpy_count", "memset_count", "device_count", "stream_count",
    ),
    "host": (
        "cpu_op_count", "cpu_op_busy_us", "cpu_idle_in_il_us", "profiler_overhead_us", "iteration_count",
        "iteration_time_us", "framework_gap_us", "dispatch_self_us", "compute_self_us", "compute_fraction",
    ),
    "attribution": ("paired_kernel_count", "head_kernel_count", "orphan_kernel_count", "op_linked_kernel_count"),
}  # fmt: skip
"""Heading -> metrics below it, in this order."""

WORDS = {
    "akd_us": "average kernel", "gpu_busy_us": "device busy", "gpu_idle_us": "device idle", "wall_us": "whole window",
    "gpu_busy_in_il_us": "device busy in the inference latency", "tklqt_us": "TKLQT",
    "gpu_idle_in_il_us": "device idle in the inference latency", "cpu_op_count": "operators",
    "cpu_op_busy_us": "operators run", "cpu_idle_in_il_us": "no operator in the inference latency",
    "unique_kernel_name_count": "different kernels", "memcpy_count": "memory copies", "memset_count": "memory sets",
    "op_linked_kernel_count": "kernels linked to an operator", "paired_kernel_count": "kernels paired with a launch",
    "head_kernel_count": "kernels launched before the window", "orphan_kernel_count": "kernels whose launch is lost",
    "iteration_count": "passes", "iteration_time_us": "passes, together", "dispatch_self_us": "dispatch",
    "compute_self_us": "compute", "early_start_us": "early starts", "launch_call_us": "launch calls",
}  # fmt: skip
"""Metric -> its name for people, where the plain words of its name are not enough."""

NOTES = {
    "tklqt_us": "sum over launches: exceeds the wall time when kernels queue, so it is no share of it",
    "inference_latency_us": "first operator to last kernel; kernels of before the window left out",
    "gpu_idle_us": "what the union of device work leaves, not the difference of sums",
    "early_start_us": "kernels that start before their launch call returns",
}


def trace_view(trace: Trace, analysis: Analysis, source: str) -> ProfileView:
    """Return what the page shows of ``trace``.

    Args:
        trace: The trace.
        analysis: What it tells.
        source: Name of the file.
    """
    return ProfileView(
        title=source, source=source, devices=analysis.devices, timeline=timeline(trace),
        facts=(("format", analysis.format), ("window", analysis.window), *sorted(analysis.facts.items())),
        launch_latency=launch_latencies(trace), **analysis_parts(analysis),
    )  # fmt: skip


def analysis_parts(analysis: Analysis) -> dict[str, Any]:
    """Return the parts of a view that need no events."""
    figures = analysis.metrics
    traced = bool(figures["kernel_count"])
    return {
        "verdict": analysis.boundness.verdict, "reason": analysis.boundness.reason,
        "coverage": Coverage(
            kernels=figures["paired_kernel_fraction"], time=figures["paired_time_fraction"],
            operator_time=figures["op_linked_time_fraction"],
        ) if traced else None,
        "warnings": analysis.warnings, "metrics": _figures(figures), "splits": _splits(analysis),
        "kernels": _kernels(analysis) if analysis.kernels else None,
        "operators": _operators(analysis) if analysis.operators else None,
        "copies": tuple(
            Copies(direction=c.name, count=c.count, bytes=c.bytes, time=c.time_us * 1e3) for c in analysis.copies
        ),
        "fusion": _fusion(analysis),
    }  # fmt: skip


def timeline(trace: Trace) -> Timeline:
    """Return the events of host and devices; Python functions are left out."""
    work = trace.work
    launching = np.array([LAUNCH in name for name in trace.names] or [False], bool)
    communicates = np.array([any(c in name.lower() for c in COLLECTIVES) for name in trace.names] or [False], bool)
    calls = np.where(launching[trace.calls.name], Kind.LAUNCH, Kind.CALL)
    device = np.where(communicates[work.name], Kind.COMMUNICATION, Kind.KERNEL)
    tables: list[tuple[Any, NDArray[Any], Int64, Int64]] = []
    threads, lanes = _threads(trace)
    streams, stream_lanes = _streams(trace, len(lanes))
    started = started_by(trace)
    tables.append((trace.calls, calls, threads[trace.calls.thread], np.full(len(trace.calls), NONE)))
    for events, kind in ((trace.operators, Kind.OPERATOR), (trace.annotations, Kind.RANGE)):
        tables.append((events, np.full(len(events), kind), threads[events.thread], np.full(len(events), NONE)))
    # calls come first, so the position of a call in its own table is its position here
    tables.append((work, np.where(work.work == Work.KERNEL, device, Kind.COPY), streams, started))
    start = np.concatenate([t.start for t, *_ in tables])
    return Timeline(
        names=trace.names, rows=(*lanes, *stream_lanes),
        row=np.concatenate([row for *_, row, _ in tables]).astype(np.int32),
        name=np.concatenate([t.name for t, *_ in tables]).astype(np.int32),
        kind=np.concatenate([kind for _, kind, *_ in tables]).astype(np.uint8),
        start=start - (start.min() if len(start) else 0), duration=np.concatenate([t.duration for t, *_ in tables]),
        launch=np.concatenate([launch for *_, launch in tables]),
    )  # fmt: skip


def launch_latencies(trace: Trace) -> Int64 | None:
    """Return the latency of each attributed launch, ns; None without launches."""
    from codesign.profilers.pairing import pair
    from codesign.profilers.tklqt import launch_latency

    found = launch_latency(trace, pair(trace)).latency
    return found if len(found) else None


def _threads(trace: Trace) -> tuple[Int64, tuple[Lane, ...]]:
    """Return the row of each thread that has events, and the rows, by first event."""
    never = np.iinfo(np.int64).max
    first = np.full(len(trace.threads), never)
    for table in (trace.operators, trace.calls, trace.annotations):
        np.minimum.at(first, table.thread, table.start)
    by_start = np.argsort(first, kind="stable")
    order = by_start[first[by_start] < never].tolist()
    rows = np.zeros(len(trace.threads) + 1, np.int64)
    rows[order] = np.arange(len(order))
    several = len({trace.threads[t][0] for t in order}) > 1
    labels = (f"Process {trace.threads[t][0]}, thread {trace.threads[t][1]}" if several
              else f"Thread {trace.threads[t][1]}" for t in order)  # fmt: skip
    return rows, tuple(Lane(label) for label in labels)


def _streams(trace: Trace, before: int) -> tuple[Int64, tuple[Lane, ...]]:
    """Return the row of each device event, and the rows of streams, which follow ``before`` others."""
    pairs = np.stack([trace.work.device, trace.work.stream], axis=1)
    distinct, rows = np.unique(pairs, axis=0, return_inverse=True)
    lanes = tuple(Lane(f"Device {device}, stream {stream}", True) for device, stream in distinct.tolist())
    return rows.reshape(-1) + before, lanes


def _figures(figures: dict[str, Any]) -> tuple[Metric, ...]:
    found = []
    traced = bool(figures["kernel_count"] or figures["memcpy_count"] or figures["memset_count"])
    for group, names in FIGURES.items():
        for name in names if traced or group in ("", "host") else ():
            value = figures.get(name)
            if value is None:
                continue
            time = name.endswith("_us")
            found.append(Metric(
                name=WORDS.get(name, name.removesuffix("_us")), value=value * 1e-6 if time else value,
                unit="s" if time else "", source="measured", note=NOTES.get(name, ""), group=group,
            ))  # fmt: skip
    return tuple(found)


def _splits(analysis: Analysis) -> tuple[Split, ...]:
    found, figures = [], analysis.metrics
    if analysis.idle is not None and figures["gpu_idle_us"]:
        parts = analysis.idle
        found.append(Split(
            title="Idle time of the devices",
            parts=(Part("host wait", parts.host_wait_ns), Part("kernel wait", parts.kernel_wait_ns),
                   Part("other", parts.other_ns)),
            note="host wait: before the host began the call of the work that ends the gap; kernel wait: after it; "
            "other: that call is not in the trace",
        ))  # fmt: skip
    if analysis.overlap is not None:
        both, over = analysis.overlap.both_ns, analysis.overlap
        found.append(Split(
            title="Communication and computation",
            parts=(Part("communication alone", over.communication_ns - both), Part("both", both),
                   Part("computation alone", over.computation_ns - both)),
            note="unions of kernels, summed over devices; communication that runs beside computation is hidden",
        ))  # fmt: skip
    if figures["iteration_time_us"]:
        names = (("framework_gap_us", "between operators"), ("dispatch_self_us", "dispatch"),
                 ("compute_self_us", "compute"))  # fmt: skip
        found.append(Split(
            title="Passes on the processor", parts=tuple(Part(label, figures[name] * 1e3) for name, label in names),
            note="self times of operators: those that only view, allocate or call others count as dispatch",
        ))  # fmt: skip
    return tuple(found)


def _kernels(analysis: Analysis) -> Uses:
    rows = _shown(analysis.kernels)
    return Uses(
        rows=tuple(Use(name=r.name, count=r.count, time=r.time_us * 1e3, longest=r.longest_us * 1e3) for r in rows),
        total_time=analysis.metrics["kernel_time_us"] * 1e3, names=len(analysis.kernels),
    )  # fmt: skip


def _operators(analysis: Analysis) -> Uses:
    rows = tuple(
        Use(
            name=r.name, count=r.count, time=r.time_us * 1e3, self_time=r.self_us * 1e3, longest=r.longest_us * 1e3,
            kernel_time=None if r.kernel_us is None else r.kernel_us * 1e3,
        )
        for r in _shown(analysis.operators)
    )  # fmt: skip
    return Uses(rows=rows, total_time=None, names=len(analysis.operators))


def _shown(rows: tuple[Any, ...]) -> list[Any]:
    """Return the first rows, which have most time, and those that ran most often, in the order of ``rows``."""
    often = sorted(range(len(rows)), key=lambda i: -rows[i].count)[:SHOWN_NAMES]
    return [rows[i] for i in sorted({*range(min(SHOWN_NAMES, len(rows))), *often})]


def _fusion(analysis: Analysis) -> Fusion | None:
    found = analysis.fusion
    if found is None or not found.chains:
        return None
    chains = tuple(
        Chain(
            kernels=c.kernels, occurrences=c.occurrences, score=c.score, launches_saved=c.launches_saved,
            ideal_ratio=c.ideal_launch_ratio or 1.0,
            time_saved=None if c.time_saved_us is None else c.time_saved_us * 1e3, where=where(c.module, c.operators),
        )
        for c in found.chains
    )  # fmt: skip
    return Fusion(
        chains=chains, host_bound=analysis.boundness.host_bound,
        launch_floor=None if found.floor_us is None else found.floor_us * 1e3, floor_source=found.floor_source,
        found=found.found,
    )  # fmt: skip


def where(module: str, operators: tuple[str, ...]) -> str:
    """Return where a chain is launched from: its module, and its operators without their namespace."""
    steps = " → ".join(name.removeprefix("aten::") for name in operators)
    return f"{module}: {steps}" if module and steps else module or steps
