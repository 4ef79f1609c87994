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

LARGEST_TABLE = 10_000_000
"""Cells of which a table says whether they are used; of more, those used are sorted."""

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
    """Return points on the grid of the sizes in ``rising``; each value of the other sizes is asked for as it is."""
    others = {name: np.asarray(size, np.float64) for name, size in sizes.items() if name not in rising}
    fixed = {name: float(size.item()) for name, size in others.items() if size.size == 1}
    corners: list[tuple[Any, Any]] = [(1.0, np.zeros((), np.int64))]
    radix = 1
    axes: list[tuple[str, Array]] = []
    for name in rising:
        given = np.asarray(sizes[name], np.float64)
        below = np.searchsorted(GRID, given, side="right") - 1
        share = (given - GRID[below]) / (GRID[below + 1] - GRID[below])
        first = int(below.min())
        span = int(below.max()) - first + 2
        axes.append((name, GRID[first : first + span]))
        between = [((1.0 - share), below - first)]
        if np.any(share > 0.0):
            between.append((share, below - first + 1))
        corners = [(part * more, code + step * radix) for part, code in corners for more, step in between]
        radix *= span
    for name, given in others.items():
        if name in fixed:
            continue
        values, place = np.unique(given, return_inverse=True)
        axes.append((name, values))
        corners = [(share, code + radix * place.reshape(given.shape)) for share, code in corners]
        radix *= len(values)
    codes, places = _compact([code for _, code in corners], radix)
    nodes = {name: np.full(len(codes), value) for name, value in fixed.items()}
    left = codes
    for name, values in axes:
        nodes[name] = values[left % len(values)]
        left = left // len(values)
    return Gridded(nodes, tuple(Corner(share, place) for (share, _), place in zip(corners, places, strict=True)))


def _compact(codes: Sequence[Any], radix: int) -> tuple[Any, list[Any]]:
    """Return the distinct ones of ``codes``, all below ``radix``, and the position of each among them."""
    if radix > LARGEST_TABLE:
        distinct = np.unique(np.concatenate([np.ravel(code) for code in codes]))
        return distinct, [np.searchsorted(distinct, code) for code in codes]
    used = np.zeros(radix, bool)
    for code in codes:
        used[code] = True
    position = np.cumsum(used) - 1
    return np.flatnonzero(used), [position[code] for code in codes]
