"""Nsight Systems: the SQLite that ``nsys export --type sqlite`` writes, read column by column.

Tables exist only where something was recorded, and columns come and go with the version of the exporter, so both are
looked up before they are named. Times are integer nanoseconds and stay so. Schema: "SQLite Export Schema Reference"
in the documentation of Nsight Systems; texts of operators: ``getNvtxStr`` of PyTorch's ``csrc/profiler/util.cpp``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError
from codesign.profilers.readers.columns import MOST_BYTES, Interned
from codesign.profilers.readers.facts import shown
from codesign.profilers.readers.reasons import FAR, NO_TIMES, OTHER_PROCESSES
from codesign.profilers.readers.sqlite_columns import Database, opened
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

HINT = "expected what `nsys export --type sqlite report.nsys-rep` writes"

CALLS, RANGES, OVERHEAD, STRINGS = "CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS", "PROFILER_OVERHEAD", "StringIds"
KERNELS, GRAPHS = "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
COPIES, SETS = "CUPTI_ACTIVITY_KIND_MEMCPY", "CUPTI_ACTIVITY_KIND_MEMSET"
GPUS, EXPORT = "TARGET_INFO_GPU", "META_DATA_EXPORT"
HOST = (CALLS, RANGES, OVERHEAD)
DEVICE = {KERNELS: Work.KERNEL, GRAPHS: Work.KERNEL, COPIES: Work.COPY, SETS: Work.SET}
"""Table -> what its rows are. A graph traced as a whole is one row of ``GRAPHS`` and none of ``KERNELS``: it counts as
one kernel, so that its time is not lost."""

TIMES = ("start", "end", "correlationId")
COLUMNS = {
    CALLS: (*TIMES, "globalTid", "nameId"),
    RANGES: ("start", "end", "globalTid", "textId", "eventType"),
    OVERHEAD: (*TIMES, "globalTid", "nameId"),
    KERNELS: (*TIMES, "globalPid", "deviceId", "streamId"),
    GRAPHS: (*TIMES, "globalPid", "deviceId", "streamId", "graphId"),
    COPIES: (*TIMES, "globalPid", "deviceId", "streamId", "bytes", "copyKind"),
    SETS: (*TIMES, "globalPid", "deviceId", "streamId", "bytes"),
}
"""Table -> the columns that are read, beside the name of kernels."""
KERNEL_NAMES = ("demangledName", "shortName", "mangledName", "name")
"""Columns that may hold the key of a kernel's name: the first that is there does."""
COPY_KINDS = (
    "", "HtoD", "DtoH", "HtoA", "AtoH", "AtoA", "AtoD", "DtoA", "DtoD", "HtoH", "PtoP",
    "HtoD (unified)", "DtoH (unified)", "DtoD (unified)",
)  # fmt: skip
"""``copyKind`` -> direction, as Kineto names it."""
UNNAMED = "(unnamed)"
SUFFIX = re.compile(r"(?:_(?:v[0-9]+|ptsz|ptds)){1,3}\Z")
"""What CUPTI appends to the names of calls: the version of the interface, per-thread default streams."""
EMITTED = re.compile(r", (?:seq = [0-9]+(, op_id = [0-9]+)?|op_id = [0-9]+|sizes = \[)")
"""What ``torch.autograd.profiler.emit_nvtx`` appends to the names of ranges; the group: both ids of one operator."""

IS_RANGE = (59, 60, 70, 71)
"""Types of NVTX events with a start and an end: push/pop and start/end, of a program and of an imported text."""
MOST_EVENTS = 50_000_000
"""Rows of all tables together, after which a file is refused."""
LATEST = 1 << 62
"""ns that no stamp may exceed, so that differences of any two are exact."""
LONGEST = 1 << 50
"""A duration longer than this, ns (13 days), or a start further from the median start, is damage."""
MOST_DEVICES = 64
LONGEST_NAME = 64
"""Characters of the name of a device."""

Rows = dict[str, Int64]
"""Columns of a table by name, shape (n,) each, ``NONE`` where the file has no integer. Times are ns."""
Label = tuple[bool, str]
"""Whether a range is an operator, and its name."""
Value = TypeVar("Value")


def read_nsys(path: Path | str) -> Trace:
    """Return the trace in a SQLite export of Nsight Systems.

    Calls of the runtime and driver become ``calls``; kernels, copies, sets and graphs that were traced as a whole
    become ``work``; NVTX ranges become ``annotations``, those of ``torch.autograd.profiler.emit_nvtx`` ``operators``.
    An export of several processes is read where only one of them used a device: its host events are kept.

    Raises:
        DataError: the file is no such export, is damaged, is larger than the stated limit, or has device work of
            several processes.
    """
    path = Path(path)
    with opened(path, HINT) as database:
        if STRINGS not in database.tables or not {*HOST, *DEVICE, GPUS, EXPORT} & database.tables:
            some = ascii(", ".join(sorted(database.tables))[:80] or "none")
            raise DataError(f"{path.name} is SQLite but no export of Nsight Systems: its tables are {some}", HINT)
        labels: Interned[Label] = Interned()
        tables: dict[str, Rows] = {}
        event_count = 0
        for table in (*HOST, *DEVICE):
            tables[table] = _rows(database, table, MOST_EVENTS - event_count, labels)
            event_count += len(tables[table]["start"])
            if event_count > MOST_EVENTS:
                raise DataError(f"{path.name} has more than {MOST_EVENTS:,} events", "record a shorter window")
        skipped: Counter[str] = Counter()
        for table in tables:
            tables[table] = _with_times(tables[table], table, skipped)
        tables = _of_one_process(_near_each_other(tables, skipped), path, skipped)
        return _Assembly(database, tables, labels).trace(event_count, skipped)


def _rows(database: Database, table: str, most: int, labels: Interned[Label]) -> Rows:
    """Return the rows of ``table``; what is written beside ranges is interned in ``labels``, their column ``text``."""
    if table == RANGES:
        return database.integers(table, COLUMNS[table], most, ("text", lambda text: labels[_label(text)]))
    if table != KERNELS:
        return database.integers(table, COLUMNS[table], most)
    known = database.columns(table)
    name = next((column for column in KERNEL_NAMES if column in known), KERNEL_NAMES[0])
    rows = database.integers(table, (*COLUMNS[table], name), most)
    return rows | {"nameId": rows.pop(name)}


def _label(text: str) -> Label:
    """Return what a range is.

    Operators are what ``emit_nvtx`` marks, which numbers each: without the numbers they have one name. It also marks
    what a user names by ``record_function``, but gives that no sequence number and, in general, no namespace.
    """
    found = EMITTED.search(text)
    bare = text[: found.start()] if found else text
    if (found and (found[1] or "::" in bare)) or bare.startswith("aten::"):
        return True, bare
    return False, bare if found and found[0].startswith(", op_id") else text


def _with_times(rows: Rows, table: str, skipped: Counter[str]) -> Rows:
    """Return the rows of ``table`` that have times, as ``start`` and ``duration``; instants are no ranges."""
    start, end = rows["start"], rows.pop("end")
    usable = (start >= 0) & (end >= start) & (end <= LATEST)
    if table in DEVICE:
        usable &= start > 0  # CUPTI writes zeros where it has no times
    wanted = np.ones(len(start), bool)
    if table == RANGES and (rows["eventType"] != NONE).any():
        wanted = np.isin(rows.pop("eventType"), IS_RANGE)
    skipped[NO_TIMES] += int(np.count_nonzero(wanted & ~usable))
    end -= start
    return _where(rows | {"duration": end}, usable & wanted)


def _where(rows: Rows, mask: NDArray[np.bool_]) -> Rows:
    """Return the rows of ``mask``, without a copy where that is all."""
    return rows if mask.all() else {name: column[mask] for name, column in rows.items()}


def _near_each_other(tables: dict[str, Rows], skipped: Counter[str]) -> dict[str, Rows]:
    """Return the tables without the rows whose times cannot be of this window."""
    starts = np.concatenate([rows["start"] for rows in tables.values()])
    if not len(starts):
        return tables
    middle = len(starts) // 2
    starts.partition(middle)
    median = starts[middle]
    near = {
        table: _where(rows, (np.abs(rows["start"] - median) <= LONGEST) & (rows["duration"] <= LONGEST))
        for table, rows in tables.items()
    }
    skipped[FAR] += len(starts) - sum(len(rows["start"]) for rows in near.values())
    return near


def _of_one_process(tables: dict[str, Rows], path: Path, skipped: Counter[str]) -> dict[str, Rows]:
    """Return the tables with the host events of the one process that used a device.

    Raises:
        DataError: several did; their correlation ids repeat, so nothing tells whose call started what.
    """
    processes = _distinct(_process(tables[table]["globalPid"]) for table in DEVICE)
    if not processes:  # older exporters do not write the process of device work
        calls = tables[CALLS]
        started = np.isin(calls["correlationId"], np.concatenate([tables[t]["correlationId"] for t in DEVICE]))
        processes = _distinct([_process(calls["globalTid"][started & (calls["correlationId"] > 0)])])
    if len(processes) > 1:
        named = ", ".join(str(process & 0xFFFFFF) for process in processes[:8]) + (", ..." if processes[8:] else "")
        raise DataError(
            f"{path.name} has device work of {len(processes)} processes (ids {named}), whose correlation ids repeat",
            "record each process into a report of its own, for example one `nsys profile` for each rank",
        )
    if not processes:
        return tables
    of = {table: _process(tables[table]["globalTid"]) for table in HOST}
    kept = {t: _where(tables[t], (of[t] == processes[0]) | (of[t] == NONE)) for t in HOST}
    skipped[OTHER_PROCESSES] += sum(len(tables[t]["start"]) - len(kept[t]["start"]) for t in HOST)
    return tables | kept


def _process(identifier: Int64) -> Int64:
    """Return machine and process of global ids (bits 24 and up), ``NONE`` where there is none."""
    return identifier >> 24  # which leaves -1 what it is


def _distinct(columns: Iterable[Int64]) -> list[int]:
    """Return the distinct values other than ``NONE``, sorted."""
    return [value for value in np.unique(np.concatenate(list(columns))).tolist() if value != NONE]


class _Assembly:
    """Makes a trace of tables, which it takes apart: names and threads are numbered where they are used."""

    def __init__(self, database: Database, tables: dict[str, Rows], labels: Interned[Label]) -> None:
        self._database = database
        self._tables = tables
        self._labels = labels
        self._names: Interned[str] = Interned()
        self._threads: Interned[tuple[str, str]] = Interned()
        self._origin = min((int(rows["start"].min()) for rows in tables.values() if len(rows["start"])), default=0)

    def trace(self, event_count: int, skipped: Counter[str]) -> Trace:
        """Return the trace."""
        # calls in turn, not in the call of Trace: each frees the columns that it took
        operators, annotations = self._ranges()
        calls, overhead, work = self._calls(CALLS), self._calls(OVERHEAD), self._work()
        return Trace(
            format="nsys", names=tuple(self._names), threads=tuple(self._threads), origin=self._origin,
            event_count=event_count, operators=operators, calls=calls, work=work, annotations=annotations,
            functions=host_events([()] * len(HostEvents.__struct_fields__)), overhead=overhead,
            device_names=_device_names(self._database), facts=_facts(self._database),
            skipped={reason: count for reason, count in skipped.items() if count},
        )  # fmt: skip

    def _calls(self, table: str) -> HostEvents:
        rows = self._tables.pop(table)
        return self._host(rows, self._strings(rows.pop("nameId"), lambda t: SUFFIX.sub("", t) or UNNAMED, self._names))

    def _ranges(self) -> tuple[HostEvents, HostEvents]:
        """Return operators and annotations; the label of a range stands beside it, or is one of the strings."""
        rows = self._tables.pop(RANGES)
        label, key = rows.pop("text"), rows.pop("textId")
        registered = label == NONE
        label[registered] = self._strings(key[registered], _label, self._labels)
        labels, names = tuple(self._labels), self._names
        name = _indices(label, lambda numbers: [names[labels[number][1]] for number in numbers])
        operator = np.array([is_operator for is_operator, _ in labels], bool)[label]
        return (
            self._host(_where(rows, operator), name[operator]),
            self._host(_where(rows, ~operator), name[~operator]),
        )

    def _host(self, rows: Rows, name: Int32) -> HostEvents:
        none = np.full(len(name), NONE)
        thread = _indices(rows["globalTid"], lambda owners: [self._threads[_thread(owner)] for owner in owners])
        correlation = _ids(rows["correlationId"]) if "correlationId" in rows else none
        return host_events((name, rows["start"] - self._origin, rows["duration"], thread, correlation, none))

    def _work(self) -> DeviceEvents:
        """Return the rows of all device tables, kernels first."""
        tables = {table: self._tables.pop(table) for table in DEVICE}
        counts = {table: len(rows["start"]) for table, rows in tables.items()}
        name = np.concatenate([self._work_names(table, rows) for table, rows in tables.items()])

        def joined(field: str) -> Int64:
            return np.concatenate(
                [rows.pop(field, np.zeros(counts[table], np.int64)) for table, rows in tables.items()]
            )

        return device_events(
            (
                np.repeat(np.array(list(DEVICE.values()), np.uint8), list(counts.values())),
                name,
                joined("start") - self._origin,
                joined("duration"),
                joined("deviceId"),
                joined("streamId"),
                _ids(joined("correlationId")),
                _moved(joined("bytes")),
            )
        )

    def _work_names(self, table: str, rows: Rows) -> Int32:
        names = self._names
        if table == KERNELS:
            return self._strings(rows.pop("nameId"), str, names)
        if table == GRAPHS:
            graphs = rows.pop("graphId")
            return _indices(graphs, lambda numbers: [names[f"CUDA graph {n} (traced whole)"] for n in numbers])
        if table == COPIES:
            return _indices(rows.pop("copyKind"), lambda kinds: [names[_copy(kind)] for kind in kinds])
        return np.full(len(rows["start"]), names["Memset"] if len(rows["start"]) else 0, np.int32)

    def _strings(self, keys: Int64, label: Callable[[str], Value], interned: Interned[Value]) -> Int32:
        """Return the index in ``interned`` of the label of the string of each key."""
        if not len(keys):
            return np.empty(0, np.int32)
        distinct, inverse = np.unique(keys, return_inverse=True)
        found = dict.fromkeys(distinct.tolist(), NONE)
        # the texts themselves are not kept: each operator that was emitted has one of its own
        for key, text in self._database.texts(STRINGS, "id", "value", found):
            found[key] = interned[label(text)]
        numbers = np.fromiter(found.values(), np.int32, len(found))
        if (unnamed := numbers == NONE).any():
            numbers[unnamed] = interned[label(UNNAMED)]
        return numbers[inverse]


def _indices(keys: Int64, numbers: Callable[[list[int]], list[int]]) -> Int32:
    """Return for each key the number that ``numbers`` gives the distinct ones; it is not asked about none."""
    if not len(keys):
        return np.empty(0, np.int32)
    distinct, inverse = np.unique(keys, return_inverse=True)
    return np.array(numbers(distinct.tolist()), np.int32)[inverse]


def _ids(correlation: Int64) -> Int64:
    """Return correlation ids, ``NONE`` for the 0 that older exporters write where they have none."""
    return np.where(correlation > 0, correlation, NONE)


def _moved(size: Int64) -> Int64:
    """Return bytes, 0 for what no copy moves."""
    return np.where((size < 0) | (size > MOST_BYTES), 0, size)


def _thread(owner: int) -> tuple[str, str]:
    """Return process and thread of a global id (bits 24 to 47, and 0 to 23)."""
    return ("", "") if owner == NONE else (str(owner >> 24 & 0xFFFFFF), str(owner & 0xFFFFFF))


def _copy(kind: int) -> str:
    return f"Memcpy {COPY_KINDS[kind]}" if 0 < kind < len(COPY_KINDS) else "Memcpy"


def _device_names(database: Database) -> tuple[str, ...]:
    found = sorted(islice(database.texts(GPUS, "id", "name"), MOST_DEVICES))
    return shown(dict.fromkeys(name for _, name in found))


def _facts(database: Database) -> dict[str, str]:
    """Return the version of the schema; nothing else that the export says of its making is safe to show."""
    version = database.text(EXPORT, "name", "EXPORT_SCHEMA_VERSION", "value") or ""
    return {"nsys_schema_version": version} if re.fullmatch(r"[0-9.]{1,20}", version) else {}
