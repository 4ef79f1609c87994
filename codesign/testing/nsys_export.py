"""Made-up exports of Nsight Systems: small SQLite files in the schemas that its versions write.

Column names and order follow the "SQLite Export Schema Reference" of Nsight Systems; columns that no reader of ours
looks at are left out, except a few that hold what must never be repeated. As the exporter does, tables are made only
where there are rows for them. A cell may be anything, so that damage can be made up too; texts are put into
``StringIds``. Times are ns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SECRET = "TOKEN=hunter2"
"""Stands in every export as environment, host name and command line; no reader may repeat it."""


class Call(NamedTuple):
    """A call of the runtime or driver (``CUPTI_ACTIVITY_KIND_RUNTIME``), or of the profiler (``PROFILER_OVERHEAD``)."""

    name: Any
    start: Any
    end: Any
    correlation: Any = 0
    process: int = 100
    thread: int = 101


class Kernel(NamedTuple):
    """A kernel (``CUPTI_ACTIVITY_KIND_KERNEL``)."""

    name: Any
    start: Any
    end: Any
    correlation: Any = 0
    device: Any = 0
    stream: Any = 7
    process: int = 100


class Graph(NamedTuple):
    """A graph traced as a whole (``CUPTI_ACTIVITY_KIND_GRAPH_TRACE``)."""

    graph: Any
    start: Any
    end: Any
    correlation: Any = 0
    device: Any = 0
    stream: Any = 7
    process: int = 100


class Copy(NamedTuple):
    """A copy (``CUPTI_ACTIVITY_KIND_MEMCPY``); ``kind`` 1 is host to device, 2 device to host, 8 within the device."""

    kind: Any
    bytes: Any
    start: Any
    end: Any
    correlation: Any = 0
    device: Any = 0
    stream: Any = 7
    process: int = 100


class Set(NamedTuple):
    """A set (``CUPTI_ACTIVITY_KIND_MEMSET``)."""

    bytes: Any
    start: Any
    end: Any
    correlation: Any = 0
    device: Any = 0
    stream: Any = 7
    process: int = 100


class Range(NamedTuple):
    """An event of NVTX (``NVTX_EVENTS``); ``kind`` 59 is push/pop, 60 start/end, 34 a mark."""

    text: Any
    start: Any
    end: Any
    kind: Any = 59
    process: int = 100
    thread: int = 101


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs between versions of the exporter.

    Attributes:
        process: Device work tells its process (``globalPid``).
        kernel_name: Column with the key of a kernel's name; ``demangledName`` comes with ``shortName`` beside it.
        inline_text: Ranges hold their text, else its key in ``StringIds``.
    """

    process: bool = True
    kernel_name: str = "demangledName"
    inline_text: bool = False


NEW = Variant()
OLD = Variant(process=False, kernel_name="name", inline_text=True)


class _Strings(dict[str, int]):
    """Keys of texts in ``StringIds``; what is no text is its own key."""

    def key(self, text: Any) -> Any:
        return self.setdefault(text, len(self) + 1) if isinstance(text, str) else text


def global_id(process: int, thread: int = 0) -> int:
    """Return the id that exports give a thread, or of ``thread`` 0 a process, of the first virtual machine."""
    return 1 << 48 | process << 24 | thread


def write_nsys_export(
    path: Path,
    *,
    calls: Iterable[Call] = (),
    kernels: Iterable[Kernel] = (),
    graphs: Iterable[Graph] = (),
    copies: Iterable[Copy] = (),
    sets: Iterable[Set] = (),
    ranges: Iterable[Range] = (),
    overhead: Iterable[Call] = (),
    gpus: Sequence[Any] = (),
    schema_version: Any = "3.11.0",
    variant: Variant = NEW,
) -> Path:
    """Write an export to ``path``, which must not exist, and return it."""
    strings = _Strings()
    tables = {
        "CUPTI_ACTIVITY_KIND_RUNTIME": _calls(calls, strings),
        "PROFILER_OVERHEAD": _calls(overhead, strings),
        "CUPTI_ACTIVITY_KIND_KERNEL": _kernels(kernels, strings, variant),
        "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": [_device(g, variant) | {"graphId": g.graph} for g in graphs],
        "CUPTI_ACTIVITY_KIND_MEMCPY": [_device(c, variant) | {"bytes": c.bytes, "copyKind": c.kind} for c in copies],
        "CUPTI_ACTIVITY_KIND_MEMSET": [
            _device(s, variant) | {"value": 0, "bytes": s.bytes, "memKind": 2} for s in sets
        ],
        "NVTX_EVENTS": _ranges(ranges, strings, variant),
        "TARGET_INFO_GPU": [{"id": number, "name": name, "uuid": SECRET} for number, name in enumerate(gpus)],
        "TARGET_INFO_SYSTEM_ENV": [{"name": "Hostname", "value": SECRET}],
        "META_DATA_CAPTURE": [{"name": "COMMAND_LINE", "value": SECRET}],
        "META_DATA_EXPORT": [
            {"name": "EXPORT_COMMAND_LINE", "value": SECRET},
            {"name": "EXPORT_SCHEMA_VERSION", "value": schema_version},
        ],
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")  # a made-up file need not survive a power cut
        connection.execute("CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
        strings.key(SECRET)  # what a program printed is one of the strings
        connection.executemany("INSERT INTO StringIds VALUES (?, ?)", [(key, text) for text, key in strings.items()])
        for table, rows in tables.items():
            _write(connection, table, rows)
    return path


def _write(connection: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    texts = ("text",) if table.startswith(("CUPTI", "NVTX", "PROFILER")) else ("name", "value", "uuid")
    # without NOT NULL, so that nulls can be made up where the exporter writes none
    columns = ", ".join(f'"{name}" {"TEXT" if name in texts else "INTEGER"}' for name in rows[0])
    connection.execute(f"CREATE TABLE {table} (\n    -- made up\n    {columns}\n)")
    places = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO {table} VALUES ({places})", [tuple(row.values()) for row in rows])


def _calls(calls: Iterable[Call], strings: _Strings) -> list[dict[str, Any]]:
    return [
        {
            "start": call.start,
            "end": call.end,
            "eventClass": 0,
            "globalTid": global_id(call.process, call.thread),
            "correlationId": call.correlation,
            "nameId": strings.key(call.name),
            "returnValue": 0,
        }
        for call in calls
    ]


def _device(row: Kernel | Graph | Copy | Set, variant: Variant) -> dict[str, Any]:
    columns = {
        "start": row.start,
        "end": row.end,
        "deviceId": row.device,
        "contextId": 1,
        "streamId": row.stream,
        "correlationId": row.correlation,
    }
    return columns | ({"globalPid": global_id(row.process)} if variant.process else {})


def _kernels(kernels: Iterable[Kernel], strings: _Strings, variant: Variant) -> list[dict[str, Any]]:
    short = variant.kernel_name == "demangledName"
    return [
        _device(kernel, variant)
        | {variant.kernel_name: strings.key(kernel.name)}
        | ({"shortName": strings.key("short")} if short else {})
        | {"gridX": 1, "blockX": 128, "graphNodeId": None}
        for kernel in kernels
    ]


def _ranges(ranges: Iterable[Range], strings: _Strings, variant: Variant) -> list[dict[str, Any]]:
    return [
        {
            "start": event.start,
            "end": event.end,
            "eventType": event.kind,
            "rangeId": None,
            "text": event.text if variant.inline_text else None,
            "globalTid": global_id(event.process, event.thread),
            "textId": None if variant.inline_text else strings.key(event.text),
            "domainId": 0,
        }
        for event in ranges
    ]
