"""What may stand on the arrays: spatial bounds that keep most compute units busy.

Along a direction of an array stand one or two ranks. Bounds need not divide a rank where the space is ragged: the last
step is then short, and the iterations that are left are rounded up.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from codesign.search.mapping.loop_factors import Divisors

Integers = NDArray[np.int64]

MOST_WAYS = 128
"""Ways to fill one direction that are considered: those that leave the fewest iterations."""

SHARE = 0.5
"""Least share of a direction that a bound fills, where any does."""


def array_fills(divisors: Divisors, limits: Integers, spatial: Sequence[int], ragged: bool, most: int) -> Integers:
    """Return (spatial slots, ranks, N) the ``most`` fillings that leave the fewest iterations.

    Args:
        divisors: The primes of the ranks.
        limits: (slots,) most copies of a spatial slot.
        spatial: The spatial slots.
        ragged: Whether bounds may exceed what divides a rank.
        most: Fillings to return.
    """
    extents = divisors.extents
    whole = np.ones((1, 0, len(extents)), dtype=np.int64)
    for slot in spatial:
        ways = _ways(extents, int(limits[slot]), ragged)
        whole = whole[:MOST_WAYS]
        joined = np.concatenate(
            [np.repeat(whole, len(ways), axis=0), np.tile(ways[:, None, :], (len(whole), 1, 1))], axis=1
        )
        copies = joined.prod(axis=1)
        fits = (copies <= extents).all(axis=1)
        if not ragged:
            fits &= (extents % copies == 0).all(axis=1)
        joined, copies = joined[fits], copies[fits]
        # ranks that change places between directions of arrays cost the same
        _, first = np.unique(copies, axis=0, return_index=True)
        joined, copies = joined[np.sort(first)], copies[np.sort(first)]
        steps = np.ceil(extents / copies).prod(axis=1)
        whole = joined[np.argsort(steps, kind="stable")]
    return np.ascontiguousarray(whole[:most].transpose(1, 2, 0))


def _ways(extents: Integers, limit: int, ragged: bool) -> Integers:
    """Return (N, ranks) the ways to fill one direction with at most two ranks."""
    rows = [np.ones((1, len(extents)), dtype=np.int64)]
    bounds = [_bounds(extent, limit, ragged) for extent in extents.tolist()]
    for rank, values in enumerate(bounds):
        row = np.ones((len(values), len(extents)), dtype=np.int64)
        row[:, rank] = values
        rows.append(row)
    for first, second in combinations(range(len(extents)), 2):
        one, two = np.meshgrid(bounds[first][bounds[first] > 1], bounds[second][bounds[second] > 1], indexing="ij")
        fits = (one * two).ravel() <= limit
        row = np.ones((int(fits.sum()), len(extents)), dtype=np.int64)
        row[:, first], row[:, second] = one.ravel()[fits], two.ravel()[fits]
        rows.append(row)
    found = np.concatenate(rows)
    filled = found.prod(axis=1)
    found = found[filled >= SHARE * filled.max()]
    steps = np.ceil(extents / found).prod(axis=1)
    best = found[np.argsort(steps, kind="stable")[: MOST_WAYS - 1]]
    idle = np.ones((1, len(extents)), dtype=np.int64)  # where another direction takes all there is
    ways: Integers = np.concatenate([best[best.prod(axis=1) > 1], idle])
    return ways


def _bounds(extent: int, limit: int, ragged: bool) -> Integers:
    """Return the bounds of one rank: its divisors, and of ragged ones the least for every number of steps."""
    values = np.arange(1, min(extent, limit) + 1, dtype=np.int64)
    if ragged:
        steps = -(-extent // values)
        useful = np.concatenate([[True], steps[1:] < steps[:-1]])
    else:
        useful = extent % values == 0
    found: Integers = values[useful]
    return found
