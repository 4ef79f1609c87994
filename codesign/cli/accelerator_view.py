"""How ``codesign estimate --problem`` shows a mapping: totals, energy by level, accesses, and the loop nest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, count, number, quantity, show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.costmodels.accelerator import Costs
    from codesign.quantity import Quantity

WORDS = ("level", "tensor", "tile", "reads", "fills", "updates")
WIDTH = 80
GAP = 2

OWN = frozenset({"target", "problem", "mapping", "tables", "reuse", "latency", "json"})
"""Options that --problem goes with; all others state a design of devices."""

UNITS = {
    "tile": "words",
    "reads": "words",
    "fills": "words",
    "updates": "words",
    "row_accesses": "rows",
    "energy": "J",
    "leakage": "J",
}


def estimate_accelerator(
    ctx: typer.Context,
    target: str,
    problem: str | None,
    mapping: str | None,
    tables: str | None,
    reuse: str,
    latency: str,
    as_json: bool,
) -> None:
    """Price one mapping and print it.

    Raises:
        UsageError: the problem or the mapping is missing, or the mapping cannot run.
    """
    from codesign.costmodels.accelerator.drawing import draw
    from codesign.costmodels.accelerator.inputs import is_cascade, price_files

    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if name not in OWN and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name.replace('_', '-')} does not go with --problem", "it states a design of devices")
    if problem is None:
        raise UsageError("--mapping and --tables need a --problem", "for example --problem gemm:1024x1024x1024")
    if mapping is None:
        raise UsageError("no mapping given", "--mapping FILE, our form or Timeloop's: see docs/accelerators.md")
    listed = [name for name in (tables or "").split(",") if name]
    if is_cascade(problem):
        from codesign.cli.cascade_view import estimate_cascade

        estimate_cascade(ctx, target, problem, mapping, listed, reuse, latency, as_json)
        return
    priced = price_files(target, problem, mapping, listed, reuse, latency)
    costs, nest = priced.costs, draw(priced.costs, priced.mappings)
    title = f"{costs.problem.name} on {costs.architecture.name}"
    shown = [
        Table(title, ("", ">value"), [*_summary(costs), *_counted(latency)]),
        Table("Energy by level", ("level", ">energy", ">share", ">used", ">there", ">filled"), _levels(costs)),
        Table(
            "Accesses, in words of each instance", (*WORDS[:2], *(f">{name}" for name in WORDS[2:])), _accesses(costs)
        ),
        Table("", ("loop nest",), [(line,) for line in nest]),
    ]
    results = {
        **_totals(costs),
        "latency_mode": latency,
        "levels": _level_rows(costs),
        "accesses": _entries(costs),
        "nest": nest,
    }
    notes = [*priced.notes, *(f"{name}: {reason}" for name, reason in results["reasons"].items())]
    show(ctx, results, shown, as_json=as_json, units=UNITS, notes=notes)


def _counted(latency: str) -> list[tuple[str, str]]:
    return [] if latency == "ideal" else [("cycles counted as", latency)]


def _accesses(costs: Costs) -> list[list[str]]:
    """Return the cells of the accesses: counts in full where the lines have room for them."""
    for most in (math.inf, 1e9, 1e6):
        rows = [
            [entry["level"], entry["tensor"], *(_words(entry[name], most) for name in WORDS[2:])]
            for entry in _entries(costs)
        ]
        widths = [max(len(row[place]) for row in (*rows, WORDS)) for place in range(len(WORDS))]
        if sum(widths) + GAP * (len(WORDS) - 1) <= WIDTH:
            break
    return rows


def _words(value: float, most: float) -> str:
    """Return a count of words, in full below ``most``."""
    if abs(value) >= most:
        return count(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _energy(costs: Costs) -> Quantity | None:
    from codesign.quantity import Quantity

    if costs.unpriced:
        return None
    low, value, high = (float(end[0]) for end in costs.energy)
    return Quantity(value, low, high, "J", "analytical: accesses times the energies of the target")


def _totals(costs: Costs) -> dict[str, Any]:
    """Return the totals by name; what is not known is null, with a reason."""
    energy, seconds = _energy(costs), costs.seconds
    limiting = int(costs.limiting[0])
    reasons = {
        "energy": f"no energy known for {', '.join(costs.unpriced)}" if costs.unpriced else None,
        "latency": "the target states no clock" if seconds is None else None,
        "area": "the area of a part is not known" if costs.architecture.area() is None else None,
    }
    return {
        "problem": costs.problem.name,
        "target": costs.architecture.id,
        "operations": costs.problem.operations,
        "cycles": int(costs.cycles[0]),
        "ideal_cycles": int(costs.ideal_cycles[0]),
        "limited_by": None if limiting < 0 else costs.levels[limiting],
        "utilisation": float(costs.utilisation[0]),
        "latency": None if seconds is None else float(seconds[0]),
        "energy": energy,
        "area_mm2": costs.architecture.area(),
        "reasons": {name: reason for name, reason in reasons.items() if reason},
    }


def _summary(costs: Costs) -> list[tuple[str, str]]:
    totals = _totals(costs)
    energy: Quantity | None = totals["energy"]
    rows = [
        ("operations", f"{totals['operations']:,}"),
        ("cycles", f"{totals['cycles']:,}"),
        ("utilisation", f"{100.0 * totals['utilisation']:.2f} %"),
    ]
    if totals["limited_by"] is not None:
        rows.insert(2, ("cycles without bandwidth limits", f"{totals['ideal_cycles']:,}"))
        rows.insert(3, ("bandwidth limited by", totals["limited_by"]))
    rows.append(("latency", "-" if totals["latency"] is None else number(totals["latency"], "s", 4)))
    rows.append(("energy", "-" if energy is None else quantity(energy, 4)))
    if energy is not None:
        rows.append(("energy of an operation", number(energy.value / totals["operations"], "J", 4)))
        rows.append(("energy x cycles", f"{energy.value * totals['cycles']:.4g} J cycles"))
    rows.append(("area", "-" if totals["area_mm2"] is None else number(totals["area_mm2"], "mm2", 4)))
    return rows


def _level_rows(costs: Costs) -> list[dict[str, Any]]:
    """Return a row for every level, the networks and the compute unit; unknown energies are null."""
    spine = costs.architecture.spine(costs.slots.unit)
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(costs.levels):
        known = name not in costs.unpriced
        storage = next(one for one in spine.storages if one.name == name)
        rows.append({
            "level": name,
            "energy": float(costs.level_energy[place, 0]) if known else None,
            "low": float(costs.level_low[place, 0]) if known else None,
            "high": float(costs.level_high[place, 0]) if known else None,
            "leakage": float(costs.leak_energy[place, 0]) if storage.leak is not None else None,
            "used_instances": int(costs.instances[place, 0]),
            "instances": spine.instances(name),
            "occupancy": float(costs.occupancy[place, 0]) if storage.capacity_bits is not None else None,
        })  # fmt: skip
    ends = {"network": costs.network_energy, spine.compute.name: costs.compute_energy}
    for name, energy in ends.items():
        if name == "network" and not energy[1, 0]:
            continue
        known = name not in costs.unpriced
        low, value, high = (float(end[0]) if known else None for end in energy)
        copies = spine.compute_instances
        used = int(costs.units[0])
        row = {"level": name, "energy": value, "low": low, "high": high, "leakage": None, "occupancy": None}
        rows.append({**row, "used_instances": used if name != "network" else None,
                     "instances": copies if name != "network" else None})  # fmt: skip
    return rows


def _levels(costs: Costs) -> list[tuple[object, ...]]:
    rows = _level_rows(costs)
    whole = sum(row["energy"] or 0.0 for row in rows)
    return [
        (
            row["level"], _interval(row),
            f"{100.0 * row['energy'] / whole:.1f} %" if row["energy"] is not None and whole else "-",
            row["used_instances"], row["instances"],
            "-" if row["occupancy"] is None else f"{100.0 * row['occupancy']:.1f} %",
        )
        for row in rows
    ]  # fmt: skip


def _interval(row: dict[str, Any]) -> str:
    if row["energy"] is None:
        return "-"
    value = number(row["energy"], "J")
    return value if row["low"] == row["high"] else f"{value} [{number(row['low'], 'J')} to {number(row['high'], 'J')}]"


def _entries(costs: Costs) -> list[dict[str, Any]]:
    """Return a row for every level and tensor that it keeps, outermost level first."""
    order = sorted(range(len(costs.entries)), key=lambda row: costs.levels.index(costs.entries[row][0]))
    found = []
    for row in order:
        level, tensor = costs.entries[row]
        found.append({
            "level": level, "tensor": tensor,
            **{name: float(getattr(costs, name)[row, 0]) for name in ("tile", "reads", "fills", "updates")},
            "row_accesses": dict(zip(("reads", "fills", "updates"), costs.rows[:, row, 0].tolist(), strict=True)),
            "instances": int(costs.instances[costs.levels.index(level), 0]),
            "energy": None if level in costs.unpriced else float(costs.entry_energy[row, 0]),
        })  # fmt: skip
    return found
