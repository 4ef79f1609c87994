"""Text of a trace file in blocks: plain or gzip, found out by content, bounded however large it unpacks."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from codesign.errors import DataError, printable

GZIP, SQLITE, RECORDING = b"\x1f\x8b", b"SQLite format 3\0", b'{"codesign_trace":'
"""First bytes of a packed file, of a database, and of a recording of our own (after unpacking)."""

PACKED = {
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
}
"""First bytes of the packed files that are not read."""

BLOCK = 1 << 20
"""Bytes of text read at once; memory beyond the columns is a few of these."""

COMPRESSED_BLOCK = 1 << 14
"""Packed bytes read at once; what follows a member in them is copied, so many tiny members make larger ones dear."""

MOST_TEXT = 64 << 30
"""Bytes of text after which a file is refused, unpacked or not."""

LARGEST_RATIO = 300
FREE_TEXT = 256 << 20
"""A gzip file may unpack to ``FREE_TEXT`` bytes at any ratio, and to more where each of its bytes stands for at most
``LARGEST_RATIO``. Traces reach 10 to 35, with 3 kB of call stack at every event 150; deflate's limit is 1032."""

NO_FILE = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "a device"),
)
HINT = "name a trace file"


def shown_name(path: Path) -> str:
    """Return the name of a file, without its folder, as printable text of one line."""
    return printable(path.name or str(path), 255)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file; anything else may never end, or acts on being opened.

    Raises:
        DataError: it cannot be read, or is no regular file.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {shown_name(path)}: {reason.lower()}", HINT) from None
    kind = next((words for applies, words in NO_FILE if applies(mode)), "no file")
    raise DataError(f"cannot read {shown_name(path)}: it is {kind}, not a regular file", "save the trace to a file")


def first_bytes(path: Path, count: int = 512) -> bytes:
    """Return the first ``count`` bytes of the unpacked file, fewer where it is shorter.

    Raises:
        DataError: it cannot be read, or is a damaged gzip.
    """
    for block in blocks(path, count):
        return block[:count]
    return b""


def blocks(path: Path, size: int = BLOCK) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file in pieces of at most ``size``, none of them empty.

    Raises:
        DataError: it cannot be read, is empty, ends in the middle of its gzip stream, or unpacks to too much.
    """
    name, total = shown_name(path), 0
    with open_file(path) as file:
        try:
            head = file.read(2)
            if not head:
                raise DataError(f"{name} is empty", HINT)
            file.seek(0)
            packed = head == GZIP
            for block in _unzipped(file, name, size) if packed else iter(lambda: file.read(size), b""):
                total += len(block)
                if total > MOST_TEXT:
                    raise DataError(f"{name} holds more than {MOST_TEXT >> 30} GiB of text", "record a shorter window")
                if packed and total > max(FREE_TEXT, LARGEST_RATIO * file.tell()):
                    raise DataError(
                        f"{name} unpacks to more than {LARGEST_RATIO} times its size, as no trace does",
                        "record it again, or unpack it yourself",
                    )
                yield block
        except OSError as error:
            raise DataError(f"cannot read {name}: {(error.strerror or str(error)).lower()}", HINT) from None


def _unzipped(file: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    """Yield the text of a gzip file of one or several members; its checksums are compared."""
    stream = zlib.decompressobj(wbits=31)
    try:
        for packed in iter(lambda: file.read(COMPRESSED_BLOCK), b""):
            rest = packed
            while rest:
                if stream.eof:
                    rest = rest.lstrip(b"\0")  # padding after a member
                    if not rest:
                        break
                    if not GZIP.startswith(rest[:2]):
                        message = f"{name} is a damaged gzip file: what follows its packed text is no gzip"
                        raise DataError(message, "copy or record it again, or unpack it yourself")
                    stream = zlib.decompressobj(wbits=31)
                # never more than ``size`` at once: a bomb is stopped by the sum, before it is in memory
                text = stream.decompress(rest, size)
                rest = stream.unconsumed_tail or (stream.unused_data if stream.eof else b"")
                if text:
                    yield text
    except zlib.error as error:
        raise DataError(f"{name} is a damaged gzip file: {error}", "copy or record it again") from None
    if not stream.eof:
        raise DataError(f"{name} is a gzip file that ends too early", "copy it again: its end is missing")


def ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield ``blocks``, the next of which is made in a thread: reading and unpacking leave the interpreter free."""
    wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[bytes | BaseException | None] = SimpleQueue()

    def work() -> None:
        while wanted.get():
            try:
                made.put(next(blocks, None))
            except BaseException as error:  # it is raised where the block is waited for
                made.put(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        wanted.put(True)
        while (block := made.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            wanted.put(True)
            yield block
    finally:
        wanted.put(False)
        thread.join()


class Source:
    """The text of a file, read on as long as more of it is asked for.

    Attributes:
        name: Of the file, for messages.
    """

    def __init__(self, path: Path, size: int = BLOCK) -> None:
        self.name = shown_name(path)
        self._size = size
        self._blocks = ahead(blocks(path, size))

    def after(self, rest: bytes) -> bytes | None:
        """Return ``rest`` with more text behind it, None where the file has ended.

        It comes in doubles, so that a part of any length that is looked at again with every addition costs time in
        proportion to its length.
        """
        parts, wanted = [rest], max(self._size, len(rest))
        while wanted > 0 and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            wanted -= len(block)
        return b"".join(parts) if len(parts) > 1 else None
