"""``codesign search FILE``: run the search that a YAML file or a run.json states."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag

app = command_app()


@app.command("spec")
def spec_command(
    ctx: typer.Context,
    spec: Annotated[str, typer.Argument(help="A YAML spec, or the run.json of a run.")],
    engine: Annotated[str | None, typer.Option(help="Another engine than the spec's.")] = None,
    evaluations: s.Evaluations = None,
    time: s.TimeLimit = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the spec's.")] = None,
    workers: s.Workers = 1,
    out: s.Out = None,
    force: s.Force = False,
    json: JsonFlag = False,
) -> None:
    """Run a search as a file states it.

    \b
    Examples:
      codesign search search.yaml
      codesign search runs/X/run.json --seed 2
    """
    from pathlib import Path

    from codesign.cli.search import KINDS
    from codesign.errors import UsageError, nearest
    from codesign.search.specs import search_from_spec

    if not Path(spec).exists() and not spec.endswith((".yaml", ".yml", ".json")):
        raise UsageError(f"unknown kind of search {spec!r}", f"{nearest(spec, KINDS)}; or give a spec file")
    with s.watched(ctx) as progress:
        run = search_from_spec(
            spec, directory=out, force=force, workers=workers, progress=progress, argv=tuple(sys.argv),
            engine=engine, evaluations=evaluations, time_limit=s.seconds(time), seed=seed,
        )  # fmt: skip
    s.finish(ctx, run, json)
