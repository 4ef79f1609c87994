"""``codesign calibrate``: measure this machine, or take measurements, and write a target overlay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, note
from codesign.errors import UsageError, nearest, printable

if TYPE_CHECKING:
    from codesign.targets import Target

app = command_app()

KINDS = {"cpu": "cpu", "cuda": "gpu"}
DETECTING_S = 6.0
"""Time for the rates of a machine that has no target file yet."""


@app.command("calibrate")
def calibrate_command(
    ctx: typer.Context,
    device: Annotated[str, typer.Option(help="What to measure: cpu or cuda.")] = "cpu",
    target: Annotated[str | None, typer.Option(help="Target to calibrate; without it this machine's is made.")] = None,
    out: Annotated[Path | None, typer.Option(help="Overlay file; default this-cpu.overlay.yaml.")] = None,
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Time for repeats, s.")] = 25.0,
    given: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Measurements you have: CSV of operators or models, bench JSON, profiles."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model that --from measured, where its files do not say.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of --from, where its files do not say; so are the next.")] = None,
    tp: Annotated[int | None, typer.Option(help="Devices of a tensor-parallel group.")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences at once.")] = None,
    prompt: Annotated[int | None, typer.Option(help="Tokens of a prompt.")] = None,
    generate: Annotated[int | None, typer.Option(help="Tokens of an answer.")] = None,
    execution: Annotated[str | None, typer.Option(help="eager, compiled or graph.")] = None,
    mode: Annotated[str | None, typer.Option(help="static, served, continuous or in-step batching.")] = None,
    chunk: Annotated[int | None, typer.Option(help="Token budget of an iteration.")] = None,
    framework: Annotated[str | None, typer.Option(help="What served: trtllm, sglang or vllm.")] = None,
    rows: Annotated[Path | None, typer.Option(help="Write the measured operators as CSV too.")] = None,
    allow_busy: Annotated[bool, typer.Option("--allow-busy", help="Calibrate beside other work, widened.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files; measure rates again.")] = False,
    json: JsonFlag = False,
) -> None:
    """Measure this machine, or take measurements; write an overlay.

    \b
    Examples:
      codesign calibrate
      codesign calibrate --from rows.csv --target h100-sxm --out h100.overlay.yaml
    """
    from codesign.cli.calibrate_files_view import calibrate_from_files
    from codesign.cli.calibrate_view import calibrate_machine
    from codesign.targets import load_target

    if device not in KINDS:
        raise UsageError(f"unknown device {printable(device, 40)!r}", nearest(device, KINDS))
    options = {"dtype": dtype, "tp": tp, "batch": batch, "prompt": prompt, "generate": generate,
               "execution": execution, "mode": mode, "chunk": chunk, "framework": framework}  # fmt: skip
    stray = next((name for name, value in {"model": model, **options}.items() if value is not None), "")
    if stray and not given:
        raise UsageError(f"--{stray} is of --from", "leave it out: what is measured here is chosen already")
    if given and target is None:
        raise UsageError("--from needs --target", "name what was measured: --target h100-sxm, or a target file")
    known = load_target(target) if target is not None else None
    kind = KINDS[device] if known is None else "cpu" if known.kind == "cpu" else "gpu"
    overlay = out or Path(f"{known.id}.overlay.yaml" if given and known else f"this-{kind}.overlay.yaml")
    check_new(overlay, rows, force)
    if given and known is not None:
        calibrate_from_files(ctx, given, known, str(target), model, options, overlay, force, json)
        return
    place = Path(str(target)) if known is not None else overlay.parent / f"this-{kind}.yaml"
    fresh = known is None and (force or not place.exists())
    if known is None and not fresh:
        note(ctx, f"{place} describes this machine already: its rates are kept")
        known = load_target(str(place))
    here = known if known is not None else detected(ctx, device)
    calibrate_machine(ctx, here, place, overlay, rows, seconds, fresh, allow_busy, force, json)


def check_new(overlay: Path, rows: Path | None, force: bool) -> None:
    """Refuse to replace files: before a minute of measuring, not after."""
    for path in (overlay, rows):
        if path is not None and path.exists() and not force:
            raise UsageError(f"{path} exists", "choose another name, or --force to replace it")


def detected(ctx: typer.Context, device: str) -> Target:
    """Return this machine's target, measured."""
    from codesign.targets import detect

    note(ctx, f"measuring rates and bandwidth of {device} ...")
    return detect(device, DETECTING_S)
