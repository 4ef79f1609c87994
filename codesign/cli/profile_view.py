"""What ``codesign profile`` shows: tables of 80 columns, notes, and its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codesign.cli.output import Table, number
from codesign.errors import UsageError
from codesign.profilers.results import LEAST_OVERHEAD, TRUSTED_OVERHEAD, BatchProfile, Profile, sentence
from codesign.units import format_digits, scale_of

SHOWN_OPERATORS = 12
NAME_WIDTH = 40
UNITS = {
    "latency": "s", "low": "s", "high": "s", "profiled_latency": "s", "framework_gap": "s", "dispatch": "s",
    "compute": "s", "iteration": "s", "self_time": "s", "samples_per_second": "1/s", "flops": "FLOP",
    "flops_per_second": "FLOP/s",
}  # fmt: skip


def refuse_existing(out: str | None, force: bool) -> None:
    """Raise ``UsageError`` where the run directory exists and may not be replaced."""
    if out is not None and not force and Path(out).exists():
        raise UsageError(f"{out} exists already", "--force replaces a run there, or name another directory")


def tables(found: Profile) -> list[Table]:
    """Return latency by batch, the split of the profiled passes by batch, and the operators of the largest batch."""
    last = found.batches[-1]
    heads = ("batch", ">median", ">5 to 95 %", ">repeats", ">samples/s", ">FLOP/s", ">profiled")
    split_heads = ("batch", ">framework gap", ">dispatch", ">compute", ">compute share", "verdict")
    operator_heads = ("operator", "kind", ">calls", ">self time", ">share")
    return [
        Table(f"{title(found)}\nLatency of a pass, without the profiler", heads, [_latency(b) for b in found.batches]),
        Table("Where a profiled pass goes", split_heads, [_split(b) for b in found.batches]),
        Table(f"Operators by self time, batch {last.batch}, of one pass", operator_heads, _operators(last)),
    ]


def title(found: Profile) -> str:
    """Return what ran, in a line."""
    words = [found.dtype, f"{found.threads} thread{'s' if found.threads != 1 else ''}"]
    words += [f"{n} {v}" for n, v in (("layers", found.layers), ("prompt", found.prompt)) if v is not None]
    words += [f"context {found.context}"] if found.context is not None else []
    return f"{found.model} on {found.device}: {found.phase}, {', '.join(words)}"


def _latency(b: BatchProfile) -> tuple[object, ...]:
    scale, unit = scale_of(b.latency.median, "s")
    ends = f"{format_digits(b.latency.low / scale)} to {format_digits(b.latency.high / scale)} {unit}"
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
        (short(row.name), row.kind, f"{row.calls / b.split.iterations:g}",
         number(row.nanoseconds * 1e-9 / b.split.iterations, "s"), f"{row.nanoseconds / whole:.1%}")
        for row in b.split.operators[:SHOWN_OPERATORS]
    ]  # fmt: skip


def short(name: str) -> str:
    """Return an operator's name without its namespace, cut to the column."""
    name = name.removeprefix("aten::")
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 3] + "..."


def notes(found: Profile) -> list[str]:
    """Return the lines below the tables."""
    lines = [sentence(b) for b in found.batches]
    if len(found.batches) > 1:
        at = found.transition_batch
        lines.append(
            "compute takes less than half of a pass at every batch profiled" if at is None
            else f"compute takes at least half of a pass from batch {at} of those profiled"
        )  # fmt: skip
    lines.append("profiled: latency under the profiler over latency without; shares come from the profiled passes")
    odd = [str(b.batch) for b in found.batches if not LEAST_OVERHEAD <= b.overhead <= TRUSTED_OVERHEAD]
    if odd:
        lines.append(
            f"batch {', '.join(odd)}: the profiled passes took another time (profiler cost on small operators, "
            "or a busy machine), so take the shares with care"
        )
    busy = [str(b.batch) for b in found.batches if b.latency.busy]
    if busy:
        lines.append(f"batch {', '.join(busy)}: the repeats scatter, the machine may be busy; measure again")
    return [*lines, "What it costs elsewhere: codesign targets detect, then codesign estimate --target"]


def results(found: Profile) -> dict[str, Any]:
    """Return the profile as ``--json`` prints it: SI numbers of one pass."""
    return {
        "model": found.model, "device": found.device, "phase": found.phase, "dtype": found.dtype,
        "layers": found.layers, "prompt": found.prompt, "context": found.context, "threads": found.threads,
        "transition_batch": found.transition_batch, "batches": [_batch(b) for b in found.batches],
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
        "operators": [
            {"name": r.name, "kind": r.kind, "calls": r.calls / s.iterations, "self_time": r.nanoseconds * one}
            for r in s.operators
        ],
    }  # fmt: skip
