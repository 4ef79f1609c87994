"""What every kind of search shares at the terminal: effort options, progress, and the closing table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from codesign.cli.output import Table, envelope, is_quiet, note, number, result_console, show_tables

Engine = Annotated[str, typer.Option(help="exhaustive, random, nsga2, local, islands, or optuna:SAMPLER.")]
Evaluations = Annotated[int | None, typer.Option(help="Budget; default: the whole space, or 10,000.")]
TimeLimit = Annotated[str | None, typer.Option("--time", help="Stop after this long, for example '2 min'.")]
Seed = Annotated[int, typer.Option(help="Same seed, same front, whatever --workers.")]
Workers = Annotated[int, typer.Option(help="Processes that evaluate.")]
Keep = Annotated[str, typer.Option(help="Rows kept beside the front: front, sample:N or all.")]
Out = Annotated[str | None, typer.Option(help="Run directory; default runs/<time>-<kind>.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the run in --out.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")]
Where = Annotated[list[str] | None, typer.Option(help="Limit, for example 'ttft <= 0.5 s'; repeat for more.")]

PLAIN_EVERY_S = 10.0


@contextmanager
def watched(ctx: typer.Context) -> Iterator[Callable[[Any], None] | None]:
    """Yield a progress callback: a live line on a terminal, a plain line each 10 s otherwise, none when quiet."""
    if is_quiet(ctx):
        yield None
        return
    live = sys.stderr.isatty()
    shown = [time.monotonic()]

    def tell(p: Any) -> None:
        now = time.monotonic()
        if now - shown[0] < (0.1 if live else PLAIN_EVERY_S):
            return
        shown[0] = now
        rate = p.evaluations / p.seconds if p.seconds else 0.0
        left = f", {(p.budget - p.evaluations) / rate:,.0f} s left" if p.budget and rate else ""
        line = f"{p.evaluations:,} evaluations, {rate:,.0f}/s, {p.feasible:,} feasible, front {p.front_size}{left}"
        sys.stderr.write(f"\r\x1b[K{line}" if live else f"{line}\n")
        sys.stderr.flush()

    try:
        yield tell
    finally:
        if live:
            sys.stderr.write("\r\x1b[K")


def seconds(text: str | None) -> float | None:
    """Return a duration option in seconds."""
    from codesign.units import parse_quantity

    return None if text is None else parse_quantity(text, "s", "--time")


def names(text: str) -> tuple[str, ...]:
    """Return the entries of a comma list, blanks dropped, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def counts(text: str, option: str) -> tuple[int, ...] | None:
    """Return a comma list of whole numbers, or None where nothing was given."""
    from codesign.errors import UsageError

    found = []
    for part in names(text):
        if not part.isdigit() or not 1 <= int(part) <= 1_000_000:
            raise UsageError(f"{option}: found {part!r}", "expected whole numbers from 1, such as 1,2,4")
        found.append(int(part))
    return tuple(found) or None


def finish(ctx: typer.Context, run: Any, as_json: bool) -> None:
    """Write the report of a finished search and show its front."""
    from codesign.costmodels.siting import grid_lines
    from codesign.report import load_sheet, report
    from codesign.report.terminal import front_table, next_steps

    path = report(run)
    if as_json:
        content = {"run": str(run.path), "report": str(path), "front": run.front}
        units = {o["name"]: o["unit"] for o in run.meta["problem"]["objectives"]}
        sys.stdout.write(envelope(ctx, content, units) + "\n")
        return
    sheet = load_sheet([run])
    console = result_console()
    console.print(front_table(sheet, console.width))
    verification = run.front.get("verification")
    if verification and "claim" in verification:
        from codesign.cli.search_mlir_view import show_again

        show_again(ctx, run, verification)
    elif verification and "median_error_before" in verification:  # other searches verify otherwise, and show it
        show_tables([verification_table(verification)])
        for line in verification_lines(run.path, verification):
            note(ctx, line)
    for line in (*grid_lines(run.meta["spec"].get("spec", {})), *next_steps(sheet, str(path))):
        note(ctx, line)


def verification_table(verification: dict[str, Any]) -> Table:
    """Return predicted against measured, before and after calibration."""
    rows = [
        (
            r["design"], r["objective"], number(r["predicted"], r["unit"]), number(r["measured"], r["unit"]),
            "yes" if r["inside"] else "no", number(r["calibrated"], r["unit"]), "yes" if r["inside_after"] else "no",
        )
        for r in verification["rows"]
    ]  # fmt: skip
    heads = ("measured here", "pass", ">predicted", ">measured", "inside", ">calibrated", "inside")
    return Table("Predicted against measured; inside: within the 90 % interval", heads, rows)


def verification_lines(path: Any, verification: dict[str, Any]) -> list[str]:
    """Return what verification found, in words."""
    v = verification
    left = ", ".join(v["left_front"]) or "none"
    return [
        f"median error {v['median_error_before']:.0%} before calibration, {v['median_error_after']:.0%} after; "
        f"inside the interval {v['inside_before']:.0%} before, {v['inside_after']:.0%} after",
        f"left the front: {left}; entered it: {v['entered_front']}; disturbed: {v['disturbed']}",
        f"calibrated  {path / v['calibrated_run']}",
        f"reuse       --overlay {path / 'overlay.yaml'}",
    ]
