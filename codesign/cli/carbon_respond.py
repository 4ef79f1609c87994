"""``codesign carbon respond``: a fleet's power over the hours of a grid, policy by policy."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codesign.cli import search_run as s
from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag

app = command_app()


@app.command("respond")
def respond_command(
    ctx: typer.Context,
    spec: Annotated[str, typer.Argument(help="A study: grid, workloads, policies, prices (YAML).")],
    out: Annotated[str | None, typer.Option(help="Run directory; default runs/<time>-demand-response.")] = None,
    force: s.Force = False,
    json: JsonFlag = False,
) -> None:
    """Plan a fleet's power against the carbon of its grid.

    Workloads give up power in dirty hours: online work is shed, batch work is moved. Policies trade the carbon
    saved against the penalty of the workloads; each policy and price is one plan. The run directory holds the
    front, all plans hour by hour (plan.csv) and a report.

    \b
    Examples:
      codesign carbon respond study.yaml
      codesign carbon respond study.yaml --out runs/texas --json
    """
    from codesign.cli.carbon_respond_view import notes, results, tables
    from codesign.cli.output import show
    from codesign.report import report
    from codesign.search.demand_response.respond import respond
    from codesign.search.demand_response.summary import summarise

    with s.watched(ctx) as progress:
        run, problem = respond(spec, directory=out, force=force, progress=progress, argv=sys.argv)
    page = report(run)
    summary = summarise(run, problem)
    show(
        ctx, results(run, summary, page), () if json else tables(summary), as_json=json,
        units=summary.units, notes=() if json else notes(run, summary, page),
    )  # fmt: skip
