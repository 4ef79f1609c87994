"""``codesign doctor``: what this machine offers."""

from __future__ import annotations

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, number, show

app = command_app()


@app.command()
def doctor(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Say what this machine offers, and what is missing.

    \b
    Examples:
      codesign doctor
      codesign doctor --json
    """
    from codesign.cli.machine import energy_meters, findings

    found = findings()
    tables = []
    for group in dict.fromkeys(f.group for f in found):
        rows = [(f.name, "ok" if f.found else "--", f.value, f.hint) for f in found if f.group == group]
        hinted = any(row[3] for row in rows)
        heads = ("", "", "found", "to do") if hinted else ("", "", "found")
        tables.append(Table(group, heads, [row[: len(heads)] for row in rows]))
    meters = energy_meters()
    rows = [(m.backend, m.status, number(m.power_w, "W"), m.reason) for m in meters]
    tables.append(Table("energy meters", ("", "", ">power", "why"), rows))
    show(ctx, found, tables, as_json=json, top={"energy_meters": meters})
