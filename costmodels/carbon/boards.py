"""Carbon of what carries the dies: packages, printed circuit boards, capacitors, housings (tables of ACT v2.0).

A package is grams per integrated circuit. A board is grams per area by its layers: 2, 4, 6, 8, and each one beyond 8
adds the same. A capacitor is energy per mass times the grid intensity of its maker. Grams, m2, kg.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.carbon.coefficients import Corner, coefficient
from codesign.costmodels.carbon.domains import non_negative
from codesign.quantity import Array

MOST_TABULATED_LAYERS = 8
MJ_PER_KWH = 3.6


def package_grams(circuits: Any, grams_per_circuit: Any) -> Array:
    """Return the carbon of the packages of ``circuits`` integrated circuits, g.

    Raises:
        UsageError: a count is negative.
    """
    return np.asarray(non_negative("n_ics", circuits) * non_negative("package g per circuit", grams_per_circuit))


def board_coefficient(layers: int, corner: Corner = "value") -> float:
    """Return the grams per m2 of a board of ``layers`` layers.

    Raises:
        UsageError: a number of layers up to 8 without data.
    """
    if layers <= MOST_TABULATED_LAYERS:
        return coefficient("board", layers, "layers").at(corner)
    more = coefficient("board_layer", "beyond_8").at(corner) * (layers - MOST_TABULATED_LAYERS)
    return coefficient("board", MOST_TABULATED_LAYERS).at(corner) + more


def board_grams(area_m2: Any, g_per_m2: Any) -> Array:
    """Return the carbon of a board, g.

    Raises:
        UsageError: an argument is negative.
    """
    return np.asarray(non_negative("area_m2", area_m2) * non_negative("board g per m2", g_per_m2))


def capacitor_grams(mass_kg: Any, mj_per_kg: Any, maker_g_per_kwh: Any) -> Array:
    """Return the carbon of capacitors from the electricity of making them, g.

    Raises:
        UsageError: an argument is negative.
    """
    kwh = non_negative("mass_kg", mass_kg) * non_negative("MJ per kg", mj_per_kg) / MJ_PER_KWH
    return np.asarray(kwh * non_negative("ci", maker_g_per_kwh))


def housing_grams(mass_kg: Any, kg_per_kg: Any) -> Array:
    """Return the carbon of a housing of ``mass_kg``, g.

    Raises:
        UsageError: an argument is negative.
    """
    return np.asarray(non_negative("mass_kg", mass_kg) * non_negative("kg per kg", kg_per_kg) * 1e3)
