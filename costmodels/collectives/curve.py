"""Time of one collective against its payload: straight lines between a few knots, both axes logarithmic.

Below the first knot a collective takes what the first knot takes (its floor), above the last one it moves bytes at the
last knot's rate. Units: bytes, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from codesign.quantity import Array


class Curve(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Knots of one curve.

    Attributes:
        sizes: Payloads of the knots, bytes, ascending.
        times: What they take, seconds, never descending.
    """

    sizes: tuple[float, ...]
    times: tuple[float, ...]

    @property
    def floor(self) -> float:
        """Return the time of the smallest payload, seconds."""
        return self.times[0]

    def seconds(self, payload: Any) -> Array:
        """Return the time of ``payload`` bytes (any shape); no bytes are no collective and take none."""
        sizes, times = _logarithms(self)
        given = np.asarray(payload, dtype=np.float64)
        at = np.log(np.maximum(given, self.sizes[0]))
        found = np.exp(np.interp(at, sizes, times) + np.maximum(at - sizes[-1], 0.0))
        return np.where(given > 0.0, found, 0.0)

    def scaled(self, size: float, time: float) -> Curve:
        """Return the curve of the same shape with payloads times ``size`` and seconds times ``time``."""
        return Curve(tuple(s * size for s in self.sizes), tuple(t * time for t in self.times))


@lru_cache(maxsize=4096)
def _logarithms(curve: Curve) -> tuple[Array, Array]:
    return np.log(np.array(curve.sizes)), np.log(np.array(curve.times))


def mean_of(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """Return the weighted geometric mean of curves, with the knots of all; weights add up to 1."""
    if len(curves) == 1:
        return curves[0]
    sizes = np.unique(np.concatenate([curve.sizes for curve in curves]))
    logs = sum(weight * np.log(curve.seconds(sizes)) for curve, weight in zip(curves, weights, strict=True))
    return Curve(tuple(sizes.tolist()), tuple(np.exp(logs).tolist()))


def fit_curve(sizes: Array, seconds: Array, tolerance: float = 0.03) -> Curve:
    """Return the curve of measured ``seconds`` of ``sizes`` bytes, both of shape (n,).

    Sizes within half an octave share the median of their logarithms; the medians are made to ascend by averaging
    neighbours that do not; then knots go that the line between their neighbours reproduces.

    Args:
        sizes: Payloads, bytes.
        seconds: Measured.
        tolerance: Largest relative change by knots that go.
    """
    bins = np.round(2.0 * np.log2(sizes)).astype(np.int64)
    found = np.unique(bins)
    at = np.array([np.median(np.log(sizes[bins == one])) for one in found])
    times = _ascending(np.array([np.median(np.log(seconds[bins == one])) for one in found]))
    kept = _kept(at, times, tolerance)
    return Curve(
        tuple(float(round(size)) for size in np.exp(at[kept])),
        tuple(float(f"{time:.4g}") for time in np.exp(times[kept])),
    )


def _ascending(values: Array) -> Array:
    """Return the nearest values that never descend (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (last, many), (before, more) = blocks.pop(), blocks.pop()
            blocks.append(((last * many + before * more) / (many + more), many + more))
    return np.concatenate([np.full(count, value) for value, count in blocks])


def _kept(at: Array, values: Array, tolerance: float) -> list[int]:
    """Return the positions of knots between which straight lines stay within ``tolerance`` of all values."""
    kept = {0, len(at) - 1}
    parts = [(0, len(at) - 1)]
    while parts:
        first, last = parts.pop()
        inside = slice(first + 1, last)
        if last - first < 2:
            continue
        off = np.abs(np.interp(at[inside], at[[first, last]], values[[first, last]]) - values[inside])
        worst = first + 1 + int(np.argmax(off))
        if off[worst - first - 1] > tolerance:
            kept.add(worst)
            parts += [(first, worst), (worst, last)]
    return sorted(kept)
