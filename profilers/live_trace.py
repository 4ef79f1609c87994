"""The trace of a finished ``torch.profiler`` session, taken from memory: integer nanoseconds, no file between.

Only a session on the processor is read so: what devices ran is complete only in the exported file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from codesign.profilers.kineto import Recording
from codesign.profilers.split import Interval
from codesign.profilers.trace import NONE, HostEvents, Trace, device_events, host_events

ANNOTATION = "codesign_iteration"
"""Name of the range around each profiled pass."""


def live_trace(session: Any, dropped: int, facts: dict[str, str]) -> Trace:
    """Return operators and annotations of a session from the end of its first ``dropped`` annotated passes on.

    Args:
        session: A ``torch.profiler.profile`` that has stopped.
        dropped: Warm-up passes; the profiler allocates its buffers in them.
        facts: Versions and flags to keep with the trace.
    """
    events = list(session.profiler.kineto_results.events())  # the public events hold floats
    ends = sorted(e.start_ns() + e.duration_ns() for e in events if e.name() == ANNOTATION and _annotates(e))
    first = ends[dropped - 1] if dropped else 0
    kept = [e for e in events if e.start_ns() >= first]
    operators = [e for e in kept if e.activity_type() == "cpu_op"]
    annotations = [e for e in kept if _annotates(e)]
    names, threads = _Interned(), _Interned()
    origin = min((e.start_ns() for e in (*operators, *annotations)), default=0)
    tables = [_table(rows, names, threads, origin) for rows in (operators, annotations)]
    empty = host_events([()] * 6)
    return Trace(
        format="kineto", names=tuple(names), threads=tuple(("0", str(t)) for t in threads), origin=origin,
        event_count=len(operators) + len(annotations), operators=tables[0], calls=empty,
        work=device_events([()] * 8), annotations=tables[1], functions=empty, overhead=empty, facts=facts,
    )  # fmt: skip


class _Interned(dict[Any, int]):
    def __missing__(self, value: Any) -> int:
        number = self[value] = len(self)
        return number


def _annotates(event: Any) -> bool:
    return bool(event.activity_type() == "user_annotation")


def _table(events: Sequence[Any], names: _Interned, threads: _Interned, origin: int) -> HostEvents:
    none = [NONE] * len(events)
    return host_events((
        [names[e.name()] for e in events], [e.start_ns() - origin for e in events],
        [e.duration_ns() for e in events], [threads[e.start_thread_id()] for e in events], none, none,
    ))  # fmt: skip


def annotated(trace: Trace) -> Recording:
    """Return the annotated passes of ``trace`` and the operators of the thread that ran them, by start."""
    passes = _intervals(trace, trace.annotations, _named(trace, trace.annotations))
    at = np.flatnonzero(_named(trace, trace.annotations))
    thread = trace.annotations.thread[at[0]] if len(at) else NONE
    return Recording(passes, _intervals(trace, trace.operators, trace.operators.thread == thread))


def first_passes(trace: Trace, count: int) -> Trace:
    """Return the events of ``trace`` that start within its first ``count`` annotated passes, ranges included."""
    passes = np.flatnonzero(_named(trace, trace.annotations))
    chosen = passes[np.argsort(trace.annotations.start[passes], kind="stable")[:count]]
    if not len(chosen):
        return trace
    first, last = int(trace.annotations.start[chosen].min()), int(trace.annotations.end[chosen].max())
    cut: dict[str, Any] = {}
    for name in ("operators", "calls", "work", "annotations", "functions", "overhead"):
        table = getattr(trace, name)
        kept = (table.start >= first) & (table.start < last)
        cut[name] = type(table)(**{field: getattr(table, field)[kept] for field in table.__struct_fields__})
    return replace(trace, event_count=sum(len(table) for table in cut.values()), **cut)


def _named(trace: Trace, events: HostEvents) -> Any:
    number = trace.names.index(ANNOTATION) if ANNOTATION in trace.names else NONE
    return events.name == number


def _intervals(trace: Trace, events: HostEvents, mask: Any) -> list[Interval]:
    columns = (events.name[mask].tolist(), events.start[mask].tolist(), events.end[mask].tolist())
    found = [Interval(trace.names[name], start, end) for name, start, end in zip(*columns, strict=True)]
    return sorted(found, key=lambda event: (event.start, -event.end))
