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
_NO_ARGUMENTS = Arguments()
_COMPLETE = Phase.COMPLETE
_IS_HOST = bytes(int(0 < role <= Role.OVERHEAD) for role in range(256))
_IS_DEVICE = bytes(int(role > Role.OVERHEAD) for role in range(256))
_IS_OTHER = bytes(int(role == 0) for role in range(256))
_WORK = np.zeros(256, np.uint8)
_WORK[[Role.KERNEL, Role.COPY, Role.SET]] = [Work.KERNEL, Work.COPY, Work.SET]


Value = TypeVar("Value")


class Interned(dict[Value, int]):
    """Numbers values in the order they are met."""

    def __missing__(self, value: Value) -> int:
        number = self[value] = len(self)
        return number


class Columns:
    """Collects events; ``trace`` gives what was collected."""

    def __init__(self) -> None:
        self.event_count = 0
        self.needs_text = False
        """Whether stamps are too large to be decoded as numbers: it stays so for the whole file."""
        self.skipped: Counter[str] = Counter()
        self._names: Interned[str] = Interned()
        self._threads: Interned[tuple[Any, Any]] = Interned()
        self._host: list[tuple[NDArray[Any], ...]] = []
        self._device: list[tuple[NDArray[Any], ...]] = []

    def add(self, events: Sequence[Event[Any]], stamps: Stamps) -> None:
        """Take over the events of one block; all or, where a value is out of range, none.

        Raises:
            ValueError, OverflowError, TypeError: ``stamps`` refuses one, or a number does not fit 64 bits.
        """
        roles = bytes([e.cat.role if e.ph is _COMPLETE else 0 for e in events])
        host = self._host_columns(list(compress(events, roles.translate(_IS_HOST))), roles, stamps)
        device = self._device_columns(list(compress(events, roles.translate(_IS_DEVICE))), roles, stamps)
        if len(host[0]):
            self._host.append(host)
        if len(device[0]):
            self._device.append(device)
        self.event_count += len(events)
        phases = [e.ph for e in compress(events, roles.translate(_IS_OTHER))]
        unfinished = sum(phases.count(phase) for phase in (Phase.BEGIN, Phase.END, Phase.MISSING))
        if unfinished:
            self.skipped["no complete event (ph is not X)"] += unfinished

    def _common(self, events: list[Event[Any]], stamps: Stamps) -> tuple[Int32, Int64, Int64]:
        names = self._names
        starts, durations = stamps([e.ts for e in events]), stamps([e.dur for e in events])
        if len(durations) and durations.min() < 0:
            raise ValueError("negative duration")
        return np.array([names[e.name] for e in events], np.int32), starts, durations

    def _host_columns(self, events: list[Event[Any]], roles: bytes, stamps: Stamps) -> tuple[NDArray[Any], ...]:
        arguments = [e.args or _NO_ARGUMENTS for e in events]
        external = np.array([a.external for a in arguments], np.int64)
        missing = external < 0
        external[missing] = [a.external_old for a in compress(arguments, missing.tolist())]
        given = np.frombuffer(roles, np.uint8)
        return (
            *self._common(events, stamps),
            self._thread_numbers(events),
            _identifiers([a.correlation for a in arguments]),
            np.maximum(external, NONE),
            given[(given > 0) & (given <= Role.OVERHEAD)],
        )

    def _thread_numbers(self, events: list[Event[Any]]) -> Int32:
        """Return the number of each event's thread; looked up once a run of events of one thread."""
        processes, identities = [e.pid for e in events], [e.tid for e in events]
        columns = np.array(processes), np.array(identities)
        if not events or any(column.dtype != np.int64 for column in columns):  # text, or missing
            return np.array([self._threads[pair] for pair in zip(processes, identities, strict=True)], np.int32)
        changes = (columns[0][1:] != columns[0][:-1]) | (columns[1][1:] != columns[1][:-1])
        opens = np.append(0, np.flatnonzero(changes) + 1)
        numbers = [self._threads[processes[i], identities[i]] for i in opens.tolist()]
        return np.repeat(np.array(numbers, np.int32), np.diff(opens, append=len(events)))

    def _device_columns(self, events: list[Event[Any]], roles: bytes, stamps: Stamps) -> tuple[NDArray[Any], ...]:
        arguments = [e.args or _NO_ARGUMENTS for e in events]
        # without arguments the process is the device and the thread the stream, as Kineto writes them
        devices = [a.device if a.device >= 0 else _whole(e.pid) for a, e in zip(arguments, events, strict=True)]
        streams = [a.stream if a.stream >= 0 else _whole(e.tid) for a, e in zip(arguments, events, strict=True)]
        given = np.frombuffer(roles, np.uint8)
        return (
            _WORK[given[given > Role.OVERHEAD]],
            *self._common(events, stamps),
            np.array(devices, np.int64),
            np.array(streams, np.int64),
            _identifiers([a.correlation for a in arguments]),
            np.maximum(np.array([int(a.bytes) for a in arguments], np.int64), 0),
        )

    def trace(self, source: str, fields: Mapping[str, Any]) -> Trace:
        """Return the trace of everything added; ``fields`` are the file's top-level fields."""
        host = _joined(self._host, 7)
        device = _joined(self._device, 8)
        starts = [c[i].min() for c, i in ((host, 1), (device, 2)) if len(c[i])]
        origin = int(min(starts, default=0))
        names = tuple(self._names)
        steps = np.array([n.startswith(PROFILER_STEP) for n in names], bool)
        role, moved = host[6], 0
        if steps.any():  # old files write the profiler's steps as operators
            is_step = (role == Role.OPERATOR) & steps[host[0]]
            role, moved = np.where(is_step, np.uint8(Role.ANNOTATION), role), int(is_step.sum())
        groups = {r: _host_group(host, role == r, origin) for r in HOST}
        return Trace(
            format=source, names=names, threads=tuple((str(p), str(t)) for p, t in self._threads),
            origin=origin, event_count=self.event_count, operator_steps=moved,
            operators=groups[Role.OPERATOR], calls=groups[Role.CALL],
            work=_device_group(device, origin), annotations=groups[Role.ANNOTATION], functions=groups[Role.FUNCTION],
            overhead=groups[Role.OVERHEAD], device_names=device_names(fields), facts=facts(fields),
            skipped=dict(self.skipped),
        )  # fmt: skip


def _identifiers(values: list[int]) -> Int64:
    """Return ids, ``NONE`` for what some writers put in its place: any negative number."""
    return np.maximum(np.array(values, np.int64), NONE)


def _whole(value: object) -> int:
    """Return the number in a process or thread of a device event (``7``, ``"stream 7"``), -1 where there is none."""
    if isinstance(value, int):
        return value
    digits = "".join(c for c in str(value or "") if c.isdecimal())
    return int(digits) if 0 < len(digits) <= 18 else -1


def _joined(parts: list[tuple[NDArray[Any], ...]], width: int) -> tuple[NDArray[Any], ...]:
    """Return the columns of all ``parts``, which are emptied: two copies of the trace never lie in memory."""
    if not parts:
        return tuple(np.empty(0, np.int64) for _ in range(width))
    columns = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    found = []
    while columns:
        found.append(np.concatenate(columns.pop(0)))
    return tuple(found)


def _host_group(columns: tuple[NDArray[Any], ...], mask: NDArray[np.bool_], origin: int) -> HostEvents:
    name, start, *rest = (c[mask] for c in columns[:6])
    return host_events((name, start - origin, *rest))


def _device_group(columns: tuple[NDArray[Any], ...], origin: int) -> DeviceEvents:
    work, name, start, *rest = columns
    return device_events((work, name, start - origin, *rest))
