"""What every configuration needs beside its template: memory devices, packages, and how clock follows the supply.

Clock by the alpha-power law, ``f(V) ~ (V - Vt)^alpha / V``, at the template's clock for the nominal supply whatever the
node. Hz, B/s, GB of 1e9 bytes, J per bit, volts. Numbers with sources are in ``technologies.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.accelerator.bands import Band
from codesign.costmodels.accelerator.energy_tables import action_energy
from codesign.costmodels.accelerator.node_scaling import LEAST_VOLTS, MOST_VOLTS
from codesign.costmodels.carbon.domains import between
from codesign.errors import DataError, UsageError, nearest
from codesign.quantity import Array
from codesign.strict_yaml import decode_yaml

FILE = "technologies.yaml"
SCHEMA = 1
PICO = 1e-12


class MemoryDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """DRAM beside the chip, or in layers on top of it.

    Attributes:
        bandwidth: B/s.
        capacity_gb: GB.
        carbon: Its process among the coefficients of carbon, g per GB.
        source: Where bandwidth, capacity, and what else is stated here are from.
        energy: Its action in the energy tables, J per bit; empty where ``pj_per_bit`` states low, value, high.
        pj_per_bit: Energy of a bit moved, pJ.
        layers: Dies stacked on the chip; 0 for memory beside it.
        layer_mm2: Area of such a die.
    """

    bandwidth: float
    capacity_gb: float
    carbon: str
    source: str
    energy: str = ""
    pj_per_bit: tuple[float, float, float] | None = None
    layers: int = 0
    layer_mm2: float = 0.0

    @property
    def bit(self) -> Band:
        """Return the energy of a bit moved, J."""
        if self.pj_per_bit is None:
            return action_energy(self.energy)
        return Band(*(np.asarray(end * PICO) for end in self.pj_per_bit))


class Joining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How cores are joined: a type of ``chiplet_packages`` (none on one die), and the energy of a bit between them."""

    kind: str
    link_pj_per_bit: tuple[float, float, float]
    source: str

    @property
    def link(self) -> Band:
        """Return the energy of moving a bit to a core, J."""
        return Band(*(np.asarray(end * PICO) for end in self.link_pj_per_bit))


class Supply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the clock follows the supply; ``clock`` is that of templates without one, Hz."""

    nominal_volts: float
    threshold_volts: float
    alpha: float
    clock: float
    source: str

    def speed(self, volts: Any) -> Array:
        """Return the clock at a supply over that at the nominal one; ``volts`` broadcasts.

        Raises:
            UsageError: the supply lies outside the domain of the energies.
        """
        given = between("volts", volts, LEAST_VOLTS, MOST_VOLTS)

        def rate(supply: Any) -> Any:
            return (supply - self.threshold_volts) ** self.alpha / supply

        return np.asarray(rate(given) / rate(self.nominal_volts))


class Technologies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: int
    memories: Mapping[str, MemoryDevice]
    packages: Mapping[str, Joining]
    supply: Supply


@cache
def technologies() -> Technologies:
    """Return the shipped table; read at the first call."""
    text = files("codesign.search.accelerator").joinpath(FILE).read_text(encoding="utf-8")
    found = decode_yaml(text, Technologies, FILE)
    if found.schema != SCHEMA:
        raise DataError(f"{FILE}: schema: found {found.schema}, expected {SCHEMA}")
    for name, one in found.memories.items():
        if bool(one.energy) == (one.pj_per_bit is not None):
            raise DataError(f"{FILE}: memories.{name}: expected either energy or pj_per_bit")
        if (one.layers > 0) != (one.layer_mm2 > 0.0):
            raise DataError(f"{FILE}: memories.{name}: layers and layer_mm2 go together")
    return found


def memory_device(name: str) -> MemoryDevice:
    """Return a memory device by name.

    Raises:
        UsageError: there is none.
    """
    known = technologies().memories
    if name not in known:
        raise UsageError(f"memory: no data of {name!r}", nearest(name, known))
    return known[name]


def joining(name: str) -> Joining:
    """Return a way to join cores by name.

    Raises:
        UsageError: there is none.
    """
    known = technologies().packages
    if name not in known:
        raise UsageError(f"package: no data of {name!r}", nearest(name, known))
    return known[name]
