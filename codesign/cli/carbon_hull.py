"""``codesign carbon hull``: which designs of a search are best for some life."""

from __future__ import annotations

from typing import Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, number, show
from codesign.units import format_digits

app = command_app()

UNITS = {"from_years": "year", "delay_s": "s", "operational_g": "gCO2e", "embodied_g": "gCO2e"}


@app.command("hull")
def hull_command(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Run directory of a search of deployments or accelerators.")],
    json: JsonFlag = False,
) -> None:
    """Say which designs have the least total carbon x delay for some life, and from which on.

    All others can be left out whatever the grid, the life and the utilisation turn out to be.

    \b
    Examples:
      codesign carbon hull runs/fleet
      codesign carbon hull runs/fleet --json
    """
    from codesign.run import load_run
    from codesign.search.carbon_hull import hull_of_run

    found = hull_of_run(load_run(run))
    shared = {k for k in found.rows[0].design if len({str(row.design[k]) for row in found.rows}) == 1}
    rows = [
        (
            f"#{row.id}", " ".join(f"{k} {v}" if k not in ("target", "dtype") else str(v) for k, v in row.design.items()
                                   if k not in shared),
            "the start" if not row.from_years else f"{format_digits(row.from_years, 2)} years",
            number(row.delay_s, "s"), format_digits(row.operational_g), format_digits(row.embodied_g),
        )
        for row in found.rows
    ]  # fmt: skip
    heads = ("point", "design", ">best from", f">{found.columns.run}", ">operational", ">embodied")
    site, unit = found.site, found.columns.unit
    title = f"Least total carbon x delay: {len(rows)} of {found.designs:,} designs, by years of life; gCO2e/{unit}"
    place = f"lives at {site.grid:.1f} gCO2e/kWh, PUE {site.pue:g}, utilisation {site.utilisation:.0%}"
    notes = [
        f"{place}; embodied for {site.lifetime_years:g} years; half the intensity doubles a life",
        *([f"all: {', '.join(f'{k} {found.rows[0].design[k]}' for k in found.rows[0].design if k in shared)}"]
          if shared else []),
    ]  # fmt: skip
    results = {"rows": [row._asdict() for row in found.rows], "designs": found.designs, "site": site}
    show(ctx, results, [Table(title, heads, rows)], as_json=json, units=UNITS, notes=notes)
