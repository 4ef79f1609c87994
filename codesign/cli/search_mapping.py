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

BITS = "8/8/16"


@app.command("mapping")
def mapping(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A model: every layer is mapped, equal shapes once.")] = None,
    target: Annotated[str, typer.Option("--target", help="An accelerator: id or YAML file.")] = "",
    problem: Annotated[
        str, typer.Option(help="gemm:MxNxK, conv:K64C64P56Q56R3S3, a cascade mlp:P64D32M128N32, or a YAML file.")
    ] = "",
    objectives: Annotated[
        str, typer.Option(help="energy, latency, edp, buffer, traffic, carbon; comma list.")
    ] = "energy,latency",
    tables: Annotated[str, typer.Option(help="ERT and ART files of a Timeloop target, comma list.")] = "",
    where: s.Where = None,
    unit: Annotated[str, typer.Option(help="Compute unit, where there are several.")] = "",
    bypass: Annotated[bool, typer.Option(help="Let tensors pass by levels.")] = True,
    uneven: Annotated[bool, typer.Option(help="Let tensors of one level be tiled at different loops.")] = False,
    ragged: Annotated[bool, typer.Option(help="Let tiles leave a shorter last one.")] = False,
    latency: Annotated[str, typer.Option(help=o.LATENCY_HELP)] = "ideal",
    batch: Annotated[int | None, typer.Option(help="Of a model: inputs of one run.")] = None,
    bits: Annotated[str, typer.Option(help="Of a model: bits of inputs/weights/outputs.")] = BITS,
    grid: o.Grid = None,
    pue: o.Pue = None,
    engine: Engine = "auto",
    evaluations: Annotated[
        int | None, typer.Option(help="Budget; default 20,000; 8,000 a shape of a model, 4,000 an Einsum and fusion.")
    ] = None,
    time: s.TimeLimit = None,
    seed: s.Seed = 0,
    workers: s.Workers = 1,
    keep: s.Keep = "sample:2000",
    out: s.Out = None,
    force: s.Force = False,
    resume: s.Resume = False,
    json: JsonFlag = False,
) -> None:
    """Search the loop nests of one Einsum, of a cascade, or of every layer of a model, on a spatial accelerator.

    \b
    Examples:
      codesign search mapping --problem gemm:1024x1024x1024 --target tpu-like --objectives energy,latency
      codesign search mapping resnet-18 --target eyeriss-like --out runs/resnet
      codesign search mapping --problem attention:H12P1024M1024E64F64,bits=16 --target fusemax
    """
    from codesign.cli.search_mapping_view import show_model, show_search
    from codesign.costmodels.accelerator.inputs import is_cascade
    from codesign.search.mapping.asked import asked_cascade, asked_model, asked_search, read_bits

    place = {"keep": keep, "directory": out, "force": force, "resume": resume, "argv": sys.argv}
    several = {"--time": time, "--unit": unit, "--engine": engine != "auto" and engine, "--workers": workers != 1}
    if model is None and problem and is_cascade(problem):
        from codesign.cli.cascade_view import show_front

        refused = {**several, "--grid": grid, "--pue": pue, "--where": where, "--uneven": uneven, "--ragged": ragged,
                   "--no-bypass": not bypass, "--batch": batch, "--bits": bits != BITS}  # fmt: skip
        fused = {"problem": problem, "target": target, "tables": s.names(tables), "objectives": s.names(objectives),
                 "latency": latency}  # fmt: skip
        show_front(ctx, *asked_cascade(fused, refused, evaluations=evaluations, seed=seed, **place), json)
        return
    site = {name: value for name, value in (("grid", grid), ("pue", pue)) if value is not None}
    spec = {"target": target, "tables": s.names(tables), "where": tuple(where or ()), "bypass": bypass,
            "uneven": uneven, "ragged": ragged, "latency": latency, "objectives": s.names(objectives),
            **({"site": site} if site else {})}  # fmt: skip
    if model is not None:
        sizes = {} if batch is None else {"batch": batch}
        asked = {**spec, "model": model, "bits": read_bits(bits), "sizes": sizes}
        run, mapped = asked_model(asked, {"--problem": problem, **several}, evaluations=evaluations, seed=seed, **place)
        show_model(ctx, run, mapped, json)
        return
    with s.watched(ctx) as progress:
        run, searched = asked_search(
            {**spec, "problem": problem, "unit": unit}, engine=engine, evaluations=evaluations,
            time_limit=s.seconds(time), seed=seed, workers=workers, progress=progress, **place,
        )  # fmt: skip
    show_search(ctx, run, searched, json)
