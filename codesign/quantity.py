"""Numbers that say how sure they are.

Inside an estimate every number is a ``Column``: one value per design point, its slopes with respect
to a few named, shared error *factors*, and one independent variance. A factor ("the sustained GEMM
rate of this card", "grid intensity") is a multiplier whose true value is uncertain; ``slopes[f]`` is
``d value / d ln f``. Sums, products and soft maxima keep the slopes by the chain rule, so an error
common to two terms stays common in their sum and cancels in their comparison.

At the edge a column becomes a ``Quantity``: value, low, high, unit, source.

Two consequences used all over the product:

- Latencies are homogeneous of degree one in the slowness of their resources, so by Euler's theorem
  their slopes add up to the value: the slopes *are* the breakdown by binding resource, and
  ``slope / value`` is the elasticity that ``explain`` prints.
- The source of a number is the weakest method among the factors that carry at least 5 % of it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

COVERAGE = 0.90
"""Stated coverage of every interval."""

Z90 = 1.6448536269514722
"""Half-width of a central 90 % normal interval, in standard deviations."""

HEADLINE_SHARE = 0.05
"""A factor below this share of a value does not decide the value's headline source."""


class Method(enum.Enum):
    """How a number came about, from the most to the least trusted."""

    MEASURED = "measured"
    CALIBRATED = "calibrated"
    INTERPOLATED = "interpolated"
    SAME_FAMILY = "same-family"
    NEW_FAMILY = "new-family"
    ANALYTICAL = "analytical"

    @property
    def rank(self) -> int:
        """0 for the most trusted method."""
        return _RANKS[self]


_RANKS = {method: rank for rank, method in enumerate(Method)}


class Origin(enum.Enum):
    """Where an input of a number came from."""

    MEASURED = "measured"
    PUBLISHED = "published"
    ASSUMED = "assumed"


class Quantity(msgspec.Struct, frozen=True):
    """A number at the edge: ``value`` inside ``[low, high]`` at 90 % coverage, with unit and source."""

    value: float
    low: float
    high: float
    unit: str
    source: str
    coverage: float = COVERAGE

    def scaled(self, factor: float, unit: str) -> Quantity:
        """Return the same quantity in another unit, ``factor`` of which make one of this."""
        return Quantity(self.value * factor, self.low * factor, self.high * factor, unit, self.source, self.coverage)


class Factor(msgspec.Struct, frozen=True):
    """A shared error factor: a multiplier of mean 1 whose logarithm has standard deviation ``sigma``."""

    name: str
    sigma: float
    method: Method = Method.ANALYTICAL
    origin: Origin = Origin.PUBLISHED
    note: str = ""


class Column:
    """Values over design points with first-order uncertainty.

    ``value`` has shape (N,) (or broadcasts to it), ``slopes`` shape (F, N) in the order of the
    factor list that the estimate carries, ``variance`` shape (N,) in squared units of the value.
    """

    __slots__ = ("slopes", "value", "variance")

    def __init__(self, value: Any, slopes: Any, variance: Any = 0.0) -> None:
        self.value: Array = np.asarray(value, dtype=np.float64)
        self.slopes: Array = np.asarray(slopes, dtype=np.float64)
        self.variance: Array = np.asarray(variance, dtype=np.float64)

    @classmethod
    def exact(cls, value: Any, factors: int) -> Column:
        """Return ``value`` known without error."""
        value = np.asarray(value, dtype=np.float64)
        return cls(value, np.zeros((factors, *value.shape)), np.zeros_like(value))

    @classmethod
    def of_factor(cls, value: Any, index: int, factors: int) -> Column:
        """Return ``value`` as known only up to the shared factor number ``index``."""
        column = cls.exact(value, factors)
        column.slopes[index] = column.value
        return column

    def slopes_for(self, dimensions: int) -> Array:
        """Return the slopes with the factor axis ahead of ``dimensions`` point axes, ready to broadcast."""
        missing = dimensions - (self.slopes.ndim - 1)
        if missing <= 0:
            return self.slopes
        return self.slopes.reshape(len(self.slopes), *(1,) * missing, *self.slopes.shape[1:])

    def __add__(self, other: Column) -> Column:
        value = self.value + other.value
        slopes = self.slopes_for(value.ndim) + other.slopes_for(value.ndim)
        return Column(value, slopes, self.variance + other.variance)

    def __mul__(self, other: Column | float | Array) -> Column:
        if isinstance(other, Column):
            value = self.value * other.value
            return Column(
                value,
                self.slopes_for(value.ndim) * other.value + other.slopes_for(value.ndim) * self.value,
                self.variance * other.value**2 + other.variance * self.value**2,
            )
        scale = np.asarray(other, dtype=np.float64)
        value = self.value * scale
        return Column(value, self.slopes_for(value.ndim) * scale, self.variance * scale**2)

    __rmul__ = __mul__

    def __truediv__(self, other: Column | float | Array) -> Column:
        return self * (other.reciprocal() if isinstance(other, Column) else 1.0 / np.asarray(other, dtype=np.float64))

    def reciprocal(self) -> Column:
        """Return ``1 / self``."""
        inverse = 1.0 / self.value
        return Column(inverse, -self.slopes * inverse**2, self.variance * inverse**4)

    def take(self, index: Any) -> Column:
        """Return the points that ``index`` selects."""
        shape = np.broadcast_shapes(self.value.shape, self.variance.shape, self.slopes.shape[1:])
        return Column(
            np.broadcast_to(self.value, shape)[index],
            np.broadcast_to(self.slopes, (len(self.slopes), *shape))[:, index],
            np.broadcast_to(self.variance, shape)[index],
        )

    def relative_sigma(self, sigmas: Array) -> Array:
        """Return the relative standard deviation of each point under the factors' ``sigmas`` (F,)."""
        shared = np.tensordot(sigmas**2, self.slopes**2, axes=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.sqrt(shared + self.variance) / np.abs(self.value)
        return np.where(self.value == 0.0, 0.0, relative)

    def interval(self, sigmas: Array) -> tuple[Array, Array]:
        """Return (low, high) at 90 % coverage, log-normal around the value: both keep its sign."""
        spread = np.exp(Z90 * self.relative_sigma(sigmas))
        return self.value / spread, self.value * spread


def soft_maximum(a: Column, b: Column, power: float = 4.0) -> Column:
    """Return ``(a^p + b^p)^(1/p)``: two times that overlap, smooth so that rankings stay continuous."""
    top = np.maximum(a.value, b.value)
    safe = np.where(top > 0.0, top, 1.0)
    value = safe * ((a.value / safe) ** power + (b.value / safe) ** power) ** (1.0 / power)
    ratio = np.where(value > 0.0, value, 1.0)
    weight_a, weight_b = (a.value / ratio) ** (power - 1.0), (b.value / ratio) ** (power - 1.0)
    slopes = a.slopes_for(value.ndim) * weight_a + b.slopes_for(value.ndim) * weight_b
    return Column(
        np.where(top > 0.0, value, 0.0),
        slopes,
        a.variance * weight_a**2 + b.variance * weight_b**2,
    )


def total(columns: Iterable[Column]) -> Column:
    """Return the sum of ``columns`` (at least one)."""
    first, *rest = columns
    for column in rest:
        first = first + column
    return first


def shares(slopes: Array, factors: Sequence[Factor]) -> dict[str, float]:
    """Return each factor's share of one point: ``slopes`` has shape (F,)."""
    weight = np.abs(slopes)
    whole = float(weight.sum())
    return {f.name: float(w) / whole for f, w in zip(factors, weight, strict=True) if w > 0.0} if whole else {}


def headline(slopes: Array, factors: Sequence[Factor]) -> str:
    """Return the headline source of one point: its weakest method, and ``assumed`` inputs if any carry weight."""
    share = shares(slopes, factors)
    heavy = [f for f in factors if share.get(f.name, 0.0) >= HEADLINE_SHARE]
    if not heavy:
        return Method.ANALYTICAL.value
    method = max((f.method for f in heavy), key=lambda m: m.rank)
    assumed = any(f.origin is Origin.ASSUMED for f in heavy)
    return f"{method.value}, assumed inputs" if assumed else method.value
