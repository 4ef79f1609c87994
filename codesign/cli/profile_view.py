"""What ``codesign profile`` shows: tables of 80 columns, notes, and its JSON."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from codesign.cli.names import short
from codesign.cli.output import Table, number
from codesign.profilers.energy.window import Energy
from codesign.profilers.results import NEXT, BatchProfile, Profile, sentence
from codesign.profilers.vendor_verbose import VendorOperator
from codesign.units import format_digits, scale_of

SHOWN_OPERATORS = 12
SHOWN_KERNELS = 8
NAME_WIDTH = 40
UNITS = {
    "latency": "s", "low": "s", "high": "s", "profiled_latency": "s", "framework_gap": "s", "dispatch": "s",
    "compute": "s", "iteration": "s", "self_time": "s", "samples_per_second": "1/s", "flops": "FLOP",
    "flops_per_second": "FLOP/s", "peak_memory": "B", "tklqt_per_launch": "s",
}  # fmt: skip


def tables(found: Profile) -> list[Table]:
    """Return latency and split by batch, energy where metered, and what the largest batch spends its time on."""
    last = found.batches[-1]
    heads = ("batch", ">median", ">5 to 95 %", ">passes", ">samples/s", ">FLOP/s", ">profiled")
    split_heads = ("batch", ">framework gap", ">dispatch", ">compute", ">compute share", "verdict")
    shown = [
        Table(f"{title(found)}\nLatency of a pass, without the profiler", heads, [_latency(b) for b in found.batches]),
        Table("Where a profiled pass goes", split_heads, [_split(b) for b in found.batches]),
    ]
    if any(b.energy for b in found.batches):
        energy_heads = ("batch", ">energy of a pass", ">90 % interval", ">power", "how")
        shown.append(Table("Energy", energy_heads, [_energy(b) for b in found.batches if b.energy]))
    if last.analysis is not None:
        from codesign.cli.trace_view import tables as trace_tables

        return [*shown, *trace_tables(last.analysis, f"batch {last.batch}")]
    operator_heads = ("operator", "kind", ">calls", ">self time", ">share")
    shown.append(Table(f"Operators by self time, batch {last.batch}, of one pass", operator_heads, _operators(last)))
    return [*shown, *_vendor(last)]


def title(found: Profile) -> str:
    """Return what ran, in a line."""
    words = [found.dtype, f"{found.threads} thread{'s' if found.threads != 1 else ''}"]
    words += [f"{n} {v}" for n, v in (("layers", found.layers), ("prompt", found.prompt)) if v is not None]
    words += [f"context {found.context}"] if found.context is not None else []
    words += [found.execution] if found.execution != "eager" else []
    if found.pinned:
        words.append(f"pinned to {', '.join(map(str, found.pinned))}")
    return f"{found.model} on {found.device}: {found.phase}, {', '.join(words)}"


def _latency(b: BatchProfile) -> tuple[object, ...]:
    scale, unit = scale_of(b.latency.median, "s")
    ends = f"{format_digits(b.latency.low / scale)} to {format_digits(b.latency.high / scale)} {unit}"
    ends = ends if b.latency.repeats > 1 else "-"  # one pass says nothing of the others
    rate = f"{format_digits(b.samples_per_second)}"
    median = number(b.latency.median, "s")
    return str(b.batch), median, ends, b.latency.repeats, rate, number(b.flops_per_second, "FLOP/s"), _factor(b)


def _factor(b: BatchProfile) -> str:
    return f"{b.overhead:.2f}x"


def _split(b: BatchProfile) -> tuple[object, ...]:
    parts = (number(ns * 1e-9 / b.split.iterations, "s") for ns in (b.split.gap, b.split.dispatch, b.split.compute))
    return str(b.batch), *parts, f"{b.split.compute_fraction:.0%}", b.verdict


def _operators(b: BatchProfile) -> list[tuple[object, ...]]:
    whole = b.split.iteration
    return [
        (short(row.name, NAME_WIDTH), row.kind, f"{row.calls / b.split.iterations:g}",
         number(row.nanoseconds * 1e-9 / b.split.iterations, "s"), f"{row.nanoseconds / whole:.1%}")
        for row in b.split.operators[:SHOWN_OPERATORS]
    ]  # fmt: skip


def _energy(b: BatchProfile) -> tuple[object, ...]:
    energy = b.energy
    assert energy is not None
    if energy.joules is None:
        return str(b.batch), "-", "-", "-", f"none: {energy.reason}"
    joules = energy.joules
    scale, unit = scale_of(joules.value, "J")
    ends = f"{format_digits(joules.low / scale)} to {format_digits(joules.high / scale)} {unit}"
    return str(b.batch), number(joules.value, "J"), ends, number(energy.power, "W"), _how(energy)


def _how(energy: Energy) -> str:
    return energy.kind if energy.backend == "estimate" else f"{energy.kind}: {energy.backend}"


def _vendor(b: BatchProfile) -> list[Table]:
    vendor = b.vendor
    if vendor is None or vendor.reason:
        return []
    rows = [
        (f"{k.library} {k.primitive}", short(k.shape, 30), k.calls, number(k.nanoseconds * 1e-9, "s"))
        for k in vendor.kernels[:SHOWN_KERNELS]
    ]
    inside = [
        (short(o.name, NAME_WIDTH), number(o.self_nanoseconds * 1e-9, "s"), number(o.vendor * 1e-9, "s"),
         number(o.dispatch * 1e-9, "s") if o.dispatch >= 0.0 else "-")
        for o in vendor.operators[:SHOWN_KERNELS]
    ]  # fmt: skip
    whole = number((vendor.nanoseconds or 0.0) * 1e-9, "s")
    return [
        Table(f"Inside the vendor's kernels: {whole} of a pass", ("kernel", "shape", ">calls", ">time"), rows),
        Table("Operators that call them", ("operator", ">self time", ">vendor", ">dispatch"), inside),
    ]


def notes(found: Profile) -> list[str]:
    """Return the lines below the tables."""
    lines = [*_verdicts(found)]
    lines += [f"transition by {turn.rule}: {turn.explanation}" for turn in found.transitions]
    if found.floor is not None:
        floor = found.floor
        lines.append(
            f"launch floor: an empty kernel starts {number(floor.latency_p50 * 1e-9, 's')} after its launch call "
            f"begins, the call takes {number(floor.call_p50 * 1e-9, 's')} (medians of {floor.launches}, measured)"
        )
    lines += [*_costs(found), *(f"warning: {text}" for text in found.caveats)]
    return [*lines, "What it costs elsewhere: codesign targets detect, then codesign estimate --target"]


def _verdicts(found: Profile) -> list[str]:
    """Return a sentence for each run of neighbouring batch sizes of one verdict."""
    lines = []
    for verdict, run in groupby(found.batches, key=lambda b: b.verdict):
        batches = list(run)
        if len(batches) == 1:
            lines.append(sentence(batches[0]))
            continue
        shares = [b.split.compute_fraction for b in batches]
        limits = batches[-1].boundness.reason.rpartition(" (")[2]
        lines.append(
            f"batch {batches[0].batch} to {batches[-1].batch}: {verdict or 'undecided'}, {min(shares):.0%} to "
            f"{max(shares):.0%} of the passes is compute ({limits}; {NEXT[verdict]}"
        )
    return lines


def _costs(found: Profile) -> list[str]:
    """Return what the profiler costs, and what could not be measured."""
    lines = []
    costs = [b.profiler_cost for b in found.batches if b.profiler_cost]
    for mode, words in (("plain", "without shapes"), ("shapes", "with shapes")):
        factors = [cost[mode] for cost in costs if mode in cost]
        if factors:
            ends = f"{min(factors):.2f}x" + (f" to {max(factors):.2f}x" if len(factors) > 1 else "")
            lines.append(f"profiler cost {words}: {ends} the time of a pass (minimum over minimum)")
    lines.append("profiled: latency under the profiler over latency without; shares come from the profiled passes")
    if any(o.dispatch < 0.0 for o in _called(found.batches[-1])):
        lines.append(
            "vendor: announcing each call takes time, so of many small calls the vendor time exceeds the self time "
            "of the operator, and its dispatch is not known"
        )
    energies = {note: None for b in found.batches if b.energy for note in b.energy.notes}
    lines += [f"energy: {text}" for text in energies]
    reasons = {b.vendor.reason for b in found.batches if b.vendor is not None and b.vendor.reason}
    lines += [f"no vendor time: {reason}" for reason in sorted(reasons)]
    queueing = {b.queueing for b in found.batches if b.queueing}
    return [*lines, *(f"queueing: {text}" for text in sorted(queueing))]


def _called(b: BatchProfile) -> tuple[VendorOperator, ...]:
    return b.vendor.operators[:SHOWN_KERNELS] if b.vendor else ()


def results(found: Profile) -> dict[str, Any]:
    """Return the profile as ``--json`` prints it: SI numbers of one pass."""
    return {
        "model": found.model, "device": found.device, "phase": found.phase, "dtype": found.dtype,
        "layers": found.layers, "prompt": found.prompt, "context": found.context, "threads": found.threads,
        "left_out": found.left_out, "notes": found.caveats, "execution": found.execution,
        "device_name": found.device_name, "pinned": found.pinned,
        "launch_floor": found.floor, "transition_batch": found.transition.batch if found.transition else None,
        "transition": found.transition, "transitions": found.transitions, "batches": [_batch(b) for b in found.batches],
    }  # fmt: skip


def _batch(b: BatchProfile) -> dict[str, Any]:
    s = b.split
    one = 1e-9 / s.iterations
    return {
        "batch": b.batch, "latency": b.latency.median, "low": b.latency.low, "high": b.latency.high,
        "repeats": b.latency.repeats, "busy": b.latency.busy, "samples_per_second": b.samples_per_second,
        "flops": b.flops, "flops_per_second": b.flops_per_second, "profiled_latency": b.profiled,
        "profiler_overhead": b.overhead, "iterations": s.iterations, "iteration": s.iteration * one,
        "framework_gap": s.gap * one, "dispatch": s.dispatch * one, "compute": s.compute * one,
        "compute_fraction": s.compute_fraction, "verdict": b.verdict,
        "profiler_cost": b.profiler_cost, "queueing": b.queueing, "peak_memory": b.peak_memory, "energy": b.energy,
        "vendor": b.vendor, "tklqt_per_launch": [ns * 1e-9 for ns in b.tklqt], "analysis": b.analysis,
        "operators": [
            {"name": r.name, "kind": r.kind, "calls": r.calls / s.iterations, "self_time": r.nanoseconds * one}
            for r in s.operators
        ],
    }  # fmt: skip
