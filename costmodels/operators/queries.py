"""Many operators at once: a table of operators in, the same rows with latency, power, energy and source out.

Columns are ``id``, ``op``, ``device``, ``dtype``, if known ``framework``, and the shape columns of each operator, named
as in public tables of measured kernels. Every spelling of a device, dtype or operator in those tables is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.asked import Asked, Group
from codesign.costmodels.operators.collective_rows import KINDS, predict_collectives
from codesign.costmodels.operators.cost_models import Fitted, OperatorCostModel, widened
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.model_file import OperatorModel
from codesign.costmodels.operators.power import PowerModel, energy_of
from codesign.errors import DataError
from codesign.quantity import Z90, Array

if TYPE_CHECKING:
    import polars as pl

CHUNK = 65_536
"""Rows predicted at a time."""

NUMBERS = ("latency_ms", "low_ms", "high_ms", "power_w", "energy_j", "energy_low_j", "energy_high_j", "energy_tdp_j",
           "roofline_ms")  # fmt: skip
RESULTS = (*NUMBERS, "source")
"""Columns that are added; the source is that of the latency, and ``energy_tdp_j`` is TDP times latency."""


def predict_file(
    path: Path | str,
    model: OperatorModel | None = None,
    overlay: str | None = None,
    cost_model: OperatorCostModel | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a CSV with ``RESULTS`` beside them, chunk by chunk.

    Args:
        path: Of the CSV.
        model: What predicts, and tells power; None for the shipped model.
        overlay: Path of a calibration overlay; it moves the target it names and no other.
        cost_model: What predicts latencies instead of the trees of ``model``; collectives it does not.

    Raises:
        DataError: it cannot be read, holds no row, or a row names something unknown or impossible.
    """
    path = Path(path)
    frame = read_operators(path, ("op", "device", "dtype"))
    if frame.is_empty():
        raise DataError(f"{path.name}: no rows", "expected a header line and at least one operator")
    for begin in range(0, len(frame), CHUNK):
        part = frame.slice(begin, CHUNK)
        yield predict_frame(part, model or shipped_model(), path.name, begin, overlay, cost_model)


def read_operators(path: Path, needed: tuple[str, ...]) -> pl.DataFrame:
    """Return the CSV at ``path`` as columns of text.

    Raises:
        DataError: it cannot be read, or lacks a column of ``needed``.
    """
    import polars as pl

    try:
        frame = pl.read_csv(path, infer_schema=False)
    except OSError as error:
        raise DataError(f"cannot read {path.name}: {(error.strerror or str(error)).lower()}") from None
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path.name} cannot be read as CSV: {str(error).splitlines()[0]}") from None
    for name in needed:
        if name not in frame.columns:
            raise DataError(f"{path.name}: column {name!r} is missing", f"it has {', '.join(frame.columns)}")
    return frame


def predict_frame(
    frame: pl.DataFrame,
    model: OperatorModel,
    name: str = "table",
    begin: int = 0,
    overlay: str | None = None,
    cost_model: OperatorCostModel | None = None,
) -> pl.DataFrame:
    """Return ``frame`` with ``RESULTS`` beside it; ``begin`` is the position of its first row, for messages."""
    import polars as pl

    numbers = np.full((len(NUMBERS), len(frame)), np.nan)
    source = np.empty(len(frame), object)
    between = frame["op"].str.strip_chars().str.to_lowercase().is_in(list(KINDS)).fill_null(False).to_numpy()
    one = cost_model or Fitted(model)
    for mask, predicted in ((~between, lambda asked: _operators(asked, model, one)), (between, _collectives)):
        rows = np.flatnonzero(mask)
        if len(rows):
            for part, named, at in predicted(Asked(frame[rows], name, begin + rows, overlay=overlay)):
                numbers[: len(part), rows[at]], source[rows[at]] = part, named
    for column in (0, 1, 2, NUMBERS.index("roofline_ms")):
        numbers[column] *= 1e3
    found = {column: pl.Series(values).fill_nan(None) for column, values in zip(NUMBERS, numbers, strict=True)}
    return frame.with_columns(**found, source=pl.Series(source.tolist(), dtype=pl.Utf8))


Predicted = tuple[Array, Any, Any]
"""``NUMBERS`` (the first of them) with latencies in s, source, and positions of some rows."""


def _operators(asked: Asked, model: OperatorModel, cost_model: OperatorCostModel) -> Iterator[Predicted]:
    for group in asked.groups():
        yield *_predicted(group, model, cost_model), group.at


def _collectives(asked: Asked) -> Iterator[Predicted]:
    """Yield all rows; what devices draw meanwhile was not measured, and their roofline is the rate of the link."""
    seconds, sigma, source = predict_collectives(asked)
    half = Z90 * sigma
    yield np.stack([seconds, seconds * np.exp(-half), seconds * np.exp(half)]), source, slice(None)


def _predicted(group: Group, model: OperatorModel, cost_model: OperatorCostModel) -> tuple[Array, Any]:
    """Return ``NUMBERS`` with latencies in s, shape (9, n), and the source of each row."""
    rows = group.rows
    found = cost_model.predict(rows, group.targets)
    found = found if group.measured else widened(found, rows)
    energy = energy_of(power_of(model), rows, found.seconds, found.low, found.high)
    on = rows.columns
    roofline = physics.bound(FAMILIES[rows.family].work(rows.shapes, on), on)
    return np.stack([found.seconds, found.low, found.high, *energy, roofline]), found.source


def power_of(model: OperatorModel) -> PowerModel:
    """Return the power model of ``model``; where its tables recorded none, that of the shipped one."""
    found = model.card.power or shipped_model().card.power
    assert found is not None, "the shipped model is fitted on tables that record power"
    return found
