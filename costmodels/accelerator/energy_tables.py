"""Energy of single actions and area of single units, with range and source (``energy_tables.yaml``).

A row is a fact of its source at its node. At another node it is scaled by ``node_scaling``, and the band widens.
Joules, mm2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np

from codesign.costmodels.accelerator.bands import Band, band
from codesign.costmodels.accelerator.node_scaling import USUAL_VOLTS, area_scale, energy_scale, is_extrapolated
from codesign.costmodels.carbon.domains import non_negative
from codesign.errors import DataError, UsageError, nearest
from codesign.quantity import Quantity
from codesign.strict_yaml import decode_yaml

FILE = "energy_tables.yaml"
SCHEMA = 1
PICO = 1e-12
MM2_PER_UM2 = 1e-6
BITS_PER_BYTE = 8.0


class WrittenAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An action as the file writes it."""

    what: str
    pj: float | tuple[float, float, float]
    per: Literal["op", "access", "bit"]
    status: Literal["read", "band", "unverified"]
    source: str
    bits: int | None = None
    node_nm: float | None = None


class WrittenArea(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An area as the file writes it."""

    what: str
    um2: float
    node_nm: float
    source: str


class WrittenTables(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    schema: int
    spread: tuple[float, float]
    range: str
    actions: dict[str, WrittenAction]
    areas: dict[str, WrittenArea]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One action of hardware.

    Attributes:
        name: Its name in the table.
        what: What it is.
        low: Low end of its energy, J.
        value: Its energy, J.
        high: High end, J.
        per: What it is counted by: an operation, an access, a bit.
        bits: Of the operand or access, where one is stated.
        node_nm: Process node, None for memory devices.
        source: Publication of the value.
        range_source: Where the range is from.
        verified: Whether the figure was read in its source.
    """

    name: str
    what: str
    low: float
    value: float
    high: float
    per: str
    bits: int | None
    node_nm: float | None
    source: str
    range_source: str
    verified: bool

    def quantity(self) -> Quantity:
        """Return the energy as a number at the edge, J."""
        source = self.source if self.verified else f"{self.source}, unverified"
        return Quantity(self.value, self.low, self.high, "J", f"published: {source}")


class UnitArea(msgspec.Struct, frozen=True, kw_only=True):
    """Area of one unit at its node, mm2, without a range of its own."""

    name: str
    what: str
    mm2: float
    node_nm: float
    source: str


class Tables(msgspec.Struct, frozen=True):
    """Actions and areas by name."""

    actions: Mapping[str, Action]
    areas: Mapping[str, UnitArea]
    spread: tuple[float, float]


@cache
def tables() -> Tables:
    """Return all actions and areas; read at the first call."""
    return read_tables(files("codesign.costmodels.accelerator").joinpath(FILE).read_text(encoding="utf-8"), FILE)


def read_tables(text: str, name: str) -> Tables:
    """Return the tables that the YAML ``text`` holds; ``name`` is the file named in errors.

    Raises:
        DataError: an unknown key, another schema, a range that misses its value, an area or node not above 0.
    """
    written = decode_yaml(text, WrittenTables, name)
    if written.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {written.schema}, expected {SCHEMA}")
    if not 0.0 < written.spread[0] <= 1.0 <= written.spread[1] < float("inf"):
        raise DataError(f"{name}: spread: found {list(written.spread)}, expected [at most 1, at least 1]")
    for key, area in written.areas.items():
        if not (0.0 < area.um2 < float("inf") and 0.0 < area.node_nm < float("inf")):
            raise DataError(f"{name}: areas.{key}: um2 and node_nm are above 0")
    return Tables(
        MappingProxyType({key: _action(key, action, written, name) for key, action in written.actions.items()}),
        MappingProxyType({
            key: UnitArea(
                name=key, what=area.what, mm2=area.um2 * MM2_PER_UM2, node_nm=area.node_nm, source=area.source
            )
            for key, area in written.areas.items()
        }),
        written.spread,
    )  # fmt: skip


def _action(key: str, written: WrittenAction, file: WrittenTables, name: str) -> Action:
    if isinstance(written.pj, tuple):
        (low, value, high), range_source = written.pj, written.source
    else:
        low, value, high = written.pj * file.spread[0], written.pj, written.pj * file.spread[1]
        range_source = file.range
    if not 0.0 < low <= value <= high < float("inf"):
        raise DataError(f"{name}: actions.{key}: the range {low:g} to {high:g} misses the value {value:g} or 0")
    if written.node_nm is not None and not 0.0 < written.node_nm < float("inf"):
        raise DataError(f"{name}: actions.{key}: node_nm: found {written.node_nm:g}, expected above 0")
    return Action(
        name=key, what=written.what, low=low * PICO, value=value * PICO, high=high * PICO, per=written.per,
        bits=written.bits, node_nm=written.node_nm, source=written.source,
        range_source=range_source, verified=written.status != "unverified",
    )  # fmt: skip


def action(name: str) -> Action:
    """Return the action called ``name``.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    if name not in tables().actions:
        raise UsageError(f"action {name!r} has no energy", nearest(name, tables().actions))
    return tables().actions[name]


def action_energy(name: str, node_nm: Any = None, volts: Any = USUAL_VOLTS) -> Band:
    """Return the energy of one action at a node and a supply, J; both broadcast.

    Args:
        name: Of the table.
        node_nm: Target node; None for the node of the table.
        volts: Supply at the target node; the table is at 0.9 V.

    Raises:
        UsageError: the name is unknown, a node or supply lies outside its domain, or the action is of a memory device
            and has no node.
    """
    found = action(name)
    energy = Band(np.asarray(found.low), np.asarray(found.value), np.asarray(found.high))
    if node_nm is None and np.all(np.asarray(volts) == USUAL_VOLTS):
        return energy
    if found.node_nm is None:
        raise UsageError(f"action {name!r} is of a memory device, which has no node", "leave node and volts out")
    return energy.times(energy_scale(found.node_nm, found.node_nm if node_nm is None else node_nm, USUAL_VOLTS, volts))


def action_quantity(name: str, node_nm: float | None = None, volts: float = USUAL_VOLTS) -> Quantity:
    """Return the energy of one action as a number at the edge, J; its source says how far it was scaled.

    Raises:
        UsageError: as of ``action_energy``.
    """
    found, energy = action(name), action_energy(name, node_nm, volts)
    source = found.quantity().source
    if node_nm is not None and found.node_nm is not None and node_nm != found.node_nm:
        beyond = ", beyond the data of node scaling" if is_extrapolated(node_nm) else ""
        source = f"{source}, scaled from {found.node_nm:g} to {node_nm:g} nm{beyond}"
    return energy.quantity("J", source)


def moved_energy(memory: str, size_bytes: Any) -> Band:
    """Return the energy to move ``size_bytes`` to or from a memory device (``hbm2``, ``lpddr4`` ..), J.

    Raises:
        UsageError: the memory is unknown or not counted by the bit, or a size is negative.
    """
    found = action(memory)
    if found.per != "bit" or found.node_nm is not None:
        known = [key for key, one in tables().actions.items() if one.per == "bit" and one.node_nm is None]
        raise UsageError(f"{memory!r} is no memory device counted by the bit", "known: " + ", ".join(sorted(known)))
    return action_energy(memory).times(non_negative("size_bytes", size_bytes) * BITS_PER_BYTE)


def unit_area(name: str, node_nm: Any = None) -> Band:
    """Return the area of one unit at a node, mm2; the spread of the energies stands for its missing range.

    Raises:
        UsageError: the name is unknown, or a node lies outside the domain of scaling.
    """
    areas = tables().areas
    if name not in areas:
        raise UsageError(f"unit {name!r} has no area", nearest(name, areas))
    found = areas[name]
    scale = area_scale(found.node_nm, found.node_nm if node_nm is None else node_nm)
    return band(found.mm2, *tables().spread).times(scale)
