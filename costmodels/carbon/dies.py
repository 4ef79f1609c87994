"""Carbon of logic dies after ACT: electricity, gases and materials of the fab per area, over the yield.

``CPA = (CI_fab * EPA + GPA + MPA) / Y`` in g/cm2, a die is area times CPA (Gupta et al., ISCA 2022; tables of ACT
v2.0). GPA lies on the line between the tables at 95 and 99 % abatement. Nodes end at 3 nm: one without data is refused.
Arguments broadcast, and fields of ``ProcessNode`` may be arrays over designs and draws.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.coefficients import Coefficient, Corner, coefficient, find
from codesign.costmodels.carbon.domains import between, non_negative, positive_share
from codesign.quantity import Array

MM2_PER_CM2 = 100.0
LEAST_ABATEMENT, MOST_ABATEMENT = 95.0, 99.0
LOCATION_SETS = ("fab_location_2022", "fab_location_2023")
"""Both sets of ACT; they differ by up to 60 % (world: 301 and 481)."""


class ProcessNode(NamedTuple):
    """What a cm2 of logic wafer takes; fields may be arrays.

    Attributes:
        energy_kwh_cm2: Electricity of the fab (EPA).
        gas95_g_cm2: Gases at 95 % abatement.
        gas99_g_cm2: Gases at 99 % abatement.
        material_g_cm2: Materials (MPA).
    """

    energy_kwh_cm2: Any
    gas95_g_cm2: Any
    gas99_g_cm2: Any
    material_g_cm2: Any


class AreaCarbon(NamedTuple):
    """Carbon of a cm2, g: its parts before yield, and the whole per good cm2."""

    energy_g_cm2: Array
    gas_g_cm2: Array
    material_g_cm2: Array
    total_g_cm2: Array


def process_node(node_nm: Any, corner: Corner = "value") -> ProcessNode:
    """Return the coefficients of ACT for a node, or arrays of them for an array of nodes.

    Args:
        node_nm: 28, 20, 14, 10, 8, 7, 5 or 3; any shape.
        corner: Which end of the ranges; their value by default.

    Raises:
        UsageError: a node has no data; the nearest is named, and nothing extrapolated.
    """
    names = np.asarray(node_nm)
    distinct, places = np.unique(names, return_inverse=True)

    def column(group: str) -> Any:
        values = [coefficient(group, _number(node), "node_nm").at(corner) for node in distinct.tolist()]
        gathered = np.asarray(values)[places].reshape(names.shape)
        return float(gathered) if gathered.ndim == 0 else gathered

    return ProcessNode(column("logic_energy"), column("logic_gas_95"), column("logic_gas_99"), column("logic_material"))


def fab_intensity(place: str | float) -> float:
    """Return the grid intensity of a fab, g/kWh: a number as given, or by name (``fab_coefficient``).

    Raises:
        UsageError: the name is unknown, or the number negative.
    """
    if isinstance(place, str):
        return fab_coefficient(place).value
    return float(non_negative("ci_fab", place))


def fab_coefficient(place: str) -> Coefficient:
    """Return the intensity of a place or source of electricity, with its range.

    ``taiwan-2023`` names its set; ``taiwan`` is of the set of 2022, as in ACT; ``coal`` or ``solar`` is a source.

    Raises:
        UsageError: the name is unknown; the hint names the nearest.
    """
    words = place.replace("_", "-").replace(" ", "-").split("-")
    for name in LOCATION_SETS:
        if words[-1] == name[-4:] and len(words) > 1:
            return coefficient(name, "-".join(words[:-1]), "ci_fab")
    return find((LOCATION_SETS[0], "energy_source"), place, "ci_fab")


def carbon_per_area(node: ProcessNode, fab_g_per_kwh: Any, abatement: Any, die_yield: Any) -> AreaCarbon:
    """Return the carbon of a cm2 of logic.

    Args:
        node: Coefficients; ``process_node`` gives the published ones.
        fab_g_per_kwh: Grid intensity of the fab.
        abatement: Of gases, 95 to 99 %.
        die_yield: Share of dies that work, above 0 and at most 1.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    towards_99 = (between("abatement", abatement, LEAST_ABATEMENT, MOST_ABATEMENT) - LEAST_ABATEMENT) / (
        MOST_ABATEMENT - LEAST_ABATEMENT
    )
    energy = np.asarray(non_negative("ci_fab", fab_g_per_kwh) * node.energy_kwh_cm2)
    gas = np.asarray((1.0 - towards_99) * node.gas95_g_cm2 + towards_99 * node.gas99_g_cm2)
    material = np.asarray(node.material_g_cm2, np.float64)
    total = (energy + gas + material) / positive_share("yield", die_yield)
    return AreaCarbon(energy, gas, material, total)


def die_grams(area_mm2: Any, carbon_g_cm2: Any) -> Array:
    """Return the carbon of dies of ``area_mm2`` at ``carbon_g_cm2`` per good area, g.

    Raises:
        UsageError: an area is negative.
    """
    return np.asarray(non_negative("area_mm2", area_mm2) / MM2_PER_CM2 * carbon_g_cm2)


def _number(node: Any) -> str | float:
    return node if isinstance(node, str) else float(node)
