"""How ``codesign search mapping`` shows what it found: the front and its best nest, or a table of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, count, note, number, show

if TYPE_CHECKING:
    from codesign.run import Run
    from codesign.search.mapping.layers import Layer, MappedModel


def show_search(ctx: typer.Context, run: Run, as_json: bool) -> None:
    """Show the front of a run, the loop nest of its knee, and what random mappings reach."""
    from codesign.cli.search_run import finish

    finish(ctx, run, as_json)
    if as_json:
        return
    columns, details = run.front["columns"], run.front["details"]
    knee = next((str(i) for i, chosen in zip(columns["id"], columns["knee"], strict=True) if chosen), "")
    for command in details.get(knee, {}).get("commands", ())[:1]:
        note(ctx, f"{command['title']} of #{knee}")
        for line in command["text"].splitlines():
            note(ctx, line)
    unused = [line for line in run.meta["problem"]["sources"] if "not applied" in line]
    for line in (*details.get(knee, {}).get("notes", ()), *unused):
        note(ctx, line)


def show_layers(ctx: typer.Context, mapped: MappedModel, as_json: bool) -> None:
    """Show the layers of a model with their best energy, latency and EDP, and the totals."""
    time = "s" if mapped.architecture.clock is not None else "cycle"
    units = {"energy": "J", "latency": time, "edp": f"J {time}"}
    rows = [_row(layer, time) for layer in mapped.layers]
    totals = {by: {one: mapped.total(one, by) for one in ("energy", "latency")} for by in units}
    heads = ("layer", ">runs", ">MACs", ">energy", ">latency", ">EDP", ">vs random", ">used")
    title = f"{mapped.model} on {mapped.architecture.name}: best of each objective, one layer at a time"
    whole = [
        (f"best {by}", number(total["energy"], "J", 4), _time(total["latency"], time)) for by, total in totals.items()
    ]
    tables = [
        Table(title, heads, rows),
        Table(f"Whole model, {count(mapped.macs)} MACs", ("each layer by its", ">energy", ">latency"), whole),
    ]
    results = {
        "model": mapped.model, "target": mapped.architecture.id, "macs": mapped.macs, "left_out": mapped.left_out,
        "layers": [_layer(layer) for layer in mapped.layers], "totals": totals,
    }  # fmt: skip
    notes = [
        f"{sum(len(layer.names) for layer in mapped.layers)} layers of {len(mapped.layers)} shapes, "
        f"{sum(layer.front.evaluations for layer in mapped.layers):,} mappings priced",
        *(f"left out: {many} operators, {reason}" for reason, many in mapped.left_out.items()),
        "vs random: EDP of the best of as many random mappings, over that found",
        "used: share of the operation slots of the array, at the best EDP",
    ]
    show(ctx, results, tables, as_json=as_json, units=units, notes=notes)


def _row(layer: Layer, time: str) -> tuple[object, ...]:
    energy, latency, edp = layer.front.best.tolist()
    used = layer.front.problem.evaluate(layer.front.best_points[2:3]).metrics["utilisation"][0]
    rival = float(layer.front.random[2]) / edp
    more = f" +{len(layer.names) - 1}" if len(layer.names) > 1 else ""
    return (
        layer.names[0] + more, layer.runs, count(layer.problem.operations), number(energy, "J"), _time(latency, time),
        f"{edp:.3g}", f"{rival:.2f}x", f"{100.0 * used:.0f} %",
    )  # fmt: skip


def _time(value: float, unit: str) -> str:
    return number(value, "s", 4) if unit == "s" else f"{value:,.0f} cycles"


def _layer(layer: Layer) -> dict[str, Any]:
    from codesign.costmodels.accelerator.drawing import draw

    front, found = layer.front, {}
    for place, objective in enumerate(front.objectives):
        mappings = front.mapping(objective)
        costs = front.problem.costs(mappings)
        found[objective] = {
            "value": float(front.best[place]), "random": float(front.random[place]), "nest": draw(costs, mappings)
        }  # fmt: skip
    return {
        "layers": layer.names, "runs": layer.runs, "ranks": dict(layer.problem.ranks), "best": found,
        "evaluations": front.evaluations, "exhaustive": front.exhaustive,
        "bounds": {"energy": front.bounds.energy, "cycles": front.bounds.cycles},
    }  # fmt: skip
