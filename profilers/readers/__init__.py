"""Readers of traces: one entry, ``read_trace``, which looks at the content and never at the name."""

from __future__ import annotations

from pathlib import Path

from codesign.errors import DataError
from codesign.profilers.readers.consistency import overflow
from codesign.profilers.readers.text import RECORDING, SQLITE, first_bytes, shown_name
from codesign.profilers.trace import Trace


def read_trace(path: Path | str) -> Trace:
    """Return the trace in a file: Kineto JSON, an nsys SQLite export, or a recording of our own.

    Raises:
        DataError: it cannot be read, or is none of these.
    """
    trace = _read(Path(path))
    if found := overflow(trace):
        raise DataError(f"{shown_name(Path(path))} is damaged: {found}", "record the trace again")
    return trace


def _read(path: Path) -> Trace:
    head = first_bytes(path)
    if head.startswith(SQLITE):
        from codesign.profilers.readers.nsys import read_nsys

        return read_nsys(path)
    if head.startswith(RECORDING):
        from codesign.profilers.readers.recording import read_recording

        return read_recording(path)
    from codesign.profilers.readers.kineto import read_kineto

    return read_kineto(path)
