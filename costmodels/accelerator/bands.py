"""A value with the ends of its range, as arrays: what tables and fits of energy and area return."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.quantity import Array, Quantity


class Band(NamedTuple):
    """``low <= value <= high`` in one unit; fields broadcast over designs."""

    low: Array
    value: Array
    high: Array

    def times(self, other: Any) -> Band:
        """Return the product with a non-negative number, array or band.

        Both ends are taken at once: the ranges are of the same kind of error, so nothing averages out.
        """
        factors = other if isinstance(other, Band) else (other, other, other)
        return Band(*(np.asarray(end * factor, np.float64) for end, factor in zip(self, factors, strict=True)))

    def plus(self, other: Band) -> Band:
        """Return the sum, ends with ends."""
        return Band(*(end + their for end, their in zip(self, other, strict=True)))

    def quantity(self, unit: str, source: str) -> Quantity:
        """Return the band of one design as a number at the edge."""
        low, value, high = (float(end) for end in self)
        return Quantity(value, low, high, unit, source)


def band(value: Any, low: Any = 1.0, high: Any = 1.0) -> Band:
    """Return ``value`` with ends at ``low`` and ``high`` times it."""
    value = np.asarray(value, np.float64)
    return Band(value * low, value, value * high)
