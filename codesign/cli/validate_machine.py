"""``codesign validate machine``: predicted against measured latency of whole models, here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from codesign.cli.output import Table, note, number, quantity, show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.costmodels.machine_validation import Compared
    from codesign.targets import Target

TOPIC = "machine"
TARGET, OVERLAY = Path("this-cpu.yaml"), Path("this-cpu.overlay.yaml")
"""Where ``codesign calibrate`` leaves them."""

HEADS = ("model", "phase", ">batch", ">predicted", ">measured", ">error", ">before", "inside")
UNITS = {"before": "s", "median": "s", "low": "s", "high": "s", "error": "1", "error_before": "1", "mean_error": "1",
         "median_error": "1", "mean_error_before": "1", "inside": "1"}  # fmt: skip


def validate_machine(ctx: typer.Context, target: str | None, overlay: str | None, json: bool) -> None:
    """Measure five models here and show them beside their predictions."""
    from codesign.costmodels.machine_validation import compare, summary

    here = _calibrated(ctx, target, overlay)
    if here.kind != "cpu":
        raise UsageError(f"{here.id} is no processor", "models are measured on this machine's processor")
    rows = list(compare(here, progress=lambda text: note(ctx, text)))
    whole = summary(rows)
    results = {
        "rows": [
            {**msgspec.to_builtins(row), "error": row.error, "error_before": row.error_before, "inside": row.inside}
            for row in rows
        ],
        "summary": whole,
        "target": here.id,
    }
    title = f"{here.name}: predicted with 90 % interval against measured, fp32, eager"
    notes = [
        f"mean error {whole.mean_error:.1%} ({whole.mean_error_before:.1%} before calibration), median "
        f"{whole.median_error:.1%}; {whole.inside:.0%} of {whole.rows} within the 90 % interval",
        *([f"{whole.busy} of {whole.rows} measurements scatter as beside other work"] if whole.busy else []),
    ]
    show(ctx, results, [Table(title, HEADS, [_row(row) for row in rows])], as_json=json, units=UNITS, notes=notes)


def _row(row: Compared) -> tuple[Any, ...]:
    return (
        row.name, row.phase, row.batch, quantity(row.predicted), number(row.measured.median, "s"), f"{row.error:+.0%}",
        f"{row.error_before:+.0%}", row.inside,
    )  # fmt: skip


def _calibrated(ctx: typer.Context, target: str | None, overlay: str | None) -> Target:
    """Return this machine's target with its calibration: of the files named or found here, else measured now."""
    from codesign.costmodels.operators.measured_here import measure_target
    from codesign.targets import detect, load_target

    if target is None and overlay is None and TARGET.exists() and OVERLAY.exists():
        note(ctx, f"using {TARGET} and {OVERLAY}, which are here")
        return load_target(str(TARGET), overlay=str(OVERLAY))
    if overlay is not None:
        found = load_target(target or str(TARGET), overlay=overlay)
        if not (found.operators or found.calibration):
            raise UsageError(f"{overlay} calibrates another target than {found.id}", "name its --target")
        return found
    if target is None:
        note(ctx, "no calibration here: measuring rates and bandwidth first; `codesign calibrate` keeps them")
    here = detect("cpu", 6.0) if target is None else load_target(target)
    learnt = measure_target(here, progress=lambda text: note(ctx, text))
    return msgspec.structs.replace(here, calibration=learnt.factors, operators=learnt.operators)
