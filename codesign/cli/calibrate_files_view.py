"""What ``codesign calibrate --from`` writes and shows: measurements of operators and of whole models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import typer

from codesign.cli.calibrate_view import EXPLAINED, UNITS, as_plain, errors_table, losing, percent, unused
from codesign.cli.output import Table, show

if TYPE_CHECKING:
    from codesign.costmodels.calibrate_from import FactorsCalibrated
    from codesign.targets import Target

SCORES = ("metric", ">rows", ">before", ">after", ">roofline x 1", ">in 90 %")
FACTORS = ("factor", ">times as before", ">known within", "stayed, because")


def calibrate_from_files(
    ctx: typer.Context, paths: Sequence[Path], target: Target, place: str, model: str | None, options: dict[str, Any],
    overlay: Path, force: bool, json: bool,
) -> None:  # fmt: skip
    """Calibrate ``target``, named as ``place``, by the measurements in ``paths``.

    Args:
        ctx: Of the command.
        paths: Rows of operators, or measurements of whole models.
        target: What they were measured on.
        place: How the user named it.
        model: What files of whole models measured, where they do not say.
        options: Parts of the design that those files do not state.
        overlay: File to write.
        force: Replace it.
        json: Print one JSON object.
    """
    from codesign.costmodels.calibrate_from import calibrate_from
    from codesign.costmodels.operators.measured_rows import calibrate_files, holds_operators
    from codesign.targets.writer import overlay_text, write_text

    rows = [path for path in paths if holds_operators(path)]
    others = [path for path in paths if path not in rows]
    models = calibrate_files(rows, target) if rows else None
    if models is not None:  # factors of whole models are what the operators leave
        target = msgspec.structs.replace(target, operators=models.overlay)
    found = calibrate_from(others, target, model, **options) if others else None
    text = overlay_text(target.id, found.overlay if found else (), models.overlay if models else ())
    overlay.parent.mkdir(parents=True, exist_ok=True)
    write_text(overlay, text, force)
    title = f"{target.name}, calibrated into {overlay}"
    tables = [errors_table(title, models)] if models else []
    notes = [EXPLAINED, *losing(models.experts), *unused(models.left_out)] if models else [EXPLAINED]
    if found is not None:
        tables += _whole_models(title, found)
        notes += found.notes
    again = "".join(f" --{name} {options[name]}" for name in ("framework", "mode", "chunk") if options.get(name))
    notes.append(f"use it: codesign estimate MODEL --target {place} --overlay {overlay}{again}")
    results = {
        "target": target.id, "overlay": str(overlay), "models": as_plain(models.experts) if models else [],
        "left_out": dict(models.left_out) if models else {}, "whole_models": found,
    }  # fmt: skip
    show(ctx, results, tables, as_json=json, units=UNITS, notes=notes)


def _whole_models(title: str, found: FactorsCalibrated) -> list[Table]:
    scores = [
        (s.metric, s.before.count, percent(s.before), percent(s.left_out), percent(s.roofline_left_out),
         "-" if s.left_out is None or s.left_out.inside is None else f"{s.left_out.inside:.0%}")
        for s in found.scores
    ]  # fmt: skip
    factors = [
        (f.name, f"{f.scale:.3g}" if f.calibrated else "-", f"{np.expm1(f.sigma):.0%}", f.why or "-")
        for f in found.factors
    ]
    return [Table(f"{title}: {found.model}", SCORES, scores), Table("Factors", FACTORS, factors)]
