"""Measured operators of one device -> what moves each fitted model to it, and how far off it is then.

Each model moves by the most probable change of its physical parameters (``fit.calibrated``). How far off it is
afterwards is told by rows that did not move it: folds of them are left out in turn. A few rows tell little of that, so
the error of the model before counts as ``PRIOR_ROWS`` rows more. Beside it stands the bar, the roofline times one
scalar measured with the same rows.

Formats run by kernels of their own. Models of several formats move by all rows first, and from there by those of each
format (``by_format``), unless each is known of the device by itself; on a processor fp32 moves first, and the others
move from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.by_format import calibrated_by_format
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import FamilyModel
from codesign.costmodels.operators.fit import predict, shape_term
from codesign.costmodels.operators.lookup import Served, entry_name, served_by, shipped_model
from codesign.costmodels.operators.model_file import OperatorModel
from codesign.costmodels.operators.processors import NARROW_SPREAD, SPREAD, WIDE
from codesign.costmodels.operators.protocols import Error, error
from codesign.costmodels.operators.tables import Indices, Rows, joined, possible
from codesign.errors import DataError
from codesign.quantity import Z90, Array, Method
from codesign.targets import OperatorCalibration, Target

if TYPE_CHECKING:
    import polars as pl

FOLDS = 8
"""Parts of the rows, each left out in turn; fewer where there are fewer rows."""

PRIOR_ROWS = 4.0
"""What the error before calibration counts for among measured rows (assumed)."""

PROCESSOR_ROWS = 1.0
"""The same on a processor, where the error before is itself assumed."""

ANALYTICAL_SPREAD = 0.7
"""Standard deviation of a parameter's logarithm where no device was measured before (assumed)."""


class ExpertCalibrated(msgspec.Struct, frozen=True):
    """One model, calibrated.

    Attributes:
        calibration: For the overlay.
        before: Error of the model as it comes.
        after: Error of the calibrated model on rows that did not move it; None of a single row.
        roofline: Error of the roofline times one scalar of the other rows; None of a single row.
        coverage: Share of the rows left out that lie within the interval; None of a single row.
    """

    calibration: OperatorCalibration
    before: Error
    after: Error | None
    roofline: Error | None
    coverage: float | None


class OperatorsCalibrated(msgspec.Struct, frozen=True):
    """What measured operators tell of the models that predict them.

    Attributes:
        experts: Of each model with rows.
        left_out: Reason -> rows that were not used.
    """

    experts: tuple[ExpertCalibrated, ...]
    left_out: Mapping[str, int]

    @property
    def overlay(self) -> tuple[OperatorCalibration, ...]:
        """Return the entries of an overlay."""
        return tuple(found.calibration for found in self.experts)


def calibrate_rows(
    frame: pl.DataFrame, target: Target, source: str, model: OperatorModel | None = None
) -> OperatorsCalibrated:
    """Return the models of ``target`` moved to its measured operators.

    Args:
        frame: ``op, dtype, latency_ms``, if known ``framework``, and shape columns, all as text; an own calibration of
            the target is not looked at.
        target: What they were measured on.
        source: Where, in a few words, for the overlay.
        model: What is moved; None for the shipped model.

    Raises:
        DataError: a column is missing, a row names something unknown or impossible, or no row can be used.
    """
    import polars as pl

    model = model or shipped_model()
    bare = msgspec.structs.replace(target, operators=())
    frame = frame.cast(pl.Utf8)
    for name in ("op", "dtype", "latency_ms"):
        if name not in frame.columns:
            raise DataError(f"measured operators: column {name!r} is missing", f"found {', '.join(frame.columns)}")
    measured = frame["latency_ms"].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy() * 1e-3
    left_out: Counter[str] = Counter()
    parts: dict[tuple[str, str], list[tuple[Served, Rows]]] = {}
    for group in Asked(frame, "measured operators", target=bare).groups():
        rows = possible(msgspec.structs.replace(group.rows, seconds=measured[group.at]))
        left_out += Counter(rows.quarantined)
        for form in np.unique(rows.form).tolist():
            named = rows.formats[form].name
            served = served_by(model, group.family, named, bare)
            names = served.name, entry_name(served.name, named) if target.kind == "cpu" else served.name
            parts.setdefault(names, []).append((served, served.model.named(rows.take(rows.form == form))))
    if not parts:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it has no rows"
        raise DataError("no measured operator can be used", reasons)
    found: dict[str, ExpertCalibrated] = {}
    # the name of a model itself comes before those of its formats, which start from it
    for (name, entry), pairs in sorted(parts.items(), key=lambda item: (item[0][0], item[0][1] != item[0][0])):
        start = pairs[0][0].model
        if name in found:
            like = found[name].calibration
            start = msgspec.structs.replace(start, change=np.array(like.change), level=like.level, trust=like.trust)
        for called, some in _together(pairs, entry):
            found |= _calibrated(some, start if some is pairs else some[0][0].model, called, source)
    return OperatorsCalibrated(tuple(found.values()), dict(left_out))


Pairs = list[tuple[Served, Rows]]
"""Rows of one format each, and what predicts them."""


def _together(pairs: Pairs, name: str) -> list[tuple[str, Pairs]]:
    """Return what is calibrated together, with its name: all formats, unless each is known of this device by itself."""
    forms = {rows.formats[int(rows.form[0])].name: served for served, rows in pairs}
    if not all(served.method is Method.INTERPOLATED for served in forms.values()):
        return [(name, pairs)]
    of_form = {form: [pair for pair in pairs if pair[1].formats[int(pair[1].form[0])].name == form] for form in forms}
    return [(entry_name(name, form), some) for form, some in of_form.items()]


def _spread(served: Served, rows: Rows) -> Array | float | None:
    """Return how far the parameters of other devices lie around those of ``served``."""
    if served.model.devices:
        return None
    if not np.any(rows.columns.private):
        return ANALYTICAL_SPREAD
    return NARROW_SPREAD if np.all(rows.columns.weight < WIDE) else SPREAD


def _calibrated(pairs: Pairs, start: FamilyModel, name: str, source: str) -> dict[str, ExpertCalibrated]:
    """Return what the rows of ``pairs`` make of a model, its change searched around that of ``start``.

    Under ``name``, and where several formats were measured also under those of its formats.
    """
    served, rows = pairs[0][0], joined([rows for _, rows in pairs])
    spread = _spread(served, rows)
    term = shape_term(served.model, rows)
    moved = calibrated_by_format(start, rows, term, spread)
    shared, own = _left_out(start, rows, term, spread)
    before = predict(served.model, rows, term)
    everything = np.arange(len(rows))
    found = {name: _entry(name, moved.shared, served, rows, everything, before, shared, source)}
    by_form = {rows.formats[int(part.form[0])].name: one for one, part in pairs}
    for number, form in enumerate(rows.formats):
        mine = np.flatnonzero(rows.form == number)
        if form.name in moved.own and len(mine):
            entry = entry_name(name, form.name)
            found[entry] = _entry(entry, moved.own[form.name], by_form[form.name], rows, mine, before, own, source)
    return found


def _entry(
    name: str, model: FamilyModel, served: Served, rows: Rows, at: Indices, before: Array, out: Array, source: str
) -> ExpertCalibrated:  # fmt: skip
    """Return the entry ``name`` of the rows ``at``; ``out`` is what each is predicted as by the model without it, s."""
    rows, before, out = rows.take(at), before[at], out[at]
    real = np.log(rows.seconds)
    on = rows.columns
    roof = np.log(physics.bound(FAMILIES[rows.family].work(rows.shapes, on), on))
    residual = real - np.log(out)
    prior = PROCESSOR_ROWS if np.any(on.private) else PRIOR_ROWS
    deviation = np.sqrt((prior * (served.half / Z90) ** 2 + np.sum(residual**2)) / (prior + len(rows)))
    half = float(Z90 * deviation)
    formats = tuple(sorted({rows.formats[form].name for form in np.unique(rows.form).tolist()}))
    change = tuple(float(value) for value in model.change)
    entry = OperatorCalibration(name, change, float(model.level), half, len(rows), source, model.trust, formats)
    first = error(before, rows.seconds)
    if len(rows) == 1:
        return ExpertCalibrated(entry, first, None, None, None)
    scalars = np.array([np.median(np.delete(real - roof, row)) for row in range(len(rows))])
    return ExpertCalibrated(
        entry, first, error(out, rows.seconds), error(np.exp(roof + scalars), rows.seconds),
        float((np.abs(residual) <= half).mean()),
    )  # fmt: skip


def _left_out(model: FamilyModel, rows: Rows, term: Array, spread: Array | float | None) -> tuple[Array, Array]:
    """Return what each row is predicted as by the model calibrated without it, s: for all formats, and for its own.

    Of a single row, uncalibrated.
    """
    if len(rows) == 1:
        alone = predict(model, rows, term)
        return alone, alone
    shared, own = np.empty(len(rows)), np.empty(len(rows))
    # rows of one size lie side by side: folds take them in turn
    order = np.argsort(rows.seconds, kind="stable")
    fold = np.empty(len(rows), np.int64)
    fold[order] = np.arange(len(rows)) % min(FOLDS, len(rows))
    for number in range(int(fold.max()) + 1):
        inside, outside = fold != number, fold == number
        moved = calibrated_by_format(model, rows.take(inside), term[inside], spread)
        shared[outside] = predict(moved.shared, rows.take(outside), term[outside])
        own[outside] = moved.predict(rows.take(outside), term[outside])
    return shared, own
