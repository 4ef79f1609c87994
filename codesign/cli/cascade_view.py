"""How mappings of a cascade are shown, priced or searched: totals, Einsums, traffic, levels, loop nests, a front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, note, number, quantity, result_console, show, show_tables

if TYPE_CHECKING:
    from codesign.costmodels.accelerator import Mappings
    from codesign.costmodels.accelerator.fused import FusedCosts
    from codesign.quantity import Quantity
    from codesign.run import Run
    from codesign.search.mapping.cascade_mapping import CascadeMapping

UNITS = {"bits": "bit", "least_bits": "bit", "energy": "J", "traffic": "B"}


def estimate_cascade(
    ctx: typer.Context, target: str, problem: str, mapping: str, tables: list[str], reuse: str, latency: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Price one mapping of a cascade and print it.

    Raises:
        UsageError: the mapping cannot run.
    """
    from codesign.costmodels.accelerator.fused_rows import einsum_rows, level_rows, traffic_rows
    from codesign.costmodels.accelerator.inputs import price_cascade_files

    costs, parts, notes = price_cascade_files(target, problem, mapping, tables, reuse, latency)
    nests = nests_of(costs, parts)
    results = {**totals(costs), "latency_mode": latency, "einsums": einsum_rows(costs),
               "traffic_by_tensor": traffic_rows(costs), "levels": level_rows(costs), "nests": nests}  # fmt: skip
    shown = [
        Table(f"{costs.cascade.name} on {costs.architecture.name}", ("", ">value"), summary(costs, latency)),
        *tables_of(costs),
        nest_table(costs, parts),
    ]
    unknown = [f"energy: no energy known for {', '.join(costs.unpriced)}"] if costs.unpriced else []
    show(ctx, results, shown, as_json=as_json, units=UNITS, notes=[*notes, *unknown])


def nests_of(costs: FusedCosts, parts: Sequence[Mappings]) -> dict[str, list[str]]:
    """Return the loop nest of every Einsum, drawn."""
    from codesign.costmodels.accelerator.drawing import draw

    return {part.problem.name: draw(part, one) for part, one in zip(costs.parts, parts, strict=True)}


def nest_table(costs: FusedCosts, parts: Sequence[Mappings]) -> Table:
    """Return the loop nests as a table of one column."""
    nests = nests_of(costs, parts)
    lines = [(line,) for name, nest in nests.items() for line in (f"{name}:", *(f"  {one}" for one in nest))]
    return Table("", ("loop nests",), lines)


def tables_of(costs: FusedCosts) -> list[Table]:
    """Return the tables of a mapping of a cascade: its Einsums, what crosses the outermost level, and its levels."""
    from codesign.costmodels.accelerator.fused_rows import einsum_rows, level_rows, traffic_rows

    einsums = [
        (row["einsum"], row["unit"], row["group"], f"{row['operations']:,}", f"{row['cycles']:,}")
        for row in einsum_rows(costs)
    ]
    traffic = [
        (row["tensor"], number(row["bits"] / 8.0, "B"), "-" if row["least_bits"] is None else
         number(row["least_bits"] / 8.0, "B"), row["stays_at"] or "-")
        for row in traffic_rows(costs)
    ]  # fmt: skip
    levels = [
        (row["level"], "-" if row["energy"] is None else number(row["energy"], "J"),
         "-" if row["occupancy"] is None else f"{100.0 * row['occupancy']:.1f} %")
        for row in level_rows(costs)
    ]  # fmt: skip
    root = costs.levels[0]
    return [
        Table(
            "Einsums; those of one group run together", ("einsum", "unit", ">group", ">operations", ">cycles"), einsums
        ),
        Table(f"Traffic of {root}", ("tensor", ">moved", ">at least", "stays at"), traffic),
        Table("Levels", ("level", ">energy", ">filled"), levels),
    ]


def totals(costs: FusedCosts) -> dict[str, Any]:
    """Return the totals by name; what is not known is null."""
    seconds = costs.seconds
    return {
        "problem": costs.cascade.name,
        "target": costs.architecture.id,
        "operations": costs.cascade.operations,
        "cycles": int(costs.cycles[0]),
        "latency": None if seconds is None else float(seconds[0]),
        "energy": _energy(costs),
        "traffic": float(costs.traffic[0]),
    }


def summary(costs: FusedCosts, latency: str) -> list[tuple[str, str]]:
    """Return the rows of the first table."""
    found = totals(costs)
    energy: Quantity | None = found["energy"]
    least = sum(costs.cascade.external.values()) / 8.0
    rows = [
        ("operations", f"{found['operations']:,}"),
        ("cycles", f"{found['cycles']:,}"),
        ("latency", "-" if found["latency"] is None else number(found["latency"], "s", 4)),
        ("energy", "-" if energy is None else quantity(energy, 4)),
        ("traffic", f"{number(found['traffic'], 'B', 4)}, at least {number(least, 'B', 4)}"),
    ]
    return rows if latency == "ideal" else [*rows, ("cycles counted as", latency)]


def _energy(costs: FusedCosts) -> Quantity | None:
    from codesign.quantity import Quantity

    if costs.unpriced:
        return None
    low, value, high = (float(end[0]) for end in costs.energy)
    return Quantity(value, low, high, "J", "analytical: accesses times the energies of the target")


def show_front(ctx: typer.Context, run: Run, problem: CascadeMapping, as_json: bool) -> None:
    """Show the front of a search, then Einsums, traffic, levels and nests of its knee."""
    from codesign.cli.search_mapping_view import begun
    from codesign.report import load_sheet, report
    from codesign.report.terminal import front_table, next_steps

    path, found = report(run), problem.found
    results = {
        "run": str(run.path), "report": str(path), "problem": problem.cascade.name, "target": problem.architecture.id,
        "unfused": {name: value if value < float("inf") else None
                    for name, value in zip(found.objectives, found.unfused.tolist(), strict=True)},
        "candidates": found.candidates, "evaluations": found.evaluations, "front": run.front,
    }  # fmt: skip
    if as_json:
        show(ctx, results, [], as_json=True, units=problem.units)
        return
    sheet = load_sheet([run])
    console = result_console()
    console.print(front_table(sheet, console.width))
    columns = run.front["columns"]
    row = columns["knee"].index(True)
    point = problem.space.point({name: columns[name][row] for name in ("stays", "shared", "mapping")})
    _, parts, costs = problem.mapping(point)
    console.print(f"\n#{columns['id'][row]}, the knee", style="bold")
    show_tables([*tables_of(costs), nest_table(costs, parts)])
    for line in (*_front_notes(problem), *begun(found.enumerated), *next_steps(sheet, str(path))):
        note(ctx, line)


def _front_notes(problem: CascadeMapping) -> list[str]:
    found = problem.found
    least = found.values.min(axis=0)
    rivals = [
        f"{name} {_shown(float(alone), problem.units[name])}, {alone / best:.2f}x the best"
        for name, alone, best in zip(found.objectives, found.unfused, least, strict=True)
        if alone < float("inf")
    ]
    recurs = any(use.consumer < use.producer for use in problem.cascade.uses)
    why = "cannot run, a recurrence stays on the chip" if recurs else "no mapping fits"
    return [
        f"{found.candidates} fusions tried, {found.evaluations:,} mappings of Einsums priced",
        f"unfused: {'; '.join(rivals)}" if rivals else f"unfused: {why}",
    ]


def _shown(value: float, unit: str) -> str:
    return (
        f"{value:,.0f} cycles"
        if unit == "cycle"
        else f"{value:.4g} J cycles"
        if "cycle" in unit
        else number(value, unit, 4)
    )
