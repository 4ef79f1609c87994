"""The largest divisor of a whole number below a limit, over arrays: how many equal blocks fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.accelerator.extents import whole
from codesign.errors import UsageError
from codesign.quantity import Array

LARGEST_NUMBER = 2.0**32
"""Divisors are found by trial up to the square root, 2^16 steps."""


def largest_divisor(number: Any, limit: Any) -> Array:
    """Return the largest divisor of ``number`` that is at most ``limit``, broadcast.

    Trial divisors are a loop, points are not: each step asks all points at once.

    Args:
        number: Whole numbers up to ``LARGEST_NUMBER``.
        limit: At least 1.

    Raises:
        UsageError: a number is not whole or too large, or a limit is below 1.
    """
    numbers, limits = np.broadcast_arrays(whole("number", number), np.asarray(limit, np.float64))
    if (numbers > LARGEST_NUMBER).any():
        raise UsageError(f"number: found {numbers.max():g}, expected at most {LARGEST_NUMBER:g}")
    if not (limits >= 1.0).all():
        raise UsageError("limit: expected at least 1")
    best = np.ones(numbers.shape)
    for divisor in range(1, int(np.sqrt(numbers.max(initial=1.0))) + 1):
        divides = numbers % divisor == 0.0
        for candidate in (np.asarray(float(divisor)), numbers / divisor):
            best = np.where(divides & (candidate <= limits) & (candidate > best), candidate, best)
    return best
