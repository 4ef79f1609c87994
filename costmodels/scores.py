"""How far predictions are from values they have not seen."""

from __future__ import annotations

import msgspec
import numpy as np

from codesign.quantity import Array


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The errors of one predictor.

    Attributes:
        rmse: Root of the mean squared error, in the unit of the target.
        mape: Mean of |predicted - value| / |value|; None where a value is 0.
        r2: Share of the variance explained; 0 is what predicting the mean of these rows would get.
        rank: Spearman's rank correlation; None for predictions that are all equal.
    """

    rmse: float
    mape: float | None
    r2: float
    rank: float | None


def score(predicted: Array, values: Array) -> Score:
    """Return the errors of ``predicted`` (N,) against ``values`` (N,), which are not all equal."""
    error = predicted - values
    squares = float(np.mean(error**2))
    relative = float(np.mean(np.abs(error / values))) if (values != 0.0).all() else None
    return Score(float(np.sqrt(squares)), relative, 1.0 - squares / float(np.var(values)), _rank(predicted, values))


def _rank(first: Array, second: Array) -> float | None:
    """Return Spearman's correlation: Pearson's of the ranks, ties sharing the mean of theirs."""
    ranks = [_ranks(first), _ranks(second)]
    spread = [float(np.std(r)) for r in ranks]
    if not all(spread):
        return None
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / (spread[0] * spread[1]))


def _ranks(values: Array) -> Array:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mean = np.cumsum(count) - (count - 1) / 2.0
    found: Array = mean[place]
    return found
