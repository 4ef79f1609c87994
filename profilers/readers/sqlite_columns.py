"""Integer columns and texts of a SQLite file that nobody vouches for: read-only, bounded, every cell checked.

SQLite holds any type in any column, so each query itself replaces what is no integer. Only ordinary columns of ordinary
tables are ever named: views, virtual tables and generated columns are code, and an index may contradict its table.
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from codesign.errors import DataError, printable
from codesign.profilers.readers.text import GZIP, SQLITE, open_file
from codesign.profilers.trace import NONE, Int64

LONGEST_CELL = 1 << 20
"""Bytes of a text that is asked for, after which the file is refused; longer ones beside it do no harm."""
LONGEST_TEXT = 100_000
"""Characters of a text that are read."""
BLOCK = 512
"""Rows that lie in memory as Python objects at once: fewer than set off Python's garbage collection."""
STEPS_PER_BYTE = 50
LEAST_STEPS = 20_000_000
"""Steps of SQLite's machine that reading may take: so many for each byte of the file, and at least the latter.

A row takes about 60 steps and has at least a dozen bytes; where it takes more, the pages of the file form a circle.
"""


class Database:
    """An open SQLite file.

    Attributes:
        tables: Names of its ordinary tables.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'")
        self.tables = frozenset(name for (name,) in found if isinstance(name, str))

    def columns(self, table: str) -> frozenset[str]:
        """Return the names of the ordinary columns of ``table``; none where there is no such table."""
        if table not in self.tables:
            return frozenset()
        # table_info leaves generated columns out
        return frozenset(row[1] for row in self._connection.execute(f"PRAGMA table_info({_quoted(table)})"))

    def integers(
        self, table: str, columns: Sequence[str], most: int, numbered: tuple[str, Callable[[str], int]] | None = None
    ) -> dict[str, Int64]:
        """Return columns of ``table`` by name, shape (rows,) each; where there is no such table, of no rows.

        Args:
            table: Name of the table.
            columns: Names of columns; ``NONE`` stands where there is no such column or no integer.
            most: Rows after which reading stops; at most a block more are returned.
            numbered: A column of texts, and what returns the number that stands for a text.
        """
        known = self.columns(table)
        text, number = numbered if numbered and numbered[0] in known else ("", len)
        present = [*(column for column in columns if column in known), *([text] if text else [])]
        cells = [_text(name) if name == text else _integer(name) for name in present] or ["0"]
        query = f"SELECT {', '.join(cells)} FROM {_quoted(table)} NOT INDEXED"
        count = 0
        # arrays grow in place: two copies of a column never lie in memory
        grown = [array("q") for _ in cells]
        for block in self._blocks(query, table):
            rows = [(*r[:-1], NONE if r[-1] is None else number(r[-1])) for r in block] if text else block
            whole = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * len(cells))
            for column, part in zip(grown, whole.reshape(len(rows), -1).T, strict=True):
                column.frombytes(part.tobytes())
            count += len(rows)
            if count > most:
                break
        found = dict(zip(present, grown, strict=False))
        wanted = (*columns, numbered[0]) if numbered else columns
        return {c: np.frombuffer(found[c], np.int64) if found.get(c) else np.full(count, NONE) for c in wanted}

    def texts(
        self, table: str, key: str, value: str, wanted: Container[int] | None = None
    ) -> Iterator[tuple[int, str]]:
        """Yield (integer in ``key``, text in ``value``) of the rows that have both, and whose key is ``wanted``."""
        where = f"typeof({_quoted(key)}) = 'integer' AND typeof({_quoted(value)}) = 'text'"
        if wanted is not None:
            # a method of C runs no bytecode, in which Ctrl-C would count as a fault of the query; rows that it refuses
            # are not loaded: the same table may hold all that a program printed
            self._connection.create_function("wanted", 1, wanted.__contains__)
            where += f" AND wanted({_quoted(key)})"
        if {key, value} <= self.columns(table):
            query = f"SELECT {_quoted(key)}, {_text(value)} FROM {_quoted(table)} NOT INDEXED WHERE {where}"
            for block in self._blocks(query, table):
                yield from block

    def text(self, table: str, key: str, name: str, value: str) -> str | None:
        """Return the text in ``value`` of the first row whose ``key`` is ``name``, None where there is none."""
        if not {key, value} <= self.columns(table):
            return None
        query = f"SELECT {_text(value)} FROM {_quoted(table)} NOT INDEXED WHERE {_quoted(key)} = ? LIMIT 1"
        row = self._connection.execute(query, (name,)).fetchone()
        return row[0] if row else None

    def _blocks(self, query: str, table: str) -> Iterator[list[tuple[Any, ...]]]:
        if table in self.tables:
            cursor = self._connection.execute(query)
            while block := cursor.fetchmany(BLOCK):
                yield block


@contextmanager
def opened(path: Path, hint: str) -> Iterator[Database]:
    """Open ``path`` read-only, without locks, journals or any other file beside it.

    Raises:
        DataError: it cannot be read, is no SQLite, is damaged, or turns in circles; here and in everything inside.
    """
    size = _checked_size(path, hint)
    # bytes, because a name need not be text
    address = f"file:{quote(os.fsencode(path.resolve()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            _restrict(connection, size)
            yield Database(connection)
    except (sqlite3.Error, UnicodeDecodeError, MemoryError) as error:
        raise DataError(f"{path.name} is a damaged SQLite file: {_reason(error)}", "copy or export it again") from None


def _reason(error: Exception) -> str:
    """Return what is wrong, fit for a terminal: SQLite repeats names of the file in its messages, in any encoding."""
    if isinstance(error, UnicodeDecodeError):
        return "its schema is no text"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if str(error) == "interrupted":
        return "its pages form a circle"
    return printable(str(error), 120)


def _checked_size(path: Path, hint: str) -> int:
    """Return the bytes of the file, which begins as SQLite files do."""
    with open_file(path) as file:
        head = file.read(18)
        size = file.seek(0, os.SEEK_END)
    if not head:
        raise DataError(f"{path.name} is empty", hint)
    if head.startswith(GZIP):
        raise DataError(f"{path.name} is packed with gzip", "unpack it: SQLite cannot be read packed")
    if not head.startswith(SQLITE):
        raise DataError(f"{path.name} is no SQLite file", hint)
    # SQLite itself would take zeros for the rest of the last page
    if size % max(int.from_bytes(head[16:], "big"), 512):
        raise DataError(f"{path.name} is a damaged SQLite file: its end is missing", "copy or export it again")
    return size


def _restrict(connection: sqlite3.Connection, size: int) -> None:
    """Forbid and bound whatever a file of ``size`` bytes could ask for beyond being read once."""
    every = 1_000_000
    calls = max(size * STEPS_PER_BYTE, LEAST_STEPS) // every
    # a method of C, for the reason given in ``texts``; 1 interrupts the query
    connection.set_progress_handler(chain(repeat(0, calls), repeat(1)).__next__, every)
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_CELL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}")


def _integer(name: str) -> str:
    """Return SQL for the integer in column ``name``, ``NONE`` where there is none."""
    return f"CASE WHEN typeof({_quoted(name)}) = 'integer' THEN {_quoted(name)} ELSE {NONE} END"


def _text(name: str) -> str:
    """Return SQL for the text in column ``name``, NULL where there is none."""
    return f"CASE WHEN typeof({_quoted(name)}) = 'text' THEN substr({_quoted(name)}, 1, {LONGEST_TEXT}) END"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
