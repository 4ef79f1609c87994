"""How ``codesign estimate --problem`` shows a mapping of a cascade: totals, Einsums, traffic, levels, loop nests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, number, quantity, show

if TYPE_CHECKING:
    from codesign.costmodels.accelerator.fused import FusedCosts
    from codesign.quantity import Quantity
    from codesign.search.mapping.cascade import FusedFront, FusedMapping

UNITS = {"bits": "bit", "least_bits": "bit", "energy": "J", "traffic": "B"}


def estimate_cascade(
    ctx: typer.Context, target: str, problem: str, mapping: str, tables: list[str], reuse: str, latency: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Price one mapping of a cascade and print it.

    Raises:
        UsageError: the mapping cannot run.
    """
    from codesign.costmodels.accelerator.drawing import draw
    from codesign.costmodels.accelerator.inputs import price_cascade_files

    costs, parts, notes = price_cascade_files(target, problem, mapping, tables, reuse, latency)
    nests = {part.problem.name: draw(part, one) for part, one in zip(costs.parts, parts, strict=True)}
    lines = [(line,) for name, nest in nests.items() for line in (f"{name}:", *(f"  {one}" for one in nest))]
    results = {**totals(costs), "latency_mode": latency, "einsums": _einsums(costs),
               "traffic_by_tensor": traffic_rows(costs), "levels": level_rows(costs), "nests": nests}  # fmt: skip
    shown = [
        Table(f"{costs.cascade.name} on {costs.architecture.name}", ("", ">value"), summary(costs, latency)),
        *tables_of(costs),
        Table("", ("loop nests",), lines),
    ]
    unknown = [f"energy: no energy known for {', '.join(costs.unpriced)}"] if costs.unpriced else []
    show(ctx, results, shown, as_json=as_json, units=UNITS, notes=[*notes, *unknown])


def tables_of(costs: FusedCosts) -> list[Table]:
    """Return the tables of a mapping of a cascade: its Einsums, what crosses the outermost level, and its levels."""
    einsums = [
        (row["einsum"], row["unit"], row["group"], f"{row['operations']:,}", f"{row['cycles']:,}")
        for row in _einsums(costs)
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


def _einsums(costs: FusedCosts) -> list[dict[str, Any]]:
    group = {at: place + 1 for place, (first, last) in enumerate(costs.groups) for at in range(first, last + 1)}
    return [
        {
            "einsum": part.problem.name, "unit": part.slots.unit, "operation": part.problem.operation,
            "group": group[at], "operations": part.problem.operations, "cycles": int(part.cycles[0]),
        }
        for at, part in enumerate(costs.parts)
    ]  # fmt: skip


def traffic_rows(costs: FusedCosts) -> list[dict[str, Any]]:
    """Return a row for every tensor: bits over the outermost level, the least there can be, and where it stays."""
    moved, stays = costs.moved, costs.retained
    names = dict.fromkeys([*moved, *stays])
    return [
        {
            "tensor": name, "bits": float(moved[name][0]) if name in moved else 0.0,
            "least_bits": costs.cascade.external.get(name), "stays_at": stays.get(name),
        }
        for name in names
    ]  # fmt: skip


def level_rows(costs: FusedCosts) -> list[dict[str, Any]]:
    """Return a row for every level, the networks and the compute units; unknown energies are null."""
    rows = [
        {
            "level": name, "energy": None if name in costs.unpriced else float(energy[0]),
            "occupancy": float(costs.occupancy[place, 0]) or None,
        }
        for place, (name, energy) in enumerate(costs.level_energy.items())
    ]  # fmt: skip
    networks = sum(float(part.network_energy[1, 0]) for part in costs.parts)
    if networks:
        rows.append({"level": "networks", "energy": networks, "occupancy": None})
    units: dict[str, float] = {}
    for part in costs.parts:
        units[part.slots.unit] = units.get(part.slots.unit, 0.0) + float(part.compute_energy[1, 0])
    more = [
        {"level": name, "energy": None if name in costs.unpriced else energy, "occupancy": None}
        for name, energy in units.items()
    ]
    return [*rows, *more]


def show_front(ctx: typer.Context, front: FusedFront, as_json: bool) -> None:
    """Show the front of a search: what stays, shared loops, objectives, and the nests of the knee."""
    from codesign.costmodels.accelerator.drawing import draw

    first = front.mappings[0].costs
    time = "s" if first.architecture.clock is not None else "cycle"
    units = {"energy": "J", "latency": time, "edp": f"J {time}", "traffic": "B"}
    rows = [
        (place + 1, _stays(one), " ".join(f"{rank}{bound}" for rank, bound in one.candidate.shared) or "-",
         *(_shown(value, units[name]) for name, value in zip(front.objectives, values, strict=True)),
         *([] if "traffic" in front.objectives else [number(float(one.costs.traffic[0]), "B", 4)]))
        for place, (one, values) in enumerate(zip(front.mappings, front.values.tolist(), strict=True))
    ]  # fmt: skip
    heads = ["", "stays", "shared", *(f">{name}" for name in front.objectives)]
    heads += [] if "traffic" in front.objectives else [">traffic"]
    knee = int(front.values.prod(axis=1).argmin())
    best = front.mappings[knee]
    nests = [
        {part.problem.name: draw(part, nest) for part, nest in zip(one.costs.parts, one.parts, strict=True)}
        for one in front.mappings
    ]
    lines = [(line,) for name, nest in nests[knee].items() for line in (f"{name}:", *(f"  {one}" for one in nest))]
    results = {
        "problem": first.cascade.name, "target": first.architecture.id, "objectives": front.objectives,
        "unfused": {name: value if value < float("inf") else None
                    for name, value in zip(front.objectives, front.unfused.tolist(), strict=True)},
        "candidates": front.candidates, "evaluations": front.evaluations,
        "front": [
            {**dict(zip(front.objectives, values, strict=True)), "stays": dict(one.candidate.stay),
             "shared": one.candidate.shared, "traffic": float(one.costs.traffic[0]), "nests": nest}
            for one, values, nest in zip(front.mappings, front.values.tolist(), nests, strict=True)
        ],
    }  # fmt: skip
    shown = [
        Table(f"{first.cascade.name} on {first.architecture.name}: front", tuple(heads), rows),
        *tables_of(best.costs),
        Table("", (f"loop nests of {knee + 1}, the least product",), lines),
    ]
    show(ctx, results, shown, as_json=as_json, units=units, notes=_front_notes(front, units))


def _front_notes(front: FusedFront, units: dict[str, str]) -> list[str]:
    least = front.values.min(axis=0)
    rivals = [
        f"{name} {_shown(float(alone), units[name])}, {alone / best:.2f}x the best"
        for name, alone, best in zip(front.objectives, front.unfused, least, strict=True)
        if alone < float("inf")
    ]
    return [
        f"{front.candidates} fusions tried, {front.evaluations:,} mappings of Einsums priced",
        f"unfused: {'; '.join(rivals)}" if rivals else "unfused: cannot run, a recurrence stays on the chip",
    ]


def _stays(one: FusedMapping) -> str:
    stay = one.candidate.stay
    if not stay:
        return "nothing"
    levels = dict.fromkeys(stay.values())
    few = ", ".join(stay) if len(stay) <= 2 else f"all {len(stay)}"
    return f"{few} at {', '.join(levels)}"


def _shown(value: float, unit: str) -> str:
    return (
        f"{value:,.0f} cycles"
        if unit == "cycle"
        else f"{value:.4g} J cycles"
        if "cycle" in unit
        else number(value, unit, 4)
    )
