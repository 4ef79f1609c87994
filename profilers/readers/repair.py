"""JSON that does not decode at once: where the events of a trace begin and end, and what is wrong with one.

Python writes bare ``NaN`` and ``Infinity``; old writers leave backslashes of Windows paths unescaped; some values have
the wrong type. Such an event is mended, or skipped and counted. Text that is no JSON at all is damage, and is said.
Everything here takes time in proportion to the text, however it is nested.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from codesign.profilers.readers.event import UNNAMED, Arguments, Category, Event, Phase
from codesign.profilers.readers.reasons import NEGATIVE, NO_DURATION, NO_START
from codesign.profilers.readers.stamps import nanoseconds_of
from codesign.profilers.trace import NONE

BLANK = b" \t\r\n"
KEY = b'"traceEvents"'
NAMES_KEPT = 64
"""Names of fields by which an object without events may be known."""

# possessive: a string of megabytes is matched without a note of every character to come back to
_STRUCTURE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|"', re.DOTALL)
_FOLLOWING = re.compile(rb"[ \t\r\n]*+(:?)[ \t\r\n]*+(.?)", re.DOTALL)
_ESCAPE = re.compile(rb'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
_OPENING = (b"{", b"[")
_CLOSING = (b"}", b"]")
DEEPEST = 1000
"""Brackets within brackets beyond which neither Python nor msgspec decodes."""
_MOST_DIGITS = 4300
"""Digits of a whole number beyond which neither Python nor msgspec makes one."""
_UNUSED: Event[int] = Event(ph=Phase.OTHER)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Damaged(ValueError):
    """The text is no JSON, even after mending what writers get wrong, or stands where none belongs."""


class Head:
    """Looks for the list of events in an object whose text grows.

    Attributes:
        names: Of the first fields of the object.
        end: Where the object closes; 0 while it has not.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.end = 0
        self._seen = 0
        self._depth = 0

    def events(self, text: bytes) -> tuple[int, int] | None:
        """Return where the field of the events begins and where its bracket ends; None where it is not in ``text``.

        Args:
            text: What was given before, and more.

        Raises:
            Damaged: the field is no list.
        """
        for found in _STRUCTURE.finditer(text, self._seen):
            mark = found.group()
            if mark in _OPENING:
                self._depth += 1
                if self._depth > DEEPEST:
                    raise Damaged("what stands before its events is nested too deeply")
            elif mark in _CLOSING:
                self._depth -= 1
                if self._depth == 0:
                    self.end = found.end()
                    return None
            elif mark == b'"':  # a string that is cut off
                return None
            elif self._depth == 1:
                colon, first = _FOLLOWING.match(text, found.end()).groups()  # type: ignore[union-attr]
                if not first:  # what follows is still to come
                    return None
                if colon and len(self.names) < NAMES_KEPT:
                    self.names.append(mark[1:-1].decode("utf-8", "replace"))
                if colon and mark == KEY:
                    if first != b"[":
                        raise Damaged("its traceEvents are no list")
                    return found.start(), text.index(b"[", found.end()) + 1
            self._seen = found.end()
        return None


def read_fields(text: bytes, wanted: Sequence[str]) -> Mapping[str, Any]:
    """Return those fields of the object ``text`` that are ``wanted``, still as ``msgspec.Raw`` where that can be.

    Raises:
        Damaged: it is no object, or has another list of events.
    """
    fields: Any
    try:
        fields = _fields(text)
    except (ValueError, RecursionError):  # msgspec's and Unicode's errors are ValueErrors
        fields = _parsed(text)
    if fields is None:
        raise Damaged("what stands beside the events is no JSON, or is cut off")
    if "traceEvents" in fields:
        raise Damaged("it has traceEvents more than once")
    return {name: fields[name] for name in wanted if name in fields}


class Taken(NamedTuple):
    """What a text holds: its whole events, the text after them, and whether the list of events closes in it."""

    events: list[bytes]
    rest: bytes
    closed: bool


def open_events(text: bytes) -> Taken:
    """Return the events in ``text``, which begins after the bracket of their list, or after a comma between two.

    An event counts as whole once the comma after it, or the bracket of the list, is there.

    Raises:
        Damaged: something else than one comma stands between two events.
    """
    events: list[bytes] = []
    depth, start, end = 0, 0, 0
    for found in _STRUCTURE.finditer(text):
        mark = found.group()
        if mark in _OPENING:
            if depth == 0:
                if text[end : found.start()].strip(BLANK) != (b"," if events else b"") or mark != b"{":
                    raise Damaged("something that is no event stands among the events")
                start = found.start()
            elif depth > DEEPEST:
                raise Damaged("an event is nested too deeply")
            depth += 1
        elif mark in _CLOSING:
            depth -= 1
            if depth == 0:
                end = found.end()
                events.append(text[start:end])
            elif depth < 0:
                # old writers leave a comma after the last event
                if text[end : found.start()].strip(BLANK) not in ((b"", b",") if events else (b"",)) or mark != b"]":
                    raise Damaged("something that is no event stands at the end of the events")
                return Taken(events, text[found.end() :], True)
        elif mark == b'"':  # a string that is cut off
            break
        elif depth == 0:
            raise Damaged("a text stands among the events")
    following = text[end:].lstrip(BLANK)
    if not events or following.startswith(b","):
        return Taken(events, following[1:] if events else following, False)
    events.pop()
    return Taken(events, text[start:], False)


def read_events(texts: Sequence[bytes], before: int, skipped: Counter[str]) -> list[Event[int]]:
    """Return the events of ``texts``, times in ns, mended where needed; ``skipped`` counts those that are no use.

    Args:
        texts: One event each.
        before: Events of the file before them.
        skipped: Reason -> number of events.

    Raises:
        Damaged: one of them is no JSON.
    """
    events = []
    for number, text in enumerate(texts, before + 1):
        value = _parsed(text)
        if value is None:
            raise Damaged(f"event {number:,} is no JSON, or is nested too deeply")
        events.append(_event(value, skipped))
    return events


def mended(text: bytes) -> bytes:
    """Return JSON with backslashes that begin no escape doubled; valid JSON stays as it is."""
    found, taken = bytearray(), 0
    for backslash in _ESCAPE.finditer(text):
        if not backslash.group(1):
            found += text[taken : backslash.end()] + b"\\"
            taken = backslash.end()
    return bytes(found + text[taken:]) if taken else text


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return an object with exact numbers, bare NaN as None, broken escapes and encodings mended; None if it is none.

    What decodes at once comes out as it does there.
    """
    for attempt, integer, number in ((text, None, Decimal), (mended(text), _whole, _exact)):
        try:
            value = json.loads(
                attempt.decode("utf-8", "replace"), parse_int=integer, parse_float=number,
                parse_constant=lambda name: None, strict=False,
            )  # fmt: skip
        except RecursionError:
            return None
        except (ValueError, ArithmeticError):  # also of numbers that int and Decimal do not take
            continue
        return value if isinstance(value, dict) else None
    return None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def _exact(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except ArithmeticError:  # an exponent past 64 bits
        return Decimal(float(digits))


def _event(value: dict[str, Any], skipped: Counter[str]) -> Event[int]:
    """Return one event, its times in ns; one that cannot be used becomes an empty event, which only counts."""
    phase, given = value.get("ph"), value.get("cat")
    category = Category.of(given) if isinstance(given, str) else Category.OTHER
    if phase != "X" or not category.role:
        return Event(ph=Phase(phase) if isinstance(phase, str) else Phase.MISSING)
    start, duration = nanoseconds_of(value.get("ts")), nanoseconds_of(value.get("dur", 0))
    if start is None or duration is None or duration < 0:
        skipped[NO_START if start is None else NO_DURATION if duration is None else NEGATIVE] += 1
        return _UNUSED
    name, arguments = value.get("name"), value.get("args")
    return Event(
        ph=Phase.COMPLETE, cat=category, name=_clean(name) if isinstance(name, str) else UNNAMED,
        pid=_identity(value.get("pid")), tid=_identity(value.get("tid")), ts=start, dur=duration,
        args=_arguments(arguments) if isinstance(arguments, dict) else None,
    )  # fmt: skip


def _clean(name: str) -> str:
    """Return ``name`` without lone surrogates, which no file can hold."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _identity(value: Any) -> int | str | None:
    """Return a process or thread: text or a whole number of any size; None where it is neither."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _integer(value)
    return None if number == NONE else number


def _arguments(given: dict[str, Any]) -> Arguments:
    return Arguments(
        correlation=_integer(given.get("correlation")), external=_integer(given.get("External id")),
        external_old=_integer(given.get("external id")), device=_integer(given.get("device")),
        stream=_integer(given.get("stream")), bytes=_integer(given.get("bytes")),
    )  # fmt: skip


def _integer(value: Any) -> int:
    """Return a whole number of any spelling that fits 64 bits, else ``NONE``."""
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else NONE
    if not isinstance(value, Decimal | str):
        return NONE
    try:
        number = Decimal(value)
        return int(number) if number.is_finite() and abs(number) < 2**63 and number == int(number) else NONE
    except ArithmeticError:
        return NONE
