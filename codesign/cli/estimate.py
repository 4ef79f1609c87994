"""``codesign estimate``: latency, energy, carbon, cost and memory of a design."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from codesign.cli import design_options as o
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, show
from codesign.errors import UsageError

app = command_app()


@app.command("estimate")
def estimate_command(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A preset, or py:, pt2:, hf: and a source.")] = None,
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
    where: Annotated[
        list[str] | None, typer.Option(help="Limit, for example 'ttft <= 0.5 s'; crossed is exit 4.")
    ] = None,
    queries: Annotated[str | None, typer.Option(help="CSV of designs to price instead of one.")] = None,
    ops: Annotated[
        str | None,
        typer.Option(help="CSV of single operators: id, op, device, dtype and shape columns (docs/operators.md)."),
    ] = None,
    cost_model: Annotated[
        str | None, typer.Option(help="What predicts --ops: trees (default), network, analytical, roofline.")
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            help="Of an accelerator: a file, or a line: gemm:64x64x64, conv:K8C8P7Q7R3S3,stride=2, mlp:P64D32M128N32."
        ),
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="Of --problem: its mapping, our form or Timeloop's.")] = None,
    tables: Annotated[
        str | None, typer.Option(help="Of a Timeloop target: its ERT and ART files, comma between.")
    ] = None,
    reuse: Annotated[
        str, typer.Option(help="Of --problem: overlap of windows kept as Timeloop does (reset), or always (retain).")
    ] = "reset",
    latency: Annotated[str, typer.Option(help=o.LATENCY_HELP)] = "ideal",
    out: Annotated[str | None, typer.Option(help="File for the rows of --queries or --ops; default stdout.")] = None,
    json: JsonFlag = False,
) -> None:
    """Estimate what a design costs, with intervals.

    \b
    Examples:
      codesign estimate llama-3.1-8b --target h100-sxm --batch 8 --prompt 2048
      codesign estimate --queries designs.csv --out prices.csv
      codesign estimate --ops operators.csv --out latencies.csv
      codesign estimate --target arch.yaml --problem prob.yaml --mapping map.yaml

    \b
    Columns of --ops: id, op, device, dtype, framework (if known), and by op
      gemm                     m n k
      linear, bmm              B M N K (M x N times N x K)
      context_attention        batch_size isl step num_heads num_key_value_heads
                               head_dim window_size kv_cache_dtype
                               kernel_source (if known)
      generation_attention     the same; the context is isl + step
      moe                      num_tokens hidden_size inter_size topk num_experts
                               moe_tp_size moe_ep_size distribution
                               kernel_source (if known)
      conv                     B Input_Channel Output_Channel Input_Size
                               Kernel_Size Stride Padding
      add mul div pow relu gelu tanh softmax ln embedding      B H
      all_reduce all_gather reduce_scatter alltoall send       num_gpus
                               message_size (elements)
    """
    from codesign.cli import estimate_view as view
    from codesign.cli.overlay_note import unused_overlay

    options: dict[str, Any] = {
        "dtype": dtype, "batch": batch, "prompt": prompt, "generate": generate, "tp": tp, "pp": pp, "ep": ep,
        "nodes": nodes, "replicas": replicas, "mode": mode, "execution": execution, "chunk": chunk, "rate": rate,
        "grid": grid, "pue": pue, "lifetime_years": lifetime, "utilisation": utilisation,
        "kv_dtype": kv_dtype, "concurrency": concurrency, "rounds": rounds, "gather": gather,
        "framework": framework, "power_limit": o.watts(power_limit),
    }  # fmt: skip
    if problem is not None or mapping is not None or tables is not None:
        from codesign.cli.accelerator_view import estimate_accelerator

        if model is not None:
            raise UsageError("--problem takes no model", "it is mapped onto --target alone")
        estimate_accelerator(ctx, o.one_target(target), problem, mapping, tables, reuse, latency, json)
        return
    if ops is not None:
        if model is not None or queries is not None:
            raise UsageError("--ops takes neither a model nor --queries", "its rows name operators and devices")
        stray = next((name for name in ("framework", "gather") if options[name] is not None), "")
        if stray:
            raise UsageError(f"--{stray} is of models", "rows of --ops name their framework in a column")
        view.predict_operators(ctx, ops, out, overlay, cost_model)
        return
    if cost_model is not None:
        raise UsageError("--cost-model is of --ops", "models are priced by the network and its closed forms")
    if queries is not None:
        view.price_queries(ctx, queries, out, {"model": model, "target": target or None, **options}, overlay)
        return
    loaded, name = view.named(model, inputs), o.one_target(target)
    from codesign.costmodels.api import estimate

    priced = estimate(loaded, name, overlay=overlay, **options)
    o.check_fits(priced, priced.machine.target.id)
    title = f"{loaded.name} on {priced.machine.target.name}\n{view.design_line(loaded, options)}"
    show(
        ctx, priced.estimate.quantities(), [view.metric_table(title, priced.estimate), *view.operator_tables(priced)],
        as_json=json, details=view.details(priced),
        notes=[*unused_overlay(overlay, [priced.machine.target.id]), *view.closing_notes(priced)],
    )  # fmt: skip
    view.check_limits(priced, where or [])
