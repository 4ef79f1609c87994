"""Timelines packed for the page: variable-length integers, a few bytes an event."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.report.profile.view import Int64, Timeline

MOST_EVENTS = 300_000
"""Most events that a page carries."""

_GROUPS = np.arange(10, dtype=np.uint64)


def varints(values: Int64) -> str:
    """Return non-negative integers as base64 of bytes of seven bits each, low first, the top bit for more to come."""
    numbers = np.asarray(values).astype(np.uint64)
    bits = (numbers[:, None] >> (_GROUPS * np.uint64(7))) & np.uint64(127)
    last = 9 - np.argmax(bits[:, ::-1] > 0, axis=1)
    last[numbers == 0] = 0
    more = last[:, None] > _GROUPS
    taken = (bits | (more.astype(np.uint64) << np.uint64(7))).astype(np.uint8)[last[:, None] >= _GROUPS]
    return b64encode(taken.tobytes()).decode()


def signed_varints(values: Int64) -> str:
    """Return integers of either sign: 0, -1, 1, -2, ... become 0, 1, 2, 3, ..."""
    return varints(np.where(values < 0, -2 * values - 1, 2 * values))


def packed_timeline(timeline: Timeline, most: int = MOST_EVENTS) -> dict[str, Any]:
    """Return the columns of a timeline as JSON types.

    Events are ordered by row, start and falling duration. ``delta`` is the start after the one before in the row,
    ``id`` an index into ``names`` and ``kinds``, ``linked`` the steps between the ``links`` events that have a
    launch, ``launch`` the steps between their launches.

    Args:
        timeline: The events.
        most: Most events kept: the longest of the devices with their launches, then the longest of the rest, of which
            none has lost its launch.
    """
    kept = _kept(timeline, most)
    order = kept[np.lexsort((-timeline.duration[kept], timeline.start[kept], timeline.row[kept]))]
    row, start = timeline.row[order], timeline.start[order]
    first = int(start.min()) if len(order) else 0
    start = start - first
    delta = np.diff(start, prepend=0)
    opens = np.flatnonzero(np.diff(row, prepend=-1))
    delta[opens] = start[opens]
    position = np.full(len(timeline.start), -1, np.int64)
    position[order] = np.arange(len(order))
    launch = timeline.launch[order]
    launch = np.where(launch >= 0, position[launch], -1)
    linked = np.flatnonzero(launch >= 0)
    counts = np.bincount(row, minlength=len(timeline.rows))
    identity, names, kinds = _identities(timeline, order)
    return {
        "rows": [[r.label, r.device, int(c)] for r, c in zip(timeline.rows, counts, strict=True)],
        "names": names,
        "kinds": kinds,
        "first": first,
        "count": len(order),
        "omitted": len(timeline.start) - len(order),
        "delta": varints(delta),
        "duration": varints(timeline.duration[order]),
        "id": varints(identity),
        "links": len(linked),
        "linked": varints(np.diff(linked, prepend=0)),
        "launch": signed_varints(np.diff(launch[linked], prepend=0)),
    }


def _kept(timeline: Timeline, most: int) -> Int64:
    total = len(timeline.start)
    if total <= most:
        return np.arange(total)
    device = np.array([r.device for r in timeline.rows])[timeline.row]
    longest = np.argsort(-timeline.duration, kind="stable")
    works = longest[device[longest]][: most // 2]
    launches = np.unique(timeline.launch[works])
    taken = np.zeros(total, bool)
    taken[works] = taken[launches[launches >= 0]] = True
    whole = ~taken & ((timeline.launch < 0) | taken[timeline.launch])
    rest = longest[whole[longest]][: most - int(taken.sum())]
    taken[rest] = True
    return np.flatnonzero(taken)


def _identities(timeline: Timeline, order: Int64) -> tuple[Int64, list[str], list[int]]:
    """Return (name, kind) of each event as one number, the commonest smallest, and what the numbers stand for."""
    pair = timeline.name[order].astype(np.int64) * 256 + timeline.kind[order]
    values, inverse, counts = np.unique(pair, return_inverse=True, return_counts=True)
    ranked: NDArray[np.int64] = np.argsort(-counts, kind="stable")
    rank = np.empty(len(ranked), np.int64)
    rank[ranked] = np.arange(len(ranked))
    names = [timeline.names[int(v) // 256] for v in values[ranked]]
    return rank[inverse], names, [int(v) % 256 for v in values[ranked]]
