"""Embodied and operational carbon: dies, memory, modules, servers, chiplets, accounting and figures of merit."""

from __future__ import annotations

from codesign.costmodels.carbon.accounting import Footprint, amortised_grams, facility_grams, footprint
from codesign.costmodels.carbon.coefficients import Coefficient, coefficient, group
from codesign.costmodels.carbon.dies import ProcessNode, carbon_per_area, die_grams, process_node
from codesign.costmodels.carbon.modules import ModuleParts, module_quantity

__all__ = [
    "Coefficient",
    "Footprint",
    "ModuleParts",
    "ProcessNode",
    "amortised_grams",
    "carbon_per_area",
    "coefficient",
    "die_grams",
    "facility_grams",
    "footprint",
    "group",
    "module_quantity",
    "process_node",
]
