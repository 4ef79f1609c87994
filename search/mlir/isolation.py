"""What a worker process allows itself: one processor of its own, and no more memory than it was given."""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

_HELD: list[int] = []
"""Locks of this process; the system frees them when it ends."""


def lock_directory(fallback: Path) -> Path:
    """Return where this user's searches lock processors, so that two at once take different ones.

    ``fallback`` is the search's own directory, for a machine where the place is somebody else's.
    """
    shared = Path(tempfile.gettempdir()) / f"codesign-processors-{os.getuid()}"
    try:
        shared.mkdir(mode=0o700, exist_ok=True)
        return shared if shared.lstat().st_uid == os.getuid() and shared.is_dir() else fallback
    except OSError:
        return fallback


def claim_processor(directory: Path) -> int | None:
    """Keep this process on a processor that no other worker has; return which, None where all are taken.

    Call it before libraries start their threads: they size their pools by what the process may use. The claim is a
    lock on a file in ``directory``.
    """
    import fcntl

    if not hasattr(os, "sched_setaffinity"):
        return None
    for processor in sorted(os.sched_getaffinity(0), reverse=True):  # the first one serves most interrupts
        lock = os.open(directory / f"processor-{processor}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _HELD.append(lock)
        os.sched_setaffinity(0, {processor})
        return processor
    return None


def limit_memory(more: int) -> None:
    """Let this process map at most ``more`` bytes beyond what it maps now: a larger request fails, here alone."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return  # no account of memory on this system: the time limit alone guards
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
