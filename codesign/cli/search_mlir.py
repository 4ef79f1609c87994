"""``codesign search mlir``: which edits of a tensor program make it faster, and what they cost in quality."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag

app = command_app()


@app.command("mlir")
def mlir(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(help="digits-mlp, digits-cnn (-train: its training step), py:MODULE:FACTORY, mlir:FILE.")
    ],
    data: Annotated[str, typer.Option(help="digits, FILE.npz with x and y, or py:MODULE:FUNCTION.")] = "digits",
    report_data: Annotated[str, typer.Option(help="Data for the report alone; else a part of --data.")] = "",
    weights: Annotated[str, typer.Option(help="Of mlir:FILE: FILE.npz with arrays arg1, arg2, ...")] = "",
    objectives: Annotated[
        str, typer.Option(help="runtime, error, flops, bytes, operations; comma list.")
    ] = "runtime,error",
    where: s.Where = None,
    backend: Annotated[str, typer.Option(help="xla, torch (no compiler), iree (experimental).")] = "xla",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch: Annotated[int, typer.Option(help="Rows of a run.")] = 128,
    steps: Annotated[int, typer.Option(help="Of a training step: steps before its weights are judged.")] = 100,
    lost: Annotated[float, typer.Option(help="Error that a faster program may lose.")] = 0.02,
    edits: Annotated[int, typer.Option(help="Most edits of a mutant.")] = 16,
    screen: Annotated[str, typer.Option(help="Cost model (costmodels fit --from-run) that screens edits.")] = "",
    memory: Annotated[float, typer.Option(help="GiB that one mutant may take.")] = 2.0,
    timeout: Annotated[str, typer.Option(help="Longest evaluation of one mutant.")] = "30 s",
    engine: Annotated[str, typer.Option(help="gevo, nsga2, random or local.")] = "gevo",
    evaluations: Annotated[int | None, typer.Option(help="Mutants to evaluate; default 400.")] = None,
    time: s.TimeLimit = None,
    random: Annotated[bool, typer.Option(help="Search by random edits as well, to compare.")] = True,
    seed: s.Seed = 0,
    workers: Annotated[int, typer.Option(help="Processes that compile; timing is one after the other.")] = 2,
    keep: s.Keep = "sample:2000",
    out: s.Out = None,
    force: s.Force = False,
    resume: s.Resume = False,
    json: JsonFlag = False,
) -> None:
    """Search edits of a model's program: compiled, judged on unseen data, and timed beside the original.

    \b
    Examples:
      codesign search mlir digits-cnn --data digits --objectives runtime,error
      codesign search mlir py:mine.py:net --data mine.npz --backend torch
    """
    from codesign.search.mlir.asked import search_programs

    spec = {
        "model": model, "weights": weights, "data": data, "report_data": report_data, "objectives": s.names(objectives),
        "where": tuple(where or ()), "backend": backend, "device": device, "batch": batch, "steps": steps,
        "most_edits": edits, "memory_gib": memory, "screen": screen, "lost": lost, "random": random,
    }  # fmt: skip
    with s.watched(ctx) as progress:
        run = search_programs(
            spec, engine=engine, evaluations=evaluations, time_limit=s.seconds(time), timeout=s.seconds(timeout),
            seed=seed, workers=workers, keep=keep, directory=out, force=force,
            resume=resume, progress=progress, argv=sys.argv,
        )  # fmt: skip
    s.finish(ctx, run, json)
