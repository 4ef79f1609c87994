"""``codesign validate machine``: predicted against measured latency of whole models, here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from codesign.cli.output import Table, note, show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.costmodels.machine_validation import Compared, Summary
    from codesign.profilers.disturbance import Share
    from codesign.targets import Target

TOPIC = "machine"
TARGET, OVERLAY = Path("this-cpu.yaml"), Path("this-cpu.overlay.yaml")
"""Where ``codesign calibrate`` leaves them."""

HEADS = ("model", ">predicted", ">measured", ">error", ">before", "inside")
UNITS = {"before": "s", "median": "s", "low": "s", "high": "s", "error": "1", "error_before": "1", "mean_error": "1",
         "median_error": "1", "mean_error_before": "1", "inside": "1", "own_error": "1", "ratio": "1", "drift": "1",
         "most_drift": "1"}  # fmt: skip


def validate_machine(ctx: typer.Context, target: str | None, overlay: str | None, json: bool) -> None:
    """Measure five models here and show them beside their predictions."""
    import numpy as np

    from codesign.costmodels.machine_validation import compare, summary
    from codesign.costmodels.operators.speed_now import speed_now
    from codesign.profilers.disturbance import Watch

    here = _calibrated(ctx, target, overlay)
    if here.kind != "cpu":
        raise UsageError(f"{here.id} is no processor", "models are measured on this machine's processor")
    watch = Watch()
    note(ctx, "measuring some operators of the calibration again ...")
    speeds = [speed_now(here)]
    compared = compare(here, progress=lambda text: note(ctx, text))
    rows = compared.rows
    speeds.append(speed_now(here))
    others = watch.share()
    slower = float(np.sqrt(speeds[0].ratio * speeds[1].ratio))
    whole = summary(rows, slower)
    results = {
        "rows": [
            {**msgspec.to_builtins(row), "error": row.error, "error_before": row.error_before, "inside": row.inside}
            for row in rows
        ],
        "missing": compared.missing,
        "summary": whole,
        "speed": [{**speed._asdict(), "changed": speed.changed} for speed in speeds],
        "target": here.id,
    }
    title = f"{here.name}: predicted [90 % interval] and measured, ms, fp32, eager"
    notes = [
        f"mean error {whole.mean_error:.1%} ({whole.mean_error_before:.1%} before calibration), median "
        f"{whole.median_error:.1%}; {whole.inside:.0%} of {whole.rows} within the 90 % interval",
        f"the same passes again took up to {np.exp(whole.most_drift):.2f} times as long, in the median "
        f"{np.exp(whole.drift):.2f} times: what the machine alone changes",
        *_speed_lines([speed.ratio for speed in speeds], any(speed.changed for speed in speeds), whole),
        *_beside(others),
        *(f"not measured: {text}" for text in compared.missing),
        *dict.fromkeys(f"of {row.name.replace(', ', ' only ')}" for row in rows if ", " in row.name),
        *([f"{whole.busy} of {whole.rows} measurements scatter as beside other work"] if whole.busy else []),
    ]
    show(ctx, results, [Table(title, HEADS, [_row(row) for row in rows])], as_json=json, units=UNITS, notes=notes)


def _speed_lines(ratios: Sequence[float], changed: bool, whole: Summary) -> list[str]:
    """Return in words how fast the machine is against its calibration."""
    before, after = (f"{ratio:.2f}" for ratio in ratios)
    line = f"operators of the calibration took {before} (before) and {after} times (after) as long as it predicts"
    if not changed:
        return [line]
    taken_out = f"with that taken out the mean error is {whole.own_error:.1%}"
    return [
        f"{line}: its speed has changed",
        f"{taken_out}; calibrate again on an idle machine: codesign calibrate --force",
    ]


def _beside(others: Share | None) -> list[str]:
    """Return in words what other processes took, where that is worth a word."""
    from codesign.profilers.disturbance import DISTURBING

    if others is None or others.fraction <= DISTURBING:
        return []
    return [
        f"other work took {others.processors:.1f} of {others.of} processors meanwhile: repeat it on an idle machine"
    ]


def _row(row: Compared) -> tuple[Any, ...]:
    phase = "" if row.phase == "forward" else f" {row.phase}"
    value, low, high = (_milliseconds(s) for s in (row.predicted.value, row.predicted.low, row.predicted.high))
    return (
        f"{row.name.partition(', ')[0]}{phase} x {row.batch}", f"{value} [{low} to {high}]",
        _milliseconds(row.measured.median), f"{row.error:+.0%}", f"{row.error_before:+.0%}", row.inside,
    )  # fmt: skip


def _milliseconds(seconds: float) -> str:
    """Return ``seconds`` in ms, which its table says."""
    return f"{seconds * 1e3:#.3g}".rstrip(".") if seconds < 0.9995 else f"{seconds * 1e3:.0f}"


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
