"""The tables of ``codesign explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, number, show

if TYPE_CHECKING:
    from codesign.search.problem import Details

SHOWN_GROUPS = 8
SHOWN_SHARE = 0.005
KNOBS = (
    "memory bandwidth", "matrix rate", "attention rate", "vector rate", "kernel floor", "host launch", "link",
    "link, long messages",
    "power", "grid intensity", "embodied carbon", "price",
)  # fmt: skip

SENSITIVE = ("ttft", "tpot", "latency", "energy_per_token", "energy", "carbon_per_million_tokens", "carbon",
             "cost_per_million_tokens", "cost")  # fmt: skip
"""Numbers whose sensitivities are shown."""


def tables(told: Any) -> Iterator[Table]:
    """Yield what binds, the sensitivities, the neighbours and the memory of an explanation."""
    for phase in dict.fromkeys(row.phase for row in told.groups):
        rows = [
            (r.group, number(r.seconds, "s"), f"{r.share:.0%}", r.binding, r.next_bottleneck, _times(r.distance))
            for r in told.groups
            if r.phase == phase and r.share >= SHOWN_SHARE
        ][:SHOWN_GROUPS]
        yield Table(
            f"{phase}: what binds each kernel", ("kernel", ">time", ">share", "bound by", "next", ">distance"), rows
        )
    names = [name for name in SENSITIVE if name in told.elasticities]
    moving = [k for k in KNOBS if any(abs(told.elasticities[n].get(k, 0.0)) >= SHOWN_SHARE for n in names)]
    yield Table(
        "Change in % when a resource gets 1 % slower or dearer",
        ("resource", *(f">{name.split('_per_')[0]}" for name in names)),
        [(knob, *(_percent(told.elasticities[name].get(knob, 0.0)) for name in names)) for knob in moving],
    )
    yield Table("One step away", ("change", "possible", ">memory", ">token time", ">tokens/s/device", "why not"), [
        (n.change, n.feasible, _times(n.ratios.get("memory")), _times(n.ratios.get("tpot", n.ratios.get("latency"))),
         _times(n.ratios.get("tokens_per_device", n.ratios.get("throughput"))), n.reason or "")
        for n in told.neighbours
    ])  # fmt: skip
    used = sum(told.memory.values())
    parts = [(name, number(size, "B"), f"{size / told.capacity:.0%}") for name, size in told.memory.items() if size]
    yield Table(
        "Memory of the fullest device", ("part", ">size", ">of capacity"),
        [*parts, ("total", number(used, "B"), f"{used / told.capacity:.0%}")],
    )  # fmt: skip


def show_details(ctx: typer.Context, name: str, point: dict[str, Any], told: Details, as_json: bool) -> None:
    """Show what a point of a mapping or accelerator search is made of, and what limits its parts."""
    drawn = [
        Table(b.title, ("part", ">value", ">share"), [
            (one.label, number(one.value, b.unit), f"{one.value / whole:.0%}")
            for one in sorted(b.items, key=lambda one: -one.value)[:SHOWN_GROUPS]
        ])
        for b in told.breakdowns if (whole := sum(one.value for one in b.items))
    ]  # fmt: skip
    parts = [
        (one.label, number(one.x, roof.x_unit), number(one.y, roof.y_unit), f"{one.share:.0%}", one.bound)
        for roof in told.rooflines for one in sorted(roof.spots, key=lambda one: -one.share)
    ]  # fmt: skip
    if parts:
        drawn.insert(0, Table("What binds", ("part", ">intensity", ">rate", ">of the time", "bound by"), parts))
    notes = [*told.notes, f"nests and files: codesign report {name.rpartition('#')[0]}"]
    show(ctx, {"point": point, "details": told}, drawn, as_json=as_json, notes=notes)


def _times(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return "far" if ratio > 999 else f"{ratio:.3g} x"


def _percent(elasticity: float) -> str:
    return "" if abs(elasticity) < SHOWN_SHARE else f"{elasticity:+.2f}"
