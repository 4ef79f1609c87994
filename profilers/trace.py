"""A trace in columns: what ran on the host and on the devices, with integer nanoseconds and interned names.

Kineto writes microseconds with three decimals near 1e15, which no double holds exactly; every time here is an
``int64`` of nanoseconds after ``Trace.origin``, so sums, unions and differences are exact.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]

NONE = -1
"""A correlation id, device, stream or thread that the trace does not give."""


class Work(IntEnum):
    """What a device event is."""

    KERNEL = 0
    COPY = 1
    SET = 2


class HostEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Events of host threads, in the order of the file; every column has length n.

    Attributes:
        name: Index into ``Trace.names``.
        start: ns after ``Trace.origin``.
        duration: ns, never negative.
        thread: Index into ``Trace.threads``.
        correlation: Id that a call shares with the device work it started, ``NONE`` where it has none.
        external: Id that a call shares with the operator it was made in, ``NONE`` where it has none.
    """

    name: Int32
    start: Int64
    duration: Int64
    thread: Int32
    correlation: Int64
    external: Int64

    @property
    def end(self) -> Int64:
        """Return the ends, ns."""
        return self.start + self.duration

    def __len__(self) -> int:
        return len(self.start)


class DeviceEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Work of devices, in the order of the file; every column has length n.

    Attributes:
        work: A ``Work``, as uint8.
        name: Index into ``Trace.names``.
        start: ns after ``Trace.origin``.
        duration: ns, never negative.
        device: Number of the device as the trace gives it.
        stream: Number of the stream.
        correlation: Id of the call that started it, ``NONE`` where it has none.
        bytes: Bytes that a copy or set moved; 0 for kernels and where not recorded.
    """

    work: NDArray[np.uint8]
    name: Int32
    start: Int64
    duration: Int64
    device: Int64
    stream: Int64
    correlation: Int64
    bytes: Int64

    @property
    def end(self) -> Int64:
        """Return the ends, ns."""
        return self.start + self.duration

    def __len__(self) -> int:
        return len(self.start)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One profiled window of one process.

    Attributes:
        format: Where it came from: ``kineto``, ``nsys`` or ``codesign``.
        names: Interned names of operators, calls, kernels and annotations.
        threads: (process, thread) of each thread index, as the trace names them.
        origin: Nanoseconds that were subtracted from every stamp.
        event_count: Events in the file, of whatever kind.
        operator_steps: ``ProfilerStep#`` events among ``annotations`` that the file lists as operators.
        operators: Framework operators (``aten::...``), without ``ProfilerStep#``.
        calls: Every call of the runtime and driver interfaces.
        work: Kernels, copies and sets.
        annotations: Ranges the user named (``record_function``, NVTX), and ``ProfilerStep#``.
        functions: Python functions and modules, where the stack was recorded.
        overhead: Events of the profiler itself.
        device_names: Of the devices the file describes.
        facts: What the file says of its making that is safe to show: a fixed list of versions and flags, never
            environment, command lines, hosts or paths.
        skipped: Reason -> number of events that could not be used.
    """

    format: str
    names: tuple[str, ...]
    threads: tuple[tuple[str, str], ...]
    origin: int
    event_count: int
    operator_steps: int = 0
    operators: HostEvents
    calls: HostEvents
    work: DeviceEvents
    annotations: HostEvents
    functions: HostEvents
    overhead: HostEvents
    device_names: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    skipped: dict[str, int] = {}

    @property
    def kernels(self) -> NDArray[np.bool_]:
        """Return the mask of kernels in ``work``."""
        return np.asarray(self.work.work == Work.KERNEL)


def host_events(columns: Any) -> HostEvents:
    """Return host events of a sequence of six columns in the order of ``HostEvents``' fields."""
    kinds = (np.int32, np.int64, np.int64, np.int32, np.int64, np.int64)
    return HostEvents(
        **{f: np.asarray(c, k) for f, c, k in zip(HostEvents.__struct_fields__, columns, kinds, strict=True)}
    )


def device_events(columns: Any) -> DeviceEvents:
    """Return device events of a sequence of eight columns in the order of ``DeviceEvents``' fields."""
    kinds = (np.uint8, np.int32, np.int64, np.int64, np.int64, np.int64, np.int64, np.int64)
    return DeviceEvents(
        **{f: np.asarray(c, k) for f, c, k in zip(DeviceEvents.__struct_fields__, columns, kinds, strict=True)}
    )
