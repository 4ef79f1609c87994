"""Telling by its content what a file of measurements is, and reading it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

import codesign.costmodels.measurements.aiperf as aiperf
import codesign.costmodels.measurements.profiles as profiles
import codesign.costmodels.measurements.table as table
import codesign.costmodels.measurements.vllm as vllm
from codesign.costmodels.measurements.measurement import Source
from codesign.errors import DataError, printable

LARGEST_BYTES = 64 * 2**20
"""Larger files are refused: results of a benchmark are kilobytes, with every token of every request megabytes."""

EXPECTED = (
    "expected a result of `vllm bench serve --save-result`, profile_export_aiperf.json of AIPerf, a run directory or "
    "profile.json of `codesign profile`, or a CSV with batch, prompt, generate and a metric such as ttft_ms"
)

_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*-?(NaN|Infinity)\b")


def read_file(path: str) -> Source:
    """Return the measurements in the file or directory at ``path``; their designs may be incomplete.

    Raises:
        DataError: it cannot be read, is of no kind we know, or holds impossible figures.
    """
    place = inner(Path(path))
    data = _bytes(place)
    name = printable(place.name if place.parent == Path(path).parent else f"{Path(path).name}/{place.name}")
    if place.suffix.lower() == ".csv" or table.recognises(data):
        return table.read(data, name)
    if not data.lstrip()[:1] == b"{":
        raise DataError(f"{name}: of no kind that we know", EXPECTED)
    records = _json_lines(data, name)
    for reader in (profiles, aiperf, vllm):
        if all(reader.recognises(record) for record in records):
            sources = [reader.read(record, _place(name, i, len(records))) for i, record in enumerate(records)]
            measurements = tuple(m for source in sources for m in source.measurements)
            notes = tuple(note for source in sources for note in source.notes)
            return Source(name, sources[0].kind, measurements, notes)
    raise DataError(f"{name}: a JSON object of no kind that we know, with {_keys(records[0])}", EXPECTED)


def inner(place: Path) -> Path:
    """Return the file that holds the measurements of a run directory, or ``place`` itself.

    Raises:
        DataError: a directory without one.
    """
    if not place.is_dir():
        return place
    for name in (profiles.FILE, aiperf.FILE):
        if (place / name).is_file():
            return place / name
    shown = printable(place.name)
    if (place / "run.json").is_file():
        raise DataError(
            f"{shown}: a run without {profiles.FILE}", "a run of `codesign profile MODEL` has one; traces do not"
        )
    raise DataError(f"{shown}: a directory without {profiles.FILE} or {aiperf.FILE}", EXPECTED)


def _bytes(place: Path) -> bytes:
    name = printable(str(place))
    try:
        size = place.stat().st_size
        if size > LARGEST_BYTES:
            raise DataError(
                f"{name}: {size:,} bytes", f"at most {LARGEST_BYTES:,} are read: save it without details of requests"
            )
        data = place.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not data.strip():
        raise DataError(f"{name}: empty", EXPECTED)
    return data


def _json_lines(data: bytes, name: str) -> list[dict[str, Any]]:
    """Return the object in ``data``, or the object of each line where results were appended."""
    try:
        return [msgspec.json.decode(data, type=dict[str, Any])]
    except (msgspec.DecodeError, RecursionError) as error:
        whole = error
    lines = [line for line in data.splitlines() if line.strip()]
    try:
        if len(lines) > 1 and all(line.lstrip()[:1] == b"{" for line in lines):
            return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
    except (msgspec.DecodeError, RecursionError) as error:
        whole = error
    if _NOT_A_NUMBER.search(data):
        raise DataError(f"{name}: holds NaN or Infinity", "the benchmark measured nothing there: run it again")
    raise DataError(f"{name}: not valid JSON: {printable(str(whole), 200)}", "it may be cut short: save it again")


def _place(name: str, index: int, count: int) -> str:
    return name if count == 1 else f"{name}:{index + 1}"


def _keys(record: dict[str, Any]) -> str:
    shown = ", ".join(printable(key, 30) for key in list(record)[:6])
    return f"keys {shown}{', ...' if len(record) > 6 else ''}" if record else "no keys"
