"""Penalty curves and the chords that replace them in a linear programme.

Online work: ``k (x + 5 x^3)`` an hour at the curtailed share ``x = d / U``. Batch work: ``k x^2`` an hour at the
backlog ``x = b / E``, in hours of the entitlement. A chord lies above a convex curve between its knots, so a chord
penalty is an upper bound of the curve's.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["online", "batch"]
Spacing = Literal["dense", "uniform"]


class Curve(NamedTuple):
    """A convex, non-decreasing, piecewise linear penalty an hour, 0 at 0.

    Attributes:
        knots: (S + 1,) shares (online) or hours of backlog (batch), from 0, non-decreasing.
        values: (S + 1,) penalty at the knots.
    """

    knots: Floats
    values: Floats


def smooth(kind: Kind, x: Floats) -> Floats:
    """Return the curve of a workload of weight 1 at ``x``, any shape."""
    return x + 5.0 * x**3 if kind == "online" else x**2


def spaced(largest: float, segments: int, spacing: Spacing) -> Floats:
    """Return the ``segments`` + 1 knots from 0 to ``largest``; ``dense`` puts them closer together near 0."""
    unit = np.linspace(0.0, 1.0, segments + 1)
    return largest * (unit**2 if spacing == "dense" else unit)


def chords(kind: Kind, weight: float, largest: float, segments: int, spacing: Spacing) -> Curve:
    """Return the chords of the curve of ``kind`` and ``weight`` from 0 to ``largest``."""
    knots = spaced(largest, segments, spacing)
    return Curve(knots, weight * smooth(kind, knots))


def padded(curve: Curve, segments: int) -> Curve:
    """Return ``curve`` with segments of no width at its end, ``segments`` in all: curves then stack into arrays."""
    missing = segments + 1 - len(curve.knots)
    return Curve(np.pad(curve.knots, (0, missing), "edge"), np.pad(curve.values, (0, missing), "edge"))


def slopes(knots: Floats, values: Floats) -> Floats:
    """Return the slope of each segment, (..., S); 0 where a segment has no width."""
    width = np.diff(knots, axis=-1)
    rise = np.diff(values, axis=-1)
    return np.divide(rise, width, out=np.zeros_like(rise), where=width > 0.0)


def at(knots: Floats, values: Floats, x: Floats) -> Floats:
    """Return W piecewise linear curves at their points.

    Args:
        knots: (W, S + 1).
        values: (W, S + 1).
        x: (W, H), from 0; beyond the last knot the curve stays at its last value.
    """
    slope, width = slopes(knots, values), np.diff(knots, axis=1)
    total = np.zeros_like(x)
    for segment in range(slope.shape[1]):  # a segment at a time: (W, H) numbers in memory, not (W, H, S)
        inside = np.clip(x - knots[:, segment, None], 0.0, width[:, segment, None])
        total += slope[:, segment, None] * inside
    return total
