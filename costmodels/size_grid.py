"""Sizes on a grid: whatever the designs, a model is asked for few sizes, and in between latency is linear.

Whole numbers to 16, then eight an octave. A latency that rises stays rising, one that is affine in a size (decode
attention in its context) is exact, and a power law is off by less than 0.2 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from codesign.quantity import Array

LAST_WHOLE, AN_OCTAVE, OCTAVES = 16, 8, 40
"""Largest size that each have a point of their own, points an octave above, and octaves."""

GRID = np.concatenate([
    np.arange(LAST_WHOLE + 1.0),
    np.rint(LAST_WHOLE * 2.0 ** (np.arange(1, AN_OCTAVE * OCTAVES + 1) / AN_OCTAVE)),
])  # fmt: skip


class Corner(NamedTuple):
    """One corner of the cells that points lie in: its share in each point, and its position among the nodes."""

    share: Any
    place: Any


class Gridded(NamedTuple):
    """Points as cells of a grid.

    Attributes:
        nodes: Name of a size -> its value at each node, shape (nodes,).
        corners: Of the cells; shares add up to 1.
    """

    nodes: dict[str, Array]
    corners: tuple[Corner, ...]

    def at(self, values: Array) -> Any:
        """Return ``values`` (nodes,) at the points."""
        return sum((corner.share * values[corner.place] for corner in self.corners), start=0.0)


def on_grid(sizes: Mapping[str, Any], rising: Sequence[str]) -> Gridded:
    """Return points on the grid of the sizes in ``rising``; the other sizes are plain numbers."""
    fixed = {name: float(size) for name, size in sizes.items() if name not in rising}
    corners: list[tuple[Any, Any]] = [(1.0, np.zeros((), np.int64))]
    radix, axes = 1, []
    for name in rising:
        given = np.asarray(sizes[name], np.float64)
        below = np.searchsorted(GRID, given, side="right") - 1
        share = (given - GRID[below]) / (GRID[below + 1] - GRID[below])
        first = int(below.min())
        span = int(below.max()) - first + 2
        axes.append((name, first, span))
        between = [((1.0 - share), below - first)]
        if np.any(share > 0.0):
            between.append((share, below - first + 1))
        corners = [(part * more, code + step * radix) for part, code in corners for more, step in between]
        radix *= span
    used = np.zeros(radix, bool)
    for _, code in corners:
        used[code] = True
    codes = np.flatnonzero(used)
    position = np.cumsum(used) - 1
    nodes = {name: np.full(len(codes), value) for name, value in fixed.items()}
    left = codes
    for name, first, span in axes:
        nodes[name] = GRID[first + left % span]
        left = left // span
    return Gridded(nodes, tuple(Corner(share, position[code]) for share, code in corners))
