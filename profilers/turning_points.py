"""Where a profiled sweep over batch sizes turns from host-bound to device-bound, by every rule that applies."""

from __future__ import annotations

from collections.abc import Sequence

from codesign.profilers.results import BatchProfile
from codesign.profilers.transition import Transition, latency_knee, share_crossing, tklqt_knee


def turning_points(batches: Sequence[BatchProfile], seed: int) -> tuple[Transition, ...]:
    """Return the transition by each rule, the one that counts first; none of a single batch size.

    On a GPU the knee of TKLQT per launch counts (SKIP, arXiv 2504.11750), on a processor the crossing of the compute
    share; where the first rule does not resolve it, the next one that does counts.
    """
    if len(batches) < 2:
        return ()
    sizes = [b.batch for b in batches]
    found = [share_crossing(sizes, [b.shares for b in batches], seed=seed)]
    # captured passes make one launch each: the knee of its wait is that of the pass, seen by the other rules
    if all(b.tklqt and min(b.tklqt) > 0.0 for b in batches):
        found.insert(0, tklqt_knee(sizes, [b.tklqt for b in batches], seed=seed))
    found.append(latency_knee(sizes, [b.passes for b in batches], seed=seed))
    return tuple(sorted(found, key=lambda turn: turn.crossed == "unresolved"))
