"""The passes within a trace: which stretches of it are repeats of the same work, and cutting some of them out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.profilers.intervals import Spans, covered, distinct, groups, total, union
from codesign.profilers.pairing import started_by
from codesign.profilers.split import Interval
from codesign.profilers.trace import NONE, HostEvents, Int64, Trace

ANNOTATION = "codesign_iteration"
"""Name of the range around each profiled pass."""

STEP = "ProfilerStep#"
"""Begins the names of the ranges that ``torch.profiler`` puts around the steps of its schedule."""


WINDOW = "window"
"""Kind of the one pass that a trace without marked ones counts as: from its first operator to its last."""

LEAST_SHARE = 0.5
"""Share of the operators' time that ranges of one name have to hold to count as the passes."""


class Iterations(NamedTuple):
    """Passes and the operators of the thread that ran them, both by start.

    Attributes:
        iterations: The passes; they do not overlap: of ranges within each other the outer one counts.
        operators: All operators of their thread.
    """

    iterations: list[Interval]
    operators: list[Interval]


class Passes(NamedTuple):
    """The passes of a whole trace.

    Attributes:
        threads: Of each thread that ran some.
        kind: What marks them: ``annotated`` (by our collectors), ``profiler steps``, the name of a repeated range
            within quotes, or ``window``.
        share: Share of the time in operators, of all threads, that they hold; 1 without operators.
    """

    threads: list[Iterations]
    kind: str
    share: float


def annotated(trace: Trace) -> Iterations:
    """Return the passes that our own collectors annotated, of the thread of the first."""
    mask = _named(trace, ANNOTATION, whole=True)
    thread = int(trace.annotations.thread[mask][0]) if mask.any() else NONE
    return _of(trace, mask, thread)


def iterations(trace: Trace) -> Passes:
    """Return the passes of a trace of any origin: marked ones, else those of a repeated range, else the window."""
    whole = {thread: union(*both) for thread, both in _by_thread(trace.operators)}
    for name, exact, kind in ((ANNOTATION, True, "annotated"), (STEP, False, "profiler steps")):
        if (mask := _named(trace, name, whole=exact)).any():
            return _passes(trace, mask, kind, whole)
    repeated = _longest_repeated(trace)
    if repeated is not None:
        mask = trace.annotations.name == repeated
        found = _passes(trace, mask, f"'{trace.names[repeated]}'", whole)
        if found.share >= LEAST_SHARE:
            return found
    if not whole:
        return Passes([], WINDOW, 1.0)
    thread = max(whole, key=lambda t: whole[t].length)
    operators = _intervals(trace, trace.operators, trace.operators.thread == thread)
    window = Interval(WINDOW, operators[0].start, max(event.end for event in operators))
    return Passes([Iterations([window], operators)], WINDOW, _share(whole, whole[thread].length))


def _passes(trace: Trace, mask: NDArray[np.bool_], kind: str, whole: dict[int, Spans]) -> Passes:
    threads = distinct(trace.annotations.thread[mask]).tolist()
    found = [_of(trace, mask, thread) for thread in threads]
    held = 0
    for thread, of_thread in zip(threads, found, strict=True):
        if thread in whole:
            low, high = (np.array([getattr(p, end) for p in of_thread.iterations]) for end in ("start", "end"))
            held += total(covered(whole[thread], low, high))
    return Passes(found, kind, _share(whole, held))


def _share(whole: dict[int, Spans], held: int) -> float:
    everything = sum(spans.length for spans in whole.values())
    return held / everything if everything else 1.0


def _by_thread(events: HostEvents) -> Iterator[tuple[int, tuple[Int64, Int64]]]:
    end = events.end
    for thread, rows in groups(events.thread):
        yield thread, (events.start[rows], end[rows])


def _longest_repeated(trace: Trace) -> int | None:
    """Return the number of the name of the ranges that take most time and occur more than once; None without any."""
    names, place, counts = np.unique(trace.annotations.name, return_inverse=True, return_counts=True)
    if not (counts > 1).any():
        return None
    times = np.where(counts > 1, np.bincount(place, trace.annotations.duration), -1.0)
    return int(names[times.argmax()])


def first_passes(trace: Trace, count: int) -> Trace:
    """Return the events of ``trace`` in its first ``count`` annotated passes; all of it where there are none."""
    starts, ends = _ordered(trace, _named(trace, ANNOTATION, whole=True))
    return within(trace, int(starts[0]), int(ends[:count].max())) if len(starts) else trace


def steps(trace: Trace, first: int, last: int) -> Trace:
    """Return the events of the profiler's steps number ``first`` to ``last``.

    Raises:
        UsageError: the trace has no such steps.
    """
    mask = _named(trace, STEP, whole=False)
    numbers = np.array([_number(trace.names[n]) for n in trace.annotations.name[mask]], np.int64)
    chosen = np.flatnonzero(mask)[(numbers >= first) & (numbers <= last)]
    if not len(chosen):
        known = f"it has steps {numbers.min()} to {numbers.max()}" if len(numbers) else "it has no profiler steps"
        named = f"step {first}" if first == last else f"steps {first} to {last}"
        raise UsageError(f"the trace has no {named}", known)
    return within(trace, int(trace.annotations.start[chosen].min()), int(trace.annotations.end[chosen].max()))


def within(trace: Trace, low: int, high: int) -> Trace:
    """Return the events that the host begins from ``low`` to ``high``, ns, and the work that those calls started.

    Device work whose call is not in the trace is kept by its own start.
    """
    cut: dict[str, Any] = {}
    for name in ("operators", "calls", "annotations", "functions", "overhead"):
        table = getattr(trace, name)
        cut[name] = _rows(table, (table.start >= low) & (table.start < high))
    started = started_by(trace)
    begun = np.where(started >= 0, np.append(trace.calls.start, 0)[started], trace.work.start)
    cut["work"] = _rows(trace.work, (begun >= low) & (begun < high))
    step = np.array([name.startswith(STEP) for name in trace.names] or [False], bool)
    kept = int(step[cut["annotations"].name].sum()) if trace.operator_steps else 0
    return replace(trace, event_count=sum(len(table) for table in cut.values()), operator_steps=kept, **cut)


def _rows(table: Any, kept: NDArray[np.bool_]) -> Any:
    return type(table)(**{field: getattr(table, field)[kept] for field in table.__struct_fields__})


def _number(name: str) -> int:
    digits = name.removeprefix(STEP)
    return int(digits) if digits.isdecimal() and len(digits) < 19 else NONE


def _named(trace: Trace, name: str, *, whole: bool) -> NDArray[np.bool_]:
    """Return the mask of annotations of that name, or that begin so."""
    hit = np.array([n == name if whole else n.startswith(name) for n in trace.names] or [False], bool)
    return hit[trace.annotations.name]


def _ordered(trace: Trace, mask: NDArray[np.bool_]) -> tuple[Any, Any]:
    start, end = trace.annotations.start[mask], trace.annotations.end[mask]
    order = np.argsort(start, kind="stable")
    return start[order], end[order]


def _of(trace: Trace, mask: NDArray[np.bool_], thread: int) -> Iterations:
    """Return the passes of ``mask`` on one thread, and that thread's operators."""
    events = trace.annotations
    passes: list[Interval] = []
    for found in _intervals(trace, events, mask & (events.thread == thread)):
        if not passes or found.start >= passes[-1].end:
            passes.append(found)
    return Iterations(passes, _intervals(trace, trace.operators, trace.operators.thread == thread))


def _intervals(trace: Trace, events: HostEvents, mask: NDArray[np.bool_]) -> list[Interval]:
    columns = (events.name[mask].tolist(), events.start[mask].tolist(), events.end[mask].tolist())
    found = [Interval(trace.names[name], start, end) for name, start, end in zip(*columns, strict=True)]
    return sorted(found, key=lambda event: (event.start, -event.end))
