"""Conformance of trace readers: what every reader must do with a file that it reads, and with what is left of one.

Use it from a test: ``check_reader(read, path)`` with a file that ``read`` can read. Each check raises
``AssertionError`` with what went wrong; any other exception but ``DataError`` is a fault of the reader too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from codesign.errors import DataError
from codesign.profilers.readers.consistency import HOST_TABLES, fault
from codesign.profilers.trace import DeviceEvents, HostEvents, Trace

Read = Callable[[Path], Trace]

CUTS = 24
"""Lengths, spread over the file, at which it is cut."""
EDGE = 4
"""Bytes at either end of the file between which every cut is tried."""


def difference(first: Trace, second: Trace) -> str | None:
    """Return the first field in which two traces differ, None where they are the same."""
    for field in Trace.__struct_fields__:
        one, other = getattr(first, field), getattr(second, field)
        if not isinstance(one, HostEvents | DeviceEvents):
            if one != other:
                return field
            continue
        for column, values in msgspec.structs.asdict(one).items():
            others = getattr(other, column)
            if values.dtype != others.dtype or not np.array_equal(values, others):
                return f"{field}.{column}"
    return None


def check_refusal(error: DataError, path: Path) -> None:
    """A refusal is one printable line that names the file, not its folder, and says what to do."""
    assert error.hint, f"{error.message}: no hint"
    assert str(error).isprintable(), f"{error!r} is not one line of printable text"
    assert str(path.parent) not in str(error), f"{error} tells where the file lies"
    printable = "".join(c if c.isprintable() else "?" for c in path.name)
    assert printable in error.message, f"{error.message}: does not name {printable}"


def check_consistent(read: Read, path: Path) -> None:
    """The trace keeps every promise of ``Trace``."""
    found = fault(read(path))
    assert found is None, found


def check_origin(read: Read, path: Path) -> None:
    """The earliest event starts at the origin."""
    trace = read(path)
    starts = [t.start.min() for t in (trace.work, *(getattr(trace, name) for name in HOST_TABLES)) if len(t)]
    assert min(starts, default=0) == 0, f"the first event starts {min(starts)} ns after the origin"


def check_counts(read: Read, path: Path) -> None:
    """No event is counted twice: those used and those skipped are at most those in the file."""
    trace = read(path)
    used = len(trace.work) + sum(len(getattr(trace, name)) for name in HOST_TABLES)
    skipped = sum(trace.skipped.values())
    assert used + skipped <= trace.event_count, f"{used} used and {skipped} skipped of {trace.event_count} events"
    assert all(count > 0 for count in trace.skipped.values()), "a reason that no event was skipped for"


def check_repeatable(read: Read, path: Path) -> None:
    """A file read twice gives the same trace."""
    found = difference(read(path), read(path))
    assert found is None, f"{found} differs when the file is read again"


def check_untouched(read: Read, path: Path) -> None:
    """Reading changes neither the file nor its folder."""
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(entry.name for entry in path.parent.iterdir())
    read(path)
    after = path.read_bytes(), path.stat().st_mtime_ns, sorted(entry.name for entry in path.parent.iterdir())
    assert before == after, "the file or its folder was changed"


def check_cut(read: Read, path: Path) -> None:
    """What is left of a file that was cut gives a consistent trace or a refusal, nothing else."""
    whole = path.read_bytes()
    edges = {*range(min(EDGE, len(whole))), *range(max(0, len(whole) - EDGE), len(whole))}
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / f"cut-{path.name}"
        for length in sorted(edges | {len(whole) * part // CUTS for part in range(CUTS)}):
            cut.write_bytes(whole[:length])
            try:
                found = fault(read(cut))
            except DataError as error:
                check_refusal(error, cut)
            else:
                assert found is None, f"cut to {length} bytes: {found}"


def check_no_file(read: Read, path: Path) -> None:
    """A file that is not there, and a folder, are refused."""
    with tempfile.TemporaryDirectory() as folder:
        for missing in (Path(folder) / f"missing-{path.name}", Path(folder)):
            try:
                read(missing)
            except DataError as error:
                check_refusal(error, missing)
            else:
                raise AssertionError(f"{missing.name} was read")


CHECKS: dict[str, Callable[[Read, Path], None]] = {
    "consistent": check_consistent,
    "origin": check_origin,
    "counts": check_counts,
    "repeatable": check_repeatable,
    "untouched": check_untouched,
    "cut": check_cut,
    "no file": check_no_file,
}
"""Name -> check."""


def check_reader(read: Read, path: Path) -> None:
    """Check everything of ``read`` with the file ``path``, which it can read.

    Raises:
        AssertionError: what the reader does wrong.
    """
    for name, check in CHECKS.items():
        try:
            check(read, path)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
