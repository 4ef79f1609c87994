"""``codesign models``: the shipped presets."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codesign.cli.design_options import Inputs, loaded
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, count, number, show

app = command_app(group="List and show model presets.")


@app.command("list")
def list_command(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the model presets.

    \b
    Examples:
      codesign models list
      codesign models list --json
    """
    from codesign.models import list_models, load_model

    models = [load_model(name) for name in list_models()]
    rows: list[dict[str, Any]] = [
        {
            "name": m.name,
            "kind": m.kind,
            "parameters": m.parameters,
            "active_parameters": m.active_parameters,
            "checkpoint_dtype": m.checkpoint_dtype,
            "kv_bytes_per_token": m.kv_bytes_per_token(),
        }
        for m in models
    ]
    shown = [
        (
            r["name"], r["kind"], count(r["parameters"]), count(r["active_parameters"]), r["checkpoint_dtype"],
            number(r["kv_bytes_per_token"], "B") if r["kv_bytes_per_token"] else None,
        )
        for r in rows
    ]  # fmt: skip
    heads = ("model", "kind", ">parameters", ">active", "dtype", ">cache/token")
    show(
        ctx, rows, [Table("", heads, shown)], as_json=json, units={"kv_bytes_per_token": "B"},
        notes=["Other forms: hf:PATH, py:package.module:factory, pt2:FILE"],
    )  # fmt: skip


@app.command("show")
def show_command(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A preset's name, or a model in another form (hf:PATH).")],
    inputs: Inputs = None,
    json: JsonFlag = False,
) -> None:
    """Show what a model is made of, and where its figures come from.

    \b
    Examples:
      codesign models show llama-3.1-8b
      codesign models show mixtral-8x7b --json
      codesign models show py:package.module:factory --input 8x3x224x224
    """
    facts = loaded(model, inputs).describe()
    shown = [(label, value) for label, value in _flat(facts)]
    show(ctx, facts, [Table(str(facts.get("name", model)), ("field", "value"), shown)], as_json=json)


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return nested plain data as (dotted path, leaf) rows."""
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in _flat(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        return [row for place, inner in enumerate(value) for row in _flat(inner, f"{path}[{place}]")]
    return [(path, ", ".join(map(str, value)) if isinstance(value, list) else value)]
