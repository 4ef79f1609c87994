"""The figures of a trace by name, each by one definition, exact to the nanosecond.

Names end in their unit: ``_us`` are microseconds with the nanoseconds as decimals, counts and fractions have none.
None means that a figure does not apply. After SKIP (arXiv 2504.11750): TKLQT, AKD (average
kernel duration), IL (inference latency), GPU idle. Ours differ: the launch of a graph counts once, kernels of before
the window stay out of IL, idle is what the union of device work leaves (``skip_gpu_idle_us`` is the literal form).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.profilers.attribution import Attribution
from codesign.profilers.chains import ChainLength, ideal_launch_ratio
from codesign.profilers.intervals import Spans, clipped, distinct, groups, total, union
from codesign.profilers.pairing import Pairing, stream_numbers
from codesign.profilers.tklqt import LaunchLatency
from codesign.profilers.trace import NONE, Int64, Trace, Work

TOP = 3
CHAIN_DIGITS = 6


class Window:
    """What the union of events covers: per device, of operators, and from the first operator to the last kernel.

    The inference latency is negative where the last kernel ends before the first operator starts.
    """

    def __init__(self, trace: Trace, pairing: Pairing) -> None:
        """Measure ``trace``."""
        work, operators = trace.work, trace.operators
        self.devices: dict[int, Spans] = {}
        self.extents: dict[int, tuple[int, int]] = {}
        ends = work.end
        for device, rows in groups(work.device):
            if device == NONE and len(rows) < len(work):
                continue  # work of an unknown device is no device more, where others are known
            self.devices[device] = union(work.start[rows], ends[rows])
            self.extents[device] = int(work.start[rows].min()), int(ends[rows].max())
        self.operators = union(operators.start, operators.end)
        counted = pairing.kernel[~pairing.head]
        self.inference: tuple[int, int] | None = None
        if len(operators) and len(counted):
            self.inference = int(operators.start.min()), int(work.end[counted].max())

    @property
    def busy(self) -> int:
        """Return the ns in which devices work, summed over devices."""
        return sum(spans.length for spans in self.devices.values())

    @property
    def span(self) -> int | None:
        """Return the ns from the first to the last work, summed over devices; None without work."""
        return sum(end - start for start, end in self.extents.values()) if self.extents else None

    @property
    def latency(self) -> int | None:
        """Return the inference latency, ns."""
        return self.inference[1] - self.inference[0] if self.inference else None

    @property
    def busy_in_latency(self) -> int | None:
        """Return the ns in which devices work during the inference latency, summed over devices."""
        return sum(clipped(s, *self.inference).length for s in self.devices.values()) if self.inference else None


def metrics(
    trace: Trace,
    pairing: Pairing,
    attribution: Attribution,
    latency: LaunchLatency,
    window: Window,
    chain_lengths: tuple[ChainLength, ...],
) -> dict[str, Any]:
    """Return every figure of a trace by name."""
    return {
        **_counts(trace, pairing, latency),
        **_kernels(trace, pairing, attribution),
        **_latencies(latency),
        **_extents(trace, pairing, window),
        "top_kernels_by_time": _top(trace, pairing),
        "chains": {
            str(row.length): {
                "distinct": len(row.count), "deterministic": int(row.deterministic.sum()), "fused": len(row.fused),
                "ideal_launch_ratio": _rounded(ideal_launch_ratio(len(pairing.kernel), row.length, len(row.fused))),
            }
            for row in chain_lengths
        },
    }  # fmt: skip


def microseconds(nanoseconds: int | float | None) -> float | None:
    """Return ns as us: the double nearest to six decimals, exact to the ns up to 104 days."""
    return None if nanoseconds is None else round(float(nanoseconds) / 1000.0, 6)


def _counts(trace: Trace, pairing: Pairing, latency: LaunchLatency) -> dict[str, Any]:
    work = trace.work
    kernels = pairing.kernel
    streams = len(distinct(stream_numbers(trace, kernels)))
    return {
        "event_count": trace.event_count, "device_names": list(trace.device_names),
        "launch_api_counts": pairing.launch_calls, "device_count": len(distinct(work.device[kernels])),
        "stream_count": streams, "cpu_op_count": len(trace.operators) + trace.operator_steps,
        "kernel_count": len(kernels),
        "unique_kernel_name_count": len(distinct(work.name[kernels])),
        "memcpy_count": int((work.work == Work.COPY).sum()), "memset_count": int((work.work == Work.SET).sum()),
        "paired_kernel_count": int(pairing.paired.sum()), "head_kernel_count": int(pairing.head.sum()),
        "orphan_kernel_count": int(pairing.orphan.sum()), "graph_kernel_count": int(pairing.graph.sum()),
        "launch_count": len(latency.launch), "graph_launch_count": int(latency.graph.sum()),
    }  # fmt: skip


def _kernels(trace: Trace, pairing: Pairing, attribution: Attribution) -> dict[str, Any]:
    duration, count = trace.work.duration[pairing.kernel], len(pairing.kernel)
    linked = attribution.operator >= 0
    whole, paired = int(duration.sum()), int(duration[pairing.paired].sum())
    return {
        "kernel_time_us": microseconds(whole), "akd_us": microseconds(whole / count) if count else None,
        "paired_kernel_time_us": microseconds(paired),
        "head_kernel_time_us": microseconds(int(duration[pairing.head].sum())),
        "graph_kernel_time_us": microseconds(int(duration[pairing.graph].sum())),
        "paired_kernel_fraction": _share(int(pairing.paired.sum()), count),
        "paired_time_fraction": _share(paired, whole), "op_linked_kernel_count": int(linked.sum()),
        "op_linked_time_fraction": _share(int(duration[linked].sum()), whole),
    }  # fmt: skip


def _latencies(latency: LaunchLatency) -> dict[str, Any]:
    known = len(latency.latency) > 0

    def summed(column: Int64) -> float | None:
        return microseconds(total(column)) if known else None

    values = latency.latency
    names = [f"launch_latency_{name}_us" for name in ("p05", "p50", "p95", "mean", "max")]
    quantiles: dict[str, float | None] = dict.fromkeys(names)
    if known:
        ends = [float(np.quantile(values, q)) for q in (0.05, 0.5, 0.95)]
        quantiles = dict(zip(names, map(microseconds, (*ends, float(values.mean()), int(values.max()))), strict=True))
    return {
        "tklqt_us": summed(values), "tklqt_clamped_us": summed(np.maximum(values, 0)),
        "tklqt_stream_us": summed(values[~latency.graph]), "tklqt_graph_us": summed(values[latency.graph]),
        "tklqt_every_kernel_us": summed(latency.every_latency), "launch_call_us": summed(latency.call),
        "queue_us": summed(latency.queue), "queue_every_kernel_us": summed(latency.every_queue),
        "early_start_us": summed(latency.early_start), "negative_latency_count": int((values < 0).sum()),
        **quantiles,
    }  # fmt: skip


def _extents(trace: Trace, pairing: Pairing, window: Window) -> dict[str, Any]:
    tables = (trace.work, trace.calls, trace.operators, trace.functions, trace.annotations)
    ends = [(int(t.start.min()), int(t.end.max())) for t in tables if len(t)]
    wall = max(end for _, end in ends) - min(start for start, _ in ends) if ends else None
    kernel_time = int(trace.work.duration[pairing.kernel[~pairing.head]].sum())
    latency, busy = window.latency, window.busy_in_latency
    covered = clipped(window.operators, *window.inference).length if window.inference else None
    span = window.span
    return {
        "profiler_overhead_us": microseconds(union(trace.overhead.start, trace.overhead.end).length or None),
        "gpu_busy_us": microseconds(window.busy), "gpu_span_us": microseconds(span),
        "gpu_idle_us": microseconds(None if span is None else span - window.busy), "wall_us": microseconds(wall),
        "cpu_op_busy_us": microseconds(window.operators.length) if len(trace.operators) else None,
        "inference_latency_us": microseconds(latency),
        "skip_gpu_idle_us": microseconds(None if latency is None else latency - kernel_time),
        "gpu_busy_in_il_us": microseconds(busy),
        "gpu_idle_in_il_us": microseconds(
            None if latency is None or busy is None else latency * len(window.devices) - busy
        ),
        "cpu_idle_in_il_us": microseconds(None if latency is None or covered is None else latency - covered),
    }  # fmt: skip


def _top(trace: Trace, pairing: Pairing) -> list[dict[str, Any]]:
    name, duration = trace.work.name[pairing.kernel], trace.work.duration[pairing.kernel]
    numbers, inverse, counts = np.unique(name, return_inverse=True, return_counts=True)
    times = np.zeros(len(numbers), np.int64)
    np.add.at(times, inverse, duration)
    rows = [(-int(t), trace.names[n], int(c)) for n, t, c in zip(numbers, times, counts, strict=True)]
    return [{"name": n, "count": c, "time_us": microseconds(-t)} for t, n, c in sorted(rows)[:TOP]]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, CHAIN_DIGITS)
