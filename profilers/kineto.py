"""Reading the processor events of a Kineto trace (the JSON that ``torch.profiler`` exports), exactly.

Stamps are microseconds written in decimal with up to three places; as binary floats a stamp near 1e15 loses its
nanoseconds, so the text is turned into integer nanoseconds.
"""

from __future__ import annotations

import gzip
import json
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from codesign.errors import DataError
from codesign.profilers.split import Interval


class Recording(NamedTuple):
    """Annotated iterations and operators of the thread that ran the iterations."""

    iterations: list[Interval]
    operators: list[Interval]


def read_recording(path: Path | str, annotation: str) -> Recording:
    """Return the iterations called ``annotation`` in a trace file (plain or gzip) and the operators of their thread.

    Raises:
        DataError: the file is no trace, or no such iteration is in it.
    """
    events = _events(Path(path))
    iterations = [e for e in events if e.get("cat") == "user_annotation" and e["name"] == annotation]
    if not iterations:
        raise DataError(f"{path}: no annotation {annotation!r}", "annotate each iteration with record_function")
    thread = (iterations[0].get("pid"), iterations[0].get("tid"))
    same = [e for e in events if (e.get("pid"), e.get("tid")) == thread]
    operators = [e for e in same if e.get("cat") == "cpu_op"]
    return Recording([_interval(e) for e in iterations if e in same], [_interval(e) for e in operators])


def _events(path: Path) -> list[dict[str, Any]]:
    """Return the complete events of a trace: those with a name, a start and a duration."""
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        content = json.loads(text, parse_float=Decimal)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", "name a trace file") from None
    except (ValueError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no trace: {error}", "expected the JSON that torch.profiler exports") from None
    found = content.get("traceEvents") if isinstance(content, dict) else content
    if not isinstance(found, list):
        raise DataError(f"{path} is no trace: it has no traceEvents", "expected the JSON that torch.profiler exports")
    return [e for e in found if isinstance(e, dict) and e.get("ph") == "X" and {"name", "ts", "dur"} <= e.keys()]


def _interval(event: dict[str, Any]) -> Interval:
    start = nanoseconds(event["ts"])
    return Interval(str(event["name"]), start, start + nanoseconds(event["dur"]))


def nanoseconds(microseconds: Decimal | int | str) -> int:
    """Return integer nanoseconds of ``microseconds`` as the trace writes them."""
    return round(Decimal(microseconds) * 1000)
