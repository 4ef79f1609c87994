"""What the page shows of a model that was profiled here, at one or several batch sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.profilers.analysis import analyse
from codesign.profilers.boundness import DISPATCH_BOUND
from codesign.profilers.iterations import annotated
from codesign.profilers.results import NEXT, BatchProfile, Profile
from codesign.profilers.trace import Trace
from codesign.report.profile.trace_view import analysis_parts, launch_latencies, timeline
from codesign.report.profile.view import Metric, ProfileView, Sweep


def model_view(found: Profile, traces: Mapping[int, Trace]) -> ProfileView:
    """Return what the page shows of a profile.

    The timeline, kernels and operators are those of the largest batch size, the sweep is of all.

    Args:
        found: The profile.
        traces: Batch size -> trace of some of its profiled passes.
    """
    last = found.batches[-1]
    trace = traces.get(last.batch)
    analysis = last.analysis or (analyse(trace, window="profiled passes") if trace is not None else None)
    parts = analysis_parts(analysis) if analysis is not None else {}
    turn = found.transition
    unresolved = (turn.explanation,) if turn and turn.crossed == "unresolved" else ()
    parts |= {
        "verdict": last.verdict, "reason": f"{last.boundness.reason}; {NEXT[last.verdict]}",
        "devices": (found.device_name,) if found.device_name else (),
        "metrics": (*_metrics(found, last), *parts.get("metrics", ())),
        "warnings": (*unresolved, *found.caveats, *parts.get("warnings", ())),
    }  # fmt: skip
    return ProfileView(
        title=f"{found.model}, {found.phase}", source=_source(found, last, trace), facts=_facts(found, last),
        timeline=timeline(trace) if trace is not None else None,
        launch_latency=launch_latencies(trace) if trace is not None else None,
        sweep=_sweep(found) if len(found.batches) > 1 else None, **parts,
    )  # fmt: skip


def _source(found: Profile, last: BatchProfile, trace: Trace | None) -> str:
    """Return what the page is of; its timeline and tables hold whole passes, so their times are sums."""
    words = [found.device_name or found.device, found.dtype, found.execution, f"batch {last.batch}"]
    if trace is not None:
        passes = len(annotated(trace).iterations)
        words.append(f"timeline and tables of {passes} profiled pass{'es together' if passes != 1 else ''}")
    return f"{found.model} on {', '.join(words)}"


def _facts(found: Profile, last: BatchProfile) -> tuple[tuple[str, str], ...]:
    given: dict[str, Any] = {
        "device": found.device, "dtype": found.dtype, "execution": found.execution, "layers": found.layers,
        "prompt": found.prompt, "context": found.context, "threads": found.threads, "seed": found.seed,
        "torch": found.torch, "timeline and tables": f"batch {last.batch}",
    }  # fmt: skip
    if found.pinned:
        given["pinned to processors"] = ", ".join(map(str, found.pinned))
    return tuple((name, str(value)) for name, value in given.items() if value is not None)


def _metrics(found: Profile, last: BatchProfile) -> tuple[Metric, ...]:
    group = f"batch {last.batch}"
    latency = last.latency
    rows = [
        Metric(name="latency of a pass", value=latency.median, low=latency.low, high=latency.high, unit="s",
               source="measured", note=f"median and 5 to 95 % of {latency.repeats} passes without a profiler",
               group=group),
        Metric(name="samples per second", value=last.samples_per_second, unit="1/s", source="measured", group=group),
        Metric(name="FLOP per second", value=last.flops_per_second, unit="FLOP/s", source="measured", group=group,
               note="FLOP of matrix products, convolutions and attention"),
        Metric(name="profiled over unprofiled", value=last.overhead, source="measured", group=group,
               note="structure and shares come from profiled passes, latency does not"),
    ]  # fmt: skip
    if last.peak_memory is not None:
        rows.append(Metric(name="peak memory", value=last.peak_memory, unit="B", source="measured", group=group))
    if found.floor is not None:
        rows.append(Metric(
            name="launch floor", value=found.floor.latency_p50 * 1e-9, unit="s", source="measured", group=group,
            note=f"median latency of {found.floor.launches} empty launches",
        ))  # fmt: skip
    if last.energy is not None and last.energy.joules is not None:
        joules = last.energy.joules
        rows.append(Metric(name="energy of a pass", value=joules.value, low=joules.low, high=joules.high, unit="J",
                           source=last.energy.kind, note=last.energy.source, group=group))  # fmt: skip
    return tuple(rows)


def _sweep(found: Profile) -> Sweep:
    batches = found.batches
    on_device = all(b.tklqt for b in batches)
    samples = [b.tklqt if on_device else b.shares for b in batches]
    middle, low, high = (np.array([np.quantile(s, q) if s else np.nan for s in samples]) for q in (0.5, 0.05, 0.95))
    return Sweep(
        batches=np.array([b.batch for b in batches], np.int64),
        latency=np.array([b.latency.median for b in batches]) * 1e9,
        latency_low=np.array([b.latency.low for b in batches]) * 1e9,
        latency_high=np.array([b.latency.high for b in batches]) * 1e9,
        indicator=middle, indicator_low=low, indicator_high=high,
        indicator_name="TKLQT per launch" if on_device else "compute share", indicator_unit="s" if on_device else "",
        threshold=None if on_device else DISPATCH_BOUND, transition=found.transition,
    )  # fmt: skip
