"""How ``codesign targets`` shows spatial accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import typer

from codesign.cli.output import Table, number, show

if TYPE_CHECKING:
    from codesign.targets.target import Value

ENERGIES = ("read", "write", "update", "leak")


def listed() -> tuple[list[dict[str, Any]], Table]:
    """Return rows and a table of the shipped accelerators."""
    from codesign.targets.spatial import list_architectures, load_architecture

    rows, shown = [], []
    for architecture in map(load_architecture, list_architectures()):
        units = {spine.compute.name: spine.compute_instances for spine in architecture.spines()}
        node = architecture.node_nm.value if architecture.node_nm else None
        clock = architecture.clock.value if architecture.clock else None
        area = architecture.area()
        rows.append({"id": architecture.id, "name": architecture.name, "units": units, "node_nm": node,
                     "clock_hz": clock, "area_mm2": area})  # fmt: skip
        counts = ", ".join(f"{count:,} {unit}" for unit, count in units.items())
        shown.append((architecture.id, counts, number(node, "nm"), number(clock, "Hz"), number(area, "mm2")))
    return rows, Table("Spatial accelerators", ("accelerator", "units", ">node", ">clock", ">area"), shown)


def show_architecture(ctx: typer.Context, name: str, as_json: bool) -> None:
    """Show every level of an accelerator, every energy with its source."""
    from codesign.targets.spatial import ComputeUnit, Fanout, load_architecture
    from codesign.targets.spatial.architecture import all_parts

    found = load_architecture(name)
    shapes: list[tuple[object, ...]] = []
    numbers: list[tuple[object, ...]] = []
    sources: list[tuple[object, ...]] = []
    for part in all_parts(found.nodes):
        sources.append((part.name, part.source))
        if isinstance(part, Fanout):
            shapes.append((part.name, "array", f"{part.x} x {part.y}", "-", "-"))
            values: dict[str, Value | None] = {"word": part.energy}
        elif isinstance(part, ComputeUnit):
            shapes.append((part.name, "compute", ", ".join(part.operations), "-", "-"))
            values = {operation: cost.energy for operation, cost in part.operations.items()}
            values["area"] = part.area
        else:
            held = "-" if part.capacity_bits is None else number(part.capacity_bits / 8, "B")
            shapes.append((part.name, part.kind, held, f"{part.width_bits} bit", ", ".join(part.keeps) or "all"))
            values = {action: getattr(part, action) for action in ENERGIES}
            values["area"] = part.area
        for action, value in values.items():
            if value is not None:
                numbers.append((f"{part.name}.{action}", _number(value), _between(value), str(value.origin.value)))
                sources.append((f"{part.name}.{action}", value.source))
    tables = [
        Table(found.name, ("level", "kind", ">size", ">row", "keeps"), shapes),
        Table("Numbers, of one action or instance", ("number", ">value", ">between", "origin"), numbers),
        Table("Sources", ("number", "source"), sources),
        *([Table("Notes", ("note",), [(note,) for note in found.notes])] if found.notes else []),
    ]
    show(ctx, msgspec.to_builtins(found), tables, as_json=as_json)


def _number(value: Value) -> str:
    """Return a value with its unit; areas of single elements are far below a square millimetre."""
    return number(value.value, value.unit)


def _between(value: Value) -> str:
    if value.low is None or value.high is None:
        return "-"
    return f"{number(value.low, value.unit)} to {number(value.high, value.unit)}"
