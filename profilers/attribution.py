"""Which operator and module a launch belongs to: the innermost one open at its start on the same thread.

Time containment decides. The external id, which Kineto writes to both, is only a cross-check: old files number
operators and calls apart, and launches of Triton kernels have none.
"""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.profilers.intervals import Innermost, groups, nested
from codesign.profilers.pairing import Pairing
from codesign.profilers.trace import NONE, HostEvents, Int64, Trace


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Where each kernel was launched from; columns as in ``Pairing``.

    Attributes:
        operator: Position in ``trace.operators`` of the innermost operator, ``NONE`` where there is none.
        checked: Kernels whose launch and operator both carry an external id.
        agreeing: Those of them where both are the same.
    """

    operator: Int64
    checked: int
    agreeing: int


def attribute(trace: Trace, pairing: Pairing) -> Attribution:
    """Return where each kernel was launched from."""
    operators, calls = trace.operators, trace.calls
    operator = containing(operators, calls, pairing.launch)
    ids = np.append(operators.external, NONE)[operator], np.append(calls.external, NONE)[pairing.launch]
    both = (ids[0] >= 0) & (ids[1] >= 0)
    return Attribution(
        operator=operator, checked=int(both.sum()), agreeing=int((both & (ids[0] == ids[1])).sum()),
    )  # fmt: skip


def containing(events: HostEvents, calls: HostEvents, rows: Int64) -> Int64:
    """Return the innermost of ``events`` around the start of calls on their thread.

    Args:
        events: Operators, functions or annotations.
        calls: Calls that ``rows`` index.
        rows: Positions of calls; ``NONE`` asks for nothing.

    Returns:
        Positions in ``events``, shape of ``rows``, ``NONE`` where none contains the call.
    """
    found = np.full(len(rows), NONE)
    asked = np.flatnonzero(rows >= 0)
    if not len(asked) or not len(events):
        return found
    on_thread, ends = dict(groups(events.thread)), events.end
    for thread, places in groups(calls.thread[rows[asked]]):
        if thread in on_thread:
            position = on_thread[thread]
            inside = Innermost(events.start[position], ends[position])
            at = inside.at(calls.start[rows[asked[places]]])
            found[asked[places]] = np.where(at >= 0, position[at], NONE)
    return found


class Nesting(msgspec.Struct, frozen=True):
    """How events of each thread nest.

    Attributes:
        parent: Position of the event around each one, ``NONE`` for those that stand alone.
        self_time: Duration less that of the children, ns.
    """

    parent: Int64
    self_time: Int64

    def outermost(self, position: Int64) -> Int64:
        """Return the outermost event around each position, itself where nothing is around it; ``NONE`` stays."""
        root = np.where(self.parent < 0, np.arange(len(self.parent)), self.parent)
        while not np.array_equal(root, deeper := root[root]):  # halves the depth each time
            root = deeper
        return np.append(root, NONE)[position]


def nesting(events: HostEvents) -> Nesting:
    """Return how ``events`` nest, thread by thread."""
    parent, own, ends = np.full(len(events), NONE), np.zeros(len(events), np.int64), events.end
    for _, position in groups(events.thread):
        around, end = nested(events.start[position], ends[position])
        inside = around >= 0
        length = end - events.start[position]
        own[position] += length
        np.subtract.at(own, position[around[inside]], length[inside])
        parent[position[inside]] = position[around[inside]]
    return Nesting(parent, own)
