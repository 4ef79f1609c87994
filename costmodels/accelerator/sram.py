"""Energy, area and leakage of on-chip SRAM by capacity, width, ports, banks and node, fitted to CACTI.

The fit (``sram_fit.yaml``) holds for 2 KB to 16 MB, accesses of 64 to 256 bits, 32 to 45 nm, one bank and one port of
high-performance cells at 360 K; its band is +-40 %, from CACTI against Horowitz. Outside:

- smaller, larger, narrower, wider: the tangent of the fit, a band that grows with the distance, ``extrapolated`` set;
- other nodes: scaled by ``node_scaling`` from the nearer end;
- banks: area and leakage of as many smaller memories; an access crosses the whole, so its energy stays;
- ports: a cell grows by its extra wires in both directions, wires of an access with it (assumed, see ``PORT_GROWTH``).

KB are 1,024 B. Joules per access of the whole width, mm2, watts.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.accelerator.bands import Band, band
from codesign.costmodels.accelerator.extents import whole
from codesign.costmodels.accelerator.node_scaling import area_scale, energy_scale
from codesign.costmodels.carbon.domains import between
from codesign.errors import UsageError
from codesign.quantity import Array, Quantity
from codesign.strict_yaml import decode_yaml

FILE = "sram_fit.yaml"
BYTES_PER_KB = 1024.0
PICO, MILLI = 1e-12, 1e-3
BASE_BITS, BASE_NM = 64.0, 45.0

FARTHEST = 64.0
"""How far beyond the fitted capacities and widths is still accepted, as a factor."""

WIDENING = 0.2
"""Assumed: the logarithm of either end moves by this share of the logarithm of the distance to the fitted range."""

PORT_GROWTH = (0.5, 0.34)
"""Assumed: what one more port adds to the height and width of a cell of 10 by 14.6 features: two wires of 2.5 each."""

BANKED_HIGH = 1.2
"""Upper end of the energy of several banks over one: 128 KB in 32 banks at 32 nm is 10 to 16 % above the one bank."""

LEAKAGE_ELSEWHERE = 3.0
"""Assumed factor both ways for leakage outside 32 to 45 nm: it follows the kind of transistor, not the node."""


class Sram(NamedTuple):
    """A memory; fields broadcast over designs.

    Attributes:
        capacity_bytes: Of all banks.
        width_bits: Of one access.
        ports: Read-write ports.
        banks: Of equal size.
        node_nm: Process node.
    """

    capacity_bytes: Any
    width_bits: Any = 64
    ports: Any = 1
    banks: Any = 1
    node_nm: Any = 45


class SramCost(NamedTuple):
    """What a memory costs; fields have the common shape of the memory's.

    Attributes:
        read_joules: Of one access.
        write_joules: Of one access.
        area_mm2: Of all banks.
        leakage_watts: Of all banks.
        extrapolated: Whether capacity, width or node lie outside the fitted points.
    """

    read_joules: Band
    write_joules: Band
    area_mm2: Band
    leakage_watts: Band
    extrapolated: Array


class WrittenCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fitted quantity as the file writes it."""

    coefficients: tuple[float, float, float, float, float, float]
    median: float
    worst: float


class WrittenFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: int
    source: str
    capacity_kb: tuple[float, float]
    width_bits: tuple[float, float]
    nodes_nm: tuple[float, float]
    band: tuple[float, float]
    range: str
    read_pj: WrittenCurve
    write_pj: WrittenCurve
    area_mm2: WrittenCurve
    leakage_mw: WrittenCurve


@cache
def fit() -> WrittenFit:
    """Return the fit; read at the first call."""
    text = files("codesign.costmodels.accelerator").joinpath(FILE).read_text(encoding="utf-8")
    return decode_yaml(text, WrittenFit, FILE)


def sram(memory: Sram) -> SramCost:
    """Return the cost of a memory, or of arrays of them.

    Raises:
        UsageError: a capacity or width lies farther than a factor ``FARTHEST`` outside the fitted ones, banks or ports
            are no whole numbers, or a node has no scaling.
    """
    fitted = fit()
    smallest, largest = (end * BYTES_PER_KB for end in fitted.capacity_kb)
    capacity = between("capacity_bytes", memory.capacity_bytes, smallest / FARTHEST, largest * FARTHEST)
    width = between("width_bits", memory.width_bits, *_reach(fitted.width_bits))
    banks, ports = whole("banks", memory.banks), whole("ports", memory.ports)
    a_bank = between("capacity_bytes of a bank", capacity / banks, smallest / FARTHEST, largest * FARTHEST)
    node = np.asarray(memory.node_nm, np.float64)
    near = np.clip(node, *fitted.nodes_nm)
    taller, wider = (1.0 + growth * (ports - 1.0) for growth in PORT_GROWTH)

    energy_factor = energy_scale(near, node).times(np.sqrt(taller * wider)).times(
        Band(np.asarray(1.0), np.asarray(1.0), np.where(banks > 1.0, BANKED_HIGH, 1.0))
    )  # fmt: skip
    area_factor = area_scale(near, node).times(banks * taller * wider)
    elsewhere = np.where(near == node, 1.0, LEAKAGE_ELSEWHERE)
    leak_factor = area_scale(near, node).times(banks).times(band(1.0, 1.0 / elsewhere, elsewhere))
    outside = (_beyond(capacity, smallest, largest) != 0.0) | (_beyond(width, *fitted.width_bits) != 0.0)
    outside = outside | (_beyond(a_bank, smallest, largest) != 0.0) | (near != node)
    shape = np.broadcast_shapes(capacity.shape, width.shape, banks.shape, ports.shape, node.shape)

    def cost(curve: WrittenCurve, size: Array, factor: Band, unit: float) -> Band:
        found = _evaluated(curve, size, width, near).times(factor).times(unit)
        return Band(*(np.broadcast_to(end, shape) for end in found))

    return SramCost(
        cost(fitted.read_pj, capacity, energy_factor, PICO),
        cost(fitted.write_pj, capacity, energy_factor, PICO),
        cost(fitted.area_mm2, a_bank, area_factor, 1.0),
        cost(fitted.leakage_mw, a_bank, leak_factor, MILLI),
        np.broadcast_to(outside, shape),
    )


def sram_quantities(memory: Sram) -> dict[str, Quantity]:
    """Return the cost of one memory as numbers at the edge: ``read``, ``write``, ``area``, ``leakage``.

    Raises:
        UsageError: as of ``sram``, or the memory is an array of several.
    """
    cost = sram(memory)
    if cost.extrapolated.ndim:
        raise UsageError(f"memory: found {cost.extrapolated.size} memories, expected one", "take arrays from sram()")
    source = f"interpolated: {fit().source}; band: {fit().range}"
    if cost.extrapolated:
        source = f"analytical: {fit().source}, beyond its points"
    found = zip(("read", "write", "area", "leakage"), cost[:4], ("J", "J", "mm2", "W"), strict=True)
    return {name: one.quantity(unit, source) for name, one, unit in found}


def _evaluated(curve: WrittenCurve, size: Array, width: Array, node: Array) -> Band:
    """Return the fit, along its tangent outside the fitted range, with its band."""
    fitted = fit()
    a0, a1, a2, a3, a4, a5 = curve.coefficients
    kb, bits = size / BYTES_PER_KB, width
    k, w = np.log(np.clip(kb, *fitted.capacity_kb)), np.log(np.clip(bits, *fitted.width_bits) / BASE_BITS)
    inside = a0 + a1 * k + a2 * k**2 + a3 * w + a4 * w * k + a5 * np.log(node / BASE_NM)
    beyond_k, beyond_w = _beyond(kb, *fitted.capacity_kb), _beyond(bits, *fitted.width_bits)
    tangent = (a1 + 2.0 * a2 * k + a4 * w) * beyond_k + (a3 + a4 * k) * beyond_w
    far = np.exp(WIDENING * (np.abs(beyond_k) + np.abs(beyond_w)))
    return band(np.exp(inside + tangent), fitted.band[0] / far, fitted.band[1] * far)


def _beyond(values: Array, low: float, high: float) -> Array:
    """Return the signed logarithm of the distance to the range, 0 inside."""
    distance: Array = np.log(values / np.clip(values, low, high))
    return distance


def _reach(ends: tuple[float, float]) -> tuple[float, float]:
    return ends[0] / FARTHEST, ends[1] * FARTHEST
