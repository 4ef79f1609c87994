"""Monte Carlo over uncertain inputs, with the same draws for whatever is compared.

Each input has a name, and its draws depend on the seed and that name alone. Two designs that share an input (the grid,
the carbon of HBM) therefore share its error in every draw, which cancels in their comparison as it does in the world:
independent draws would hide real differences (common random numbers).

An input is log-normal in two pieces: its median is the value, and its 5 and 95 % quantiles are low and high. Inputs
that end (a yield, a share) are triangular between low and high with the mode at the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from codesign.errors import UsageError
from codesign.quantity import COVERAGE, Z90, Array, Quantity

DRAWS = 10_000

Shape = Literal["lognormal", "triangular"]


class Uncertain(NamedTuple):
    """An input: low and high are its 5 and 95 % quantiles, or its ends where it is triangular."""

    low: float
    value: float
    high: float
    shape: Shape = "lognormal"


def drawn(inputs: Mapping[str, Uncertain], count: int = DRAWS, seed: int = 0) -> dict[str, Array]:
    """Return ``count`` draws of each input, shape (count,).

    Args:
        inputs: By name; the name decides the draws.
        count: How many.
        seed: Of all of them.

    Raises:
        UsageError: a range that does not hold its value, or reaches 0 where it is log-normal.
    """
    return {name: _draw(name, given, count, seed) for name, given in inputs.items()}


def standard_normal(name: str, count: int = DRAWS, seed: int = 0) -> Array:
    """Return the standard normal draws that belong to ``name``, shape (count,)."""
    return _generator(name, seed).standard_normal(count)


def summary(values: Array, unit: str, source: str) -> Quantity:
    """Return median and 5 to 95 % interval of draws, shape (count,)."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return Quantity(float(middle), float(low), float(high), unit, source, COVERAGE)


def share_below(one: Array, other: Array) -> float:
    """Return in which share of the draws ``one`` is less than ``other``; a tie counts half."""
    return float(np.mean(one < other) + 0.5 * np.mean(one == other))


def _draw(name: str, given: Uncertain, count: int, seed: int) -> Array:
    low, value, high = given.low, given.value, given.high
    if not (np.isfinite([low, value, high]).all() and low <= value <= high):
        raise UsageError(f"{name}: the range {low:g} to {high:g} does not hold {value:g}", "low <= value <= high")
    if low == high:
        return np.full(count, value)
    if given.shape == "triangular":
        return _generator(name, seed).triangular(low, value, high, count)
    if low <= 0.0:
        raise UsageError(f"{name}: found a low end of {low:g}, expected above 0", "a factor cannot reach zero")
    z = standard_normal(name, count, seed) / Z90
    return np.asarray(value * np.where(z > 0.0, high / value, value / low) ** z)


def _generator(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    key = [seed % 2**64, int.from_bytes(digest[:8], "little")]
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
