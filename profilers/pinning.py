"""Holding every thread of this process on chosen processors while something is measured."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from codesign.errors import EnvironmentLacks, UsageError

TASKS = "/proc/self/task"


@contextmanager
def pinned(processors: Collection[int] | None) -> Iterator[None]:
    """Restrict all threads, also those already started, to ``processors``; None leaves them as they are.

    The masks of before are restored. A pool that a library started earlier has threads of its own, each with its own
    mask: restricting the caller alone would leave them where they are.

    Raises:
        UsageError: none, or one this process may not use.
        EnvironmentLacks: the system cannot restrict threads.
    """
    if processors is None:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise EnvironmentLacks("this system cannot pin threads", "leave --pin out")
    before = os.sched_getaffinity(0)
    if not processors or not set(processors) <= before:
        given, usable = _listed(processors), _listed(before)
        raise UsageError(f"cannot pin to processors {given}", f"this process may use {usable}")
    masks = {thread: _mask(thread) for thread in _threads()}
    for thread in masks:
        _restrict(thread, processors)
    try:
        yield
    finally:
        for thread in _threads():
            _restrict(thread, masks.get(thread) or before)


def _listed(processors: Collection[int]) -> str:
    return ", ".join(map(str, sorted(processors))) or "none"


def _threads() -> list[int]:
    try:
        return [int(name) for name in os.listdir(TASKS)]
    except OSError:
        return [0]


def _mask(thread: int) -> set[int] | None:
    try:
        return os.sched_getaffinity(thread)
    except ProcessLookupError:
        return None


def _restrict(thread: int, processors: Collection[int]) -> None:
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.sched_setaffinity(thread, processors)
