"""``codesign report``: render runs as one offline HTML page, or as rows for other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import note
from codesign.errors import UsageError

app = command_app()


@app.command()
def report(
    ctx: typer.Context,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run directories of the same objectives; the newest under runs/ if none."),
    ] = None,
    format: Annotated[str, typer.Option("--format", "-f", help="html, csv, json, parquet, md or tex.")] = "html",
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The file to write; - is standard output.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the HTML report in the browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json --output -.")] = False,
) -> None:
    """Render runs: HTML, CSV, JSON, Parquet, Markdown, LaTeX.

    \b
    Examples:
      codesign report runs/20260101-120000-deployment
      codesign report runs/a runs/b --format csv --output fronts.csv
    """
    from codesign.report.sheet import newest_run
    from codesign.report.write import render
    from codesign.report.write import report as write

    chosen = runs or [newest_run()]
    if json:
        format, output = "json", "-"
    if open_it and (format != "html" or output == "-"):
        raise UsageError("--open shows an HTML file", "leave out --format and --output -")
    if output == "-":
        content = render(chosen, format)
        if isinstance(content, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
        else:
            sys.stdout.write(content)
        return
    path = write(chosen, format, output)
    typer.echo(str(path))
    if not runs:
        note(ctx, f"of the newest run, {chosen[0]}")
    if open_it:
        typer.launch(str(path))
