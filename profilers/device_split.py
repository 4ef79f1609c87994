"""Where the time of a pass on a GPU goes, in the parts that a pass on a processor has.

Per annotated pass, in integer nanoseconds of the trace:

    pass = framework gap + dispatch + compute

Compute is the time in which the device works. Of the rest, dispatch is where the host is inside an operator or a call
of the runtime, the framework gap where it is in neither (Python). The compute share is then the share of device-active
time, as in HDBI (TaxBreak, arXiv 2603.12465).
"""

from __future__ import annotations

import numpy as np

from codesign.profilers.live_trace import ANNOTATION
from codesign.profilers.split import SelfTime, Split
from codesign.profilers.trace import Int64, Trace

Spans = tuple[Int64, Int64]
"""Starts and ends, ns."""


def device_split(trace: Trace) -> tuple[Split, tuple[float, ...]]:
    """Return the split of all annotated passes, whose rows are kernels and copies, and each pass's compute share."""
    number = trace.names.index(ANNOTATION) if ANNOTATION in trace.names else -1
    passes = trace.annotations.name == number
    starts, ends = trace.annotations.start[passes], trace.annotations.end[passes]
    device = (trace.work.start, trace.work.end)
    tables = (trace.operators, trace.calls)
    both = tuple(
        np.concatenate([column, *(getattr(table, field) for table in tables)])
        for column, field in zip(device, ("start", "end"), strict=True)
    )
    whole = ends - starts
    compute = np.array([covered(device, a, b) for a, b in zip(starts, ends, strict=True)], np.int64)
    busy = np.array([covered((both[0], both[1]), a, b) for a, b in zip(starts, ends, strict=True)], np.int64)
    found = Split(
        iterations=len(starts), iteration=int(whole.sum()), gap=int((whole - busy).sum()),
        dispatch=int((busy - compute).sum()), compute=int(compute.sum()), operators=_rows(trace, starts, ends),
    )  # fmt: skip
    return found, tuple(float(c / w) if w else 0.0 for c, w in zip(compute, whole, strict=True))


def covered(spans: Spans, start: int, end: int) -> int:
    """Return how much of ``start`` to ``end`` the union of ``spans`` covers, ns."""
    starts, ends = np.maximum(spans[0], start), np.minimum(spans[1], end)
    inside = ends > starts
    order = np.argsort(starts[inside], kind="stable")
    starts, ends = starts[inside][order], ends[inside][order]
    if not len(starts):
        return 0
    reached = np.maximum.accumulate(ends)
    before = np.concatenate([starts[:1], reached[:-1]])
    return int(np.maximum(0, reached - np.maximum(starts, before)).sum())


def _rows(trace: Trace, starts: Int64, ends: Int64) -> tuple[SelfTime, ...]:
    """Return the device work that starts within the passes, by name."""
    work, rows = trace.work, []
    inside = np.zeros(len(work), bool)
    for start, end in zip(starts, ends, strict=True):
        inside |= (work.start >= start) & (work.start < end)
    for name in np.unique(work.name[inside]):
        mask = inside & (work.name == name)
        rows.append(SelfTime(trace.names[name], "compute", int(mask.sum()), int(work.duration[mask].sum())))
    return tuple(sorted(rows, key=lambda row: (-row.nanoseconds, row.name)))
