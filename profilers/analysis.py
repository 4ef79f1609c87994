"""``analyse``: everything a trace tells, from its metrics to what fusing kernels could save.

Nothing here repeats what a foreign file says of its making beyond a fixed list of versions (``readers.facts``): such
files can hold the environment, host name and command line of the process that wrote them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from codesign.profilers.attribution import Attribution, attribute, nesting
from codesign.profilers.boundness import Boundness, Thresholds, boundness, processor_boundness
from codesign.profilers.chains import chains, sequence
from codesign.profilers.fusion import Fusion, fusion
from codesign.profilers.idle import Idle, Overlap, idle, overlap
from codesign.profilers.iterations import iterations
from codesign.profilers.metrics import Window, metrics, microseconds
from codesign.profilers.pairing import Pairing, pair, started_by
from codesign.profilers.split import Split, dispatch_list, split
from codesign.profilers.tklqt import LaunchLatency, launch_latency
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
LEAST_COVERAGE = 0.95
"""Share of kernels, or of their time, that has to be attributed; below, every figure comes with a warning."""

OUTLIER, LEAST_OUTLIER = 1000.0, 1e6
"""A launch call this many times the median, and longer than this in ns, loads modules: it is no steady state."""

TOP_OPERATORS = 5
AGREEMENT = (0.05, 0.95)
"""Shares of external ids that agree with containment in time between which something is odd: at fewer, operators and
calls are merely numbered apart, as old writers do."""


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace tells; times in us, exact to the nanosecond.

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
    passes = _processor_split(trace) if not len(trace.work) else None
    found |= _processor_metrics(passes, int((nested.parent < 0).sum()))
    verdict = boundness(found, len(extents.devices), thresholds)
    if passes is not None and passes.iteration:
        verdict = processor_boundness(passes.compute_fraction)
    floor, source = floor_us, "empty kernels on this device"
    if floor is None and verdict.floor_us is not None and verdict.floor_us > 0.0:
        floor, source = verdict.floor_us, "5 % quantile of launch latency in this trace"
        if found["launch_latency_p05_us"] > floor:
            source = "assumed: kernels queued all along, so no launch shows its floor"
    return Analysis(
        format=trace.format, window=window, metrics=found, boundness=verdict,
        warnings=tuple(warnings(trace, pairing, attribution, latency, found)), kernels=kernel_uses(trace, pairing),
        operators=operator_uses(trace, nested, pairing, attribution), copies=copy_uses(trace),
        graphs=graph_use(trace, pairing, latency),
        idle=idle(trace, started_by(trace)) if len(trace.work) else None, overlap=overlap(trace),
        fusion=fusion(trace, pairing, attribution, nested, kernels, lengths, floor_us=floor, floor_source=source)
        if len(pairing.kernel) else None,
        devices=trace.device_names, facts=trace.facts, skipped=trace.skipped,
    )  # fmt: skip


def _processor_split(trace: Trace) -> Split | None:
    """Return where the passes of a trace without device work went; None where no operator ran."""
    found = iterations(trace)
    return split(found.iterations, found.operators, dispatch_list().operators) if found.operators else None


def _processor_metrics(passes: Split | None, top_level: int) -> dict[str, Any]:
    names = ("iteration_count", "top_level_op_count", "iteration_time_us", "framework_gap_us", "dispatch_self_us",
             "compute_self_us", "dispatch_total_us", "compute_fraction", "top_ops_by_self_time")  # fmt: skip
    if passes is None:
        return dict.fromkeys(names)
    times = (passes.iteration, passes.gap, passes.dispatch, passes.compute, passes.gap + passes.dispatch)
    top = [
        {"name": row.name, "count": row.calls, "self_us": microseconds(row.nanoseconds)}
        for row in passes.operators[:TOP_OPERATORS]
    ]
    values = (passes.iterations, top_level, *map(microseconds, times), passes.compute_fraction, top)
    return dict(zip(names, values, strict=True))


def warnings(
    trace: Trace, pairing: Pairing, attribution: Attribution, latency: LaunchLatency, found: dict[str, Any]
) -> list[str]:
    """Return what a reader must know before believing the figures."""
    checks: tuple[Callable[[], str], ...] = (
        lambda: _paired(pairing, found),
        lambda: _linked(trace, pairing, found),
        lambda: _ambiguous(pairing),
        lambda: _early(found),
        lambda: _disagreeing(attribution),
        lambda: _outliers(latency),
        lambda: _empty(trace),
        lambda: _skipped(trace),
    )
    return [said for check in checks if (said := check())]


def _paired(pairing: Pairing, found: dict[str, Any]) -> str:
    number, time = found["paired_kernel_fraction"], found["paired_time_fraction"]
    if number is None or min(number, time if time is not None else 1.0) >= LEAST_COVERAGE:
        return ""
    lost = [f"{int(mask.sum()):,} {words}" for mask, words in (
        (pairing.head, "were launched before the window"), (pairing.orphan, "have lost their launch"),
    ) if mask.any()]  # fmt: skip
    shares = f"{number:.1%} of the kernels and {0.0 if time is None else time:.1%} of their time"
    return f"coverage: only {shares} are paired with a launch; {' and '.join(lost)}"


def _linked(trace: Trace, pairing: Pairing, found: dict[str, Any]) -> str:
    share = found["op_linked_time_fraction"]
    if share is None or share >= LEAST_COVERAGE:
        return ""
    if not len(trace.operators):
        return "coverage: the trace holds no operators, so no kernel time is linked to one"
    graphs = pairing.graph.any()
    why = "kernels of graphs belong to no operator" if graphs else "their launches lie outside all operators"
    return f"coverage: only {share:.1%} of the kernel time is linked to an operator; {why}"


def _ambiguous(pairing: Pairing) -> str:
    said = []
    if pairing.ambiguous:
        said.append(
            f"{pairing.ambiguous:,} kernels are left unpaired: launches of several processes carry their correlation "
            "ids; analyse each process's trace by itself"
        )
    if pairing.repeated:
        said.append(f"{pairing.repeated:,} kernels repeat the correlation id of another one: only the first counts")
    return "; ".join(said)


def _early(found: dict[str, Any]) -> str:
    count = found["negative_latency_count"]
    return f"{count:,} kernels start before their launch: the clocks of host and device differ" if count else ""


def _disagreeing(attribution: Attribution) -> str:
    if not attribution.checked or not AGREEMENT[0] < attribution.agreeing / attribution.checked < AGREEMENT[1]:
        return ""
    other = attribution.checked - attribution.agreeing
    return (
        f"the external ids of {other:,} of {attribution.checked:,} kernels name another operator than the one open "
        "at their launch, which is what counts here"
    )


def _outliers(latency: LaunchLatency) -> str:
    if not len(latency.call):
        return ""
    most = max(OUTLIER * float(np.median(latency.call)), LEAST_OUTLIER)
    long = int((latency.call > most).sum())
    if not long:
        return ""
    seconds = float(latency.call[latency.call > most].sum()) * 1e-9
    took = f"{long:,} launch calls took {seconds:.3g} s together" if long > 1 else f"1 launch call took {seconds:.3g} s"
    return (
        f"{took}, as when modules are first loaded: this is no steady state; look at the median launch latency rather "
        "than at TKLQT or the mean"
    )


def _empty(trace: Trace) -> str:
    if not trace.event_count:
        return "the trace holds no events"
    if not len(trace.work) and not len(trace.operators):
        return "the trace holds neither operators nor device work"
    return ""


def _skipped(trace: Trace) -> str:
    listed = ", ".join(f"{count:,} ({reason})" for reason, count in sorted(trace.skipped.items()))
    return f"events that could not be used: {listed}" if listed else ""
