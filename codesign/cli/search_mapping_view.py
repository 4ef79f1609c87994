"""How ``codesign search mapping`` shows what it found: a front and its best nest, or layers and a model's front."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, count, note, number, result_console, show

if TYPE_CHECKING:
    from codesign.run import Run
    from codesign.search.mapping.layers import Layer
    from codesign.search.mapping.network import ModelMapping
    from codesign.search.mapping.problem import MappingProblem


def show_search(ctx: typer.Context, run: Run, problem: MappingProblem, as_json: bool) -> None:
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
    for line in (*details.get(knee, {}).get("notes", ()), *unused, *begun([problem.space.enumerated])):
        note(ctx, line)


def show_model(ctx: typer.Context, run: Run, problem: ModelMapping, as_json: bool) -> None:
    """Show the layers of a model with their best energy, latency and EDP, then the front of the whole network."""
    from codesign.costmodels.siting import grid_lines
    from codesign.report import load_sheet, report
    from codesign.report.terminal import front_table, next_steps

    path, mapped = report(run), problem.mapped
    time = problem.units["latency"]
    units = {"energy": "J", "latency": time, "edp": f"J {time}"}
    totals = {by: {one: mapped.total(one, by) for one in ("energy", "latency")} for by in units}
    heads = ("layer", ">runs", ">MACs", ">energy", ">latency", ">EDP", ">vs random", ">used")
    title = f"{mapped.model} on {mapped.architecture.name}: best of each objective, one layer at a time"
    results = {
        "run": str(run.path), "report": str(path), "model": mapped.model, "target": mapped.architecture.id,
        "macs": mapped.macs, "left_out": mapped.left_out, "layers": [_layer(layer) for layer in mapped.layers],
        "totals": totals, "front": run.front,
    }  # fmt: skip
    table = Table(title, heads, [_row(layer, time) for layer in mapped.layers])
    show(ctx, results, [table], as_json=as_json, units=units)
    if as_json:
        return
    sheet = load_sheet([run])
    console = result_console()
    console.print(f"\nWhole model, {count(mapped.macs)} MACs", style="bold")
    console.print(front_table(sheet, console.width, designs=False))
    for line in (
        *_model_notes(problem),
        *grid_lines(run.meta["spec"]["spec"]),
        *next_steps(sheet, str(path), designs=False),
    ):
        note(ctx, line)


def _model_notes(problem: ModelMapping) -> list[str]:
    mapped, merged = problem.mapped, problem.merged
    less = (
        f" of {merged.size:,}; the whole front is at most {100.0 * merged.error:.2g} % better" if merged.error else ""
    )
    return [
        f"{sum(len(layer.names) for layer in mapped.layers)} layers of {len(mapped.layers)} shapes, "
        f"{mapped.evaluations:,} mappings priced; front of {len(merged.choices)} networks{less}",
        *begun(layer.front.problem.space.enumerated for layer in mapped.layers),
        *(f"left out: {many} operators, {reason}" for reason, many in mapped.left_out.items()),
        "vs random: EDP of the best of as many random mappings, over that found",
        "used: share of the operation slots of the array, at the best EDP",
    ]


def begun(enumerated: Iterable[bool | None]) -> list[str]:
    """Return whether the pruned enumerations that searches began with were complete; nothing where none ran."""
    ran = [one for one in enumerated if one is not None]
    if not ran:
        return []
    if all(ran):
        return ["pruned enumeration to begin with: complete, it left out only what others dominate"]
    whole = "not complete, it"
    if len(ran) > 1:
        some = f"{sum(ran)} of {len(ran)} searches, the others"
        whole = f"complete for {some}" if any(ran) else f"complete for none of {len(ran)} searches, they"
    return [f"pruned enumeration to begin with: {whole} cut off at the best partial mappings of each level"]


def _row(layer: Layer, time: str) -> tuple[object, ...]:
    energy, latency, edp = (layer.value(one, one) for one in ("energy", "latency", "edp"))
    place = layer.place("edp")
    used = layer.front.problem.evaluate(layer.front.points[place : place + 1]).metrics["utilisation"][0]
    return (
        layer.label, layer.runs, count(layer.problem.operations), number(energy, "J"), _time(latency, time),
        f"{edp:.3g}", f"{layer.random_edp / edp:.2f}x", f"{100.0 * used:.0f} %",
    )  # fmt: skip


def _time(value: float, unit: str) -> str:
    return number(value, "s", 4) if unit == "s" else f"{value:,.0f} cycles"


def _layer(layer: Layer) -> dict[str, Any]:
    from codesign.costmodels.accelerator.drawing import draw

    front, found = layer.front, {}
    for objective in ("energy", "latency", "edp"):
        place = layer.place(objective)
        mappings = front.problem.space.mappings(front.points[place : place + 1])[0][1]
        found[objective] = {
            "value": layer.value(objective, objective), "nest": draw(front.problem.costs(mappings), mappings)
        }  # fmt: skip
    return {
        "layers": layer.names, "runs": layer.runs, "ranks": dict(layer.problem.ranks), "best": found,
        "random_edp": layer.random_edp, "evaluations": front.evaluations, "exhaustive": front.exhaustive,
        "bounds": {"energy": front.bounds.energy, "cycles": front.bounds.cycles},
    }  # fmt: skip
