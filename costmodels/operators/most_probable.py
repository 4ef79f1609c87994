"""The parameters of the physical form that are most probable given measurements: normal priors, robust noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.tables import Rows
from codesign.quantity import Array

INSIDE = 1e-3
"""Distance from its limits at which a search begins."""


def fit_parameters(
    rows: Rows, centre: Array, spread: float, noise: float, *, within: bool = False, held: Sequence[int] = ()
) -> Array:
    """Return the parameters most probable given ``rows``, a normal prior around ``centre`` and robust noise.

    Args:
        rows: Measured operators.
        centre: Mean of the prior, shape (7,) or (8,).
        spread: Its standard deviation.
        noise: Of ln(measured / physical form).
        within: Keep the search between the limits of the physical form. Beyond them nothing changes, so that a search
            that gets there is lost: kernels far from the others take it there.
        held: Positions of parameters that stay at ``centre``.
    """
    from scipy.optimize import least_squares

    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    measured = np.log(rows.seconds)
    bounds = (np.full(len(centre), -np.inf), np.full(len(centre), np.inf))
    begin = centre
    if within:
        bounds = physics.limits(len(centre), work.eighth)
        begin = np.clip(centre, bounds[0] + INSIDE, bounds[1] - INSIDE)
    free = np.setdiff1d(np.arange(len(centre)), held)
    found = begin.copy()

    def left(asked: Array) -> Array:
        found[free] = asked
        residual = np.log(physics.seconds(found, work, on)) - measured
        return np.concatenate([residual / noise, (asked - centre[free]) / spread])

    of_free = (bounds[0][free], bounds[1][free])
    found[free] = least_squares(left, begin[free], loss="soft_l1", max_nfev=60, bounds=of_free).x
    return found


class Prior(NamedTuple):
    """A normal prior around what is known of a device: of its change and level, and of its trust in the shape term."""

    centre: Array | float
    spread: Array | float
    trust: float = 1.0
    trust_spread: float = 0.0


def fit_change(
    rows: Rows, before: Array, term: Array | float, prior: Prior, noise: Array | float
) -> tuple[Array, float]:
    """Return the most probable change of parameters, and the level, of the one device of ``rows``, and its trust.

    The change and level have shape (8,) or (9,). The trust, 0 to 1, multiplies the shape term; with no spread of its
    own it stays what it was.

    Args:
        rows: Measured.
        before: Parameters of each row, shape (7, n) or (8, n).
        term: Shape term of each row.
        prior: Of what is fitted.
        noise: Of ln(measured / predicted), or that of each row.
    """
    from scipy.optimize import least_squares

    on = rows.columns
    work = FAMILIES[rows.family].work(rows.shapes, on)
    measured = np.log(rows.seconds)
    count = len(before)
    learns = prior.trust_spread > 0.0 and bool(np.any(term))

    def left(asked: Array) -> Array:
        trust = asked[count + 1] if learns else prior.trust
        change = asked[:count, None]
        expected = np.log(physics.seconds(before + change, work, on)) + trust * term + asked[count]
        known = (asked[: count + 1] - prior.centre) / prior.spread
        believed = (asked[count + 1 :] - prior.trust) / prior.trust_spread if learns else ()
        return np.concatenate([(expected - measured) / noise, known, believed])

    begin = np.zeros(count + 1) + prior.centre
    if not learns:
        return np.asarray(least_squares(left, begin, loss="soft_l1").x), prior.trust
    low = np.append(np.full(count + 1, -np.inf), 0.0)
    high = np.append(np.full(count + 1, np.inf), 1.0)
    begin = np.append(begin, np.clip(prior.trust, 0.05, 0.95))  # strictly between the bounds
    found = least_squares(left, begin, loss="soft_l1", bounds=(low, high)).x
    return np.asarray(found[:-1]), float(found[-1])
