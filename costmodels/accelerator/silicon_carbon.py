"""Embodied carbon of an accelerator's silicon from its area and node, through the model of dies (``carbon.dies``).

Nodes without coefficients are refused and the nearest is named. Grams of CO2e.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.accelerator.bands import Band
from codesign.costmodels.carbon.coefficients import Corner
from codesign.costmodels.carbon.dies import carbon_per_area, die_grams, fab_coefficient, fab_intensity, process_node

CORNERS: tuple[Corner, ...] = ("low", "value", "high")

ASSUMED_FAB = "taiwan"
ASSUMED_ABATEMENT = 97.0
ASSUMED_YIELD = 0.875
"""Fab, abatement in % and yield where a design states none, as in ACT."""


def silicon_grams(
    area_mm2: Any, node_nm: Any, fab: str | float = ASSUMED_FAB, abatement: Any = ASSUMED_ABATEMENT,
    die_yield: Any = ASSUMED_YIELD,
) -> Band:  # fmt: skip
    """Return the embodied carbon of a die; its band is that of the coefficients, and of the area where that is a band.

    Args:
        area_mm2: Area, a number, an array or a ``Band``.
        node_nm: A node with coefficients; any shape.
        fab: Place or source of electricity by name, or g/kWh.
        abatement: Of gases, 95 to 99 %.
        die_yield: Share of dies that work; ``carbon.yields`` gives it from area and defect density.

    Raises:
        UsageError: the node or the fab has no data, or an argument lies outside its domain.
    """
    areas = area_mm2 if isinstance(area_mm2, Band) else (area_mm2, area_mm2, area_mm2)
    ends = []
    for corner, area in zip(CORNERS, areas, strict=True):
        intensity = fab_coefficient(fab).at(corner) if isinstance(fab, str) else fab_intensity(fab)
        grams = carbon_per_area(process_node(node_nm, corner), intensity, abatement, die_yield)
        ends.append(np.asarray(die_grams(area, grams.total_g_cm2)))
    return Band(*ends)
