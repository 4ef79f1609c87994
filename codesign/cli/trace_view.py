"""What ``codesign profile TRACE`` shows: tables of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codesign.cli.names import short, told_apart
from codesign.cli.output import Table, number
from codesign.profilers.analysis import Analysis
from codesign.profilers.fusion import Chain

SHOWN_BY_TIME, SHOWN_BY_COUNT, SHOWN_COPIES, SHOWN_CHAINS = 8, 5, 6, 8
SHOWN_OF_A_PLACE = 2
NAME_WIDTH, OPERATOR_WIDTH, CHAIN_WIDTH = 50, 36, 34

UNITS = {"_us": "us", "_ns": "ns", "bytes": "B"}
"""Units of the JSON, by the end of a name."""

FIGURES = (
    ("first operator to last kernel", "inference_latency_us"), ("whole window", "wall_us"),
    ("kernel time", "kernel_time_us"), ("average kernel", "akd_us"), ("device busy", "gpu_busy_us"),
    ("device idle", "gpu_idle_us"), ("operators", "cpu_op_busy_us"), ("profiler's own events", "profiler_overhead_us"),
    ("TKLQT", "tklqt_us"),
    ("  launch calls", "launch_call_us"), ("  queue", "queue_us"), ("  early starts, less", "early_start_us"),
    ("launch latency, 5 %", "launch_latency_p05_us"), ("launch latency, median", "launch_latency_p50_us"),
    ("launch latency, 95 %", "launch_latency_p95_us"), ("passes", "iteration_time_us"),
    ("  framework gap", "framework_gap_us"), ("  dispatch", "dispatch_self_us"), ("  compute", "compute_self_us"),
)  # fmt: skip
"""Label -> metric of the first table; what does not apply is left out."""


def tables(analysis: Analysis, source: str) -> list[Table]:
    """Return what is shown of the analysis of ``source``."""
    named = ", ".join((*analysis.devices, analysis.format, analysis.window))
    head = f"{source}: {named}\n{analysis.boundness.reason}"
    return [Table(head, ("figure", ">"), _figures(analysis.metrics)), *_attribution(analysis), *_uses(analysis)]


def _figures(metrics: dict[str, Any]) -> list[tuple[object, ...]]:
    on_device = metrics["kernel_count"] or metrics["gpu_span_us"] is not None
    names = [(label, name) for label, name in FIGURES if on_device or not name.startswith(("gpu", "kernel"))]
    return [(label, us(metrics[name], 4)) for label, name in names if metrics.get(name) is not None]


def _attribution(analysis: Analysis) -> Iterator[Table]:
    metrics = analysis.metrics
    if metrics["kernel_count"]:
        kinds = [(kind, metrics[f"{kind}_kernel_count"]) for kind in ("paired", "head", "orphan", "graph")]
        yield Table("Coverage", ("of", ">kernels", ">", ">of the time"), [
            ("all kernels", metrics["kernel_count"], "", ""),
            ("paired with their launch", kinds[0][1], _percent(metrics["paired_kernel_fraction"]),
             _percent(metrics["paired_time_fraction"])),
            ("linked to an operator", metrics["op_linked_kernel_count"], "",
             _percent(metrics["op_linked_time_fraction"])),
            ("launched before the window", kinds[1][1], "", ""), ("launch lost", kinds[2][1], "", ""),
            ("launched by graphs", kinds[3][1], "", ""),
        ])  # fmt: skip
    if analysis.idle is not None and metrics["gpu_idle_us"]:
        parts = [(name.removesuffix("_ns").replace("_", " "), getattr(analysis.idle, name))
                 for name in analysis.idle.__struct_fields__]  # fmt: skip
        whole = sum(amount for _, amount in parts)
        rows = [(label, number(ns * 1e-9, "s"), _percent(_over(ns, whole))) for label, ns in parts]
        yield Table("Idle time of the devices: what they wait for", ("part", ">time", ">share"), rows)
    if analysis.overlap is not None:
        o = analysis.overlap
        shares = (
            ("communication", o.communication_ns), ("computation", o.computation_ns), ("both at once", o.both_ns),
        )  # fmt: skip
        rows = [(label, number(ns * 1e-9, "s"), _percent(_over(ns, o.communication_ns))) for label, ns in shares]
        yield Table("Communication beside computation", ("part", ">time", ">of communication"), rows)
    if (g := analysis.graphs) is not None:
        heads = ("graphs", ">kernels", ">each", ">launch calls", ">kernel time", ">longest wait")
        row = (str(g.launches), g.kernels, f"{g.kernels_per_launch:.4g}", us(g.call_us), us(g.kernel_us))
        yield Table("Graph launches, apart", heads, [(*row, us(g.longest_latency_us))])


def _uses(analysis: Analysis) -> Iterator[Table]:
    whole = analysis.metrics["kernel_time_us"] or 1.0
    heads = ("kernel", ">runs", ">time", ">share")
    often = sorted(analysis.kernels, key=lambda k: (-k.count, k.name))
    for title, chosen in (
        ("Kernels by time", analysis.kernels[:SHOWN_BY_TIME]), ("Kernels by count", often[:SHOWN_BY_COUNT]),
    ):  # fmt: skip
        if chosen:
            names = told_apart([k.name for k in chosen], NAME_WIDTH)
            kernels = [
                (name, k.count, us(k.time_us), f"{k.time_us / whole:.1%}")
                for name, k in zip(names, chosen, strict=True)
            ]
            yield Table(f"{title}, {len(chosen)} of {len(analysis.kernels)}", heads, kernels)
    columns = ("operator", ">calls", ">self", ">total", ">kernels")
    called = sorted(analysis.operators, key=lambda o: (-o.count, o.name))
    for title, ranked in (
        ("Operators by self time", analysis.operators[:SHOWN_BY_TIME]), ("Operators by count", called[:SHOWN_BY_COUNT]),
    ):  # fmt: skip
        if ranked:
            names = told_apart([o.name for o in ranked], OPERATOR_WIDTH)
            operators = [
                (name, o.count, us(o.self_us), us(o.time_us), us(o.kernel_us))
                for name, o in zip(names, ranked, strict=True)
            ]
            yield Table(f"{title}, {len(ranked)} of {len(analysis.operators)}", columns, operators)
    if analysis.copies:
        copies: list[tuple[object, ...]] = [
            (short(c.name, NAME_WIDTH), c.count, number(c.bytes, "B") if c.bytes else "-", us(c.time_us))
            for c in analysis.copies[:SHOWN_COPIES]
        ]
        yield Table("Memory copies and sets", ("direction", ">count", ">bytes", ">time"), copies)
    if analysis.fusion is not None and analysis.fusion.chains:
        yield _chains(analysis)


def _chains(analysis: Analysis) -> Table:
    found = analysis.fusion
    assert found is not None
    applies = {True: "this trace is host-bound, so they apply", None: "whether it is host-bound is unknown"}
    when = applies.get(analysis.boundness.host_bound, "this trace is not host-bound, so expect none of it")
    floor = f"{us(found.floor_us)} a launch ({found.floor_source})" if found.floor_us is not None else "no floor known"
    order = [number for spot in found.places for number in spot.chains[:SHOWN_OF_A_PLACE]][:SHOWN_CHAINS]
    title = (
        f"Fusion: chains of kernels that could be one, {len(order)} of {found.found:,}\n"
        f"Upper bounds, valid only when host-bound: {when}. Time: {floor}"
    )
    rows = [
        (place(c), len(c.kernels), c.occurrences, f"{c.score:.2g}", c.launches_saved, us(c.time_saved_us))
        for c in (found.chains[number] for number in order)
    ]
    return Table(title, ("where", ">length", ">runs", ">score", ">saved", ">time <="), rows)


def place(chain: Chain) -> str:
    """Return where a chain is launched from, cut to its column."""
    shared = "autograd::engine::evaluate_function: "
    steps = " ".join(name.removeprefix(shared).removeprefix("aten::") for name in chain.operators)
    text = ": ".join(part for part in (chain.module, steps) if part)
    return text[: CHAIN_WIDTH - 3] + "..." if len(text) > CHAIN_WIDTH else text or short(chain.kernels[0], CHAIN_WIDTH)


def us(value: float | None, digits: int = 3) -> str:
    """Return microseconds in a readable unit."""
    return "-" if value is None else number(value * 1e-6, "s", digits)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _over(part: int, whole: int) -> float | None:
    return part / whole if whole else None
