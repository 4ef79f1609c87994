"""The journal of a run: append-only JSON lines, one writer, safe against a kill at any byte.

Every line is one JSON object with a ``kind``. A line is written by one ``write`` and ends in a newline, so
only the last line can be torn; a torn last line is dropped and reported. The writer holds an OS lock
(``flock``), which the kernel releases however the process ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from codesign.errors import CodesignError, DataError, EnvironmentLacks, UsageError

FLUSH_EVERY_S = 1.0
"""Longest time for which cheap lines may stay in the operating system's cache only, s."""


def lacks(error: OSError, path: Path) -> CodesignError:
    """Return the error for a file or directory that cannot be written."""
    reason = error.strerror or str(error)
    hints = {
        errno.ENOSPC: "free some space or choose another directory with --out",
        errno.EDQUOT: "free some space or choose another directory with --out",
        errno.EROFS: "choose a writable directory with --out",
        errno.EACCES: "choose a writable directory with --out",
        errno.EPERM: "choose a writable directory with --out",
    }
    return EnvironmentLacks(f"cannot write {path}: {reason}", hints.get(error.errno or 0, "choose another --out"))


@dataclass(frozen=True, slots=True)
class Lines:
    """The records of a journal; ``torn`` says what was dropped at the end, "" for nothing."""

    records: list[dict[str, Any]]
    torn: str = ""


def iterate(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) of every complete line; a torn last line ends the iteration.

    Raises:
        DataError: a complete line in the middle is not a JSON object.
    """
    decoder = msgspec.json.Decoder(dict[str, Any])
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield number, decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise DataError(
                        f"{path}, line {number}: {error}", "the journal was edited or damaged: restore it or start anew"
                    ) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "is this a run directory?") from None


def read_journal(path: Path) -> Lines:
    """Return all complete records of a journal and a note on a torn last line."""
    records = [record for _, record in iterate(path)]
    extra = _torn_bytes(path)
    return Lines(records, f"dropped a torn last line of {extra} bytes in {path}" if extra else "")


def _torn_bytes(path: Path) -> int:
    """Return how many bytes follow the last newline."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return size - (start + at + 1)
            end = start
    return size


class Journal:
    """The one writer of a journal. Use as a context manager; opening takes the lock."""

    def __init__(self, path: Path, *, sync_each: bool) -> None:
        """Open ``path`` for appending.

        Args:
            path: the journal; created if missing.
            sync_each: true to put every line on the disk before returning (dear evaluations).

        Raises:
            UsageError: another process writes this journal.
            EnvironmentLacks: the place cannot be written.
        """
        self.path = path
        self.dropped = ""
        self._sync_each = sync_each
        self._encoder = msgspec.json.Encoder()
        self._synced = time.monotonic()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise lacks(error, path) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise UsageError(
                f"another process is writing {path.parent}", "wait for it to end, or choose another directory"
            ) from None
        if torn := _torn_bytes(path):
            self.dropped = f"dropped a torn last line of {torn} bytes in {path}"
            os.ftruncate(self._file, os.fstat(self._file).st_size - torn)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record as a line. NaN and infinities become null."""
        line = self._encoder.encode(record) + b"\n"
        try:
            self._write(line)
            now = time.monotonic()
            if self._sync_each or now - self._synced > FLUSH_EVERY_S:
                os.fsync(self._file)
                self._synced = now
        except OSError as error:
            raise lacks(error, self.path) from None

    def _write(self, line: bytes) -> None:
        """Write all of ``line`` or, where that fails half-way (disk full, Ctrl-C), nothing."""
        before = os.fstat(self._file).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except BaseException:
            if rest:
                with suppress(OSError):
                    os.ftruncate(self._file, before)
            raise

    def close(self) -> None:
        """Put everything on the disk and release the lock."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            raise lacks(error, self.path) from None
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        with suppress(CodesignError):  # the error on its way out says more
            self.close()
