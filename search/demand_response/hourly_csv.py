"""One column of an hourly CSV file, read with bounds: at most 64 MiB of text and 200,000 rows, ``.gz`` included.

Gaps are errors, never zeros: an empty cell, a number that is not finite, a time stamp that is not an hour after the one
before it.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, nearest

MOST_BYTES = 64 * 2**20
MOST_ROWS = 200_000
TIMES = ("timestamp", "time", "datetime", "hour")
"""Column names that hold the time of a row: ISO 8601, or whole hours."""


class Hourly(NamedTuple):
    """Values (N,) in file order, one an hour, and the time of the first of them as the file writes it."""

    values: NDArray[np.float64]
    start: str


def read_hourly(path: Path, column: str, first: int = 0, count: int = MOST_ROWS, shown: str = "") -> Hourly:
    """Return hours ``first`` to ``first + count`` of ``column`` of the CSV file at ``path``, or what there is of them.

    Args:
        path: The file; ``.gz`` is decompressed up to ``MOST_BYTES``.
        column: Its header.
        first: Rows to pass over; their times are checked, their values are not.
        count: Rows to return at most.
        shown: How errors name the file; ``path`` where empty.

    Raises:
        DataError: unreadable, too large, no such column, or a gap; names the row.
    """
    name = shown or str(path)
    rows = csv.reader(io.StringIO(_text(path, name)))
    try:
        head = next(rows, None)
        if head is None:
            raise DataError(f"{name}: the file is empty", "expected a header and a row an hour")
        if column not in head:
            raise DataError(f"{name}: no column {column[:60]!r}", nearest(column[:60], [h[:60] for h in head]))
        return _column(rows, head, column, range(first, first + min(count, MOST_ROWS)), name)
    except csv.Error as error:
        raise DataError(f"{name}:{rows.line_num}: not a CSV file: {error}") from None


def _column(rows: Any, head: list[str], column: str, window: range, name: str) -> Hourly:
    place = head.index(column)
    clock = next((head.index(time) for time in TIMES if time in head and time != column), None)
    values: list[float] = []
    start, before = "", None
    for hour, row in enumerate(row for row in rows if row):
        if hour >= window.stop:
            break
        if hour >= MOST_ROWS:
            raise DataError(f"{name}: more than {MOST_ROWS:,} rows", "cut the file to the hours of the study")
        where = f"{name}:{rows.line_num}"
        if clock is not None:
            text = row[clock] if clock < len(row) else ""
            before = _later(text, before, where)
            start = text if hour == window.start else start
        if hour in window:
            values.append(_value(row[place] if place < len(row) else "", f"{where}: {column[:60]}"))
    return Hourly(np.array(values), start[:40])


def _text(path: Path, name: str) -> str:
    try:
        with path.open("rb") as raw:
            file = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name}: cannot be read: {reason}", "paths are relative to the spec file") from None
    if len(data) > MOST_BYTES:
        raise DataError(f"{name}: more than {MOST_BYTES:,} bytes of text", "cut the file to the hours of the study")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{name}: not a text file", "expected CSV in UTF-8") from None


def _value(text: str, where: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DataError(
            f"{where}: found {text[:40]!r}, expected a number", "a gap is no zero: fill it, or choose other hours"
        )
    return found


def _later(text: str, before: datetime | None, where: str) -> datetime:
    """Return the time of a row, which must be an hour after the one before it."""
    try:
        now = datetime(1970, 1, 1) + timedelta(hours=int(text)) if text.isdigit() else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: found {text[:40]!r}, expected an ISO 8601 time or a whole hour") from None
    if before is not None:
        try:
            step = now - before
        except TypeError:
            raise DataError(f"{where}: {text[:40]!r} states its zone otherwise than the row before") from None
        if step != timedelta(hours=1):
            hint = "a gap is no zero: fill it, or choose other hours"
            raise DataError(f"{where}: {text[:40]!r} is {step} after the row before, expected an hour", hint)
    return now
