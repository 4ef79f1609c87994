"""``codesign carbon footprint``: carbon of systems, in grids, over lifetimes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, note, show

app = command_app()


@app.command("footprint")
def footprint_command(
    ctx: typer.Context,
    spec: Annotated[Path, typer.Argument(help="What is asked: a YAML file (docs/carbon.md).")],
    out: Annotated[Path | None, typer.Option(help="Directory for report, tables and manifest.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier run there.")] = False,
    json: JsonFlag = False,
) -> None:
    """Account for the carbon of systems: operational, embodied, SCI, total carbon times delay.

    With --out DIR: report.html, footprint.json, footprint.csv and a manifest of the Impact Framework.

    \b
    Examples:
      codesign carbon footprint serving.yaml
      codesign carbon footprint serving.yaml --out runs/serving --json
    """
    from codesign.cli.carbon_footprint_view import notes as lines
    from codesign.cli.carbon_footprint_view import tables
    from codesign.costmodels.carbon.footprint_spec import read_footprint
    from codesign.costmodels.carbon.footprints import UNITS, check_comparable, footprints
    from codesign.run.directory import refuse_taken

    if out is not None:  # said before the work, not after
        refuse_taken(out, "carbon footprint", force)
    asked = read_footprint(str(spec))
    check_comparable(asked)
    result = footprints(asked)
    show(ctx, result, tables(result), as_json=json, units=UNITS, notes=lines(result))
    if out is not None:
        from codesign.report.footprint.write import write_footprint

        path = write_footprint(asked, result, out, force=force, argv=sys.argv)
        note(ctx, f"report     {path}")
