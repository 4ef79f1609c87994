"""Kineto traces, the JSON that ``torch.profiler`` exports: every generation, NVIDIA, AMD and processor alike.

The text is read in blocks. Each block is cut after its last whole event and decoded into typed structs; only the
columns of a ``Trace`` are kept. A block that does not decode is taken apart by ``repair``, which reads what old writers
and Python's own ``json`` get wrong (bare NaN, broken escapes) and says where a file is cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import DataError
from codesign.profilers.readers.columns import Columns
from codesign.profilers.readers.event import Event
from codesign.profilers.readers.repair import Damaged, open_events, read_events
from codesign.profilers.readers.stamps import NeedsText, from_nanoseconds, from_numbers, from_texts
from codesign.profilers.readers.text import blocks
from codesign.profilers.trace import Trace

MOST_EVENTS = 50_000_000
LARGEST_EVENT = 64 << 20
"""Bytes that one event, or what stands before the events, may take."""

EXPECTED = "expected the JSON that torch.profiler exports: an object with traceEvents, or a list of events"

_EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
_BETWEEN = re.compile(rb"\s*,\s*\{")
_with_numbers = msgspec.json.Decoder(list[Event[int | float]]).decode
_with_texts = msgspec.json.Decoder(list[Event[msgspec.Raw]]).decode


def read_kineto(path: Path) -> Trace:
    """Return the trace in a Kineto file, plain or gzip.

    Raises:
        DataError: the file is no trace, is cut off, or is larger than the stated limits.
    """
    stream = blocks(path)
    head, rest = _head(stream, path)
    columns = Columns()
    try:
        tail = _events(rest, stream, columns, path)
        after = _tail(tail, stream) if head is not None else {}
    except Damaged as error:
        raise DataError(f"{path.name}: {error}", "the file is cut off or damaged: copy or record it again") from None
    return columns.trace("kineto", {**(head or {}), **after})


def _head(stream: Iterator[bytes], path: Path) -> tuple[dict[str, Any] | None, bytes]:
    """Return what stands before the events (None: the file is the bare list) and the text after their bracket."""
    text, searched = b"", 0
    for block in stream:
        text += block
        start = text[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start == b"[":
            return None, text[text.index(b"[") + 1 :]
        if start and start != b"{":
            break
        for found in _EVENTS_KEY.finditer(text, searched):
            head = _object(text[: found.start()].rstrip().rstrip(b",") + b"}")
            if head is not None:
                return head, text[found.end() :]
        searched = max(0, len(text) - 256)
        if len(text) > LARGEST_EVENT:
            raise DataError(f"{path.name} has no traceEvents in its first {LARGEST_EVENT >> 20} MiB", EXPECTED)
    raise DataError(f"{path.name} is no trace: {_what(text)}", EXPECTED)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _what(text: bytes) -> str:
    """Return what a file without events is, in a few words."""
    stripped = text.strip()
    if not stripped:
        return "it is empty"
    value = _object(stripped)
    if value is None:
        return "it is no JSON, or JSON that is cut off" if stripped[:1] in (b"{", b"[") else "it is no JSON"
    if "nodes" in value and "schema" in value:
        return "it is a PyTorch execution trace (schema, nodes)"
    if "rocprofiler-sdk-tool" in value:
        return "it is a rocprofv3 result"
    keys = ", ".join(sorted(map(str, value))[:4])
    return f"it is JSON with {keys or 'no keys'} but without a list of traceEvents"


def _events(text: bytes, stream: Iterator[bytes], columns: Columns, path: Path) -> bytes:
    """Read events into ``columns`` until their bracket closes; return the text after it."""
    ended = False
    while True:
        rest = None if ended else _whole_events(text, columns)
        if rest is None:  # the bracket closes in this text, or something in it is wrong
            taken = open_events(text)
            _add(taken.events, columns)
            if taken.closed:
                return taken.rest
            rest = taken.rest
        if columns.event_count > MOST_EVENTS:
            raise DataError(f"{path.name} has more than {MOST_EVENTS:,} events", "record a shorter window")
        if len(rest) > LARGEST_EVENT:
            raise DataError(f"{path.name} holds an event of more than {LARGEST_EVENT >> 20} MiB", EXPECTED)
        if ended:
            raise Damaged(f"the list of events is not closed after event {columns.event_count:,}")
        block = next(stream, None)
        ended = block is None
        text = rest + (block or b"")


def _whole_events(text: bytes, columns: Columns) -> bytes | None:
    """Add the events up to the last cut of ``text`` and return what follows it; None where it does not decode.

    The cut is a guess, and decoding proves it: a prefix of a JSON list that closes as a list holds whole elements.
    """
    cut = text.rfind(b"}")
    while cut > 0:
        between = _BETWEEN.match(text, cut + 1)
        if between:
            return text[between.end() - 1 :] if _added(text[: cut + 1], columns) else None
        cut = text.rfind(b"}", 0, cut)
    return None


def _added(text: bytes, columns: Columns) -> bool:
    """Say whether ``text`` decodes as events between commas, which are then in ``columns``."""
    block = b"[" + text + b"]"
    try:
        if not columns.needs_text:
            try:
                columns.add(_with_numbers(block), from_numbers)
                return True
            except NeedsText:
                columns.needs_text = True
        columns.add(_with_texts(block), from_texts)
    except (ValueError, TypeError, OverflowError, RecursionError):  # msgspec's and Unicode's errors are ValueErrors
        return False
    return True


def _add(events: list[bytes], columns: Columns) -> None:
    if not _added(b",".join(events), columns):
        columns.add(read_events(events, columns.skipped), from_nanoseconds)


def _tail(text: bytes, stream: Iterator[bytes]) -> dict[str, Any]:
    """Return the fields after the events; the object must close and nothing may follow it."""
    for block in stream:
        text += block
        if len(text) > LARGEST_EVENT:
            raise Damaged(f"more than {LARGEST_EVENT >> 20} MiB follow the events")
    stripped = text.lstrip().removeprefix(b",")
    found = _object(b"{" + stripped)
    if found is None:
        raise Damaged("what follows the events is no JSON, or is cut off")
    return found
