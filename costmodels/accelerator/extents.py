"""Extents that closed forms accept: whole numbers of at least 1, kept exact in float64.

Counts of operations are products of extents. Up to 2^53 a float64 holds every whole number, so the forms stay exact
while they broadcast; an extent above 2^40 is taken for a mistake.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.quantity import Array

LARGEST = 2.0**40
"""Largest extent of one rank or side of an array."""


def whole(name: str, values: Any) -> Array:
    """Return ``values`` as float64, any shape.

    Raises:
        UsageError: one is no whole number from 1 to ``LARGEST``.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: found {values!r:.40}, expected whole numbers") from None
    fine = (array >= 1.0) & (array <= LARGEST) & (array == np.floor(array))
    if not fine.all():
        found = float(array[~fine].flat[0])
        raise UsageError(f"{name}: found {found:g}, expected a whole number from 1 to {LARGEST:g}")
    return array


def ceil_ratio(a: Array, b: Array) -> Array:
    """Return ``ceil(a / b)`` of whole numbers, exactly: the floor of a float64 quotient is not always that."""
    quotient: Array = -np.floor_divide(-a, b)
    return quotient
