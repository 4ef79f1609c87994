"""``codesign carbon grids``: the carbon intensity of electricity, shipped and of one's own series."""

from __future__ import annotations

from typing import Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, note, show

app = command_app()


@app.command("grids")
def grids(
    ctx: typer.Context,
    name: Annotated[
        list[str] | None, typer.Argument(help="Countries, cloud regions, areas, g/kWh or CSV files; none lists all.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="Year of the data.")] = None,
    column: Annotated[str | None, typer.Option(help="Of a CSV: its column of g/kWh.")] = None,
    factors: Annotated[
        str | None, typer.Option(help="Of a CSV: fuel factors, grid_mix, act or codecarbon[,FUEL=G_PER_KWH].")
    ] = None,
    marginal: Annotated[bool, typer.Option("--marginal", help="Of a CSV or number: intensities are marginal.")] = False,
    utc_offset: Annotated[
        float | None, typer.Option(help="Hours of local time ahead of UTC, of the profile; default the area's.")
    ] = None,
    hours: Annotated[bool, typer.Option("--hours", help="Add the numbers of the profile; in JSON the series.")] = False,
    json: JsonFlag = False,
) -> None:
    """List grids, or show the mean, range, spread and daily profile of some.

    \b
    Examples:
      codesign carbon grids ERCO
      codesign carbon grids france gcp:us-central1 mine.csv --json
    """
    from codesign.cli import carbon_grids_view as view
    from codesign.targets.grids import Kind, list_grids, load_grid

    if not name:
        entries = list_grids()
        heads = ("grid", "name", "kind", ">year", ">g/kWh")
        rows = [(e.id, e.name, e.sort, str(e.year or "-"), view.intensity(e.intensity)) for e in entries]
        lines = ["one grid: codesign carbon grids NAME; hourly areas have a series behind them"]
        show(ctx, entries, [Table("", heads, rows)], as_json=json, units={"intensity": "gCO2e/kWh"}, notes=lines)
        return
    kind: Kind | None = "marginal" if marginal else None
    found = [load_grid(text, year=year, column=column, factors=factors, kind=kind) for text in name]
    results = [view.facts(grid, utc_offset, hours) for grid in found]
    show(ctx, results, view.tables(found, results, hours), as_json=json, units=view.UNITS)
    if not json:
        for grid in found:
            for line in grid.notes:
                note(ctx, f"{grid.id}: {line}")
