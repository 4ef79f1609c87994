"""The knee of a front: the point furthest below the plane through the extremes.

With every objective scaled to [0, 1] over the front, the extremes of two objectives lie on the chord
x + y = 1, and the knee (Das, "On characterizing the knee of the Pareto curve", 1999) is the point furthest
below it. The same plane sum = 1 serves any number of objectives, so the knee minimises the scaled sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def scaled(values: Floats) -> Floats:
    """Return front objectives (K, M) scaled to [0, 1]; an objective that does not vary is 0."""
    span = np.ptp(values, axis=0)
    unit: Floats = (values - values.min(axis=0)) / np.where(span > 0.0, span, 1.0)
    return unit


def depth(values: Floats) -> Floats:
    """Return (K,) how far each point lies below the plane through the extremes, in scaled units."""
    if not len(values):
        return np.zeros(0)
    unit = scaled(values)
    vary = max(1, int((np.ptp(values, axis=0) > 0.0).sum()))
    below: Floats = (1.0 - unit.sum(axis=1)) / np.sqrt(vary)
    return below


def knee(values: Floats) -> int:
    """Return the row of the knee (the first of equals), or -1 of an empty front."""
    return int(np.argmax(depth(values))) if len(values) else -1
