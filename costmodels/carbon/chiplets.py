"""Carbon of chiplets: manufacturing, operation and design of each, and of the package that joins them.

After ECO-CHIP (Sudarshan et al., HPCA 2024). Areas are stated at 7 nm and scaled by node and kind:
``A = A7 * scale``; ``Y = (1 + D0 A / alpha)^-alpha``; manufacturing ``cpa A / Y + edge`` with the edge of a wafer of
diameter d shared by its n dies, ``edge = (pi d^2/4 - floor(n) A) cpa / n``; operation of the chiplet's share of the
power by area; design from the processor hours that implement its gates, shared by the parts made. Grams, mm2, 1/cm2, W,
h.

Numbers may be arrays over designs and draws and broadcast; the number of chiplets and the type of package are
structure. The package is in ``chiplet_packages``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.coefficients import Corner, coefficient
from codesign.costmodels.carbon.dies import MM2_PER_CM2
from codesign.costmodels.carbon.domains import non_negative, positive, share
from codesign.costmodels.carbon.wafers import INDUSTRY_WAFER_MM, dies_per_wafer
from codesign.costmodels.carbon.yields import ECO_CHIP_ALPHA, negative_binomial
from codesign.errors import UsageError, nearest, printable
from codesign.quantity import Array

KINDS = ("logic", "analog", "sram")
ROUTER_NODE_NM = 14
"""Node at which the area of a router is stated."""


class ChipletProcess(NamedTuple):
    """A kind of circuit at a node; fields may be arrays.

    Attributes:
        carbon_g_mm2: Silicon, before yield.
        defects_cm2: Defect density.
        area_scale: Area over that at 7 nm.
        power_scale: Power over that at 7 nm.
        dynamic_share: Of the power.
        transistors_mm2: At this node.
        gates_per_core_hour: Gates that a processor core implements in an hour.
        router_mm2: Area of a router at this node.
    """

    carbon_g_mm2: Any
    defects_cm2: Any
    area_scale: Any
    power_scale: Any
    dynamic_share: Any
    transistors_mm2: Any
    gates_per_core_hour: Any
    router_mm2: Any


class Chiplet(NamedTuple):
    """One chiplet: its area at 7 nm in mm2 (may be an array), its node, and its process."""

    area_mm2_7nm: Any
    node_nm: float
    process: ChipletProcess


class Silicon(NamedTuple):
    """How dies come from a wafer: diameter in mm (300; ECO-CHIP takes 450) and alpha of the yield."""

    wafer_mm: Any = INDUSTRY_WAFER_MM
    alpha: Any = ECO_CHIP_ALPHA


class DesignEffort(NamedTuple):
    """Processor time of a design: ``iterations`` runs, shared by ``parts_made`` parts."""

    transistors_per_gate: Any = 8.0
    power_per_core_w: Any = 10.0
    iterations: Any = 90.0
    parts_made: Any = 1e5


class Operation(NamedTuple):
    """Use over the life: power at 7 nm of all chiplets, W; hours; shares of time on, of mean power, of activity."""

    power_w: Any
    lifetime_h: Any
    on: Any = 0.667
    average: Any = 0.1
    active: Any = 0.2


def chiplet_process(kind: str, node_nm: float, corner: Corner = "value") -> ChipletProcess:
    """Return the published process of a kind of circuit at a node.

    Args:
        kind: ``logic``, ``analog`` or ``sram``.
        node_nm: 7, 10, 14, 22 or 28.
        corner: Which end of the ranges.

    Raises:
        UsageError: the kind or the node is unknown; the nearest is named.
    """
    if kind not in KINDS:
        raise UsageError(f"type of chiplet: found {printable(kind, 60)!r}", nearest(kind, KINDS))

    def at(group: str, node: float = node_nm) -> float:
        return coefficient(group, node, "node_nm").at(corner)

    scale = at(f"chiplet_area_{kind}")
    router = coefficient("chiplet_package", "router_at_14nm").at(corner) / at(f"chiplet_area_{kind}", ROUTER_NODE_NM)
    return ChipletProcess(
        at("chiplet_carbon"), at("chiplet_defects"), scale, at(f"chiplet_power_{kind}"), at("chiplet_dynamic"),
        at("chiplet_transistors"), at("chiplet_gates"), router * scale,
    )  # fmt: skip


def node_areas(chiplets: Sequence[Chiplet]) -> Array:
    """Return the areas at their nodes, mm2, shape (chiplets, ...).

    Raises:
        UsageError: no chiplet, or an area that is not positive.
    """
    if not chiplets:
        raise UsageError("chiplets: found none, expected at least one")
    areas = [positive("area_mm2_7nm", c.area_mm2_7nm) * c.process.area_scale for c in chiplets]
    return np.stack(np.broadcast_arrays(*areas))


def silicon_grams(area_mm2: Any, carbon_g_mm2: Any, defects_cm2: Any, alpha: Any, yield_area_mm2: Any = None) -> Array:
    """Return the carbon of silicon over its yield, g, without the edge of the wafer.

    ``yield_area_mm2`` is the area that has to be free of defects; ``area_mm2`` where None.
    """
    whole = area_mm2 if yield_area_mm2 is None else yield_area_mm2
    good = negative_binomial(np.asarray(whole) / MM2_PER_CM2, defects_cm2, alpha)
    return np.asarray(carbon_g_mm2 * area_mm2 / good)


def edge_grams(area_mm2: Any, carbon_g_mm2: Any, wafer_mm: Any) -> Array:
    """Return what a die carries of the edge of its wafer, g.

    Raises:
        UsageError: not one die fits the wafer.
    """
    dies = dies_per_wafer(area_mm2, wafer_mm)
    if not (dies >= 1.0).all():
        raise UsageError(
            f"a die of {float(np.max(area_mm2)):g} mm2 does not fit the wafer", "make it smaller, or the wafer larger"
        )
    left = np.pi * np.square(wafer_mm) / 4.0 - np.floor(dies) * area_mm2
    # ECO-CHIP divides by the dies before rounding
    return np.asarray(left * carbon_g_mm2 / dies)


def manufacturing_grams(area_mm2: Any, process: ChipletProcess, silicon: Silicon) -> Array:
    """Return the carbon of making a chiplet of ``area_mm2`` at its node, g."""
    made = silicon_grams(area_mm2, process.carbon_g_mm2, process.defects_cm2, silicon.alpha)
    return made + edge_grams(area_mm2, process.carbon_g_mm2, silicon.wafer_mm)


def operation_grams(area_share: Any, process: ChipletProcess, operation: Operation, ci: Any) -> Array:
    """Return operational carbon of the chiplet that has ``area_share`` of the area at 7 nm, g."""
    activity = process.dynamic_share * share("active", operation.active) + (1.0 - process.dynamic_share)
    use = share("on", operation.on) * share("avg_power", operation.average) * activity
    watts = non_negative("power_w", operation.power_w) * area_share * process.power_scale * use
    return np.asarray(non_negative("lifetime_h", operation.lifetime_h) / 1e3 * non_negative("ci", ci) * watts)


def design_grams(area_mm2: Any, process: ChipletProcess, effort: DesignEffort, ci: Any) -> Array:
    """Return the carbon of designing ``area_mm2`` at its node that each part made carries, g."""
    gates = area_mm2 * process.transistors_mm2 / positive("transistors_per_gate", effort.transistors_per_gate)
    kwh = gates / process.gates_per_core_hour * non_negative("power_per_core_w", effort.power_per_core_w) / 1e3
    repeated = non_negative("design_iterations", effort.iterations) / positive("parts_made", effort.parts_made)
    return np.asarray(non_negative("ci", ci) * kwh * repeated)
