"""Launch latency and its sums: how long kernels wait between the host's call and their start (TKLQT).

TKLQT, the total kernel launch and queueing time, is SKIP's measure (arXiv 2504.11750, section III). Ours differs: the
launch of a graph counts once, with its earliest kernel; ``every_kernel`` is the literal sum. Of each attributed pair

    latency = call + queue - early start

where the call is the launch call on the host, the queue what passes from its end to the kernel's start, and an early
start what the kernel runs before the call has returned. It holds exactly, in integer nanoseconds.
"""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.profilers.intervals import total
from codesign.profilers.pairing import Pairing, pair
from codesign.profilers.trace import Int64, Trace


class LaunchLatency(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of the attributed pairs, ns, by start of the kernel; all columns of one length.

    Attributes:
        launch: Position in ``trace.calls``.
        latency: From the start of the call to the start of the kernel, signed as recorded.
        call: Duration of the call.
        queue: From the end of the call to the start of the kernel, where that is later.
        early_start: From the start of the kernel to the end of the call, where that is later.
        graph: Mask of the launches of graphs.
        every_latency: The latency of every paired kernel, each of a graph against its one launch.
        every_queue: The queue of every paired kernel.
    """

    launch: Int64
    latency: Int64
    call: Int64
    queue: Int64
    early_start: Int64
    graph: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    every_latency: Int64
    every_queue: Int64


def launch_latency(trace: Trace, pairing: Pairing) -> LaunchLatency:
    """Return the launch latencies of a trace."""
    launch, start = pairing.launch[pairing.paired], trace.work.start[pairing.kernel[pairing.paired]]
    begin, end = trace.calls.start[launch], trace.calls.end[launch]
    counts = pairing.attributed[pairing.paired]
    found = LaunchLatency(
        launch=launch[counts], latency=(start - begin)[counts], call=(end - begin)[counts],
        queue=np.maximum(start - end, 0)[counts], early_start=np.maximum(end - start, 0)[counts],
        graph=pairing.graph[pairing.paired][counts], every_latency=start - begin,
        every_queue=np.maximum(start - end, 0),
    )  # fmt: skip
    parts = total(found.call) + total(found.queue) - total(found.early_start)
    assert total(found.latency) == parts, "TKLQT is not launch calls + queue - early starts"
    return found


def tklqt_per_launch(trace: Trace, low: Int64, high: Int64) -> tuple[float, ...]:
    """Return TKLQT over the number of launches for the launches that begin in each window, ns.

    Args:
        trace: The trace.
        low: Starts of the windows, ns, shape (windows,).
        high: Their ends.

    Returns:
        One number a window, clamped at 0; empty where some window has no launch.
    """
    found = launch_latency(trace, pair(trace))
    begin = trace.calls.start[found.launch]
    inside = (begin >= low[:, None]) & (begin < high[:, None])
    counts = inside.sum(axis=1)
    if not len(counts) or not counts.all():
        return ()
    sums = (inside * np.maximum(found.latency, 0)).sum(axis=1)
    return tuple((sums / counts).tolist())
