"""The parameters of the physical form that are most probable given measurements: normal priors, robust noise."""

from __future__ import annotations

import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.tables import Rows
from codesign.quantity import Array


def fit_parameters(rows: Rows, centre: Array, spread: float, noise: float) -> Array:
    """Return the parameters most probable given ``rows``, a normal prior around ``centre`` and robust noise.

    Args:
        rows: Measured operators.
        centre: Mean of the prior, shape (7,).
        spread: Its standard deviation.
        noise: Of ln(measured / physical form).
    """
    from scipy.optimize import least_squares

    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    measured = np.log(rows.seconds)

    def left(parameters: Array) -> Array:
        found = np.log(physics.seconds(parameters, work, on)) - measured
        return np.concatenate([found / noise, (parameters - centre) / spread])

    return np.asarray(least_squares(left, centre, loss="soft_l1", max_nfev=60).x)


def fit_change(
    rows: Rows, before: Array, term: Array | float, spread: Array | float, noise: float, centre: Array | float = 0.0
) -> Array:
    """Return the most probable change of parameters, and the level, of the one device of ``rows``, shape (8,) or (9,).

    Args:
        rows: Measured.
        before: Parameters of each row, shape (7, n) or (8, n).
        term: Shape term of each row.
        spread: Standard deviations of the prior, of each value or of all.
        noise: Of ln(measured / predicted).
        centre: Mean of the prior.
    """
    from scipy.optimize import least_squares

    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    measured = np.log(rows.seconds)

    def left(change: Array) -> Array:
        expected = np.log(physics.seconds(before + change[:-1, None], work, on)) + term + change[-1]
        return np.concatenate([(expected - measured) / noise, (change - centre) / spread])

    begin = np.zeros(len(before) + 1) + centre
    return np.asarray(least_squares(left, begin, loss="soft_l1").x)
