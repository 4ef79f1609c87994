"""A proxy: what a search evaluates, learned from its trials, and its file.

Layout of the file, version 1: an archive of plain arrays (``array_archive``). ``card`` holds JSON as bytes; the arrays
of target number K are ``K/weights`` and ``K/trees/...``. Predicting takes NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.carded_archive import Layout
from codesign.costmodels.operators.trees import TREE_ARRAYS, Trees, checked_trees
from codesign.costmodels.regression import Features, Regressor
from codesign.costmodels.scores import Score
from codesign.errors import CodesignError, DataError
from codesign.quantity import Array
from codesign.search.parameters import Parameter
from codesign.search.proxy.features import Feature, codes_of, features_of, matrix
from codesign.search.space import BoxSpace, Codes

VERSION = 1
MOST_TREES = 4096
"""Trees of a target that are read: predicting makes room for each."""
HINT = "expected a file that codesign costmodels fit --from-run wrote"
FILE = Layout("proxy", "codesign_proxy", VERSION, HINT)
LARGEST_EXPONENT = 700.0
"""Predicted logarithms stay within this, where the exponential is finite."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the card says of one learned number.

    Attributes:
        name: Of the objective or metric.
        unit: Of its values.
        functional_unit: Per what they are.
        log: Whether its logarithm was learned.
        mean: Of what was learned, over the training rows.
        spread: Standard deviation of the same.
        model: The chosen regression.
        intercept: Of its plane.
        depth: Of its deepest tree.
        offset: Of its trees.
        half: 90 % quantile of |learned - predicted| over the training rows, each predicted by models that had not seen
            it, in standard deviations: half the interval of a prediction.
        trained: Designs trained on.
        held: Designs that were held out.
        coverage: Share of those inside their interval.
        scores: Errors on those of ``proxy``, ``plane`` (ridge regression of the same features) and ``constant``.
        cross_validated: Root of the mean squared error of each candidate, in standard deviations.
    """

    name: str
    unit: str
    functional_unit: str
    log: bool
    mean: float
    spread: float
    model: str
    intercept: float
    depth: int
    offset: float
    half: float
    trained: int
    held: int
    coverage: float
    scores: dict[str, Score]
    cross_validated: dict[str, float]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The card of a proxy.

    Attributes:
        codesign_proxy: Version of the layout.
        problem: That was searched.
        seed: Of the split and of the fit.
        parameters: Of its designs.
        targets: In the order of the arrays.
        fingerprint: Digests of what decided the results of the run.
        versions: Of the packages that fitted.
    """

    codesign_proxy: int
    problem: str
    seed: int
    parameters: tuple[Parameter, ...]
    targets: tuple[Target, ...]
    fingerprint: dict[str, str]
    versions: dict[str, str]


class Prediction(NamedTuple):
    """Predicted values with the ends of their 90 % intervals, each (N,), in the unit of the target."""

    value: Array
    low: Array
    high: Array


class Proxy(msgspec.Struct, frozen=True, eq=False):
    """A fitted proxy: its card, the space and columns that follow from it, and a regression a target."""

    card: Card
    space: BoxSpace
    features: tuple[Feature, ...]
    regressors: tuple[Regressor, ...]

    def predict(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> dict[str, Prediction]:
        """Return target -> predictions for columns parameter -> N values, None where a parameter is inactive.

        Raises:
            UsageError: a parameter is missing.
            DataError: a value is outside what was searched; the row is named.
        """
        return self.predict_points(codes_of(self.space, columns))

    def predict_points(self, points: Codes) -> dict[str, Prediction]:
        """Return target -> predictions for points (N, D) of the space."""
        features = matrix(self.space, self.features, points)
        pairs = zip(self.card.targets, self.regressors, strict=True)
        return {target.name: _prediction(target, regressor, features) for target, regressor in pairs}


def _prediction(target: Target, regressor: Regressor, features: Features) -> Prediction:
    middle = regressor.predict(features)
    ends = (restore(target.log, target.mean, target.spread, middle + side * target.half) for side in (0.0, -1.0, 1.0))
    return Prediction(*ends)


def restore(log: bool, mean: float, spread: float, standard: Array) -> Array:
    """Return the values of standardised ones (N,)."""
    learned: Array = mean + spread * standard
    return np.exp(np.clip(learned, -LARGEST_EXPONENT, LARGEST_EXPONENT)) if log else learned


def write_proxy(path: Path | str, proxy: Proxy) -> None:
    """Write ``proxy``; equal proxies give equal bytes.

    Raises:
        EnvironmentLacks: the place cannot be written.
    """
    arrays: dict[str, Any] = {}
    for index, regressor in enumerate(proxy.regressors):
        assert regressor.trees is not None
        arrays[f"{index}/weights"] = regressor.weights
        arrays |= {f"{index}/trees/{field}": getattr(regressor.trees, field) for field in TREE_ARRAYS}
    FILE.write(path, proxy.card, arrays)


def load_proxy(path: Path | str) -> Proxy:
    """Return the proxy in a file.

    Raises:
        DataError: it cannot be read, is none, is cut or damaged, or is of another version.
    """
    name = Path(path).name
    card, arrays = FILE.read(path, Card)
    try:
        space = BoxSpace(card.parameters)
        features = features_of(space)
        regressors = tuple(
            _regressor(index, target, arrays, len(features)) for index, target in enumerate(card.targets)
        )
    except CodesignError as error:
        raise DataError(f"the card of {name} is wrong: {error.message}", HINT) from None
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{name} is damaged: array {error} is missing or wrong", HINT) from None
    return Proxy(card, space, features, regressors)


KINDS = {"feature": np.int16, "threshold": np.float32, "value": np.float32}
"""Types of the arrays of trees; the others are int32."""


def _regressor(index: int, target: Target, arrays: Mapping[str, Any], features: int) -> Regressor:
    weights = arrays[f"{index}/weights"]
    if weights.shape != (features,) or weights.dtype != np.float64 or not np.isfinite(weights).all():
        raise ValueError(f"{index}/weights")
    at = f"{index}/trees"
    for field in TREE_ARRAYS:
        array = arrays[f"{at}/{field}"]
        if array.ndim != 1 or not len(array) or array.dtype != KINDS.get(field, np.int32):
            raise ValueError(f"{at}/{field}")
    if len(arrays[f"{at}/root"]) > MOST_TREES or np.isnan(arrays[f"{at}/threshold"]).any():
        raise ValueError(at)
    column = arrays[f"{at}/feature"]
    # a leaf names column 0, so that a tree of a space without columns has it too
    if not ((column >= 0) & (column < max(features, 1))).all():
        raise IndexError(f"{at}/feature")
    if not target.spread > 0.0 or target.half < 0.0:
        raise ValueError(f"{index}/spread")
    trees: Trees = checked_trees(arrays, at, target.depth, target.offset)
    return Regressor(target.intercept, weights, trees)
