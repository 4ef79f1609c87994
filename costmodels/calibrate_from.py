"""Calibrating a target with measurements of whole models that exist already.

Files of serving benchmarks, profiles and tables become measurements of metrics of ``estimate``; they update the error
factors of the target that they identify, and no others. The error that is left is measured on what was left out, beside
the roofline times one scalar, which is what a calibration has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.calibration import MODEL_NOISE, Posterior, calibrations
from codesign.costmodels.factors import LABELS, TIME_FACTORS
from codesign.costmodels.measurements.designs import completed
from codesign.costmodels.measurements.files import read_file
from codesign.costmodels.measurements.fit import LeftOut, fit, left_out, scalar
from codesign.costmodels.measurements.measurement import Design, Measurement, Source, merged
from codesign.costmodels.measurements.names import check_target, model_of
from codesign.costmodels.measurements.predictor import RATES, UNITS, Predictor, slowness
from codesign.errors import DataError, UsageError
from codesign.models import Model
from codesign.quantity import Array
from codesign.targets import Calibration, Target

TOUCHED = 0.05
"""Elasticity below which a measurement says nothing of a factor."""

OUTLIER = 3.0
"""A measurement this many expected deviations off after calibration is pointed out."""


class Compared(msgspec.Struct, frozen=True):
    """One measurement beside its predictions, in the metric's SI unit.

    ``after`` and ``roofline`` (times one scalar) are fitted with this measurement among the others, ``left_out`` and
    ``roofline_left_out`` without it (None with too few). Ends are of 90 % intervals.
    """

    where: str
    metric: str
    unit: str
    design: Design
    measured: float
    noise: float
    repeats: int
    before: float
    before_low: float
    before_high: float
    after: float
    roofline: float
    left_out: float | None = None
    left_out_low: float | None = None
    left_out_high: float | None = None
    roofline_left_out: float | None = None


class Errors(msgspec.Struct, frozen=True):
    """|predicted - measured| / measured over ``count`` measurements, and the share inside the 90 % interval."""

    count: int
    median: float
    mean: float
    largest: float
    inside: float | None = None


class Scores(msgspec.Struct, frozen=True):
    """Errors of one metric ("all" for all of them).

    ``after`` and ``roofline`` (times one scalar) are of fitted measurements; the other two of ones left out, None with
    fewer than three designs.
    """

    metric: str
    before: Errors
    after: Errors
    roofline: Errors
    left_out: Errors | None
    roofline_left_out: Errors | None


class FactorFound(msgspec.Struct, frozen=True):
    """One time factor: whether it was calibrated, its multiplier and spread, or why it stayed as it was."""

    name: str
    calibrated: bool
    scale: float
    sigma_before: float
    sigma: float
    why: str


class FactorsCalibrated(msgspec.Struct, frozen=True):
    """A target calibrated with whole models.

    Attributes:
        target: Id of the target.
        model: What was measured.
        sources: Each file, and what it was taken for.
        compared: Each measurement beside its predictions.
        scores: Errors by metric, the last of all together.
        factors: Each time factor.
        overlay: Entries for the overlay, earlier calibration included.
        folds: Groups of designs that were left out in turn; 0 with too few.
        notes: What was assumed, left out, or looks odd.
    """

    target: str
    model: str
    sources: tuple[Source, ...]
    compared: tuple[Compared, ...]
    scores: tuple[Scores, ...]
    factors: tuple[FactorFound, ...]
    overlay: tuple[Calibration, ...]
    folds: int
    notes: tuple[str, ...]


def calibrate_from(
    paths: Sequence[str | Path], target: Target, model: str | Model | None = None, **options: Any
) -> FactorsCalibrated:
    """Calibrate the time factors of ``target`` with measurements of one model.

    Args:
        paths: Results of ``vllm bench serve``, exports of AIPerf, run directories or ``profile.json`` of ``codesign
            profile``, or CSV files of designs and metrics.
        target: What they were measured on; its earlier calibration is the prior.
        model: What was measured; None takes it from the files.
        **options: Parts of the design that the files do not state, for all of them: ``dtype, tp, pp, ep, nodes,
            execution, mode, chunk, kv_dtype, batch, prompt, generate``; None counts as not given.

    Raises:
        UsageError: no file, an unknown model, or a part of the design that is nowhere stated.
        DataError: a file that cannot be read or is of no known kind, impossible figures, several models or targets.
    """
    if not paths:
        raise UsageError("no file of measurements", "give one or more with --from")
    sources = tuple(read_file(str(path)) for path in paths)
    found = tuple(m for source in sources for m in source.measurements)
    notes = [note for source in sources for note in source.notes]
    if not found:
        raise DataError("nothing in the files can be used", "; ".join(notes) or "they hold no metric of an estimate")
    loaded, trusted = model_of((m.model for m in found), model)
    notes += trusted
    notes += dict.fromkeys(note for m in found if (note := check_target(m.target, target, m.where)))
    measurements, assumed = completed(found, loaded, options)
    # files may spell the same model and target differently: repeats of a design are repeats nevertheless
    measurements = merged(msgspec.structs.replace(m, model="", target="") for m in measurements)
    predictor = Predictor(loaded, target, measurements)
    posterior = fit(predictor)
    out = left_out(predictor, [m.design for m in measurements])
    compared = _compared(predictor, posterior, out, measurements)
    scores = _scores(compared)
    files = ", ".join(source.path for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    text = f"{len(measurements)} measurements of {loaded.name} in {files}"
    return FactorsCalibrated(
        target=target.id,
        model=loaded.name,
        sources=sources,
        compared=compared,
        scores=scores,
        factors=_factors(predictor, posterior),
        overlay=calibrations(target, posterior, text),
        folds=out.folds if out else 0,
        notes=(*notes, *assumed, *predictor.notes, *_odd(compared, predictor), *_verdict(scores[-1])),
    )


def _compared(
    predictor: Predictor, posterior: Posterior, out: LeftOut | None, measurements: Sequence[Measurement]
) -> tuple[Compared, ...]:
    def shown(values: Array) -> list[float]:
        return [float(value) for value in slowness(measurements, values)]

    low, high = predictor.before.interval(predictor.sigmas)
    roofline = predictor.roofline * scalar(predictor.roofline, predictor.measured)
    columns = [predictor.before.value, low, high, predictor.column(posterior.scales).value, roofline]
    columns += [out.value, out.low, out.high, out.roofline] if out else []
    figures = zip(*(shown(column) for column in columns), strict=True)
    return tuple(_one(m, *numbers) for m, numbers in zip(measurements, figures, strict=True))


def _one(
    m: Measurement, before: float, low: float, high: float, after: float, roofline: float, *out: float
) -> Compared:
    left_out_value, left_out_low, left_out_high, roofline_out = out or (None,) * 4
    ends = (left_out_low, left_out_high) if m.metric not in RATES else (left_out_high, left_out_low)
    return Compared(
        m.where, m.metric, UNITS[m.metric], m.design, m.value, m.noise, m.repeats, before, min(low, high),
        max(low, high), after, roofline, left_out_value, *ends, roofline_out,
    )  # fmt: skip


def _scores(compared: Sequence[Compared]) -> tuple[Scores, ...]:
    metrics = list(dict.fromkeys(row.metric for row in compared))
    lines = [(metric, [row for row in compared if row.metric == metric]) for metric in metrics]
    return tuple(_score(name, rows) for name, rows in [*lines, ("all", list(compared))])


def _score(metric: str, rows: Sequence[Compared]) -> Scores:
    measured = np.array([row.measured for row in rows])

    def errors(name: str, low: str = "", high: str = "") -> Errors | None:
        predicted = [getattr(row, name) for row in rows]
        if None in predicted:
            return None
        off = np.abs(np.array(predicted) / measured - 1.0)
        inside = None
        if low:
            ends = [np.array([getattr(row, end) for row in rows]) for end in (low, high)]
            inside = float(np.mean((ends[0] <= measured) & (measured <= ends[1])))
        return Errors(len(rows), float(np.median(off)), float(np.mean(off)), float(np.max(off)), inside)

    before, after, roofline = errors("before", "before_low", "before_high"), errors("after"), errors("roofline")
    assert before is not None
    assert after is not None
    assert roofline is not None
    return Scores(
        metric, before, after, roofline, errors("left_out", "left_out_low", "left_out_high"),
        errors("roofline_left_out"),
    )  # fmt: skip


def _verdict(score: Scores) -> list[str]:
    """Return where the calibration is worth less than what it has to beat."""
    if score.left_out is None or score.roofline_left_out is None:
        return ["the error after calibration is of the fitted measurements: give three designs or more"]
    found = []
    if score.left_out.mean >= score.before.mean:
        found.append("designs that were left out are not predicted better than before: measure more, other designs")
    if score.left_out.mean >= score.roofline_left_out.mean:
        found.append("the roofline times one scalar predicts designs that were left out as well or better")
    return found


def _factors(predictor: Predictor, posterior: Posterior) -> tuple[FactorFound, ...]:
    """Return each time factor, with the reason where it stayed as it was."""
    column = predictor.column(posterior.scales)
    elasticity = np.abs(column.slopes / column.value).max(axis=1)
    found = []
    for f in TIME_FACTORS:
        before, learnt = float(predictor.sigmas[f]), posterior.identified[f]
        why = "" if learnt else _why(float(elasticity[f]))
        found.append(
            FactorFound(LABELS[f], learnt, float(posterior.scales[f]), before, float(posterior.sigmas[f]), why)
        )
    return tuple(found)


def _why(elasticity: float) -> str:
    if elasticity == 0.0:
        return "no measurement depends on it"
    if elasticity < TOUCHED:
        return f"at most {elasticity:.1%} of any measurement depends on it"
    return f"up to {elasticity:.0%} of a measurement depends on it, too little beside the others to tell it apart"


def _odd(compared: Sequence[Compared], predictor: Predictor) -> list[str]:
    """Return what no factor explains: measurements far from the calibrated prediction."""
    own = np.sqrt(predictor.before.variance) / predictor.before.value
    expected = np.sqrt(predictor.noise**2 + own**2 + MODEL_NOISE**2)
    off = np.log([row.measured / row.after for row in compared])
    far = [row for row, z in zip(compared, np.abs(off) / expected, strict=True) if z > OUTLIER]
    shown = "; ".join(f"{row.metric} at {row.where} is {row.measured / row.after:.2f} times" for row in far[:4])
    more = f"; {len(far) - 4} more" if len(far) > 4 else ""
    return [f"far from the calibrated estimate: {shown}{more}; such measurements count less"] if far else []
