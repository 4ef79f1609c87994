"""Accelerators with shared memory ports: uneven mappings as sequences of loops, with stalls, loading and unloading."""

from __future__ import annotations

from codesign.costmodels.accelerator.port_model.allocation import Cuts, allocate
from codesign.costmodels.accelerator.port_model.machine import Port, PortedMachine, PortedMemory
from codesign.costmodels.accelerator.port_model.nest import Orders, Spread
from codesign.costmodels.accelerator.port_model.pricing import PortCosts, port_costs

__all__ = [
    "Cuts",
    "Orders",
    "Port",
    "PortCosts",
    "PortedMachine",
    "PortedMemory",
    "Spread",
    "allocate",
    "port_costs",
]
