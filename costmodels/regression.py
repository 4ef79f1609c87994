"""The regressions that learned models choose among, and how they keep the chosen one: a plane plus trees, as arrays.

The plane is a ridge regression, or level. The trees are gradient boosting or extra trees (Geurts, Ernst, Wehenkel,
Extremely randomized trees, 2006) of what the plane leaves over: a cost that is nearly a product of powers is nearly a
plane in logarithms, and trees, which are flat between the designs they saw, only have to add the rest. Targets are
standardised here: mean 0, standard deviation 1.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators.trees import Trees, of_ensembles, of_forest
from codesign.quantity import Array

Features = NDArray[np.float32]

DEPTH = 6
"""Levels of a boosted tree: predicting takes a pass over the rows for each, and deeper ones are no better."""
RIDGE = 1e-3
"""Penalty of the plane, per row and standardised feature: enough to share equal columns evenly."""


class Candidate(NamedTuple):
    """One regression: ``trees`` of what a ``plane`` leaves over."""

    plane: bool
    trees: Literal["boosting", "extra trees"]

    @property
    def name(self) -> str:
        """Its name in tables and files."""
        return f"plane + {self.trees}" if self.plane else self.trees


CANDIDATES = tuple(Candidate(plane, trees) for plane in (True, False) for trees in ("boosting", "extra trees"))


class Regressor(msgspec.Struct, frozen=True, eq=False):
    """A fitted regression.

    Attributes:
        intercept: Of the plane.
        weights: Of the plane, shape (F,).
        trees: Of the rest.
    """

    intercept: float
    weights: Array
    trees: Trees | None

    def predict(self, features: Features) -> Array:
        """Return the output of each row of ``features`` (N, F), shape (N,), whatever rows stand beside it."""
        # a sum along rows, not a matrix product: the order of a product's additions depends on the number of rows
        plane: Array = (np.asarray(features, np.float64) * self.weights).sum(axis=1) + self.intercept
        return plane if self.trees is None else plane + self.trees.predict(features)


def fit_plane(features: Features, target: Array) -> Regressor:
    """Return the ridge regression of ``target`` (N,) on ``features`` (N, F)."""
    wide = np.asarray(features, np.float64)
    middle, spread = wide.mean(axis=0), wide.std(axis=0)
    spread = np.where(spread > 0.0, spread, 1.0)
    scaled = (wide - middle) / spread
    normal = scaled.T @ scaled + RIDGE * len(wide) * np.eye(wide.shape[1])
    weights = np.linalg.solve(normal, scaled.T @ (target - target.mean())) / spread
    return Regressor(float(target.mean() - middle @ weights), weights, None)


def fit_candidate(candidate: Candidate, features: Features, target: Array, seed: int) -> Regressor:
    """Return ``candidate`` fitted on ``features`` (N, F) and ``target`` (N,)."""
    plane = fit_plane(features, target) if candidate.plane else Regressor(0.0, np.zeros(features.shape[1]), None)
    rest = target - plane.predict(features)
    model = _trees(candidate, seed).fit(features, rest)
    trees = of_ensembles([model]) if candidate.trees == "boosting" else of_forest(model)
    return msgspec.structs.replace(plane, trees=trees)


def _trees(candidate: Candidate, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

    if candidate.trees == "boosting":
        return HistGradientBoostingRegressor(
            learning_rate=0.08, max_iter=300, max_depth=DEPTH, max_leaf_nodes=31, min_samples_leaf=5,
            l2_regularization=0.1, early_stopping=False, random_state=seed,
        )  # fmt: skip
    return ExtraTreesRegressor(100, min_samples_leaf=2, max_features=0.7, random_state=seed)
