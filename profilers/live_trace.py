"""The trace of a finished ``torch.profiler`` session, taken from memory: integer nanoseconds, no file between.

Only a session on the processor is read so: what devices ran is complete only in the exported file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codesign.profilers.iterations import ANNOTATION
from codesign.profilers.readers.columns import Interned
from codesign.profilers.trace import NONE, HostEvents, Trace, device_events, host_events


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
    names, threads = Interned[Any](), Interned[Any]()
    origin = min((e.start_ns() for e in (*operators, *annotations)), default=0)
    tables = [_table(rows, names, threads, origin) for rows in (operators, annotations)]
    empty = host_events([()] * 6)
    return Trace(
        format="kineto", names=tuple(names), threads=tuple(("0", str(t)) for t in threads), origin=origin,
        event_count=len(operators) + len(annotations), operators=tables[0], calls=empty,
        work=device_events([()] * 8), annotations=tables[1], functions=empty, overhead=empty, facts=facts,
    )  # fmt: skip


def _annotates(event: Any) -> bool:
    return bool(event.activity_type() == "user_annotation")


def _table(events: Sequence[Any], names: Interned[Any], threads: Interned[Any], origin: int) -> HostEvents:
    none = [NONE] * len(events)
    return host_events((
        [names[e.name()] for e in events], [e.start_ns() - origin for e in events],
        [e.duration_ns() for e in events], [threads[e.start_thread_id()] for e in events], none, none,
    ))  # fmt: skip
