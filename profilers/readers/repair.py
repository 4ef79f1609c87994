"""Blocks of events that do not decode at once: where their events begin and end, and what is wrong with one.

Python writes bare ``NaN`` and ``Infinity``; old writers leave backslashes of Windows paths unescaped; some values have
the wrong type. Such an event is mended, or skipped and counted. Text that is no JSON at all is damage, and is said.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

from codesign.profilers.readers.event import Arguments, Category, Event, Phase
from codesign.profilers.readers.stamps import LARGEST, nanoseconds_of
from codesign.profilers.trace import NONE

_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]|"', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
SHOWN = 40
_UNUSED: Event[int] = Event(ph=Phase.OTHER)


class Damaged(ValueError):
    """The text is no JSON, even after mending what writers get wrong."""


class Taken(NamedTuple):
    """What a block holds: its whole events, the text after them, and whether the list of events closes in it."""

    events: list[bytes]
    rest: bytes
    closed: bool


def open_events(text: bytes) -> Taken:
    """Return the events in ``text``, which begins inside the list of events, between two of them.

    Raises:
        Damaged: brackets do not match, or something stands between two events.
    """
    events: list[bytes] = []
    depth, start, end = 0, 0, 0
    for found in _STRUCTURE.finditer(text):
        mark = found.group()
        if mark == b'"':  # a string that does not end in this text
            break
        if mark in (b"{", b"["):
            if depth == 0:
                _check_between(text[end : found.start()])
                start = found.start()
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                end = found.end()
                events.append(text[start:end])
            elif depth < 0:
                _check_between(text[end : found.start()])
                if mark == b"}":
                    raise Damaged("a bracket closes that was never opened")
                return Taken(events, text[found.end() :], True)
    return Taken(events, text[end:], False)


def _check_between(text: bytes) -> None:
    if text.strip() not in (b"", b","):
        raise Damaged(f"found {_shown(text.strip())} between two events")


def _shown(text: bytes) -> str:
    return repr(text[:SHOWN].decode("utf-8", "replace"))


def read_events(texts: list[bytes], skipped: Counter[str]) -> list[Event[int]]:
    """Return the events of ``texts``, times in ns, mended where needed; ``skipped`` counts those that are no use.

    Raises:
        Damaged: one of them is no JSON.
    """
    return [_event(_parsed(text), skipped) for text in texts]


def _parsed(text: bytes) -> Any:
    """Return the value of one event: numbers exact, bare NaN as None, broken escapes and encodings mended."""
    decoded = text.decode("utf-8", "replace")
    for attempt in (decoded, _ESCAPE.sub(lambda m: m.group() if m.group(1) else "\\\\", decoded)):
        try:
            return json.loads(attempt, parse_float=Decimal, parse_constant=lambda name: None, strict=False)
        except RecursionError:
            raise Damaged("an event is nested too deeply") from None
        except (ValueError, ArithmeticError):
            continue
    raise Damaged(f"an event is no JSON: {_shown(text)}")


def _event(value: Any, skipped: Counter[str]) -> Event[int]:
    """Return one event, its times in ns; one that cannot be used becomes an empty event, which only counts."""
    if not isinstance(value, dict):
        skipped["no object"] += 1
        return _UNUSED
    phase, given = value.get("ph"), value.get("cat")
    category = Category.of(given) if isinstance(given, str) else Category.OTHER
    if phase != "X" or not category.role:
        return Event(ph=Phase(phase) if isinstance(phase, str) else Phase.MISSING)
    start, duration = nanoseconds_of(value.get("ts")), nanoseconds_of(value.get("dur", 0))
    if start is None or duration is None or duration < 0:
        reason = "its start" if start is None else "its duration"
        skipped[f"{reason} is no number of microseconds"] += 1
        return _UNUSED
    name, arguments = value.get("name"), value.get("args")
    return Event(
        ph=Phase.COMPLETE, cat=category, name=_clean(name) if isinstance(name, str) else "",
        pid=_identity(value.get("pid")), tid=_identity(value.get("tid")), ts=start, dur=duration,
        args=_arguments(arguments) if isinstance(arguments, dict) else None,
    )  # fmt: skip


def _clean(name: str) -> str:
    """Return ``name`` without lone surrogates, which no file can hold."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _identity(value: Any) -> int | str | None:
    return _clean(value) if isinstance(value, str) else _integer(value, NONE) if value is not None else None


def _arguments(given: dict[str, Any]) -> Arguments:
    return Arguments(
        correlation=_integer(given.get("correlation"), NONE),
        external=_integer(given.get("External id", given.get("external id")), NONE),
        device=_integer(given.get("device"), NONE), stream=_integer(given.get("stream"), NONE),
        bytes=max(0, _integer(given.get("bytes"), 0)),
    )  # fmt: skip


def _integer(value: Any, default: int) -> int:
    """Return a whole number of any spelling that fits 64 bits, else ``default``."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return default
    try:
        number = Decimal(value)
        return int(number) if number.is_finite() and abs(number) < LARGEST and number == int(number) else default
    except ArithmeticError:
        return default
