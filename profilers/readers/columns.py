"""Columns of a trace, grown block by block from decoded events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from codesign.profilers.readers.event import HOST, Arguments, Event, Phase, Role
from codesign.profilers.readers.facts import device_names, facts
from codesign.profilers.readers.reasons import FAR, NO_EVENT
from codesign.profilers.trace import (
    NONE,
    DeviceEvents,
    HostEvents,
    Int32,
    Int64,
    Trace,
    Work,
    device_events,
    host_events,
)

Stamps = Callable[[Sequence[Any]], Int64]
"""Turns the stamps of events into integer nanoseconds."""

PROFILER_STEP = "ProfilerStep#"
LONGEST = 1 << 50
"""A duration longer than this, ns (13 days), or a start further from the median start, is damage."""
MOST_BYTES = 1 << 48
"""Bytes that one copy may move; beyond what an address space holds, the number is none."""

_NO_ARGUMENTS = Arguments()
_COMPLETE = Phase.COMPLETE
_IS_HOST = bytes(int(0 < role <= Role.OVERHEAD) for role in range(256))
_IS_DEVICE = bytes(int(role > Role.OVERHEAD) for role in range(256))
_IS_OTHER = bytes(int(role == 0) for role in range(256))
_WORK = np.zeros(256, np.uint8)
_WORK[[Role.KERNEL, Role.COPY, Role.SET]] = [Work.KERNEL, Work.COPY, Work.SET]
LONGEST_LABEL = 64
"""Characters of the text of a process or thread in which the number of a device or stream is looked for."""

Table = tuple[NDArray[Any], ...]
"""Columns of one length: (name, start, duration, ...)."""
Value = TypeVar("Value")


class Interned(dict[Value, int]):
    """Numbers values in the order they are met."""

    def __missing__(self, value: Value) -> int:
        number = self[value] = len(self)
        return number


class _Threads(dict[tuple[Any, Any], int]):
    """Numbers (process, thread) by their text: what one writer puts as 7 and another as "7" is one thread."""

    def __init__(self) -> None:
        self.texts: Interned[tuple[str, str]] = Interned()

    def __missing__(self, pair: tuple[Any, Any]) -> int:
        process, thread = ("" if part is None else str(part) for part in pair)
        number = self[pair] = self.texts[process, thread]
        return number


class Columns:
    """Collects events; ``trace`` gives what was collected."""

    def __init__(self) -> None:
        self.event_count = 0
        self.without_phase = 0
        """Events that do not even say whether they are complete."""
        self.needs_text = False
        """Whether numbers may not hold stamps exactly, so that their text is read: it stays so for the whole file."""
        self.skipped: Counter[str] = Counter()
        self._names: Interned[str] = Interned()
        self._threads = _Threads()
        self._host: list[Table] = []
        self._device: list[Table] = []

    def add(self, events: Sequence[Event[Any]], stamps: Stamps) -> None:
        """Take over the events of one block; all or, where a value is out of range, none.

        Raises:
            ValueError, OverflowError, TypeError: ``stamps`` refuses one, or a number does not fit 64 bits.
        """
        roles = bytes([e.cat.role if e.ph is _COMPLETE else 0 for e in events])
        used = list(compress(events, roles))
        starts, durations = stamps([e.ts for e in used]), stamps([e.dur for e in used])
        if len(durations) and durations.min() < 0:
            raise ValueError("negative duration")
        on_host = list(compress(events, roles.translate(_IS_HOST)))
        on_device = list(compress(events, roles.translate(_IS_DEVICE)))
        host, device = _host_ids(on_host), _device_ids(on_device)
        # nothing fails from here on; names and threads are numbered in the order of the file, however it is cut
        names = self._names
        given = np.frombuffer(roles.translate(None, b"\0"), np.uint8)
        common = np.array([names[e.name] for e in used], np.int32), starts, durations
        if on_host:
            mask = given <= Role.OVERHEAD
            threads = self._thread_numbers(on_host)
            self._host.append((*(c[mask] for c in common), threads, *host, given[mask]))
        if on_device:
            mask = given > Role.OVERHEAD
            self._device.append((*(c[mask] for c in common), *device, _WORK[given[mask]]))
        self.event_count += len(events)
        phases = [e.ph for e in compress(events, roles.translate(_IS_OTHER))]
        missing = phases.count(Phase.MISSING)
        self.without_phase += missing
        if unfinished := missing + phases.count(Phase.BEGIN) + phases.count(Phase.END):
            self.skipped[NO_EVENT] += unfinished

    def _thread_numbers(self, events: list[Event[Any]]) -> Int32:
        """Return the number of each event's thread; looked up once a run of events of one thread."""
        processes, identities = [e.pid for e in events], [e.tid for e in events]
        threads = self._threads
        try:
            # types first: NumPy would take text for numbers, and make text of numbers
            one = type(processes[0]) is int and processes.count(processes[0]) == len(processes)
            if not (one or set(map(type, processes)) == {int}) or set(map(type, identities)) != {int}:
                raise TypeError
            process = np.zeros(len(events), np.int64) if one else np.array(processes, np.int64)
            columns = process, np.array(identities, np.int64)
        except (TypeError, OverflowError):  # text, missing, or numbers past 64 bits
            return np.array([threads[pair] for pair in zip(processes, identities, strict=True)], np.int32)
        changes = (columns[0][1:] != columns[0][:-1]) | (columns[1][1:] != columns[1][:-1])
        opens = np.append(0, np.flatnonzero(changes) + 1)
        numbers = [threads[processes[i], identities[i]] for i in opens.tolist()]
        return np.repeat(np.array(numbers, np.int32), np.diff(opens, append=len(events)))

    def trace(self, source: str, fields: Mapping[str, Any]) -> Trace:
        """Return the trace of everything added, which is freed; ``fields`` are the file's top-level fields."""
        tables = _near_each_other([_joined(self._host, 7), _joined(self._device, 8)], self.skipped)
        names, threads = tuple(self._names), tuple(self._threads.texts)
        if self.skipped[FAR]:  # their names and threads go with them
            names, kept = _kept(names, [table[0] for table in tables])
            threads, kept_threads = _kept(threads, [tables[0][3]])
            tables = [(kept[table[0]], *table[1:]) for table in tables]
            tables[0] = (*tables[0][:3], kept_threads[tables[0][3]], *tables[0][4:])
        host, device = tables
        origin = min((int(table[1].min()) for table in tables if len(table[1])), default=0)
        steps = np.array([n.startswith(PROFILER_STEP) for n in names], bool)
        role, moved = host[6], 0
        if steps.any():  # old files write the profiler's steps as operators
            is_step = (role == Role.OPERATOR) & steps[host[0]]
            role, moved = np.where(is_step, np.uint8(Role.ANNOTATION), role), int(is_step.sum())
        groups = {r: _host_group(host, role == r, origin) for r in HOST}
        return Trace(
            format=source, names=names, threads=threads, origin=origin, event_count=self.event_count,
            operator_steps=moved, operators=groups[Role.OPERATOR], calls=groups[Role.CALL],
            work=_device_group(device, origin), annotations=groups[Role.ANNOTATION], functions=groups[Role.FUNCTION],
            overhead=groups[Role.OVERHEAD], device_names=device_names(fields), facts=facts(fields),
            skipped={reason: count for reason, count in self.skipped.items() if count},
        )  # fmt: skip


def _host_ids(events: list[Event[Any]]) -> tuple[Int64, Int64]:
    """Return correlation and external ids."""
    arguments = [e.args or _NO_ARGUMENTS for e in events]
    external = np.array([a.external for a in arguments], np.int64)
    missing = external < 0
    external[missing] = [a.external_old for a in compress(arguments, missing.tolist())]
    return _identifiers([a.correlation for a in arguments]), np.maximum(external, NONE)


def _device_ids(events: list[Event[Any]]) -> tuple[Int64, Int64, Int64, Int64]:
    """Return devices, streams, correlation ids and bytes."""
    arguments = [e.args or _NO_ARGUMENTS for e in events]
    # without arguments the process is the device and the thread the stream, as Kineto writes them
    devices = [a.device if a.device >= 0 else _whole(e.pid) for a, e in zip(arguments, events, strict=True)]
    streams = [a.stream if a.stream >= 0 else _whole(e.tid) for a, e in zip(arguments, events, strict=True)]
    moved = np.array([int(a.bytes) for a in arguments], np.int64)
    moved[(moved < 0) | (moved > MOST_BYTES)] = 0
    return (
        np.array(devices, np.int64), np.array(streams, np.int64), _identifiers([a.correlation for a in arguments]),
        moved,
    )  # fmt: skip


def _identifiers(values: list[int]) -> Int64:
    """Return ids, ``NONE`` for what some writers put in its place: any negative number."""
    return np.maximum(np.array(values, np.int64), NONE)


def _whole(value: object) -> int:
    """Return the number in a process or thread of a device event (``7``, ``"stream 7"``), -1 where there is none."""
    if isinstance(value, int):
        return value if 0 <= value < 2**63 else NONE
    digits = "".join(c for c in str(value or "")[:LONGEST_LABEL] if c.isdecimal())
    return int(digits) if 0 < len(digits) <= 18 else NONE


def _joined(parts: list[Table], width: int) -> Table:
    """Return the columns of all ``parts``, which are emptied: two copies of the trace never lie in memory."""
    if not parts:
        return tuple(np.empty(0, np.int64) for _ in range(width))
    columns = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    found = []
    while columns:
        found.append(np.concatenate(columns.pop(0)))
    return tuple(found)


def _near_each_other(tables: list[Table], skipped: Counter[str]) -> list[Table]:
    """Return the tables without the rows whose times cannot be of this window, which are counted."""
    starts = np.concatenate([table[1] for table in tables])
    if not len(starts):
        return tables
    middle = len(starts) // 2
    starts.partition(middle)
    median = starts[middle]
    del starts
    for number, table in enumerate(tables):
        near = (np.abs(table[1] - median) <= LONGEST) & (table[2] <= LONGEST)
        if not near.all():
            skipped[FAR] += int((~near).sum())
            tables[number] = tuple(column[near] for column in table)
    return tables


def _kept(values: tuple[Value, ...], indices: list[Int32]) -> tuple[tuple[Value, ...], Int32]:
    """Return those of ``values`` that ``indices`` use, and the new number of each old one."""
    used = np.zeros(len(values), bool)
    for column in indices:
        used[column] = True
    return tuple(compress(values, used.tolist())), np.asarray(np.cumsum(used) - 1, np.int32)


def _host_group(columns: Table, mask: NDArray[np.bool_], origin: int) -> HostEvents:
    name, start, *rest = (c[mask] for c in columns[:6])
    return host_events((name, start - origin, *rest))


def _device_group(columns: Table, origin: int) -> DeviceEvents:
    name, start, *rest, work = columns
    return device_events((work, name, start - origin, *rest))
