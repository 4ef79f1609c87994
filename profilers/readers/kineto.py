"""Kineto traces, the JSON that ``torch.profiler`` exports: every generation, NVIDIA, AMD and processor alike.

The text is read in blocks. Each block is cut after its last whole event and decoded into typed structs; only the
columns of a ``Trace`` are kept. A block that does not decode is taken apart by ``repair``, which reads what old writers
and Python's own ``json`` get wrong (bare NaN, broken escapes) and says where a file is cut off. The result does not
depend on where blocks end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import DataError, printable
from codesign.profilers.readers.columns import Columns
from codesign.profilers.readers.event import Event
from codesign.profilers.readers.facts import WANTED
from codesign.profilers.readers.repair import BLANK, Damaged, Head, mended, open_events, read_events, read_fields
from codesign.profilers.readers.stamps import NeedsText, from_nanoseconds, from_numbers, from_texts
from codesign.profilers.readers.text import BLOCK, GZIP, PACKED, Source
from codesign.profilers.trace import Trace

MOST_EVENTS = 50_000_000
LARGEST_PART = 16 << 20
"""Bytes that one event, or what stands before or after the events, may take."""

EXPECTED = (
    "expected the JSON that torch.profiler exports (an object with traceEvents, or a list of events), "
    "or an Nsight report after nsys export --type sqlite"
)
CUTS_TRIED = 64
"""Closing brackets at the end of a block after which the end of an event is looked for."""
REPAIRED_TOGETHER = 4096
"""Bytes of text whose events are repaired together: so few are read slowly because one of them is broken."""

_BETWEEN = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*\{")
_MARK = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0")
_with_numbers = msgspec.json.Decoder(list[Event[int | float]]).decode
_with_texts = msgspec.json.Decoder(list[Event[msgspec.Raw]]).decode


def read_kineto(path: Path, block: int = BLOCK) -> Trace:
    """Return the trace in a Kineto file, plain or gzip.

    Args:
        path: The file.
        block: Bytes of text that are read at once.

    Raises:
        DataError: the file is no trace, is cut off, or is larger than the stated limits.
    """
    source, columns = Source(path, block), Columns()
    try:
        fields, rest = _head(source)
        tail = _events(rest, source, columns)
        if fields is None:
            _end(tail, source, columns)
        else:
            fields = {**fields, **_tail(tail, source)}
        return columns.trace("kineto", fields or {})
    except Damaged as error:
        hint = "the file is cut off or damaged: copy or record it again"
        raise DataError(f"{source.name}: {error}", hint) from None
    except MemoryError:
        raise DataError(f"{source.name} does not fit the memory of this machine", "record a shorter window") from None


def _head(source: Source) -> tuple[Mapping[str, Any] | None, bytes]:
    """Return what stands before the events (None: the file is the bare list) and the text after their bracket."""
    text = _start(source)
    if text[:1] == b"[" and text[1:2] != b"\0":
        text = _unblanked(text[1:], source)
        if text[:1] not in (b"{", b"]", b""):
            raise DataError(f"{source.name} is no trace: it is no list of events", EXPECTED)
        return None, text
    head = Head()
    while text[:1] == b"{" and text[1:2] != b"\0":
        if found := head.events(text):
            start, end = found
            return _fields_before(text[:start].rstrip(BLANK)), text[end:]
        if head.end or (len(text) > LARGEST_PART and _known(head)):
            break
        if len(text) > LARGEST_PART:
            raise DataError(f"{source.name} has no traceEvents in its first {LARGEST_PART >> 20} MiB", EXPECTED)
        longer = source.after(text)
        if longer is None:
            break
        text = longer
    raise DataError(f"{source.name} is no trace: {_what(text, head)}", EXPECTED)


def _fields_before(text: bytes) -> Mapping[str, Any]:
    """Return the fields in ``text``, an object up to the name of one more field."""
    if text == b"{":
        return {}
    if not text.endswith(b",") or text[:-1].rstrip(BLANK) == b"{":
        raise Damaged("what stands before the events is no JSON")
    return read_fields(text[:-1] + b"}", WANTED)


def _start(source: Source) -> bytes:
    """Return the first text of the file, without the mark of UTF-8 and without blanks before it."""
    text = b""
    while len(text) < 4 and (longer := source.after(text)) is not None:
        text = longer
    text = _unblanked(text.removeprefix(_MARK), source)
    return text + (source.after(b"") or b"") if len(text) == 1 else text


def _unblanked(text: bytes, source: Source) -> bytes:
    """Return ``text`` without the blanks before it, what follows where it is nothing else; empty at the end."""
    while not (text := text.lstrip(BLANK)) and (longer := source.after(b"")) is not None:
        text = longer
    return text


def _what(text: bytes, head: Head) -> str:
    """Return what a file without events is, in a few words."""
    if not text:
        return "it is empty"
    if text.startswith(GZIP):
        return "it is gzip inside gzip, unpack it once"
    packed = next((name for mark, name in PACKED.items() if text.startswith(mark)), None)
    if packed is not None:
        return f"it is a {packed} file, unpack it"
    if text.startswith(_WIDE) or text[1:2] == b"\0":
        return "it is no JSON in UTF-8, but binary or text of another encoding"
    if text[:1] != b"{":
        return "it is no JSON"
    if known := _known(head):
        return known
    if not head.end:
        return "it is JSON that is cut off, or no JSON"
    try:
        msgspec.json.decode(text[: head.end], type=msgspec.Raw)
    except (ValueError, RecursionError):
        return "it is no JSON"
    keys = ", ".join(printable(name, 40) for name in sorted(head.names)[:4])
    return f"it is JSON with {keys or 'no keys'} but without a list of traceEvents"


def _known(head: Head) -> str:
    """Return what an object with these fields is; empty where that is not known."""
    if {"nodes", "schema"} <= set(head.names):
        return "it is a PyTorch execution trace (schema, nodes)"
    if "rocprofiler-sdk-tool" in head.names:
        return "it is a rocprofv3 result"
    return ""


def _events(text: bytes, source: Source, columns: Columns) -> bytes:
    """Read events into ``columns`` until their bracket closes; return the text after it."""
    ended = False
    while True:
        text = text.lstrip(BLANK)
        rest, closed = None if ended else _whole_events(text, columns), False
        if rest is None:  # the bracket closes in this text, or something in it is wrong
            rest, closed = _part_by_part(text, columns)
        if columns.event_count > MOST_EVENTS:
            raise DataError(f"{source.name} has more than {MOST_EVENTS:,} events", "record a shorter window")
        if closed:
            return rest
        if len(rest) > LARGEST_PART:
            raise DataError(f"{source.name} holds an event of more than {LARGEST_PART >> 20} MiB", EXPECTED)
        if ended:
            raise Damaged(f"the list of events is not closed after event {columns.event_count:,}")
        longer = source.after(rest)
        ended = longer is None
        text = rest if longer is None else longer


def _whole_events(text: bytes, columns: Columns) -> bytes | None:
    """Add the events up to the last cut of ``text`` and return what follows it; None where it does not decode.

    The cut is a guess, and decoding proves it: a prefix of a JSON list that closes as a list holds whole elements.
    """
    cut = len(text)
    for _ in range(CUTS_TRIED):
        cut = text.rfind(b"}", 0, cut)
        if cut <= 0:
            break
        between = _BETWEEN.match(text, cut + 1)
        if between:
            return text[between.end() - 1 :] if _added(memoryview(text)[: cut + 1], columns) else None
    return None


def _added(text: bytes | memoryview, columns: Columns) -> bool:
    """Say whether ``text`` decodes as events between commas, which are then in ``columns``."""
    block = b"".join((b"[", text, b"]"))
    if _decoded(block, columns):
        return True
    other = mended(block)
    return other != block and _decoded(other, columns)


def _decoded(block: bytes, columns: Columns) -> bool:
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


def _part_by_part(text: bytes, columns: Columns) -> tuple[bytes, bool]:
    """Add the events of a text that does not decode as a whole; return what follows them, and whether their list ends.

    Parts are halved until the broken event is alone with few others, which are taken apart exactly, and doubled again.
    """
    done, span, least = 0, len(text) // 2, REPAIRED_TOGETHER
    while done < len(text):
        part = text[done : done + span]
        rest = _whole_events(part, columns) if span > least else None
        if rest is not None:
            done, span = done + len(part) - len(rest), span * 2
        elif span > least:
            span //= 2
        else:
            span = least
            part = text[done : done + span]
            events, rest, closed = open_events(part)
            if events and not _added(b",".join(events), columns):
                columns.add(read_events(events, columns.event_count, columns.skipped), from_nanoseconds)
            if closed:
                return rest + text[done + span :], True
            if not events and done + span >= len(text):
                break
            done += len(part) - len(rest)
            # an event longer than this part, or else on with larger parts
            least, span = (least * 2, least * 2) if not events else (REPAIRED_TOGETHER, span * 2)
    return text[done:], False


def _tail(text: bytes, source: Source) -> Mapping[str, Any]:
    """Return the fields after the events; the object must close and nothing may follow it."""
    while (longer := source.after(text)) is not None:
        text = longer
        if len(text) > LARGEST_PART:
            raise Damaged(f"more than {LARGEST_PART >> 20} MiB follow the events")
    fields = text.lstrip(BLANK)
    if not fields:
        raise Damaged("the object that holds the events is not closed")
    if fields[:1] == b",":
        fields = fields[1:].lstrip(BLANK)
        if fields[:1] == b"}":
            raise Damaged("a comma but no field follows the events")
    elif fields[:1] != b"}":
        raise Damaged("no comma follows the events")
    return read_fields(b"{" + fields, WANTED)


def _end(text: bytes, source: Source, columns: Columns) -> None:
    """Check that nothing follows a bare list, and that it was one of events."""
    if _unblanked(text, source):
        raise Damaged("something follows the list of events")
    if columns.event_count and columns.without_phase == columns.event_count:
        raise DataError(f"{source.name} is no trace: it is a list of other objects than events", EXPECTED)
