"""``codesign compare``: what changed from one run to another, with limits for continuous integration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, number, show
from codesign.errors import LimitCrossed

app = command_app()


@app.command()
def compare(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="A run directory, the one compared with.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="A run directory of the same objectives.")],
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="A limit on the change from A to B, in %: 'latency <= 5 %'. Crossed: exit 4."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Compare the fronts of two runs, with limits for CI.

    \b
    Examples:
      codesign compare runs/before runs/after
      codesign compare runs/before runs/after --where 'latency <= 5 %' --where 'hypervolume >= -1 %'
    """
    from codesign.report.compare import compare as compare_runs
    from codesign.report.compare import crossed, limits

    found = compare_runs(first, second)
    stated = limits(where or [], found)
    rows = [
        (
            r["quantity"], number(r["a"], r["unit"], 4), number(r["b"], r["unit"], 4),
            "-" if r["delta_percent"] is None else f"{r['delta_percent']:+.2f} %", r["verdict"],
        )
        for r in found.rows
    ]  # fmt: skip
    shares = [("of B's front, A is as good or better", f"{found.coverage_by_a:.1%}"),
              ("of A's front, B is as good or better", f"{found.coverage_by_b:.1%}")]  # fmt: skip
    tables = [
        Table("Best of each objective, and at the knee", ("quantity", ">A", ">B", ">change", "B is"), rows),
        Table("Coverage", ("share", ">"), shares),
    ]
    show(
        ctx,
        asdict(found),
        tables,
        as_json=json,
        notes=found.notes,
        units={r["quantity"]: r["unit"] for r in found.rows},
    )
    broken = crossed(stated, found)
    if broken:
        raise LimitCrossed("; ".join(broken), "the limits were stated by --where")
