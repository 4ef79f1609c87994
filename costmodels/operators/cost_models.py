"""Cost models of single operators behind one call, by name; other packages add theirs by an entry point.

``roofline`` and ``analytical`` know the target's file only; ``trees`` and ``network`` are two forms of what was fitted
on measured kernels. An entry point of the group ``codesign.costmodels`` names an ``OperatorCostModel``, or a callable
without arguments that returns one; ``codesign.testing.cost_models`` checks what they all have to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import FamilyModel, foreign
from codesign.costmodels.operators.fit import predict, predict_quickly
from codesign.costmodels.operators.lookup import ANALYTICAL_HALF, analytical, served_by, shipped_model
from codesign.costmodels.operators.model_file import OperatorModel
from codesign.costmodels.operators.shape_limits import check_shapes
from codesign.costmodels.operators.tables import UNDERCUT, Rows
from codesign.errors import DataError
from codesign.quantity import Z90, Array, Method
from codesign.registry import Registry
from codesign.targets import Target

ENTRY_POINTS = "codesign.costmodels"


class Prediction(NamedTuple):
    """Latency of each row with a 90 % interval, s, and what it is called (a value of ``Method``); shape (n,)."""

    seconds: Array
    low: Array
    high: Array
    source: Any


class OperatorCostModel(Protocol):
    """What predicts operators.

    Attributes:
        monotone: Whether a latency never falls when an operator grows in what designs vary (``monotone.RISING``), or
            its device gets slower.
    """

    monotone: bool

    def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
        """Return the latency of each row.

        Args:
            rows: Operators of one family; their seconds are not looked at.
            targets: Of ``rows.devices``, in the same order.

        Raises:
            DataError: a shape that no operator has.
            UsageError: a device has no dtype of one of its rows.
        """
        ...


class Roofline:
    """FLOP over the peak or bytes over the bandwidth, the longer of the two; nothing about real kernels."""

    monotone = True

    def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
        """Return the roofline of each row, as ``OperatorCostModel``."""
        check_shapes(rows)
        on = rows.columns
        return _bounded(rows, physics.bound(FAMILIES[rows.family].work(rows.shapes, on), on), *_analytical(rows))


class Analytical:
    """The physical form with the efficiencies of analytical estimates: what serves where nothing was measured."""

    monotone = True

    def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
        """Return the closed form of each row, as ``OperatorCostModel``."""
        check_shapes(rows)
        seconds = np.empty(len(rows))
        for device, form, at in pairs(rows):
            model = analytical(rows.family, rows.formats[form].name, targets[device])
            seconds[at] = predict(model, rows.take(at))
        return _bounded(rows, seconds, *_analytical(rows))


class Fitted:
    """The models that were fitted on measured kernels, moved by a calibration of the target.

    Args:
        model: Fitted.
        quickly: Predict by its networks: many times as fast, monotone, and further off by what they miss of the trees.
    """

    def __init__(self, model: OperatorModel, *, quickly: bool = False) -> None:
        self.monotone = quickly
        self._model = model
        self._predict: Callable[[FamilyModel, Rows], Array] = predict_quickly if quickly else predict

    def predict(self, rows: Rows, targets: Sequence[Target]) -> Prediction:
        """Return the latency of each row, as ``OperatorCostModel``."""
        check_shapes(rows)
        seconds, half = np.empty(len(rows)), np.empty(len(rows))
        source = np.empty(len(rows), object)
        for device, form, at in pairs(rows):
            served = served_by(self._model, rows.family, rows.formats[form].name, targets[device])
            named = served.model.named(rows.take(at))
            seconds[at] = self._predict(served.model, named)
            missed = served.model.distilled if self.monotone else 0.0
            half[at] = Z90 * np.hypot(served.half / Z90, missed)
            source[at] = served.method.value
            if served.foreign is not None:
                other = at[foreign(served.model, targets[device].id, named)]
                half[other], source[other] = Z90 * np.hypot(served.foreign[0] / Z90, missed), served.foreign[1].value
        return _bounded(rows, seconds, half, source)


def pairs(rows: Rows) -> list[tuple[int, int, Any]]:
    """Return device, format and positions of the rows of each pair of them."""
    pair = rows.device * len(rows.formats) + rows.form
    return [
        (number // len(rows.formats), number % len(rows.formats), np.flatnonzero(pair == number))
        for number in np.unique(pair).tolist()
    ]


def widened(found: Prediction, rows: Rows) -> Prediction:
    """Return ``found`` where another operator of its family stands for this one: analytical, unless it was calibrated.

    A calibration of the target has measured what it is worth there.
    """
    stays = found.source == Method.CALIBRATED.value
    wide = _bounded(rows, found.seconds, *_analytical(rows))
    return Prediction(
        found.seconds, np.where(stays, found.low, np.minimum(found.low, wide.low)),
        np.where(stays, found.high, np.maximum(found.high, wide.high)), np.where(stays, found.source, wide.source),
    )  # fmt: skip


def _analytical(rows: Rows) -> tuple[Array, Any]:
    return np.full(len(rows), ANALYTICAL_HALF), np.full(len(rows), Method.ANALYTICAL.value, object)


def _bounded(rows: Rows, seconds: Array, half: Array, source: Any) -> Prediction:
    """Return a prediction whose interval, ``half`` wide in logarithms, holds nothing faster than physics."""
    on = rows.columns
    least = physics.least(FAMILIES[rows.family].work(rows.shapes, on), on) / UNDERCUT
    low = np.minimum(np.maximum(seconds * np.exp(-half), least), seconds)
    return Prediction(seconds, low, seconds * np.exp(half), source)


@cache
def registry() -> Registry[Any]:
    """Return the cost models by name."""
    return Registry(
        "cost model",
        {
            "roofline": Roofline,
            "analytical": Analytical,
            "trees": lambda: Fitted(shipped_model()),
            "network": lambda: Fitted(shipped_model(trees=False), quickly=True),
        },
        ENTRY_POINTS,
    )


def cost_model(name: str) -> OperatorCostModel:
    """Return the cost model called ``name``.

    Raises:
        UsageError: there is none; the nearest names follow.
        DataError: what another package calls so predicts nothing.
    """
    found = registry().get(name)
    if callable(found) and (isinstance(found, type) or not hasattr(found, "predict")):
        found = found()
    if not hasattr(found, "predict"):
        raise DataError(f"cost model {name!r} of another package is a {type(found).__name__}, expected predict()")
    model: OperatorCostModel = found
    return model
