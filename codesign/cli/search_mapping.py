"""``codesign search mapping``: how loops run best on a spatial accelerator."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import design_options as o
from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag

app = command_app()

Engine = Annotated[str, typer.Option(help="islands, exhaustive, random, nsga2, local; auto: exhaustive where small.")]


@app.command("mapping")
def mapping(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A model: every layer is mapped, equal shapes once.")] = None,
    target: Annotated[str, typer.Option("--target", help="An accelerator: id or YAML file.")] = "",
    problem: Annotated[str, typer.Option(help="One Einsum: gemm:MxNxK, conv:K64C64P56Q56R3S3, or a YAML file.")] = "",
    objectives: Annotated[
        str, typer.Option(help="energy, latency, edp, buffer, traffic, carbon; comma list.")
    ] = "energy,latency",
    tables: Annotated[str, typer.Option(help="ERT and ART files of a Timeloop target, comma list.")] = "",
    where: s.Where = None,
    unit: Annotated[str, typer.Option(help="Compute unit, where there are several.")] = "",
    bypass: Annotated[bool, typer.Option(help="Let tensors pass by levels.")] = True,
    uneven: Annotated[bool, typer.Option(help="Let tensors of one level be tiled at different loops.")] = False,
    ragged: Annotated[bool, typer.Option(help="Let tiles leave a shorter last one.")] = False,
    batch: Annotated[int | None, typer.Option(help="Of a model: inputs of one run.")] = None,
    bits: Annotated[str, typer.Option(help="Of a model: bits of inputs/weights/outputs.")] = "8/8/16",
    grid: o.Grid = None,
    pue: o.Pue = None,
    engine: Engine = "auto",
    evaluations: Annotated[int | None, typer.Option(help="Budget; default 20,000, of a model 6,000 a shape.")] = None,
    time: s.TimeLimit = None,
    seed: s.Seed = 0,
    workers: s.Workers = 1,
    keep: s.Keep = "sample:2000",
    out: s.Out = None,
    force: s.Force = False,
    resume: s.Resume = False,
    json: JsonFlag = False,
) -> None:
    """Search the loop nests of one Einsum, or of every layer of a model, on a spatial accelerator.

    \b
    Examples:
      codesign search mapping --problem gemm:1024x1024x1024 --target tpu-like --objectives energy,latency
      codesign search mapping resnet-18 --target eyeriss-like
    """
    from codesign.cli.search_mapping_view import show_layers, show_search
    from codesign.search.mapping.asked import asked_layers, asked_search

    shared = {"target": target, "tables": s.names(tables), "where": tuple(where or ()), "unit": unit,
              "bypass": bypass, "uneven": uneven, "ragged": ragged}  # fmt: skip
    if model is not None:
        refused = {
            "--grid": grid,
            "--pue": pue,
            "--problem": problem,
            "--out": out,
            "--time": time,
            "--resume": resume,
            "--force": force,
        }
        mapped = asked_layers(model, shared, refused, evaluations, seed, bits, {"batch": batch})
        show_layers(ctx, mapped, json)
        return
    site = {name: value for name, value in (("grid", grid), ("pue", pue)) if value is not None}
    with s.watched(ctx) as progress:
        run = asked_search(
            {**shared, "problem": problem, "objectives": s.names(objectives), **({"site": site} if site else {})},
            engine=engine, evaluations=evaluations, time_limit=s.seconds(time), seed=seed, workers=workers, keep=keep,
            directory=out, force=force, resume=resume, progress=progress, argv=sys.argv,
        )  # fmt: skip
    show_search(ctx, run, json)
