"""What to know before believing the figures of a trace: coverage, clocks, merged processes, each in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.profilers.attribution import Attribution
from codesign.profilers.intervals import Spans, covered, distinct, union
from codesign.profilers.iterations import Passes
from codesign.profilers.pairing import LAUNCH, Pairing
from codesign.profilers.tklqt import LaunchLatency
from codesign.profilers.trace import NONE, Trace

LEAST_COVERAGE = 0.95
"""Share of kernels, or of their time, that has to be attributed; below, every figure comes with a warning."""

OUTLIER, LEAST_OUTLIER = 1000.0, 1e6
"""A launch call this many times the median, and longer than this in ns, loads modules: it is no steady state."""

LONG_CALL = 0.5
"""Share of the window that one call has to block, with the device idle for as much of it, to be named."""

AGREEMENT = (0.05, 0.95)
"""Shares of external ids that agree with containment in time between which something is odd: at fewer, operators and
calls are merely numbered apart, as old writers do."""


def caveats(
    trace: Trace,
    pairing: Pairing,
    attribution: Attribution,
    latency: LaunchLatency,
    found: dict[str, Any],
    passes: Passes | None,
) -> list[str]:
    """Return what a reader must know before believing the figures."""
    said = (
        _paired(pairing, found), _linked(trace, pairing, found), _ambiguous(pairing), _processes(trace, pairing),
        _early(found), _before(found), _disagreeing(attribution), _outliers(latency), _blocked(trace, found),
        _unplaced(trace), _outside(passes), _empty(trace), _skipped(trace),
    )  # fmt: skip
    return [text for text in said if text]


def _paired(pairing: Pairing, found: dict[str, Any]) -> str:
    number, time = found["paired_kernel_fraction"], found["paired_time_fraction"]
    if number is None or min(number, time if time is not None else 1.0) >= LEAST_COVERAGE:
        return ""
    counts = (
        (int(pairing.head.sum()), "launched before the window"),
        (int((pairing.orphan & ~pairing.ambiguous).sum()), "without a launch in the trace"),
        (int((pairing.orphan & pairing.ambiguous).sum()), "with launches of several processes"),
    )
    lost = ", ".join(f"{count:,} {words}" for count, words in counts if count)
    shares = f"{number:.1%} of the kernels and {0.0 if time is None else time:.1%} of their time"
    return f"coverage: only {shares} are paired with a launch; the rest: {lost}"


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
    if pairing.ambiguous.any():
        said.append(
            "left unpaired, as launches of several processes carry their correlation ids: "
            f"{_kernels(int(pairing.ambiguous.sum()))}; analyse each process's trace by itself"
        )
    if pairing.repeated:
        said.append(f"with the correlation id of another one, of which only the first counts: "
                    f"{_kernels(pairing.repeated)}")  # fmt: skip
    return "; ".join(said)


def _early(found: dict[str, Any]) -> str:
    count = found["negative_latency_count"]
    return f"the clocks of host and device differ: before their launch start {_kernels(count)}" if count else ""


def _kernels(count: int) -> str:
    return f"{count:,} kernel{'s' if count != 1 else ''}"


def _before(found: dict[str, Any]) -> str:
    latency = found["inference_latency_us"]
    if latency is None or latency >= 0.0:
        return ""
    return "the last kernel ends before the first operator starts: the inference latency is negative and tells nothing"


def _processes(trace: Trace, pairing: Pairing) -> str:
    threads = distinct(trace.calls.thread[pairing.launch[pairing.paired]]).tolist()
    count = len({trace.threads[thread][0] for thread in threads})
    if count < 2:
        return ""
    return (
        f"{count:,} processes launch kernels: work of devices of one number is taken for work of one device; analyse "
        "each process's trace by itself where each sees devices of its own"
    )


def _unplaced(trace: Trace) -> str:
    lost = int((trace.work.device == NONE).sum())
    return f"device events that name no device, and count for none: {lost:,}" if 0 < lost < len(trace.work) else ""


def _outside(passes: Passes | None) -> str:
    if passes is None or passes.share >= LEAST_COVERAGE:
        return ""
    return (
        f"coverage: the passes hold {passes.share:.1%} of the time in operators; the rest runs outside or beside them"
    )


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


def _blocked(trace: Trace, found: dict[str, Any]) -> str:
    """Return which call blocks the host for most of the window while no device works: set-up, not the model."""
    calls, wall = trace.calls, found["wall_us"]
    if not len(calls) or not len(trace.work):
        return ""
    row = int(calls.duration.argmax())
    name, length = trace.names[int(calls.name[row])], int(calls.duration[row])
    if LAUNCH in name or length < LONG_CALL * wall * 1000.0:
        return ""
    working: Spans = union(trace.work.start, trace.work.end)
    busy = int(covered(working, calls.start[[row]], calls.end[[row]])[0])
    if busy > (1.0 - LONG_CALL) * length:
        return ""
    return (
        f"one call of {name} blocks the host for {length * 1e-6:,.4g} ms, {length / 1000.0 / wall:.0%} of the window, "
        f"and devices work in {busy / length:.0%} of it: shares of the window say more of that call than of the model"
    )


def _empty(trace: Trace) -> str:
    if not trace.event_count:
        return "the trace holds no events"
    if not len(trace.work) and not len(trace.operators):
        return "the trace holds neither operators nor device work"
    return ""


def _skipped(trace: Trace) -> str:
    listed = ", ".join(f"{count:,} ({reason})" for reason, count in sorted(trace.skipped.items()))
    return f"events of the file that could not be used: {listed}" if listed else ""
