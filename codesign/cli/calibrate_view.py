"""What ``codesign calibrate`` writes and shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from codesign.cli.output import Table, note, number, show
from codesign.costmodels.factors import LABELS, F
from codesign.errors import printable

if TYPE_CHECKING:
    from codesign.costmodels.operators.calibration import ExpertCalibrated, OperatorsCalibrated
    from codesign.costmodels.operators.measured_here import Disturbance, MeasuredHere
    from codesign.targets import Calibration, Target

ERRORS = ("model", ">rows", ">before", ">after", ">roofline x 1", ">in 90 %", ">interval")
UNITS = {"before": "1", "after": "1", "roofline": "1", "coverage": "1", "half": "1", "host_seconds": "s", "median": "s",
         "low": "s", "high": "s", "rounds": "s"}  # fmt: skip
EXPLAINED = "errors are mean |predicted - measured| / measured; after: on rows that did not move the model"


def calibrate_machine(
    ctx: typer.Context, target: Target, file: Path, overlay: Path, rows: Path | None, seconds: float, fresh: bool,
    allow_busy: bool, force: bool, json: bool,
) -> None:  # fmt: skip
    """Measure ``target``, write the overlay, and ``file`` where it is ``fresh``, and show what they are worth."""
    from codesign.costmodels.operators.measured_here import as_frame, measure_target
    from codesign.targets.writer import overlay_text, write_target, write_text

    found = measure_target(target, seconds, sharpen=fresh, allow_busy=allow_busy, progress=lambda text: note(ctx, text))
    overlay.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        write_target(found.target, file, force)
    write_text(overlay, overlay_text(target.id, found.factors, found.operators), force)
    if rows is not None:
        write_text(rows, as_frame([t for t in found.timings if not t.reason]).write_csv(), force)
    title = f"{target.name}, calibrated into {overlay}"
    results = {
        "target": target.id, "target_file": str(file), "overlay": str(overlay),
        "models": as_plain(found.models.experts),
        "factors": found.factors, "host_seconds": found.host_seconds, "disturbance": found.disturbance,
        "left_out": _left_out(found), "operators": found.timings, "passes": found.passes, "how": found.how,
    }  # fmt: skip
    notes = [
        EXPLAINED, *losing(found.models.experts), *_disturbance(found.disturbance), *unused(_left_out(found)),
        "weights and caches were read from memory, activations from where the call before left them",
        *_rates(found),
        f"use it: codesign estimate MODEL --target {file} --overlay {overlay}",
    ]  # fmt: skip
    tables = [errors_table(title, found.models), _factors(found.factors, found.host_seconds)]
    show(ctx, results, tables, as_json=json, units=UNITS, notes=notes)


def errors_table(title: str, models: OperatorsCalibrated) -> Table:
    """Return the errors of each operator model, before and after, beside the calibrated roofline."""
    rows = [
        (found.calibration.expert, found.calibration.rows, f"{found.before.mean:.1%}", percent(found.after),
         percent(found.roofline), "-" if found.coverage is None else f"{found.coverage:.0%}",
         f"{np.exp(2.0 * found.calibration.half):.1f}x")
        for found in models.experts
    ]  # fmt: skip
    return Table(title, ERRORS, rows)


def percent(found: Any) -> str:
    """Return the mean of errors; of none where too few rows were there to leave some out."""
    return "-" if found is None else f"{found.mean:.1%}"


def _factors(factors: Iterable[Calibration], host_seconds: float) -> Table:
    rows = [
        (f.name, f"{f.scale:.3g}", f"{np.exp(f.sigma) - 1.0:.0%}",
         number(host_seconds, "s") if f.name == LABELS[F.HOST] else "-")
        for f in factors
    ]  # fmt: skip
    return Table("Factors", ("factor", ">times as stated", ">known within", ">a launch"), rows)


def losing(experts: Iterable[ExpertCalibrated]) -> list[str]:
    """Return a line that names the models to which the calibrated roofline is not inferior, if there are any."""
    lost = [f.calibration.expert for f in experts if f.after and f.roofline and f.after.mean > f.roofline.mean]
    return [f"the roofline times one scalar is closer here for {', '.join(lost)}"] if lost else []


def _disturbance(found: Disturbance) -> list[str]:
    if not found.verdict:
        return []
    return [f"other work ran beside ({'; '.join(found.reasons)}): intervals are widened by it; measure again when idle"]


def _rates(found: MeasuredHere) -> list[str]:
    measured = sum(not timing.reason for timing in found.passes)
    return [f"rates: {measured} passes of small models, against what their operators add up to"] if measured else []


def _left_out(found: MeasuredHere) -> dict[str, int]:
    reasons = dict(found.models.left_out)
    for timing in found.timings:
        if timing.reason:
            text = f"{timing.operator.op} {timing.operator.dtype}: {printable(timing.reason, 60)}"
            reasons[text] = reasons.get(text, 0) + 1
    for whole in found.passes:
        if whole.reason:
            text = f"pass of {whole.asked.model}: {printable(whole.reason, 60)}"
            reasons[text] = reasons.get(text, 0) + 1
    return {**reasons, **{f"of {op}, which no model predicts": count for op, count in found.unused.items()}}


def unused(left_out: Mapping[str, int]) -> list[str]:
    """Return a line that counts what was left out, by reason."""
    counted = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
    return [f"rows that were not used: {counted}"] if counted else []


def as_plain(experts: Iterable[ExpertCalibrated]) -> list[dict[str, Any]]:
    """Return errors as shares and half widths as logarithms, for programs."""
    return [
        {"model": f.calibration.expert, "rows": f.calibration.rows, "before": f.before.mean,
         "after": f.after.mean if f.after else None, "roofline": f.roofline.mean if f.roofline else None,
         "coverage": f.coverage, "half": f.calibration.half}
        for f in experts
    ]  # fmt: skip
