"""What an argument of a carbon formula may be: finite, and inside its domain everywhere.

A negative area or a yield above 1 gives a plausible number, so the formulas refuse it instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.quantity import Array, Column


def positive(name: str, values: Any) -> Array:
    """Return ``values`` as float64.

    Raises:
        UsageError: one is zero, negative or not finite.
    """
    return _checked(name, values, 0.0, np.inf, "above 0", open_low=True)


def non_negative(name: str, values: Any) -> Array:
    """Return ``values`` as float64.

    Raises:
        UsageError: one is negative or not finite.
    """
    return _checked(name, values, 0.0, np.inf, "0 or above")


def at_least(name: str, values: Any, least: float) -> Array:
    """Return ``values`` as float64.

    Raises:
        UsageError: one is below ``least`` or not finite.
    """
    return _checked(name, values, least, np.inf, f"{least:g} or above")


def share(name: str, values: Any) -> Array:
    """Return ``values`` as float64.

    Raises:
        UsageError: one lies outside 0 to 1.
    """
    return _checked(name, values, 0.0, 1.0, "0 to 1")


def positive_share(name: str, values: Any) -> Array:
    """Return ``values`` as float64.

    Raises:
        UsageError: one is not above 0, or is above 1.
    """
    return _checked(name, values, 0.0, 1.0, "above 0, at most 1", open_low=True)


def between(name: str, values: Any, low: float, high: float) -> Array:
    """Return ``values`` as float64.

    Raises:
        UsageError: one lies outside ``low`` to ``high``.
    """
    return _checked(name, values, low, high, f"{low:g} to {high:g}")


def _checked(name: str, values: Any, low: float, high: float, expected: str, open_low: bool = False) -> Array:
    column = isinstance(values, Column)  # of an estimate: its value is checked, and its errors stay with it
    array = np.asarray(values.value if column else values, np.float64)
    fine = np.isfinite(array) & (array <= high) & ((array > low) if open_low else (array >= low))
    if not fine.all():
        found = float(array[~fine].flat[0])
        raise UsageError(f"{name}: found {found:g}, expected {expected}")
    checked: Array = values if column else array
    return checked
