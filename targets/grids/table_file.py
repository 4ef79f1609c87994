"""Reading a CSV of somebody else within bounds: columns of text, and the line that each row came from.

Plain or gzip. At most 64 MB on disk, at most 64 MB unpacked (reading stops there: an archive cannot fill memory), at
most 1.1 million rows (ten years of five-minute steps) and 8 million cells. Blank lines and lines that start
with # are passed over.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, nearest, printable
from codesign.quantity import Array

LARGEST_BYTES = 64_000_000
"""Bytes of a file, and bytes that it may unpack to."""

MOST_ROWS = 1_100_000
"""Rows of a series."""

MOST_COLUMNS = 200

MOST_CELLS = 8_000_000
"""Cells of a file: what bounds the memory that reading takes, about 0.6 GB."""

SHOWN = 60
"""Characters of a cell that an error repeats."""

_GZIP = b"\x1f\x8b"


class Table(msgspec.Struct, frozen=True, eq=False):
    """A CSV: ``columns`` name -> cells as text (rows,), ``lines`` the line of each row in the file."""

    path: str
    columns: dict[str, tuple[str, ...]]
    lines: NDArray[np.int64]

    def at(self, row: int) -> str:
        """Return ``file:line`` of a row, for errors."""
        return f"{self.path}:{int(self.lines[row])}"


def read_table(path: str) -> Table:
    """Return the CSV at ``path``.

    Raises:
        DataError: unreadable, too large, no header, or a row of another length than the header.
    """
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
                continue
            if rows and len(row) != len(rows[0]):
                raise DataError(f"{path}:{reader.line_num}: {len(row)} cells, expected {len(rows[0])} as in the header")
            if len(rows) > MOST_ROWS or len(rows) * len(row) > MOST_CELLS:
                bound = f"{MOST_ROWS:,} rows and {MOST_CELLS:,} cells"
                raise DataError(f"{path}: longer than {bound}", "split the file, or use a longer step")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: cannot be read as CSV: {error}") from None
    names = _header(path, rows)
    cells = [tuple(map(str.strip, column)) for column in zip(*rows[1:], strict=True)]
    return Table(path, dict(zip(names, cells, strict=True)), np.array(lines[1:], dtype=np.int64))


def _header(path: str, rows: list[list[str]]) -> list[str]:
    if len(rows) < 2:
        raise DataError(f"{path}: no rows", "expected a header line and one row a step")
    names = [name.strip() for name in rows[0]]
    if len(names) == 1 and ";" in names[0]:
        raise DataError(f"{path}: columns are separated by ';'", "expected commas, and points in numbers")
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path}: {len(names)} columns, at most {MOST_COLUMNS} are read")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f"{path}: two columns are called {printable(twice, SHOWN)!r}", "rename one")
    return names


def _text(path: str) -> str:
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            raise DataError(f"{path}: {size:,} bytes", f"at most {LARGEST_BYTES:,} are read")
        if not file.is_file():
            raise DataError(f"{path}: not a file")
        data = file.read_bytes()
        if data.startswith(_GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(LARGEST_BYTES + 1)
        elif path.lower().endswith(".gz"):
            raise DataError(f"{path}: not a gzip file", "name a plain file .csv")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST_BYTES:
        raise DataError(f"{path}: unpacks to more than {LARGEST_BYTES:,} bytes", "that is the most that is read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file", "expected UTF-8") from None


def cells_of(table: Table, column: str) -> tuple[str, ...]:
    """Return the cells of a column, or an error that names the nearest column."""
    if column not in table.columns:
        hint = nearest(column, [printable(name, SHOWN) for name in table.columns])
        raise DataError(f"{table.path}: no column {printable(column, SHOWN)!r}", hint)
    return table.columns[column]


def numbers_of(table: Table, column: str) -> Array:
    """Return a column as numbers (rows,), NaN where a cell is empty.

    Raises:
        DataError: no such column, or a cell that is no finite number; names the line.
    """
    cells = cells_of(table, column)
    try:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError:
        row = next(place for place, cell in enumerate(cells) if cell and not _is_number(cell))
        raise DataError(
            f"{table.at(row)}: {printable(column, SHOWN)}: found {printable(cells[row], SHOWN)!r}, expected a number",
            "leave the cell empty where it is not known",
        ) from None
    filled = np.array([bool(cell) for cell in cells])
    wrong = filled & ~np.isfinite(values)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{table.at(row)}: {printable(column, SHOWN)}: found {printable(cells[row], SHOWN)}, not a finite number",
            "leave the cell empty where it is not known",
        )
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
