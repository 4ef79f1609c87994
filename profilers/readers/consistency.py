"""What every trace promises: columns of one length and type, indices that exist, times whose differences are exact."""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.profilers.trace import NONE, DeviceEvents, HostEvents, Trace, Work

FARTHEST = 1 << 60
"""Largest stamp and duration, ns (36 years): the end of any event and the distance of any two stay exact in int64."""

FARTHEST_ORIGIN = 1 << 62
"""Largest origin, ns (146 years): a stamp counted from zero fits int64 too."""

LARGEST_SUM = float(1 << 62)
"""Durations, ns, or bytes of one table may add up to this: every sum of some of them fits int64."""

HOST_TABLES = ("operators", "calls", "annotations", "functions", "overhead")
HOST_TYPES = {"name": "i4", "start": "i8", "duration": "i8", "thread": "i4", "correlation": "i8", "external": "i8"}
WORK_TYPES = {
    "work": "u1", "name": "i4", "start": "i8", "duration": "i8",
    "device": "i8", "stream": "i8", "correlation": "i8", "bytes": "i8",
}  # fmt: skip
"""Column -> NumPy type of the tables of host events, and of ``Trace.work``."""


def fault(trace: Trace) -> str | None:
    """Return the first promise of ``Trace`` that ``trace`` breaks, as words for people, or None."""
    used = len(trace.work)
    for name in HOST_TABLES:
        table: HostEvents = getattr(trace, name)
        used += len(table)
        if found := _fault_of_table(table, HOST_TYPES, len(trace.names)) or _outside(table.thread, len(trace.threads)):
            return f"{name}: {found}"
        if len(table) and int(table.external.min()) < NONE:
            return f"{name}: an external id is below -1"
    if found := _fault_of_table(trace.work, WORK_TYPES, len(trace.names)):
        return f"work: {found}"
    if len(trace.work) and int(trace.work.work.max()) > max(Work):
        return "work: a kind of device work is unknown"
    if len(trace.work) and int(trace.work.bytes.min()) < 0:
        return "work: bytes are negative"
    if len(set(trace.names)) != len(trace.names):
        return "a name occurs twice"
    if abs(trace.origin) > FARTHEST_ORIGIN:
        return "the origin is out of range"
    if trace.event_count < used:
        return f"{used} events in a file of {trace.event_count}"
    if not 0 <= trace.operator_steps <= len(trace.annotations):
        return f"{trace.operator_steps} steps among {len(trace.annotations)} annotations"
    if any(count < 0 for count in trace.skipped.values()):
        return "a number of skipped events is negative"
    return None


def overflow(trace: Trace) -> str | None:
    """Return which figures of ``trace`` add up to more than any trace's can, as words for people, or None."""
    for name in (*HOST_TABLES, "work"):
        if getattr(trace, name).duration.sum(dtype=np.float64) > LARGEST_SUM:
            return f"the durations of its {name} add up to more than 146 years"
    return "its copies add up to more than 4 EiB" if trace.work.bytes.sum(dtype=np.float64) > LARGEST_SUM else None


def _fault_of_table(table: HostEvents | DeviceEvents, types: dict[str, str], names: int) -> str | None:
    columns = msgspec.structs.asdict(table)
    for field, kind in types.items():
        if columns[field].dtype != np.dtype(kind):
            return f"column {field} is {columns[field].dtype}, not {np.dtype(kind)}"
        if columns[field].shape != table.start.shape or columns[field].ndim != 1:
            return f"column {field} has shape {columns[field].shape}, start has {table.start.shape}"
    if not len(table):
        return None
    if int(table.duration.min()) < 0:
        return "a duration is negative"
    if max(int(table.duration.max()), int(table.start.max()), -int(table.start.min())) > FARTHEST:
        return "a time is out of range"
    if int(table.correlation.min()) < NONE:
        return "a correlation id is below -1"
    return _outside(table.name, names)


def _outside(index: np.ndarray[tuple[int], np.dtype[np.int32]], length: int) -> str | None:
    """Return what is wrong where an index names nothing."""
    if len(index) and not (int(index.min()) >= 0 and int(index.max()) < length):
        return f"an index is outside the {length} entries it points into"
    return None
