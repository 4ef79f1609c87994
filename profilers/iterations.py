"""The passes within a trace: which stretches of it are repeats of the same work, and cutting some of them out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.profilers.pairing import started_by
from codesign.profilers.split import Interval
from codesign.profilers.trace import NONE, HostEvents, Trace

ANNOTATION = "codesign_iteration"
"""Name of the range around each profiled pass."""

STEP = "ProfilerStep#"
"""Begins the names of the ranges that ``torch.profiler`` puts around the steps of its schedule."""


class Iterations(NamedTuple):
    """Passes and the operators of the thread that ran them, both by start.

    Attributes:
        iterations: The passes; they do not overlap.
        operators: All operators of their thread.
        kind: What marks the passes: ``annotated``, ``profiler steps``, or ``window`` (one, over all operators).
    """

    iterations: list[Interval]
    operators: list[Interval]
    kind: str = "annotated"


def annotated(trace: Trace) -> Iterations:
    """Return the passes that our own collectors annotated."""
    return _of(trace, _named(trace, ANNOTATION, whole=True), "annotated")


def iterations(trace: Trace) -> Iterations:
    """Return the passes of a trace of any origin; none where no operator ran."""
    for name, whole, kind in ((ANNOTATION, True, "annotated"), (STEP, False, "profiler steps")):
        if (mask := _named(trace, name, whole=whole)).any():
            return _of(trace, mask, kind)
    operators = trace.operators
    if not len(operators):
        return Iterations([], [], "window")
    thread = int(np.bincount(operators.thread).argmax())
    found = _intervals(trace, operators, operators.thread == thread)
    whole_window = Interval("window", found[0].start, max(event.end for event in found))
    return Iterations([whole_window], found, "window")


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
        raise UsageError(f"the trace has no step from {first} to {last}", known)
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


def _of(trace: Trace, mask: NDArray[np.bool_], kind: str) -> Iterations:
    """Return the passes of ``mask`` on the thread that ran the first of them, and that thread's operators."""
    events = trace.annotations
    thread = int(events.thread[mask][0]) if mask.any() else NONE
    passes = _intervals(trace, events, mask & (events.thread == thread))
    return Iterations(passes, _intervals(trace, trace.operators, trace.operators.thread == thread), kind)


def _intervals(trace: Trace, events: HostEvents, mask: NDArray[np.bool_]) -> list[Interval]:
    columns = (events.name[mask].tolist(), events.start[mask].tolist(), events.end[mask].tolist())
    found = [Interval(trace.names[name], start, end) for name, start, end in zip(*columns, strict=True)]
    return sorted(found, key=lambda event: (event.start, -event.end))
