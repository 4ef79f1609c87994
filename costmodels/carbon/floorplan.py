"""A floorplan of chiplets on a package: its area and how many bridges its shared edges need (ECO-CHIP, HPCA 2024).

The chiplets, smallest first, go one by one to the lighter of two halves; the halves are placed side by side along one
axis and halved again along the other, until each holds one chiplet, a block of 1 : 2. Areas in mm2, lengths in mm.

Which chiplet goes where depends on the areas, so a batch is split by the halves that its points choose: a loop over
floorplans, not over points.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.carbon.domains import positive
from codesign.quantity import Array

GAP_MM = 0.5
"""Between neighbouring halves."""

BRIDGE_PITCH_MM = 10.0
"""One bridge for each started 10 mm of an edge that two halves share."""


class Floorplan(NamedTuple):
    """Area of the package in mm2, gaps included, and number of bridges; each of the shape of one chiplet's areas."""

    area_mm2: Array
    bridges: Array


def floorplan(areas_mm2: Any, bridge_pitch_mm: float = BRIDGE_PITCH_MM) -> Floorplan:
    """Return the floorplan of chiplets.

    Args:
        areas_mm2: Areas, shape (chiplets, ...); the order of the chiplets does not matter.
        bridge_pitch_mm: Edge that one bridge serves.

    Raises:
        UsageError: an area is not positive.
    """
    areas = np.sort(positive("area_mm2", areas_mm2), axis=0)
    positive("bridge_pitch_mm", bridge_pitch_mm)
    sizes, bridges = _place(areas.reshape(len(areas), -1), 0, bridge_pitch_mm)
    return Floorplan((sizes[0] * sizes[1]).reshape(areas.shape[1:]), bridges.reshape(areas.shape[1:]))


def _place(areas: Array, axis: int, pitch: float) -> tuple[Array, Array]:
    """Return sizes (2, points) and bridges (points,) of ascending ``areas`` (chiplets, points), split along an axis."""
    count, points = areas.shape
    if count == 1:
        edge = np.sqrt(areas[0] / 2.0)
        return np.stack((2.0 * edge, edge) if axis == 0 else (edge, 2.0 * edge)), np.zeros(points)
    right = _halves(areas)
    sizes, bridges = np.empty((2, points)), np.empty(points)
    patterns, which = np.unique(right, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        chosen = which.ravel() == number
        halves = [_place(areas[mask][:, chosen], 1 - axis, pitch) for mask in (~pattern, pattern)]
        (first, first_bridges), (second, second_bridges) = halves
        shared = np.minimum(first[1 - axis], second[1 - axis])
        sizes[axis, chosen] = first[axis] + second[axis] + GAP_MM
        sizes[1 - axis, chosen] = np.maximum(first[1 - axis], second[1 - axis])
        bridges[chosen] = first_bridges + second_bridges + np.ceil(shared / pitch)
    return sizes, bridges


def _halves(areas: Array) -> NDArray[np.bool_]:
    """Return which chiplets go to the second half, shape (chiplets, points): each to the lighter, ties to the first."""
    loads = np.zeros((2, areas.shape[1]))
    second = np.zeros(areas.shape, np.bool_)
    for place, area in enumerate(areas):
        second[place] = loads[1] < loads[0]
        loads[0] += np.where(second[place], 0.0, area)
        loads[1] += np.where(second[place], area, 0.0)
    return second
