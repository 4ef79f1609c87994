"""``codesign search accelerator``: which configuration of a template runs a set of models best, carbon included."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import design_options as o
from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag

app = command_app()


@app.command("accelerator")
def accelerator(
    ctx: typer.Context,
    models: Annotated[str, typer.Argument(help="Models, comma list of presets.")] = "resnet-18,bert-base",
    template: Annotated[str, typer.Option(help="Accelerator to vary: an id or a YAML file.")] = "eyeriss-like",
    objectives: Annotated[str, typer.Option(help="What to minimise, comma list.")] = "latency,energy,tcdp",
    where: Annotated[list[str] | None, typer.Option(help="Limit, such as 'area <= 50 mm2'; repeat for more.")] = None,
    vary: Annotated[list[str] | None, typer.Option(help="KNOB=V1,V2 values of a knob; one value fixes it.")] = None,
    weights: Annotated[str, typer.Option(help="Inferences of each model in a run, comma list; default 1 each.")] = "",
    pick: Annotated[str, typer.Option(help="Mapping of each layer by the least edp, energy or latency.")] = "edp",
    mappings: Annotated[int | None, typer.Option(help="Mappings to price for a layer on a geometry.")] = None,
    grid: o.Grid = None,
    pue: o.Pue = None,
    lifetime: o.Lifetime = None,
    utilisation: o.Utilisation = None,
    engine: s.Engine = "nsga2",
    evaluations: Annotated[int, typer.Option(help="Configurations to price.")] = 400,
    time: s.TimeLimit = None,
    seed: s.Seed = 0,
    workers: s.Workers = 1,
    keep: s.Keep = "sample:2000",
    out: s.Out = None,
    force: s.Force = False,
    resume: s.Resume = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the knobs and stop.")] = False,
    json: JsonFlag = False,
) -> None:
    """Search configurations of an accelerator: array, buffers, bandwidth, DRAM, node, cores, package, supply.

    Objectives: latency, energy, area, embodied_carbon, carbon, tcdp, edp. Knobs of --vary: rows, columns, pads, buffer,
    bandwidth, memory, node, bits, cores, package, volts.

    \b
    Examples:
      codesign search accelerator resnet-18,bert-base --template eyeriss-like --where 'area <= 50 mm2'
      codesign search accelerator resnet-18 --vary node=7 --vary memory=lpddr4,hbm2 --objectives latency,carbon
    """
    from codesign.search.accelerator.spec import accelerator_spec, read_vary, read_weights
    from codesign.search.api import run_search

    spec = accelerator_spec(
        models=s.names(models), template=template, objectives=s.names(objectives), where=tuple(where or ()),
        vary=read_vary(vary or ()), weights=read_weights(weights), pick=pick, mappings=mappings,
        site={"grid": grid, "pue": pue, "lifetime_years": lifetime, "utilisation": utilisation},
    )  # fmt: skip
    with s.watched(ctx) as progress:
        run = run_search(
            "accelerator", spec, engine=engine, evaluations=evaluations, time_limit=s.seconds(time), seed=seed,
            workers=workers, keep=keep, directory=out, force=force, resume=resume, dry_run=dry_run, progress=progress,
            argv=sys.argv,
        )  # fmt: skip
    if run is not None:
        s.finish(ctx, run, json)
