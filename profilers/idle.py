"""Why devices are idle, and what runs side by side.

Idle time is what the union of a device's work leaves between its first and last event. Each gap ends with the start of
some work, and splits there at the moment the host began the call that started it:

- *host wait*: before that call, the device had nothing to do because the host had not asked;
- *kernel wait*: after it, the work was on its way: the launch itself, or a wait for other work it depends on;
- *other*: the call is not in the trace, so the gap cannot be split.

The three add up to the idle time, exactly.
"""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.profilers.intervals import common, groups, union
from codesign.profilers.trace import Int64, Trace

COLLECTIVES = (
    "nccl", "rccl", "msccl", "oneccl", "nvshmem", "cross_device_reduce", "all_reduce", "allreduce", "all_gather",
    "allgather", "reduce_scatter", "reducescatter", "all_to_all", "alltoall",
)  # fmt: skip
"""Parts of the names of kernels that communicate, in lower case."""


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """Idle time of all devices."""

    host_wait_ns: int
    kernel_wait_ns: int
    other_ns: int


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """Communication against computation, summed over devices: unions of kernels, not sums.

    Attributes:
        communication_ns: In which kernels of collectives run.
        computation_ns: In which other kernels run.
        both_ns: In which both run; its share of the communication is what is hidden.
    """

    communication_ns: int
    computation_ns: int
    both_ns: int


def idle(trace: Trace, started: Int64) -> Idle:
    """Return why devices are idle.

    Args:
        trace: The trace.
        started: Position of the call that started each row of ``trace.work``, ``NONE`` where unknown.
    """
    work, ends, parts = trace.work, trace.work.end, [0, 0, 0]
    for _, rows in groups(work.device):
        # where several events end a gap at once, the first of the file does
        order = rows[np.argsort(work.start[rows], kind="stable")]
        reached = np.maximum.accumulate(ends[order])[:-1]
        gap = work.start[order[1:]] > reached
        begin, ending = reached[gap], order[1:][gap]
        length, known = work.start[ending] - begin, started[ending] >= 0
        asked = np.append(trace.calls.start, 0)[started[ending]]
        host = np.where(known, np.clip(asked - begin, 0, length), 0)
        for part, amount in enumerate((host, np.where(known, length - host, 0), np.where(known, 0, length))):
            parts[part] += int(amount.sum())
    return Idle(host_wait_ns=parts[0], kernel_wait_ns=parts[1], other_ns=parts[2])


def overlap(trace: Trace) -> Overlap | None:
    """Return communication against computation; None where no kernel communicates."""
    work, ends = trace.work, trace.work.end
    communicates = np.array([any(part in name.lower() for part in COLLECTIVES) for name in trace.names], bool)
    kernels = np.flatnonzero(trace.kernels)
    communicating = communicates[work.name[kernels]] if len(kernels) else np.empty(0, bool)
    if not communicating.any():
        return None
    parts = [0, 0, 0]
    for _, rows in groups(work.device[kernels]):
        spans = [
            union(work.start[kernels[chosen]], ends[kernels[chosen]])
            for chosen in (rows[communicating[rows]], rows[~communicating[rows]])
        ]
        for part, amount in enumerate((spans[0].length, spans[1].length, common(*spans))):
            parts[part] += amount
    return Overlap(communication_ns=parts[0], computation_ns=parts[1], both_ns=parts[2])
