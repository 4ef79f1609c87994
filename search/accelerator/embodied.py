"""Embodied carbon of a configuration: its dies with the edge of the wafer, their package, and DRAM.

Dies and package after ECO-CHIP (``carbon.chiplets``): ``cpa A / Y + edge`` with the negative binomial yield of the die,
so that one large die and several small ones are comparable. DRAM by capacity. Design, board and cooling are not
counted. Grams of CO2e.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator.bands import Band
from codesign.costmodels.carbon.chiplet_packages import Parts, package, package_carbon
from codesign.costmodels.carbon.chiplets import Chiplet, DesignEffort, Silicon, chiplet_process, manufacturing_grams
from codesign.costmodels.carbon.coefficients import Corner
from codesign.costmodels.carbon.memory import memory_grams, memory_process
from codesign.costmodels.carbon.wafers import dies_per_wafer
from codesign.quantity import Array
from codesign.search.accelerator.configure import Configured
from codesign.search.accelerator.technologies import joining, memory_device

CORNERS: tuple[Corner, ...] = ("low", "value", "high")


class Embodied(NamedTuple):
    """Embodied carbon by part, g."""

    dies: Band
    package: Band
    memory: Band

    @property
    def total(self) -> Band:
        """Return everything, g."""
        return self.dies.plus(self.package).plus(self.memory)

    def parts(self) -> Mapping[str, Band]:
        """Return name -> g."""
        return self._asdict()


def _stack_grams(configured: Configured, corner: Corner) -> Array:
    """Return the carbon of joining layers of DRAM with the chip below: vias and bonds, g; their dies count as DRAM.

    Vias through DRAM are priced as those of logic at the node of the chip, which is assumed.
    """
    device, node = memory_device(configured.design.memory), configured.design.node
    if not device.layers:
        return np.zeros(())
    process = chiplet_process("logic", node, corner)
    mm2 = getattr(configured.area, corner)
    areas = np.stack([np.asarray(mm2, np.float64), *[np.full(np.shape(mm2), device.layer_mm2)] * device.layers])
    chiplets = [Chiplet(area / process.area_scale, node, process) for area in areas]
    joined = package_carbon(Parts(areas, chiplets, Silicon(), DesignEffort(), 0.0), package("3d"))
    return np.asarray(joined.package_g)


def fits_wafer(configured: Configured) -> bool:
    """Say whether a wafer holds at least one die, at the upper end of its area."""
    area = configured.area if _one_die(configured) else configured.core_area
    return bool(dies_per_wafer(area.high, Silicon().wafer_mm) >= 1.0)


def _one_die(configured: Configured) -> bool:
    return configured.design.cores == 1 or not joining(configured.design.package).kind


def embodied(configured: Configured) -> Embodied:
    """Return the embodied carbon of a configuration; ends take area and coefficients at their ends at once.

    Raises:
        UsageError: a node without coefficients, or a die larger than a wafer.
    """
    design = configured.design
    device = memory_device(design.memory)
    stacked = joining(design.package).kind
    one_die = _one_die(configured)
    area = configured.area if one_die else configured.core_area
    made: list[tuple[Array, Array, Array]] = []
    for corner, mm2 in zip(CORNERS, area, strict=True):
        process, silicon = chiplet_process("logic", design.node, corner), Silicon()
        count = 1 if one_die else design.cores
        dies = manufacturing_grams(mm2, process, silicon) * count
        chiplets = [Chiplet(mm2 / process.area_scale, design.node, process)] * count
        parts = Parts(np.stack([np.asarray(mm2, np.float64)] * count), chiplets, silicon, DesignEffort(), 0.0)
        joined = package_carbon(parts, package(stacked or "passive"))
        grams = memory_grams(memory_process(device.carbon, "dram").at(corner), device.capacity_gb)
        stack = _stack_grams(configured, corner)
        made.append((np.asarray(dies), np.asarray(joined.package_g + joined.routers_g + stack), grams))
    return Embodied(*(Band(*(corner[place] for corner in made)) for place in range(3)))
