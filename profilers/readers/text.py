"""Text of a trace file in blocks: plain or gzip, found out by content, bounded however large it unpacks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from codesign.errors import DataError

GZIP = b"\x1f\x8b"
BLOCK = 1 << 20
"""Bytes of text read at once; memory beyond the columns is a few of these."""

COMPRESSED_BLOCK = 1 << 17
MOST_TEXT = 64 << 30
"""Bytes of text after which a file is refused, unpacked or not."""


def first_bytes(path: Path, count: int = 512) -> bytes:
    """Return the first ``count`` bytes of the unpacked file, fewer where it is shorter.

    Raises:
        DataError: it cannot be read, or is a damaged gzip.
    """
    for block in blocks(path, count):
        return block[:count]
    return b""


def blocks(path: Path, size: int = BLOCK) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file in pieces of at most ``size``.

    Raises:
        DataError: it cannot be read, is empty, ends in the middle of its gzip stream, or unpacks to too much.
    """
    total = 0
    try:
        with path.open("rb") as file:
            head = file.read(2)
            if not head:
                raise DataError(f"{path.name} is empty", "name a trace file")
            file.seek(0)
            source = _unzipped(file, path, size) if head == GZIP else iter(lambda: file.read(size), b"")
            for block in source:
                total += len(block)
                if total > MOST_TEXT:
                    raise DataError(
                        f"{path.name} unpacks to more than {MOST_TEXT >> 30} GiB", "record a shorter window"
                    )
                yield block
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", "name a trace file") from None


def _unzipped(file: object, path: Path, size: int) -> Iterator[bytes]:
    """Yield the text of a gzip file of one or several members; its checksums are compared."""
    stream = zlib.decompressobj(wbits=31)
    try:
        for packed in iter(lambda: file.read(COMPRESSED_BLOCK), b""):  # type: ignore[attr-defined]
            rest = packed
            while rest:
                if stream.eof:
                    if not rest.lstrip(b"\0"):  # padding after the last member
                        break
                    stream = zlib.decompressobj(wbits=31)
                # never more than ``size`` at once: a bomb is stopped by the sum, before it is in memory
                text = stream.decompress(rest, size)
                rest = stream.unconsumed_tail or (stream.unused_data if stream.eof else b"")
                if text:
                    yield text
    except zlib.error as error:
        raise DataError(f"{path.name} is a damaged gzip file: {error}", "copy or record it again") from None
    if not stream.eof:
        raise DataError(f"{path.name} is a gzip file that ends too early", "copy it again: its end is missing")
