"""Packages that join chiplets, after ECO-CHIP (Sudarshan et al., HPCA 2024), and a whole system of chiplets.

With ``interposer = cpa A_p / Y(A_p)`` of a floorplan of area A_p, and beol the share of the layers above transistors:

- RDL fan-out: interposer * beol * RDL layers / layers; a router beside each chiplet
- passive interposer: interposer * beol; the same routers
- active interposer: (interposer - routers) * beol; the routers are in it, 4.47 mm2 a chiplet
- silicon bridge (EMIB): bridges of 25 mm2 at 22 nm, one yield of all at a quarter of the defects, * beol; routers
- 3D stack: the area that vias through the silicon (TSV) add to the dies; routers

All over the yield of a bond, to the power of the number of dies in a stack. A router takes 0.33 mm2 at 14 nm, scaled to
its chiplet; where all chiplets share a node the routers share one yield. A single die has no package here. Grams, mm2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.chiplets import (
    Chiplet,
    DesignEffort,
    Operation,
    Silicon,
    design_grams,
    manufacturing_grams,
    node_areas,
    operation_grams,
    silicon_grams,
)  # fmt: skip
from codesign.costmodels.carbon.coefficients import Corner, coefficient
from codesign.costmodels.carbon.domains import positive, positive_share
from codesign.costmodels.carbon.floorplan import BRIDGE_PITCH_MM, floorplan
from codesign.errors import UsageError, nearest, printable
from codesign.quantity import Array

BRIDGE_NODE_NM = 22.0
NAMES = {"rdl": "rdl", "passive": "passive", "active": "active", "emib": "bridge", "bridge": "bridge", "3d": "stack"}
"""Name of a type of package, lower case -> its function below."""


class Layer(NamedTuple):
    """Silicon under the chiplets: carbon in g/mm2, defects per cm2, share of the layers above the transistors."""

    carbon_g_mm2: Any
    defects_cm2: Any
    beol_share: Any


class Package(NamedTuple):
    """A type of package and its numbers, which may be arrays.

    Attributes:
        kind: ``RDL``, ``passive``, ``active``, ``EMIB`` (or ``bridge``), ``3D``.
        interposer: Silicon of an interposer, and of the redistribution layers.
        bridge: Silicon of bridges, its defects as they are on a bridge.
        rdl_layers: Redistribution layers.
        beol_layers: Layers that the share of the interposer stands for.
        bonding_yield: Of one bond.
        bridge_mm2: Area of a bridge.
        router_in_interposer_mm2: Area of a chiplet's router in an active interposer.
        bridge_pitch_mm: Edge that one bridge serves; a single number.
        tsv_pitch_mm: Between vias through the silicon.
        tsv_size_mm: Edge of one.
    """

    kind: str
    interposer: Layer
    bridge: Layer
    rdl_layers: Any
    beol_layers: Any
    bonding_yield: Any
    bridge_mm2: Any
    router_in_interposer_mm2: Any
    bridge_pitch_mm: float = BRIDGE_PITCH_MM
    tsv_pitch_mm: Any = 0.025
    tsv_size_mm: Any = 0.005


class PackageCarbon(NamedTuple):
    """Carbon of a package, g: itself and the routers, both over the yield of bonding, and the design of the routers."""

    package_g: Array
    routers_g: Array
    router_design_g: Array


class SystemCarbon(NamedTuple):
    """Carbon of a system, g: of each chiplet (shape (chiplets, ...)) and of the package."""

    manufacturing_g: Array
    operation_g: Array
    design_g: Array
    packaging_g: Array
    packaging_design_g: Array

    @property
    def total_g(self) -> Array:
        """Everything, g."""
        chiplets = self.manufacturing_g.sum(0) + self.operation_g.sum(0) + self.design_g.sum(0)
        return np.asarray(chiplets + self.packaging_g + self.packaging_design_g)


class Parts(NamedTuple):
    """What the types of package compute from: areas at the nodes (chiplets, ...), in mm2, and what goes with them."""

    areas: Array
    chiplets: Sequence[Chiplet]
    silicon: Silicon
    effort: DesignEffort
    ci: Any


def layer(node_nm: float, corner: Corner = "value", defects: float = 1.0) -> Layer:
    """Return the published silicon of a node, 65 nm among them; ``defects`` scales its density.

    Raises:
        UsageError: the node has no data; the nearest is named.
    """
    carbon, density, beol = (
        coefficient(name, node_nm, "interposer_node_nm").at(corner)
        for name in ("chiplet_carbon", "chiplet_defects", "chiplet_beol")
    )
    return Layer(carbon, density * defects, beol)


def package(kind: str, interposer_node_nm: float = 65.0, rdl_layers: Any = 6, beol_layers: Any = 8) -> Package:
    """Return a package with the published numbers; ``_replace`` sets others.

    Raises:
        UsageError: the type or the node is unknown.
    """
    function_name(kind)
    bonding, bridge, router = (
        coefficient("chiplet_package", name).value for name in ("bonding_yield", "bridge", "router_in_interposer")
    )
    # packaging has fewer defects; ECO-CHIP means that of interposers too, but reaches it for bridges alone
    return Package(
        kind, layer(interposer_node_nm), layer(BRIDGE_NODE_NM, defects=0.25), rdl_layers, beol_layers, bonding, bridge,
        router,
    )  # fmt: skip


def function_name(kind: str) -> str:
    """Return which type of package ``kind`` names, whatever its letter case.

    Raises:
        UsageError: none; the hint names the nearest.
    """
    if kind.lower() not in NAMES:
        raise UsageError(f"package: found {printable(kind, 60)!r}", nearest(kind, NAMES))
    return NAMES[kind.lower()]


def package_carbon(parts: Parts, chosen: Package) -> PackageCarbon:
    """Return the carbon of a package of at least two chiplets; of one it is 0.

    Raises:
        UsageError: the type is unknown, or a number lies outside its domain.
    """
    form = _FORMS[function_name(chosen.kind)]
    if len(parts.areas) == 1:
        nothing = np.zeros(parts.areas.shape[1:])
        return PackageCarbon(nothing, nothing, nothing)
    itself, routers, design = form(parts, chosen)
    bonds = len(parts.areas) if form is _stack else 1
    good = positive_share("bonding_yield", chosen.bonding_yield) ** bonds
    return PackageCarbon(np.asarray(itself / good), np.asarray(routers / good), np.asarray(design))


def system_carbon(
    chiplets: Sequence[Chiplet],
    chosen: Package,
    operation: Operation,
    ci: Any,
    silicon: Silicon = Silicon(),  # noqa: B008 a constant
    effort: DesignEffort = DesignEffort(),  # noqa: B008 a constant
) -> SystemCarbon:
    """Return the carbon of a system of chiplets; numbers broadcast.

    Args:
        chiplets: At least one.
        chosen: Package.
        operation: Use over the life.
        ci: Grid intensity of operation and design, g/kWh.
        silicon: Wafer and yield.
        effort: Of the design.

    Raises:
        UsageError: no chiplet, or a number outside its domain.
    """
    areas = node_areas(chiplets)
    at_7nm = [np.asarray(c.area_mm2_7nm, np.float64) for c in chiplets]
    whole = sum(at_7nm, start=np.zeros(()))
    processes = [c.process for c in chiplets]
    made = [manufacturing_grams(area, process, silicon) for area, process in zip(areas, processes, strict=True)]
    used = [operation_grams(a / whole, process, operation, ci) for a, process in zip(at_7nm, processes, strict=True)]
    designed = [design_grams(area, process, effort, ci) for area, process in zip(areas, processes, strict=True)]
    joined = package_carbon(Parts(areas, chiplets, silicon, effort, ci), chosen)
    making, operating, designing = (np.stack(np.broadcast_arrays(*rows)) for rows in (made, used, designed))
    return SystemCarbon(
        making, operating, designing, np.asarray(joined.package_g + joined.routers_g), joined.router_design_g
    )


Form = Callable[[Parts, Package], tuple[Any, Any, Any]]


def _rdl(parts: Parts, chosen: Package) -> tuple[Any, Any, Any]:
    layers = positive("rdl_layers", chosen.rdl_layers) / positive("beol_layers", chosen.beol_layers)
    return _interposer(parts, chosen)[0] * chosen.interposer.beol_share * layers, *_routers(parts)


def _passive(parts: Parts, chosen: Package) -> tuple[Any, Any, Any]:
    return _interposer(parts, chosen)[0] * chosen.interposer.beol_share, *_routers(parts)


def _active(parts: Parts, chosen: Package) -> tuple[Any, Any, Any]:
    whole, area = _interposer(parts, chosen)
    routers = whole * positive("router area", chosen.router_in_interposer_mm2) * len(parts.areas) / area
    # a floorplan smaller than its routers would leave an interposer below nothing
    return np.maximum(whole - routers, 0.0) * chosen.interposer.beol_share, routers, np.zeros_like(routers)


def _bridge(parts: Parts, chosen: Package) -> tuple[Any, Any, Any]:
    bridges = floorplan(parts.areas, chosen.bridge_pitch_mm).bridges
    area = bridges * positive("bridge_mm2", chosen.bridge_mm2)
    silicon = silicon_grams(area, chosen.bridge.carbon_g_mm2, chosen.bridge.defects_cm2, parts.silicon.alpha)
    return silicon * chosen.bridge.beol_share, *_routers(parts)


def _stack(parts: Parts, chosen: Package) -> tuple[Any, Any, Any]:
    vias = np.floor(np.sqrt(parts.areas) / positive("tsv_pitch_mm", chosen.tsv_pitch_mm)) ** 2
    larger = parts.areas + vias * np.square(positive("tsv_size_mm", chosen.tsv_size_mm))

    def grams(areas: Array) -> Array:
        made = (
            silicon_grams(area, c.process.carbon_g_mm2, c.process.defects_cm2, parts.silicon.alpha)
            for area, c in zip(areas, parts.chiplets, strict=True)
        )
        return np.asarray(sum(made, start=np.zeros(())))

    return grams(larger) - grams(parts.areas), *_routers(parts)


def _interposer(parts: Parts, chosen: Package) -> tuple[Array, Array]:
    """Return carbon, g, and area, mm2, of silicon under all chiplets."""
    area = floorplan(parts.areas, chosen.bridge_pitch_mm).area_mm2
    below = chosen.interposer
    return silicon_grams(area, below.carbon_g_mm2, below.defects_cm2, parts.silicon.alpha), area


def _routers(parts: Parts) -> tuple[Array, Array]:
    """Return carbon of making and of designing a router beside each chiplet, g."""
    areas = [np.asarray(c.process.router_mm2, np.float64) for c in parts.chiplets]
    together = sum(areas, start=np.zeros(())) if len({c.node_nm for c in parts.chiplets}) == 1 else None
    made = (
        silicon_grams(area, c.process.carbon_g_mm2, c.process.defects_cm2, parts.silicon.alpha, together)
        for area, c in zip(areas, parts.chiplets, strict=True)
    )
    designed = (
        design_grams(area, c.process, parts.effort, parts.ci) for area, c in zip(areas, parts.chiplets, strict=True)
    )
    return np.asarray(sum(made, start=np.zeros(()))), np.asarray(sum(designed, start=np.zeros(())))


_FORMS: dict[str, Form] = {"rdl": _rdl, "passive": _passive, "active": _active, "bridge": _bridge, "stack": _stack}
