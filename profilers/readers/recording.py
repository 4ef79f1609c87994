"""Our own recording: a trace in a few bytes an event, written by ``write_recording`` and read without trust.

Layout, version 1: gzip of one line of JSON (``Header``), then every column of every table, in the order of
``COLUMNS``. A column is its table's length of little-endian integers in the smallest type that holds them, the bytes
of equal weight together; columns in ``DELTA`` hold differences. Nothing in a file is ever executed.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, printable
from codesign.profilers.readers.consistency import HOST_TABLES, HOST_TYPES, WORK_TYPES, fault
from codesign.profilers.readers.facts import kept, shown
from codesign.profilers.readers.reasons import OTHER, REASONS
from codesign.profilers.readers.text import FREE_TEXT, LARGEST_RATIO, RECORDING, open_file, shown_name
from codesign.profilers.trace import DeviceEvents, HostEvents, Trace
from codesign.run.directory import write_file

VERSION = 1
COLUMNS = tuple((table, field) for table in HOST_TABLES for field in HOST_TYPES) + tuple(
    ("work", field) for field in WORK_TYPES
)
DELTA = frozenset({"start", "correlation", "external"})
FORMATS = frozenset({"kineto", "nsys", "codesign"})
TYPES = ("i1", "i2", "i4", "i8")
LEAST_HEADER, LONGEST_HEADER = 1 << 20, 64 << 20
"""Bytes of the first line that are read from the smallest file and from any; between, as far as text packs."""
MOST_EVENTS = 50_000_000
DENSEST = 1100
"""Bytes that one byte of gzip can stand for (deflate's limit is 1032); a header that promises more lies."""
HINT = "expected a recording that codesign wrote; record it again"


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first line of a recording.

    Attributes:
        codesign_trace: Version of the layout.
        lengths: Table -> events in it.
        types: Of each of ``COLUMNS`` as it is stored, one of ``TYPES``.
    """

    codesign_trace: int
    format: str
    names: tuple[str, ...]
    threads: tuple[tuple[str, str], ...]
    origin: int
    event_count: int
    operator_steps: int
    device_names: tuple[str, ...]
    facts: dict[str, str]
    skipped: dict[str, int]
    lengths: dict[str, int]
    types: tuple[str, ...]


def write_recording(trace: Trace, path: Path | str) -> None:
    """Write ``trace`` to ``path``; equal traces give equal bytes.

    Raises:
        ValueError: ``trace`` breaks a promise of ``Trace``.
        EnvironmentLacks: the disk is full or the place is read-only.
    """
    if found := fault(trace):
        raise ValueError(f"the trace is not consistent: {found}")
    stored = [_packed(getattr(getattr(trace, table), field), field in DELTA) for table, field in COLUMNS]
    header = Header(
        codesign_trace=VERSION,
        lengths={table: len(getattr(trace, table)) for table in (*HOST_TABLES, "work")},
        types=tuple(kind for kind, _ in stored),
        **{field: getattr(trace, field) for field in Trace.__struct_fields__ if field in Header.__struct_fields__},
    )
    content = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=content, mtime=0) as file:
        file.write(msgspec.json.encode(header) + b"\n")
        for _, data in stored:
            file.write(data)
    write_file(Path(path), content.getvalue())


def read_recording(path: Path | str) -> Trace:
    """Return the trace in a recording.

    Raises:
        DataError: the file cannot be read, is no recording, is cut or changed, or is of a later version.
    """
    path = Path(path)
    name = shown_name(path)
    with open_file(path) as raw:
        try:
            size = raw.seek(0, io.SEEK_END)
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) as file:
                trace = _read(file, size)
        except DataError as error:
            raise DataError(f"{name}: {error.message}", error.hint) from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            # gzip repeats the bytes that it found, but as their representation
            raise DataError(f"{name}: the recording is cut or damaged: {error}", HINT) from None
        except OSError as error:
            raise DataError(f"cannot read {name}: {(error.strerror or str(error)).lower()}", HINT) from None
        except MemoryError:
            raise DataError(f"{name}: the recording does not fit the memory of this machine", HINT) from None
    if found := fault(trace):
        raise DataError(f"{name}: the recording is damaged: {found}", HINT)
    return trace


def _read(file: gzip.GzipFile, size: int) -> Trace:
    header = _header(file.readline(max(LEAST_HEADER, min(LONGEST_HEADER, size * LARGEST_RATIO))))
    lengths = [header.lengths[table] for table, _ in COLUMNS]
    promised = sum(n * int(kind[1]) for n, kind in zip(lengths, header.types, strict=True))
    if promised > size * DENSEST or promised > max(FREE_TEXT, size * LARGEST_RATIO):
        raise DataError(f"the header promises {promised:,} bytes of columns, more than the file can hold", HINT)
    tables: dict[str, dict[str, NDArray[np.generic]]] = {table: {} for table in header.lengths}
    for (table, field), kind, length in zip(COLUMNS, header.types, lengths, strict=True):
        data = file.read(length * int(kind[1]))
        if len(data) != length * int(kind[1]):
            raise DataError(f"column {table}.{field} is cut", HINT)
        target = np.dtype((WORK_TYPES if table == "work" else HOST_TYPES)[field])
        tables[table][field] = _unpacked(data, kind, target, f"{table}.{field}")
    # reading to the end makes gzip compare its checksum
    if file.read(1):
        raise DataError("something follows the last column", HINT)
    return Trace(
        work=DeviceEvents(**tables.pop("work")),  # type: ignore[arg-type]
        **{table: HostEvents(**columns) for table, columns in tables.items()},  # type: ignore[arg-type]
        **{field: getattr(header, field) for field in Trace.__struct_fields__ if field in Header.__struct_fields__},
    )


def _shown(header: Header) -> Header:
    """Return ``header`` with nothing to show but what readers and collectors write: a foreign one may hold secrets."""
    if header.format not in FORMATS:
        raise DataError(f"the recording is of an unknown kind, not of {', '.join(sorted(FORMATS))}", HINT)
    skipped: Counter[str] = Counter()
    for reason, count in header.skipped.items():
        skipped[reason if reason in REASONS else OTHER] += count
    return msgspec.structs.replace(
        header, facts=kept(header.facts), device_names=shown(header.device_names), skipped=dict(skipped)
    )


def _header(line: bytes) -> Header:
    """Return the header of a recording, whose every number is in range."""
    if not line.startswith(RECORDING):
        raise DataError("this is no recording of codesign", HINT)
    if not line.endswith(b"\n"):
        raise DataError(f"the header is cut, or of more than the {len(line):,} bytes that such a file can hold", HINT)
    try:
        version = msgspec.json.decode(line, type=_Version).codesign_trace
        if version != VERSION:
            raise DataError(f"the recording has version {version}, this program reads {VERSION}", "update codesign")
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"the header of the recording is wrong: {printable(str(error), 100)}", HINT) from None
    if sorted(header.lengths) != sorted((*HOST_TABLES, "work")):
        raise DataError(f"the recording has tables {printable(', '.join(header.lengths), 100)}", HINT)
    if min(header.lengths.values()) < 0 or sum(header.lengths.values()) > MOST_EVENTS:
        raise DataError(f"the recording has more than {MOST_EVENTS:,} events, or fewer than none", HINT)
    if len(header.types) != len(COLUMNS) or not set(header.types) <= set(TYPES):
        raise DataError(f"the header names no {len(COLUMNS)} column types of {', '.join(TYPES)}", HINT)
    return _shown(header)


class _Version(msgspec.Struct):
    codesign_trace: int


def _packed(column: NDArray[np.integer], delta: bool) -> tuple[str, bytes]:
    """Return the smallest type that holds ``column`` (or its differences), and its bytes, most alike together."""
    values = column.astype(np.int64)
    if delta:
        values = np.diff(values, prepend=np.int64(0))
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    kind = next(k for k in TYPES if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    width = int(kind[1])
    return kind, values.astype(f"<{kind}").view(np.uint8).reshape(-1, width).T.tobytes()


def _unpacked(data: bytes, kind: str, target: np.dtype[np.generic], column: str) -> NDArray[np.generic]:
    """Return a column of type ``target``; numbers outside that type are refused, not wrapped."""
    width = int(kind[1])
    values = np.frombuffer(data, np.uint8).reshape(width, -1).T.copy().view(f"<{kind}").ravel().astype(np.int64)
    field = column.partition(".")[2]
    if field in DELTA:
        np.cumsum(values, out=values)
    limits = np.iinfo(target)  # type: ignore[type-var]
    if len(values) and not (limits.min <= int(values.min()) and int(values.max()) <= limits.max):
        raise DataError(f"column {column} has a number that {target} cannot hold", HINT)
    return values.astype(target)
