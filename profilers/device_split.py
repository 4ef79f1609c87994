"""Where the time of a pass on a GPU goes, in the parts that a pass on a processor has.

Per annotated pass, in integer nanoseconds of the trace:

    pass = framework gap + dispatch + compute

Compute is the time in which the device works. Of the rest, dispatch is where the host is inside an operator or a call
of the runtime, the framework gap where it is in neither (Python). The compute share is then the share of device-active
time, as in HDBI (TaxBreak, arXiv 2603.12465).
"""

from __future__ import annotations

import numpy as np

from codesign.profilers.intervals import covered, union
from codesign.profilers.iterations import ANNOTATION
from codesign.profilers.split import SelfTime, Split
from codesign.profilers.trace import Int64, Trace


def device_split(trace: Trace) -> tuple[Split, tuple[float, ...]]:
    """Return the split of all annotated passes, whose rows are kernels and copies, and each pass's compute share."""
    number = trace.names.index(ANNOTATION) if ANNOTATION in trace.names else -1
    passes = trace.annotations.name == number
    starts, ends = trace.annotations.start[passes], trace.annotations.end[passes]
    tables = (trace.work, trace.operators, trace.calls)
    device = union(trace.work.start, trace.work.end)
    either = union(np.concatenate([t.start for t in tables]), np.concatenate([t.end for t in tables]))
    whole, compute, busy = ends - starts, covered(device, starts, ends), covered(either, starts, ends)
    found = Split(
        iterations=len(starts), iteration=int(whole.sum()), gap=int((whole - busy).sum()),
        dispatch=int((busy - compute).sum()), compute=int(compute.sum()), operators=_rows(trace, starts, ends),
    )  # fmt: skip
    return found, tuple(float(c / w) if w else 0.0 for c, w in zip(compute, whole, strict=True))


def _rows(trace: Trace, starts: Int64, ends: Int64) -> tuple[SelfTime, ...]:
    """Return the device work that starts within the passes, by name."""
    work, rows = trace.work, []
    inside = np.zeros(len(work), bool)
    for start, end in zip(starts, ends, strict=True):
        inside |= (work.start >= start) & (work.start < end)
    for name in np.unique(work.name[inside]):
        mask = inside & (work.name == name)
        rows.append(SelfTime(trace.names[name], "compute", int(mask.sum()), int(work.duration[mask].sum())))
    return tuple(sorted(rows, key=lambda row: (-row.nanoseconds, row.name)))
