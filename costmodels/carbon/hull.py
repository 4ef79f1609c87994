"""The carbon hull: which designs have the least total carbon times delay for some lifetime and grid.

With use of ``u`` (grams of operational carbon per watt drawn, over the life: intensity x PUE x hours of use) the merit
of a design is ``tCDP(u) = D C + u D P``: embodied carbon C, delay D, mean power P (CORDOBA, arXiv 2305.01831; the
pruning is our reading of it). It is linear in ``u``, so the designs that are best for any lifetime, grid or utilisation
at all are vertices of the lower left convex hull of ``(D C, D P)``, and each of them is best between two crossovers.
Everything else can be left out before anything about the site is known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.quantity import Array


class CarbonHull(NamedTuple):
    """The designs that are best for some use, in the order in which they are.

    Attributes:
        design: Positions of them in the arrays asked about; the first is best for hardly any use.
        begins: Use from which each is best, g/W; the first begins at 0.
    """

    design: NDArray[np.int64]
    begins: Array

    def best(self, use: Any) -> NDArray[np.int64]:
        """Return the best design for each use, g/W; at a crossover the later one."""
        place = np.searchsorted(self.begins, np.asarray(use, np.float64), side="right") - 1
        return np.asarray(self.design[np.maximum(place, 0)])


def use_grams_per_watt(ci_g_per_kwh: Any, pue: Any, hours: Any) -> Array:
    """Return the grams that a watt drawn for ``hours`` of use emits; arguments broadcast."""
    return np.asarray(ci_g_per_kwh, np.float64) * np.asarray(pue, np.float64) * np.asarray(hours, np.float64) / 1e3


def carbon_hull(embodied_g: Any, power_w: Any, delay_s: Any) -> CarbonHull:
    """Return the hull of designs; of designs that are equal in all use the first stands for all.

    Args:
        embodied_g: Carbon of making each design, g, shape (n,).
        power_w: Its mean power while in use, W, shape (n,).
        delay_s: Time of what it is used for, s, shape (n,).

    Raises:
        UsageError: no design, or a number that is negative or not finite.
    """
    columns = [np.atleast_1d(np.asarray(values, np.float64)) for values in (embodied_g, power_w, delay_s)]
    embodied, power, delay = np.broadcast_arrays(*columns)
    if not embodied.size:
        raise UsageError("no design to compare", "a hull needs one at least")
    for name, values in (("embodied_g", embodied), ("power_w", power), ("delay_s", delay)):
        if not (np.isfinite(values) & (values >= 0.0)).all():
            raise UsageError(f"{name}: found {values[~(np.isfinite(values) & (values >= 0.0))][0]:g}", "0 or above")
    x, y = delay * embodied, delay * power
    order = np.lexsort((np.arange(len(x)), y, x))
    # only designs that no other beats in both can be on the hull: few, so that the walk below is short
    lowest = np.minimum.accumulate(y[order])
    front = order[np.concatenate([[True], y[order][1:] < lowest[:-1]])]
    kept: list[int] = []
    for place in front.tolist():
        while len(kept) > 1 and _above(x, y, kept[-2], kept[-1], place):
            kept.pop()
        kept.append(place)
    design = np.array(kept, np.int64)
    begins = -np.diff(x[design]) / np.diff(y[design])
    return CarbonHull(design, np.concatenate([[0.0], begins]))


def _above(x: Array, y: Array, one: int, middle: int, other: int) -> bool:
    """Return whether ``middle`` lies on or above the line from ``one`` to ``other``, so that it is never best alone."""
    across = (x[middle] - x[one]) * (y[other] - y[one]) - (y[middle] - y[one]) * (x[other] - x[one])
    return bool(across <= 0.0)
