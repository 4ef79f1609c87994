"""Features of how a product is tiled over the cores of a device."""

from __future__ import annotations

import numpy as np

from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.physics import Grid, waves
from codesign.quantity import Array

SIZES = ((64, 64), (128, 128), (128, 256))


def log(values: Array) -> Array:
    """Return the logarithm to base 2 of values that are not negative; of 0 that of next to nothing."""
    return np.asarray(np.log2(np.maximum(values, 1e-12)))


def tilings(grid: Grid, on: Columns) -> list[Array]:
    """Return, for some tiles, waves, what the last one wastes, and the padding of rows."""
    found: list[Array] = []
    for height, width in SIZES:
        count = waves(grid, on, height, width)
        found += [log(count), np.ceil(count) / count, np.ceil(grid.rows / height) * height / grid.rows]
    return found
