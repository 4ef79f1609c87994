"""The front of a whole network from the fronts of its layers: sums that nothing dominates, layer by layer.

Energy, time and traffic of layers that run one after the other add up; memory that their tiles take is that of the
largest. Both grow with every part, so a part that another one dominates is never needed: after each layer only the
non-dominated sums stay (the Minkowski sum of fronts, pruned). That is exact. Where more than a limit would stay they
are thinned on a grid of equal ratios, and the largest ratio by which a kept sum is worse than one it stands for is the
error: later layers add the same to both, so errors of several layers multiply at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.search.pareto import nondominated

Array = NDArray[np.float64]
Choices = NDArray[np.int64]

MOST = 4096
"""Sums that stay after a layer."""

KEPT = 100
"""Points of the whole network's front: as many as a run has details of."""

FINEST, COARSEST = 1e-6, 10.0
"""Ratios, less one, of the grids that thin a front."""


class Merged(NamedTuple):
    """The front of a network of L layers.

    Attributes:
        choices: (N, L) which mapping of its own front each layer has.
        values: (N, C) sums, or largest values.
        size: Points of the front before it was thinned.
        error: Every point of the whole front is at most this share better, in any value, than one kept; 0 is exact.
    """

    choices: Choices
    values: Array
    size: int
    error: float


def merge(pools: Sequence[Array], runs: Sequence[int], largest: Sequence[bool], kept: int = KEPT) -> Merged:
    """Return the front of a network.

    Args:
        pools: For each layer (K, C) what its mappings cost, not negative.
        runs: How often each layer runs, always with the same mapping.
        largest: (C,) whether the value of the network is that of its largest layer, in place of the sum.
        kept: Points that stay at most.
    """
    width = len(largest)
    values, choices = np.zeros((1, width)), np.zeros((1, 0), dtype=np.int64)
    ratio = 1.0
    for pool, count in zip(pools, runs, strict=True):
        values, choices = _added(values, choices, pool, count, np.asarray(largest, dtype=np.bool_))
        values, choices, worse = _thinned(values, choices, MOST)
        ratio *= 1.0 + worse
    size = len(values)
    values, choices, worse = _thinned(values, choices, kept)
    order = np.argsort(values[:, 0], kind="stable")
    return Merged(choices[order], values[order], size, ratio * (1.0 + worse) - 1.0)


def total(pools: Sequence[Array], runs: Sequence[int], largest: Sequence[bool], choices: Choices) -> Array:
    """Return (N, C) what networks cost whose layers have these mappings; arguments as of ``merge``."""
    values = np.zeros((len(choices), len(largest)))
    for place, (pool, count) in enumerate(zip(pools, runs, strict=True)):
        part = pool[choices[:, place]]
        values = np.where(largest, np.maximum(values, part), values + count * part)
    return values


def _added(
    values: Array, choices: Choices, pool: Array, count: int, largest: NDArray[np.bool_]
) -> tuple[Array, Choices]:
    """Return the non-dominated sums of what is there and one more layer."""
    before, part = values[:, None, :], pool[None, :, :]
    whole = np.where(largest, np.maximum(before, part), before + count * part).reshape(-1, values.shape[1])
    keep = np.flatnonzero(nondominated(whole))
    old, new = np.divmod(keep, len(pool))
    return whole[keep], np.hstack([choices[old], new[:, None]])


def _thinned(values: Array, choices: Choices, most: int) -> tuple[Array, Choices, float]:
    """Return at most about ``most`` points that stand for all, and how much worse than those they stand for they are.

    The best of every value and of the product of all always stay.
    """
    if len(values) <= most:
        return values, choices, 0.0
    logs = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    best = [*logs.argmin(axis=0).tolist(), int(logs.sum(axis=1).argmin())]
    low, high = np.log1p(FINEST), np.log1p(COARSEST)
    for _ in range(40):  # the finest grid that leaves few enough
        middle = 0.5 * (low + high)
        low, high = (low, middle) if len(_standing(logs, middle, best)[0]) <= most else (middle, high)
    kept, stands = _standing(logs, high, best)
    worse = float(np.exp((logs[stands] - logs).max())) - 1.0
    return values[kept], choices[kept], max(worse, 0.0)


def _standing(logs: Array, step: float, best: Sequence[int]) -> tuple[Choices, Choices]:
    """Return the points that stay on a grid of ``step``, and for every point the one of its cell that stands for it."""
    cells = np.floor((logs - logs.min(axis=0)) / step).astype(np.int64)
    _, inverse = np.unique(cells, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.lexsort((logs.sum(axis=1), inverse))
    first = order[np.concatenate([[True], np.diff(inverse[order]) > 0])]
    stands = first[inverse]
    kept = np.unique([*first.tolist(), *best])
    return kept.astype(np.int64), stands
