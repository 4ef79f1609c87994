"""``codesign search quantization``: which bits each layer of a trained model needs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import design_options as o
from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag

app = command_app()

ALL = "32,16,8,6,4,3,2"


@app.command("quantization")
def quantization(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(help="digits-mlp, digits-cnn, tiny-transformer, py:package.module:factory or pt2:FILE.")
    ],
    target: Annotated[str, typer.Option("--target", help="What plans are priced on: a target's id or YAML file.")],
    data: Annotated[str, typer.Option(help="FILE.npz of x and y; of tiny-transformer a text or a folder.")] = "",
    report_data: Annotated[str, typer.Option(help="FILE.npz for the reported quality only; else split off.")] = "",
    objectives: Annotated[
        str, typer.Option(help="quality, loss, error (perplexity, mse), memory, latency, energy, carbon, cost.")
    ] = "quality,memory,latency,energy",
    where: s.Where = None,
    weights: Annotated[str, typer.Option(help="Bits of weights to consider, comma list.")] = ALL,
    activations: Annotated[str, typer.Option(help="Bits of input activations to consider, comma list.")] = ALL,
    kv: Annotated[str, typer.Option(help="Bits of cached keys and values to consider, comma list.")] = ALL,
    granularity: Annotated[
        str, typer.Option(help="Weights that share a scale, comma list: channel, tensor, group32 (any size).")
    ] = "channel,tensor,group32",
    zero_points: Annotated[bool, typer.Option(help="Consider weights with zero points, too.")] = True,
    batch: Annotated[int, typer.Option(help="Samples of a priced run.")] = 1,
    seeding: Annotated[str, typer.Option(help="Start from plans along the sensitivity, or none.")] = "sensitivity",
    grid: o.Grid = None,
    pue: o.Pue = None,
    lifetime: o.Lifetime = None,
    utilisation: o.Utilisation = None,
    overlay: o.OverlayOption = None,
    engine: Annotated[str, typer.Option(help="nsga2, random, local, optuna:nsga2 or optuna:tpe.")] = "nsga2",
    evaluations: Annotated[int | None, typer.Option(help="Budget of plans.")] = 600,
    time: s.TimeLimit = None,
    seed: s.Seed = 0,
    workers: s.Workers = 1,
    keep: s.Keep = "sample:2000",
    measure: Annotated[int, typer.Option(help="Time this many front plans here against the original.")] = 0,
    out: s.Out = None,
    force: s.Force = False,
    resume: s.Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the space and stop.")] = False,
    json: JsonFlag = False,
) -> None:
    """Search the bits of every layer of a trained model: quality on held-out data against what plans cost.

    \b
    Examples:
      codesign search quantization digits-cnn --target xeon-8480 --objectives error,memory,latency
      codesign search quantization py:my.models:trained --data test.npz --target l4 --where 'weight_bits <= 4'
    """
    from codesign.cli.search_quantization_view import show
    from codesign.search.api import run_search
    from codesign.search.deployment_spec import deployment_spec
    from codesign.search.quantization.measured import check_count, measure_front
    from codesign.search.quantization.problem import QuantizationProblem

    check_count(measure)
    spec = deployment_spec(
        model=model, target=target, data=data, report_data=report_data, objectives=s.names(objectives),
        where=tuple(where or ()), weights=s.counts(weights, "--weights"),
        activations=s.counts(activations, "--activations"), kv=s.counts(kv, "--kv"),
        granularities=s.names(granularity), zero_points=zero_points, batch=batch, seeding=seeding, overlay=overlay,
        site={"grid": grid, "pue": pue, "lifetime_years": lifetime, "utilisation": utilisation},
    )  # fmt: skip
    problem = QuantizationProblem(**spec)
    with s.watched(ctx) as progress:
        run = run_search(
            problem, engine=engine, evaluations=evaluations, time_limit=s.seconds(time), seed=seed, workers=workers,
            keep=keep, directory=out, force=force, resume=resume, dry_run=dry_run, progress=progress, argv=sys.argv,
        )  # fmt: skip
    if run is not None:
        show(ctx, problem, run, measure_front(run, problem, measure), json)
