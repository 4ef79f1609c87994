"""``analyse``: everything a trace tells, from its metrics to what fusing kernels could save.

Nothing here repeats what a foreign file says of its making beyond a fixed list of versions (``readers.facts``): such
files can hold the environment, host name and command line of the process that wrote them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from codesign.profilers.attribution import attribute, nesting
from codesign.profilers.boundness import Boundness, Thresholds, boundness, processor_boundness
from codesign.profilers.caveats import caveats
from codesign.profilers.chains import chains, sequence
from codesign.profilers.fusion import Fusion, fusion
from codesign.profilers.idle import Idle, Overlap, idle, overlap
from codesign.profilers.iterations import WINDOW, Passes, iterations
from codesign.profilers.metrics import Window, metrics, microseconds
from codesign.profilers.pairing import pair, started_by
from codesign.profilers.split import Split, dispatch_list, merged, split
from codesign.profilers.tklqt import launch_latency
from codesign.profilers.trace import Trace
from codesign.profilers.usage import (
    CopyUse,
    GraphUse,
    KernelUse,
    OperatorUse,
    copy_uses,
    graph_use,
    kernel_uses,
    operator_uses,
)

SCHEMA_VERSION = 1
TOP_OPERATORS = 5
NO_OPERATOR = Boundness(verdict="", reason="undecided: no operator runs within the passes")
OF_KIND = {
    "annotated": "the passes", "profiler steps": "the profiler's steps",
    WINDOW: "the time from the first operator to the last, as no passes are marked,",
}  # fmt: skip
"""What the compute share of each kind of passes is a share of, in words."""


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace tells, exact to the nanosecond; names end in their unit.

    Attributes:
        format: ``kineto``, ``nsys`` or ``codesign``.
        window: What was analysed, in words.
        metrics: Every figure by name (``codesign.profilers.metrics``), and the split of passes on a processor.
        boundness: Whether host or device holds the model back.
        warnings: What to know before believing the figures, each a sentence.
        kernels: By name, the longest in total first.
        operators: By name, those of most self time first.
        copies: By name.
        graphs: Launches of graphs, apart.
        idle: Why devices are idle; None without device work.
        overlap: Communication against computation; None without communication.
        fusion: What fusing could save; None without kernels.
        devices: Names of the devices.
        facts: Versions and flags that the file states.
        skipped: Reason -> events that could not be used.
    """

    schema_version: int = SCHEMA_VERSION
    format: str
    window: str
    metrics: dict[str, Any]
    boundness: Boundness
    warnings: tuple[str, ...]
    kernels: tuple[KernelUse, ...]
    operators: tuple[OperatorUse, ...]
    copies: tuple[CopyUse, ...]
    graphs: GraphUse | None
    idle: Idle | None
    overlap: Overlap | None
    fusion: Fusion | None
    devices: tuple[str, ...]
    facts: dict[str, str]
    skipped: dict[str, int]


def analyse(
    trace: Trace,
    *,
    window: str = "whole trace",
    thresholds: Thresholds | None = None,
    floor_us: float | None = None,
) -> Analysis:
    """Return what ``trace`` tells.

    Args:
        trace: A trace of any origin.
        window: What part of the file it is, in words.
        thresholds: Limits of the classes.
        floor_us: Measured launch floor, us; default the 5 % quantile of launch latency in the trace.
    """
    pairing = pair(trace)
    attribution, latency, extents = attribute(trace, pairing), launch_latency(trace, pairing), Window(trace, pairing)
    kernels, nested = sequence(trace, pairing), nesting(trace.operators)
    lengths = chains(kernels)
    found = metrics(trace, pairing, attribution, latency, extents, lengths)
    passes = iterations(trace) if not len(kernels.kernel) and len(trace.operators) else None
    times = _processor_split(passes) if passes is not None else None
    found |= _processor_metrics(passes, times, int((nested.parent < 0).sum()))
    verdict = boundness(found, len(extents.devices), thresholds)
    if passes is not None and times is not None:
        of = OF_KIND.get(passes.kind, f"the ranges {passes.kind}")
        verdict = processor_boundness(times.compute_fraction, of) if times.operators else NO_OPERATOR
    floor, source = floor_us, "empty kernels on this device"
    if floor is None and verdict.floor_us is not None and verdict.floor_us > 0.0:
        floor, source = verdict.floor_us, "5 % quantile of launch latency in this trace"
        if found["launch_latency_p05_us"] > floor:
            source = "assumed: kernels queued all along, so no launch shows its floor"
    return Analysis(
        format=trace.format, window=window, metrics=found, boundness=verdict,
        warnings=tuple(caveats(trace, pairing, attribution, latency, found, passes)),
        kernels=kernel_uses(trace, pairing), operators=operator_uses(trace, nested, pairing, attribution),
        copies=copy_uses(trace), graphs=graph_use(trace, pairing, latency),
        idle=idle(trace, started_by(trace)) if len(trace.work) else None, overlap=overlap(trace),
        fusion=fusion(trace, pairing, attribution, nested, kernels, lengths, floor_us=floor, floor_source=source)
        if len(pairing.kernel) else None,
        devices=trace.device_names, facts=trace.facts, skipped=trace.skipped,
    )  # fmt: skip


def _processor_split(passes: Passes) -> Split:
    """Return where the passes of a trace without kernels went."""
    dispatch = dispatch_list().operators
    return merged([split(thread.iterations, thread.operators, dispatch) for thread in passes.threads])


def _processor_metrics(passes: Passes | None, found: Split | None, top_level: int) -> dict[str, Any]:
    names = ("iteration_kind", "iteration_count", "top_level_op_count", "iteration_time_us", "framework_gap_us",
             "dispatch_self_us", "compute_self_us", "dispatch_total_us", "compute_fraction",
             "top_ops_by_self_time")  # fmt: skip
    if passes is None or found is None:
        return dict.fromkeys(names)
    times = (found.iteration, found.gap, found.dispatch, found.compute, found.gap + found.dispatch)
    top = [
        {"name": row.name, "count": row.calls, "self_us": microseconds(row.nanoseconds)}
        for row in found.operators[:TOP_OPERATORS]
    ]
    values = (passes.kind, found.iterations, top_level, *map(microseconds, times), found.compute_fraction, top)
    return dict(zip(names, values, strict=True))
