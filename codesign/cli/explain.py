"""``codesign explain``: why a design costs what it costs, and what would change it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codesign.cli import design_options as o
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, show

app = command_app()


@app.command("explain")
def explain_command(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(help="A model, or a point of a run: RUN#17.")],
    target: o.TargetOption = "",
    dtype: o.Dtype = None,
    batch: o.Batch = 1,
    prompt: o.Prompt = None,
    generate: o.Generate = None,
    tp: o.Tensor = 1,
    pp: o.Pipeline = 1,
    ep: o.Expert = 1,
    nodes: o.Nodes = 1,
    replicas: o.Replicas = 1,
    mode: o.Mode = "static",
    execution: o.Execution = "auto",
    chunk: o.Chunk = None,
    rate: o.Rate = None,
    kv_dtype: o.KvDtype = None,
    concurrency: o.Concurrency = None,
    rounds: o.Rounds = None,
    gather: o.Gather = None,
    framework: o.Framework = None,
    power_limit: o.PowerLimit = None,
    grid: o.Grid = None,
    pue: o.Pue = None,
    lifetime: o.Lifetime = None,
    utilisation: o.Utilisation = None,
    overlay: o.OverlayOption = None,
    inputs: o.Inputs = None,
    where: Annotated[list[str] | None, typer.Option(help="Limit that excludes neighbours: 'tpot <= 50 ms'.")] = None,
    json: JsonFlag = False,
) -> None:
    """Explain a design: what binds it, what moves it.

    \b
    Examples:
      codesign explain llama-3.1-8b --target l4 --batch 8
      codesign explain runs/X#17
    """
    from codesign.cli.explain_view import tables
    from codesign.cli.overlay_note import unused_overlay
    from codesign.costmodels.api import explain

    options: dict[str, Any] = {
        "dtype": dtype, "batch": batch, "prompt": prompt, "generate": generate, "tp": tp, "pp": pp, "ep": ep,
        "nodes": nodes, "replicas": replicas, "mode": mode, "execution": execution, "chunk": chunk, "rate": rate,
        "grid": grid, "pue": pue, "lifetime_years": lifetime, "utilisation": utilisation,
        "kv_dtype": kv_dtype, "concurrency": concurrency, "rounds": rounds, "gather": gather,
        "framework": framework, "power_limit": o.watts(power_limit),
    }  # fmt: skip
    notes = ["distance: how many times longer the binding resource takes than the next one"]
    limits = tuple(where or ())
    if "#" in what:
        from codesign.search.points import design_of_point, details_of_point, has_details, kind_of_point

        if has_details(kind_of_point(what)):
            from codesign.cli.explain_view import show_details

            show_details(ctx, what, *details_of_point(what), json)
            return
        model, target, overlay, options, serving, limits = design_of_point(what)
        notes += serving
    else:
        model = o.loaded(what, inputs)
    from codesign.search.limits import excluder

    notes += unused_overlay(overlay, [target])
    told = explain(model, o.one_target(target), overlay=overlay, exclude=excluder(limits), **options)
    show(ctx, told, tables(told), as_json=json, units={"seconds": "s", "bytes": "B", "memory": "B"},
         notes=[*notes, *told.notes])  # fmt: skip
