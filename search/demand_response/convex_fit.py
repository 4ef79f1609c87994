"""A convex penalty curve from samples: monotone convex piecewise linear least squares.

Any convex non-decreasing piecewise linear curve through the origin with given knots is
``f(x) = sum_j a_j max(0, x - knot_j)`` with ``a_j >= 0``, and every such sum is one. So the least-squares fit is a
non-negative least-squares problem (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23), solved
exactly and without a starting point.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.search.demand_response.curves import Curve

Floats = NDArray[np.float64]

TOLERANCE = 0.01
"""Share of the largest sampled penalty by which a sample may miss the curve before it is reported."""


class Fit(NamedTuple):
    """A fitted curve and how far the samples are from it.

    Attributes:
        curve: The curve; its last knot is the largest sampled x.
        largest_miss: Largest distance of a sample from the curve, in penalty.
        at: The x of that sample.
        missed: How many samples miss by more than ``TOLERANCE`` of the largest penalty.
    """

    curve: Curve
    largest_miss: float
    at: float
    missed: int


def fit_convex(x: Floats, penalty: Floats, segments: int) -> Fit:
    """Return the convex non-decreasing curve through the origin that is nearest to the samples.

    Args:
        x: (N,) shares or hours of backlog, from 0, at least one above 0.
        penalty: (N,) penalty an hour at ``x``, from 0.
        segments: Most segments of the curve; with more distinct samples, knots are taken evenly among them, the last
            always.
    """
    from scipy.optimize import nnls

    largest = float(x.max())
    distinct = np.unique(np.round(x / largest, 9)) * largest  # closer knots would be one but for rounding
    distinct = distinct[distinct > 0.0]
    picked = np.unique(np.linspace(len(distinct) - 1, 0, min(segments, len(distinct))).round().astype(np.intp))
    knots = np.concatenate([[0.0], distinct[picked]])
    basis = np.maximum(0.0, x[:, None] - knots[None, :-1])
    bends, _ = nnls(basis, penalty)
    curve = Curve(knots, np.maximum(0.0, knots[:, None] - knots[None, :-1]) @ bends)
    miss = np.abs(basis @ bends - penalty)
    worst = int(np.argmax(miss))
    missed = int((miss > TOLERANCE * max(float(penalty.max()), 1e-300)).sum())
    return Fit(curve, float(miss[worst]), float(x[worst]), missed)
