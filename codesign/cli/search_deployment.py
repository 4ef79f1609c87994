"""``codesign search deployment``: which deployment serves a model best."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import design_options as o
from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, note

app = command_app()


@app.command("deployment")
def deployment(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A language model: a preset, or hf:PATH.")],
    target: Annotated[str, typer.Option("--target", help="Targets, comma list of ids, aliases or YAML files.")],
    objectives: Annotated[str, typer.Option(help="What to minimise, comma list.")] = "latency,energy,carbon,cost",
    where: s.Where = None,
    dtype: Annotated[str, typer.Option(help="Free the precision, comma list such as bf16,fp8,int4.")] = "",
    batch: Annotated[str, typer.Option(help="Batch sizes to consider, comma list; default 1 to 1024.")] = "",
    tp: Annotated[str, typer.Option(help="Tensor and expert degrees to consider, comma list.")] = "",
    pp: Annotated[str, typer.Option(help="Pipeline stages to consider, comma list.")] = "",
    replicas: Annotated[str, typer.Option(help="Replicas to consider, comma list.")] = "",
    power_limit: Annotated[str, typer.Option(help="Free the power limit, in % of the TDP: 100,85,70,55.")] = "",
    prompt: Annotated[int, typer.Option(help="Prompt tokens of a request.")] = 1024,
    generate: Annotated[int, typer.Option(help="Output tokens of a request.")] = 256,
    mode: Annotated[
        str, typer.Option(help="static, served (a static batch asked of a server), continuous or in-step.")
    ] = "continuous",
    chunk: o.Chunk = None,
    rate: o.Rate = None,
    execution: o.Execution = "auto",
    framework: o.Framework = None,
    grid: o.Grid = None,
    pue: o.Pue = None,
    lifetime: o.Lifetime = None,
    utilisation: o.Utilisation = None,
    overlay: o.OverlayOption = None,
    engine: s.Engine = "exhaustive",
    evaluations: s.Evaluations = None,
    time: s.TimeLimit = None,
    seed: s.Seed = 0,
    workers: s.Workers = 1,
    keep: s.Keep = "sample:2000",
    verify: Annotated[int, typer.Option(help="Measure this many front points on this machine.")] = 0,
    rounds: Annotated[int, typer.Option(help="Rounds of measure, recalibrate, re-rank.")] = 1,
    out: s.Out = None,
    force: s.Force = False,
    resume: s.Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the space and stop.")] = False,
    json: JsonFlag = False,
) -> None:
    """Search deployments of a language model over targets, precision, sharding and batch.

    \b
    Examples:
      codesign search deployment llama-3.1-8b --target l4 --where 'ttft <= 0.5 s'
      codesign search deployment mixtral-8x7b --target h200-sxm --dtype bf16,fp8
    """
    from codesign.cli.overlay_note import unused_overlay
    from codesign.search.api import run_search
    from codesign.search.deployment_spec import deployment_spec

    spec = deployment_spec(
        model=model, targets=s.names(target), objectives=s.names(objectives), where=tuple(where or ()),
        dtypes=s.names(dtype), prompt=prompt, generate=generate, mode=mode, chunk=chunk, rate=rate,
        execution=execution, framework=framework, overlay=overlay, batches=s.counts(batch, "--batch"),
        degrees=s.counts(tp, "--tp"), stages=s.counts(pp, "--pp"), replicas=s.counts(replicas, "--replicas"),
        power_limits=s.counts(power_limit, "--power-limit"),
        site={"grid": grid, "pue": pue, "lifetime_years": lifetime, "utilisation": utilisation},
    )  # fmt: skip
    with s.watched(ctx) as progress:
        run = run_search(
            "deployment", spec, engine=engine, evaluations=evaluations, time_limit=s.seconds(time), seed=seed,
            workers=workers, keep=keep, directory=out, force=force, resume=resume, verify=verify, rounds=rounds,
            dry_run=dry_run, progress=progress, argv=sys.argv,
        )  # fmt: skip
    for line in unused_overlay(overlay, s.names(target)):
        note(ctx, line)
    if run is not None:
        s.finish(ctx, run, json)
