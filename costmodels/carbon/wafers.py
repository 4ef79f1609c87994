"""Carbon of a wafer as a sum of process steps, and dies per wafer.

``wafer = EPA * facility * CI_fab + GPA * EPA / EPA_ref + MPA`` (PPAtC, DATE 2025): gases follow the electricity of the
steps. A metal stack or a further tier of devices is a sum of steps, so a design states which it has. Dies per wafer of
diameter d: ``pi d^2 / (4 A) - pi d / sqrt(2 A)``. Electricity in kWh per wafer, grams, mm, mm2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.costmodels.carbon.coefficients import Corner, coefficient
from codesign.costmodels.carbon.domains import non_negative, positive, positive_share
from codesign.quantity import Array

INDUSTRY_WAFER_MM = 300.0


def dies_per_wafer(area_mm2: Any, wafer_mm: Any = INDUSTRY_WAFER_MM) -> Array:
    """Return how many dies of ``area_mm2`` a wafer holds, not rounded; below 1 none fits.

    Raises:
        UsageError: an argument is not positive.
    """
    area, diameter = positive("area_mm2", area_mm2), positive("wafer_mm", wafer_mm)
    return np.asarray(np.pi * diameter * (diameter / (4.0 * area) - 1.0 / np.sqrt(2.0 * area)))


def steps_kwh(steps: Mapping[str, Any], corner: Corner = "value") -> Array:
    """Return the electricity of a wafer's tools from how often each step is done, kWh.

    Args:
        steps: Name of a step (``front_end``, ``middle``, ``first_via``, ``pair_36nm`` ..) -> count, any shape.
        corner: Which end of the ranges.

    Raises:
        UsageError: a step is unknown, or a count negative.
    """
    parts = (
        non_negative(name, count) * coefficient("wafer_layer", name, "step of a wafer").at(corner)
        for name, count in steps.items()
    )
    return np.asarray(sum(parts, start=np.zeros(())))


def wafer_grams(
    tools_kwh: Any, facility_factor: Any, fab_g_per_kwh: Any, gas_g: Any, gas_reference_kwh: Any, material_g: Any
) -> Array:
    """Return the carbon of a wafer, g.

    Args:
        tools_kwh: Electricity of its steps.
        facility_factor: Electricity of the fab over that of its tools.
        fab_g_per_kwh: Grid intensity of the fab.
        gas_g: Gases of a wafer that takes ``gas_reference_kwh``.
        gas_reference_kwh: Electricity at which the gases are stated.
        material_g: Materials.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    tools = non_negative("epa_kwh_wafer", tools_kwh)
    electricity = tools * positive("facility_factor", facility_factor) * non_negative("ci_fab", fab_g_per_kwh)
    gas = non_negative("gpa_ref_g_wafer", gas_g) * tools / positive("gpa_ref_kwh_wafer", gas_reference_kwh)
    return np.asarray(electricity + gas + non_negative("mpa_g_wafer", material_g))


def wafer_die_grams(wafer_g: Any, dies: Any, die_yield: Any) -> Array:
    """Return the carbon of a good die, g: its share of a wafer of ``dies`` dies.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    good = positive("dies", dies) * positive_share("yield", die_yield)
    return np.asarray(non_negative("wafer_g", wafer_g) / good)
