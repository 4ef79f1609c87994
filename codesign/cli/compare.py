"""``codesign compare``: what changed from one run to another, with limits for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codesign.cli.lazy import command_app
from codesign.cli.names import told_apart
from codesign.cli.output import JsonFlag, Table, number, show
from codesign.errors import LimitCrossed

if TYPE_CHECKING:
    from codesign.profilers.compare import Difference, TimeChange
    from codesign.report.compare import Comparison, ProfileComparison

app = command_app()

SHOWN_ROWS = 12
"""Operators, and kernels, shown of one comparison; half as many of each where there are several."""

NAME_WIDTH = 28


@app.command()
def compare(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="A run directory, the one compared with.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="One of the same objectives; of a profile, a profile.")],
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="A limit on the change from A to B, in %: 'latency <= 5 %'. Crossed: exit 4."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Compare the fronts of two searches, or two profiles.

    Limits stated by --where end with exit code 4 where they are crossed.

    \b
    Examples:
      codesign compare runs/before runs/after
      codesign compare runs/before runs/after --where 'latency <= 5 %' --where 'hypervolume >= -1 %'
      codesign compare runs/profile-a runs/profile-b --where 'tklqt <= 5 %'
    """
    from codesign.report.compare import ProfileComparison, compare_any, crossed, limits

    found = compare_any(first, second)
    stated = limits(where or [], found)
    results, tables, units = _profiles(found) if isinstance(found, ProfileComparison) else _fronts(found)
    show(ctx, results, tables, as_json=json, notes=found.notes, units=units)
    broken = crossed(stated, found)
    if broken:
        raise LimitCrossed("; ".join(broken), "the limits were stated by --where")


Shown = tuple[dict[str, Any], list[Table], dict[str, str]]
"""What ``--json`` prints, what is printed otherwise, and the units of the first."""


def _fronts(found: Comparison) -> Shown:
    from dataclasses import asdict

    rows = [
        (
            r["quantity"], number(r["a"], r["unit"], 4), number(r["b"], r["unit"], 4),
            _percent(r["delta_percent"]), r["verdict"],
        )
        for r in found.rows
    ]  # fmt: skip
    shares = [("of B's front, A is as good or better", f"{found.coverage_by_a:.1%}"),
              ("of A's front, B is as good or better", f"{found.coverage_by_b:.1%}")]  # fmt: skip
    tables = [
        Table("Best of each objective, and at the knee", ("quantity", ">A", ">B", ">change", "B is"), rows),
        Table("Coverage", ("share", ">"), shares),
    ]
    return asdict(found), tables, {r["quantity"]: r["unit"] for r in found.rows}


def _profiles(found: ProfileComparison) -> Shown:
    from msgspec.structs import asdict

    results = {
        "profiles": [{"batch": batch, **asdict(part)} for batch, part in found.parts.items()], "notes": found.notes,
    }  # fmt: skip
    rows = SHOWN_ROWS if len(found.parts) == 1 else SHOWN_ROWS // 2
    tables = [t for batch, part in found.parts.items() for t in _tables(batch, part, rows)]
    units = {row.quantity: row.unit for part in found.parts.values() for row in part.metrics if row.unit}
    return results, tables, {**units, "before_ns": "ns", "after_ns": "ns", "delta_ns": "ns", "delta_percent": "%"}


def _tables(batch: int | None, part: Difference, most: int) -> list[Table]:
    """Return the headline metrics of one batch size, and the operators and kernels that changed most."""
    from codesign.profilers.compare import HEADLINES

    where = "" if batch is None else f", batch {batch}"
    known = {row.quantity: row for row in part.metrics if not (row.before is None and row.after is None)}
    metrics = [
        (r.quantity, number(r.before, r.unit, 4), number(r.after, r.unit, 4), _percent(r.delta_percent), r.verdict)
        for r in (known[name] for name in HEADLINES if name in known)
    ]
    tables = [Table(f"Profile{where}", ("metric", ">A", ">B", ">change", "B is"), metrics)]
    kind = "time" if batch is None else "self time of a pass"
    for name, rows in ((f"Operators, {kind}", part.operators), ("Kernels, time", part.kernels)):
        changed = [row for row in rows if row.status or row.delta_ns or row.calls_before != row.calls_after]
        if changed:
            left = f"; {len(changed) - most} more in --json" if len(changed) > most else ""
            head = f"{name}{where}: {len(changed)} of {len(rows)} changed{left}"
            columns = ("name", ">calls A", ">calls B", ">A", ">B", ">change")
            names = told_apart([row.name for row in changed[:most]], NAME_WIDTH)
            cells = [(name, *_cells(row)) for name, row in zip(names, changed, strict=False)]
            tables.append(Table(head, columns, cells))
    return tables


def _cells(row: TimeChange) -> tuple[str, ...]:
    times = (number(t * 1e-9, "s") if c else "-" for c, t in ((row.calls_before, row.before_ns),
                                                              (row.calls_after, row.after_ns)))  # fmt: skip
    calls = (f"{c:.6g}" if c else "-" for c in (row.calls_before, row.calls_after))
    return *calls, *times, row.status or _percent(row.delta_percent, 1)


def _percent(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    factor = 1.0 + value / 100.0  # of a tenfold, per cent are hard to read
    return f"{value:+.{digits}f} %" if factor < 10.0 else f"{factor:,.3g}x" if factor < 100.0 else f"{factor:,.0f}x"
