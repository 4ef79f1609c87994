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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, nearest

MOST_BYTES = 64 * 2**20
MOST_ROWS = 200_000
TIMES = ("timestamp", "time", "datetime", "hour")
"""Column names that hold the time of a row: ISO 8601, or whole hours."""


class Hourly(NamedTuple):
    """Values (N,) in file order, one an hour, and the time of the first row as the file writes it."""

    values: NDArray[np.float64]
    start: str


def read_hourly(path: Path, column: str, shown: str = "") -> Hourly:
    """Return ``column`` of the CSV file at ``path``.

    Args:
        path: The file; ``.gz`` is decompressed up to ``MOST_BYTES``.
        column: Its header.
        shown: How errors name the file; ``path`` where empty.

    Raises:
        DataError: unreadable, too large, no such column, or a gap; names the row.
    """
    name = shown or str(path)
    rows = csv.reader(io.StringIO(_text(path, name)))
    head = next(rows, None)
    if head is None:
        raise DataError(f"{name}: the file is empty", "expected a header and a row an hour")
    if column not in head:
        raise DataError(f"{name}: no column {column!r}", nearest(column, head))
    place = head.index(column)
    clock = next((head.index(time) for time in TIMES if time in head and time != column), None)
    values: list[float] = []
    start, before = "", None
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(values) >= MOST_ROWS:
            raise DataError(f"{name}: more than {MOST_ROWS:,} rows", "cut the file to the hours of the study")
        where = f"{name}:{number}"
        if clock is not None:
            text = row[clock] if clock < len(row) else ""
            start, before = start or text, _later(text, before, where)
        values.append(_value(row[place] if place < len(row) else "", f"{where}: {column}"))
    return Hourly(np.array(values), start)


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
    now = now.replace(tzinfo=None) if now.tzinfo is None else now
    if before is not None:
        try:
            step = now - before
        except TypeError:
            raise DataError(f"{where}: {text[:40]!r} states its zone otherwise than the row before") from None
        if step != timedelta(hours=1):
            hint = "a gap is no zero: fill it, or choose other hours"
            raise DataError(f"{where}: {text[:40]!r} is {step} after the row before, expected an hour", hint)
    return now
