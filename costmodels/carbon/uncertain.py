"""Uncertain inputs by name: one function prices the nominal case and every draw.

A formula asks ``take(name, range)`` for each input that is not known exactly. ``Nominal`` answers with the value,
``Draws`` with an array of draws that belong to the name: whatever asks under the same name shares the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from codesign.costmodels.carbon.coefficients import Coefficient
from codesign.costmodels.carbon.draws import DRAWS, Uncertain, drawn, standard_normal
from codesign.errors import DataError, UsageError
from codesign.quantity import Array
from codesign.units import parse_quantity


class Take(Protocol):
    """What answers for an uncertain input."""

    def __call__(self, name: str, given: Uncertain) -> Any:
        """Return the input called ``name``: a number, or draws of it."""
        ...

    def normal(self, name: str) -> Any:
        """Return the standard normal error called ``name``: 0, or draws of it."""
        ...


class Nominal:
    """Every input at its value."""

    def __call__(self, name: str, given: Uncertain) -> float:
        """Return the value."""
        return given.value

    def normal(self, name: str) -> float:
        """Return no error."""
        return 0.0


class Draws(msgspec.Struct, frozen=True):
    """Every input as draws of its own, the same for the same name.

    Attributes:
        count: How many.
        seed: Of all of them.
    """

    count: int = DRAWS
    seed: int = 0

    def __call__(self, name: str, given: Uncertain) -> Array:
        """Return draws, shape (count,)."""
        return drawn({name: given}, self.count, self.seed)[name]

    def normal(self, name: str) -> Array:
        """Return draws of a standard normal, shape (count,)."""
        return standard_normal(name, self.count, self.seed)


def of_coefficient(found: Coefficient) -> Uncertain:
    """Return a coefficient with its range; one that reaches 0, or ends, is triangular."""
    ends = found.low <= 0.0 or (found.unit in ("", "%") and found.high <= 1.0) or found.unit == "%"
    return Uncertain(found.low, found.value, found.high, "triangular" if ends else "lognormal")


def written(given: object, unit: str, where: str) -> Uncertain:
    """Return a number of a spec: ``164 kgCO2e``, known exactly, or ``{value, low, high}``.

    Raises:
        DataError: no number, another unit, or a range that does not hold its value; ``where`` is named.
    """
    parts = given if isinstance(given, Mapping) else {"value": given}
    unknown = sorted(set(parts) - {"value", "low", "high"})
    if unknown or "value" not in parts:
        raise DataError(f"{where}: found {', '.join(map(str, parts))}", "expected a number, or value, low and high")
    try:
        value = parse_quantity(parts["value"], unit, where)
        low, high = (parse_quantity(parts.get(end, parts["value"]), unit, f"{where}.{end}") for end in ("low", "high"))
    except UsageError as error:
        raise DataError(error.message, error.hint) from None
    if not low <= value <= high:
        raise DataError(f"{where}: the range {low:g} to {high:g} does not hold {value:g}", "low <= value <= high")
    return Uncertain(low, value, high, "lognormal" if low > 0.0 else "triangular")
