"""``codesign targets``: the catalogue of hardware, files of one's own, and this machine."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, number, show
from codesign.cli.target_files import detect_command, validate_command

app = command_app(group="List, show, validate and detect hardware targets.")

UNITS = {"memory_capacity": "B", "memory_bandwidth": "B/s", "peak_bf16": "FLOP/s", "tdp": "W", "price_per_hour": "$/h"}


@app.command("list")
def list_command(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the shipped targets.

    \b
    Examples:
      codesign targets list
      codesign targets list --json
    """
    from codesign.cli.accelerator_targets import listed
    from codesign.targets import list_targets, load_target

    rows: list[dict[str, Any]] = []
    for target in map(load_target, list_targets()):
        rows.append({
            "id": target.id, "name": target.name, "kind": target.kind, "year": target.year,
            "dtypes": list(target.dtypes),
            "peak_bf16": target.peak("bf16").value if target.supports("bf16") else None,
            "memory_capacity": target.memory_capacity, "memory_bandwidth": target.memory_bandwidth,
            "tdp": target.power.tdp.value,
            "price_per_hour": target.price_per_hour.value if target.price_per_hour else None,
        })  # fmt: skip
    heads = ("target", "kind", ">bf16 peak", ">memory", ">bandwidth", ">power", ">price")
    columns = ("peak_bf16", "memory_capacity", "memory_bandwidth", "tdp", "price_per_hour")
    shown = [(r["id"], r["kind"], *(number(r[name], UNITS[name]) for name in columns)) for r in rows]
    spatial, table = listed()
    show(
        ctx, rows, [Table("", heads, shown), table], as_json=json, units=UNITS, top={"accelerators": spatial},
        notes=["Any command takes a YAML file too."],
    )  # fmt: skip


@app.command("show")
def show_command(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="A target's id or alias, or a YAML file.")],
    json: JsonFlag = False,
) -> None:
    """Show every number of a target with its source.

    \b
    Examples:
      codesign targets show h100-sxm
      codesign targets show ./mine.yaml --json
    """
    from codesign.cli.accelerator_targets import show_architecture
    from codesign.targets import load_target
    from codesign.targets.spatial import is_spatial

    if is_spatial(target):
        show_architecture(ctx, target, json)
        return
    found = load_target(target)
    plain = msgspec.to_builtins(found)
    facts = [
        (name, str(plain[name] or "-")) for name in ("id", "name", "vendor", "kind", "architecture", "year", "process")
    ]
    facts += [("aliases", ", ".join(found.aliases)), ("devices per node", str(found.devices_per_node))]
    every = [(path.removeprefix("units.").removeprefix("memories."), v) for path, v in values(plain)]
    numbers = [(path, number(v["value"], v["unit"]), _between(v), _standing(v)) for path, v in every]
    tables = [
        Table("", ("field", "value"), facts),
        Table("Numbers", ("number", ">value", ">between", "origin"), numbers),
        Table("Sources", ("number", "source"), [(path, v["source"]) for path, v in every]),
        *([Table("Notes", ("note",), [(text,) for text in found.notes])] if found.notes else []),
    ]
    show(ctx, found, tables, as_json=json)


app.command("validate")(validate_command)
app.command("detect")(detect_command)


def values(plain: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return (place, value) of every sourced number inside plain data; list items by their name or place."""
    if isinstance(plain, dict):
        if {"value", "unit", "source", "origin"} <= plain.keys():
            return [(path, plain)]
        return [row for key, inner in plain.items() for row in values(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(plain, list | tuple):
        items = ((inner.get("place") or inner.get("name"), inner) for inner in plain if isinstance(inner, dict))
        return [row for name, inner in items for row in values(inner, f"{path}.{name}")]
    return []


def _between(value: dict[str, Any]) -> str:
    if value["low"] is None or value["high"] is None:
        return "-"
    return f"{number(value['low'], value['unit'])} to {number(value['high'], value['unit'])}"


def _standing(value: dict[str, Any]) -> str:
    return "confirmed" if value["verified"] and value["origin"] == "published" else str(value["origin"])
