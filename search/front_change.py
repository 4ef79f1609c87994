"""Which points could change the front most: the expected change of its hypervolume when one point moves.

Each point's objectives are drawn from their own intervals (log-normal, all objectives of a point by one common
error, which is what a shared factor does), the others held; the mean absolute change of the hypervolume ranks them.
"""

from __future__ import annotations

import numpy as np

from codesign.quantity import Z90, Array
from codesign.search.hypervolume import hypervolume, reference_point

DRAWS = 16


def expected_change(values: Array, low: Array, high: Array, seed: int = 0, draws: int = DRAWS) -> Array:
    """Return the expected absolute change of the front's hypervolume for an error in each point.

    Args:
        values: (N, M) minimised objectives of the front.
        low: (N, M) lower ends of their 90 % intervals.
        high: (N, M) upper ends.
        seed: seed of the draws.
        draws: draws per point.

    Returns:
        (N,) expected change, in units of the hypervolume.
    """
    generator = np.random.Generator(np.random.Philox([seed, 0x5EED]))
    shifts = generator.standard_normal(draws) / Z90
    reference = reference_point(values)
    scale = np.where(np.ptp(values, axis=0) > 0, np.ptp(values, axis=0), 1.0)
    base = hypervolume(values / scale, reference / scale)
    change = np.zeros(len(values))
    for index in range(len(values)):
        for shift in shifts:
            end = high[index] if shift > 0 else low[index]
            moved = values.copy()
            moved[index] = values[index] + abs(shift) * (end - values[index])
            change[index] += abs(hypervolume(moved / scale, reference / scale) - base) / draws
    return change
