"""The result of a cost model: named columns over design points, with the factors behind their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.quantity import Array, Column, Factor, Quantity, headline, shares


class Metric(msgspec.Struct, frozen=True):
    """A named output: SI unit, functional unit, and which direction is better."""

    name: str
    unit: str
    per: str = ""
    better: str = "lower"
    title: str = ""


class Estimate(msgspec.Struct, frozen=True, eq=False):
    """Columns over points. ``feasible`` is False where a hard constraint fails, with ``reasons`` by point code."""

    metrics: Mapping[str, Metric]
    columns: Mapping[str, Column]
    factors: tuple[Factor, ...]
    feasible: NDArray[Any]
    reason: NDArray[Any]
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def sigmas(self) -> Array:
        """Standard deviation of the logarithm of each factor."""
        return np.array([factor.sigma for factor in self.factors])

    def interval(self, name: str) -> tuple[Array, Array]:
        """Return (low, high) of a column at 90 % coverage."""
        return self.columns[name].interval(self.sigmas)

    def quantity(self, name: str, point: int = 0) -> Quantity:
        """Return one number at the edge."""
        column = self.columns[name].take(slice(point, point + 1))
        low, high = column.interval(self.sigmas)
        source = headline(column.slopes[:, 0], self.factors)
        return Quantity(float(column.value[0]), float(low[0]), float(high[0]), self.metrics[name].unit, source)

    def quantities(self, point: int = 0) -> dict[str, Quantity]:
        """Return every metric of one point."""
        return {name: self.quantity(name, point) for name in self.columns}

    def shares(self, name: str, point: int = 0) -> dict[str, float]:
        """Return the share of each factor in one number (by absolute slope)."""
        column = self.columns[name].take(slice(point, point + 1))
        return shares(column.slopes[:, 0], self.factors)

    def elasticities(self, name: str, point: int = 0) -> dict[str, float]:
        """Return ``d ln value / d ln factor`` of one number for every factor that moves it."""
        column = self.columns[name].take(slice(point, point + 1))
        value = float(column.value[0])
        moved = zip(self.factors, column.slopes[:, 0], strict=True)
        return {factor.name: float(slope) / value for factor, slope in moved if slope != 0.0 and value}
