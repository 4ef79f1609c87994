"""``codesign validate``: our numbers beside their references."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, count, number, show
from codesign.errors import LimitCrossed, UsageError

app = command_app()


@app.command()
def validate(
    ctx: typer.Context,
    topic: Annotated[
        list[str] | None, typer.Argument(help="Topics to check; all when left out, but machine: it measures here.")
    ] = None,
    cases: Annotated[str | None, typer.Option(help="A file of inputs beside expected values.", metavar="FILE")] = None,
    target: Annotated[str | None, typer.Option(help="Of machine: its target file; default ./this-cpu.yaml.")] = None,
    overlay: Annotated[str | None, typer.Option(help="Of machine: its overlay; default: as calibrated here.")] = None,
    json: JsonFlag = False,
) -> None:
    """Check our numbers against references, this machine, or your cases.

    Exits 4 when a number is outside its tolerance; machine has none, and shows errors and intervals. Of a case file all
    cases are shown, and it exits 2 when one cannot be computed.

    \b
    Examples:
      codesign validate
      codesign validate models --json
      codesign validate machine
      codesign validate --cases cases.yaml --json
    """
    from codesign.cli.validate_machine import TOPIC, validate_machine
    from codesign.validation import Check, run_topics

    if cases is not None:
        from codesign.cli.validate_cases import validate_cases

        if topic or target is not None or overlay is not None:
            raise UsageError("--cases stands alone", "codesign validate --cases FILE")
        validate_cases(ctx, cases, json)
        return
    if topic == [TOPIC]:
        validate_machine(ctx, target, overlay, json)
        return
    if TOPIC in (topic or ()):
        raise UsageError(f"{TOPIC} stands alone", f"it measures for minutes: codesign validate {TOPIC}")
    if target is not None or overlay is not None:
        raise UsageError("--target and --overlay are of machine", f"codesign validate {TOPIC} --overlay FILE")

    checks, skipped = run_topics(topic or ())
    missed = [check for check in checks if not check.passed]
    results: list[dict[str, Any]] = [
        {**msgspec.to_builtins(check), "error": check.error, "passed": check.passed} for check in checks
    ]

    def row(check: Check) -> tuple[object, ...]:
        shown = [number(v, check.unit, 4) if check.unit else count(v) for v in (check.expected, check.found)]
        within = f"{check.tolerance:.1%}" if not 0.0 < check.tolerance < 5e-4 else f"{check.tolerance:.0e}"
        return check.name, *shown, f"{check.error:+.2%}", within, "ok" if check.passed else "MISS"

    heads = ("check", ">expected", ">found", ">error", ">within", "")
    tables = [
        Table(name, heads, [row(check) for check in checks if check.topic == name])
        for name in dict.fromkeys(check.topic for check in checks)
    ]
    note = f"{len(checks) - len(missed)} of {len(checks)} checks within tolerance; --json names each source"
    notes = [*(f"{skip.topic}: {skip.name} skipped: {skip.reason}" for skip in skipped), note]
    show(ctx, results, tables, as_json=json, notes=notes, top={"skipped": skipped} if skipped else None)
    if missed:
        worst = max(missed, key=lambda check: abs(check.error))
        raise LimitCrossed(f"{len(missed)} of {len(checks)} checks missed", f"worst: {worst.topic}, {worst.name}")
