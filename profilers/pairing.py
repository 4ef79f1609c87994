"""Which call launched which kernel: pairs by correlation id over every launch call of runtime and driver.

A launch is any call with a correlation id and ``Launch`` in its name, whatever the vendor or the interface, so that
none is lost by not being on a list. A kernel is

- *paired*: its correlation id belongs to a launch;
- *head*: not paired, and enqueued before the window: it starts before the first paired kernel of its stream, or its
  correlation id lies below those of all launches;
- *orphan*: neither; its launch was lost.

A launch of a graph starts many kernels; it is attributed once, to the earliest.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.profilers.intervals import distinct, groups
from codesign.profilers.trace import NONE, Int64, Trace

LAUNCH, GRAPH_LAUNCH = "Launch", "GraphLaunch"
Mask = NDArray[np.bool_]


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """Kernels and their launches; every column has one entry a kernel, in order of start, then of the file.

    Attributes:
        kernel: Position in ``trace.work``.
        launch: Position in ``trace.calls``, ``NONE`` where unpaired.
        head: Enqueued before the window.
        graph: Launched with a graph.
        attributed: The one kernel of each launch whose latency counts.
        launch_calls: Name of each launch call -> how many there are, nested ones and those without kernels included.
        ambiguous: Mask of the kernels left unpaired because launches of several processes carry their correlation id.
        repeated: Kernels beyond the first of a launch that is no graph's: their correlation id is not theirs alone.
    """

    kernel: Int64
    launch: Int64
    head: Mask
    graph: Mask
    attributed: Mask
    launch_calls: dict[str, int]
    ambiguous: Mask
    repeated: int

    @property
    def paired(self) -> Mask:
        """Return the mask of paired kernels."""
        return self.launch >= 0

    @property
    def orphan(self) -> Mask:
        """Return the mask of kernels whose launch was lost."""
        return ~(self.paired | self.head)


def pair(trace: Trace) -> Pairing:
    """Return which call launched which kernel."""
    work, calls = trace.work, trace.calls
    kernel = np.flatnonzero(trace.kernels)
    kernel = kernel[np.argsort(work.start[kernel], kind="stable")]
    launching = _named(trace, LAUNCH)[calls.name] & (calls.correlation >= 0)
    launches, shared = _first_of_each_id(trace, np.flatnonzero(launching))
    correlation = work.correlation[kernel]
    launch = _looked_up(correlation, calls.correlation[launches], launches)
    ambiguous = np.isin(correlation, shared) & (correlation >= 0)
    launch[ambiguous] = NONE
    paired = launch >= 0
    graph = paired & _named(trace, GRAPH_LAUNCH)[calls.name[launch]] if len(calls) else paired
    attributed = np.zeros(len(kernel), bool)
    of_launch = np.flatnonzero(paired)
    attributed[of_launch[np.unique(launch[of_launch], return_index=True)[1]]] = True
    names, counts = np.unique(calls.name[launching], return_counts=True)
    named = [trace.names[number] for number in names.tolist()]
    return Pairing(
        kernel=kernel, launch=launch, head=_head(trace, kernel, paired, calls.correlation[launching]), graph=graph,
        attributed=attributed,
        launch_calls={name: count for name, count in sorted(zip(named, counts.tolist(), strict=True))},
        ambiguous=ambiguous, repeated=int((paired & ~graph & ~attributed).sum()),
    )  # fmt: skip


def started_by(trace: Trace) -> Int64:
    """Return the position in ``trace.calls`` of the call that started each device event, copies too, else ``NONE``."""
    known = np.flatnonzero(trace.calls.correlation >= 0)
    first, shared = _first_of_each_id(trace, known)
    found = _looked_up(trace.work.correlation, trace.calls.correlation[first], first)
    return np.where(np.isin(trace.work.correlation, shared), NONE, found)


def _named(trace: Trace, part: str) -> Mask:
    """Return which names of the trace contain ``part``, with one entry more so that ``NONE`` is none of them."""
    return np.array([part in name for name in trace.names] + [False], bool)


def _first_of_each_id(trace: Trace, positions: Int64) -> tuple[Int64, Int64]:
    """Return one call of each correlation id, by id, and the ids that calls of several processes share.

    Of a runtime call and the driver call within it, the one that starts first counts, of equal starts the longer.
    """
    calls = trace.calls
    order = positions[np.lexsort((-calls.duration[positions], calls.start[positions], calls.correlation[positions]))]
    ids = calls.correlation[order]
    opens = np.append(True, ids[1:] != ids[:-1]) if len(ids) else np.empty(0, bool)
    numbers: dict[str, int] = {}
    process = np.array([numbers.setdefault(p, len(numbers)) for p, _ in trace.threads] or [0])[calls.thread[order]]
    mixed = np.append(False, (process[1:] != process[:-1]) & (ids[1:] == ids[:-1])) if len(ids) else opens
    return order[opens], distinct(ids[mixed])


def _looked_up(wanted: Int64, ids: Int64, positions: Int64) -> Int64:
    """Return the entry of ``positions`` whose entry of ``ids`` (rising) is the one wanted, else ``NONE``."""
    if not len(ids):
        return np.full(len(wanted), NONE)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[place] == wanted, positions[place], NONE)


def _head(trace: Trace, kernel: Int64, paired: Mask, launch_ids: Int64) -> Mask:
    """Return the mask of unpaired kernels that were enqueued before the window; without launches there are none."""
    work = trace.work
    head = np.zeros(len(kernel), bool)
    if not len(launch_ids):
        return head
    correlation = work.correlation[kernel]
    head = (correlation >= 0) & (correlation < launch_ids.min())
    for _, rows in groups(stream_numbers(trace, kernel)):
        hit = paired[rows]
        if hit.any():
            head[rows] |= work.start[kernel[rows]] < work.start[kernel[rows[hit.argmax()]]]
    return np.asarray(head & ~paired, bool)


def stream_numbers(trace: Trace, rows: Int64) -> Int64:
    """Return a number of its own for each (device, stream) of rows of ``trace.work``, shape of ``rows``."""
    device = np.unique(trace.work.device[rows], return_inverse=True)[1]
    streams, stream = np.unique(trace.work.stream[rows], return_inverse=True)
    return np.asarray(device * len(streams) + stream, np.int64)
