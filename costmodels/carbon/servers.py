"""Carbon of servers and clusters: a preset built from parts, a share of a server, a fleet over days.

The preset is that of cloud-carbon-footprint: a base server, memory above 16 GB, and an amount for each drive, further
processor and GPU; its 277 published rows obey it to 0.011 kg. Grams; years have 365 days.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.coefficients import Corner, coefficient
from codesign.costmodels.carbon.domains import non_negative, positive
from codesign.errors import UsageError
from codesign.quantity import Array

INCLUDED_MEMORY_GB = 16.0
"""Memory that the base server holds."""


class ServerPreset(NamedTuple):
    """Grams of each part; fields may be arrays."""

    base: Any
    memory_per_gb: Any
    ssd: Any
    hdd: Any
    additional_cpu: Any
    gpu: Any


def server_preset(corner: Corner = "value") -> ServerPreset:
    """Return the published amounts, or one end of their ranges."""
    return ServerPreset(*(coefficient("server", name).at(corner) for name in ServerPreset._fields))


def server_grams(
    preset: ServerPreset,
    memory_gb: Any = INCLUDED_MEMORY_GB,
    ssds: Any = 0,
    hdds: Any = 0,
    cpus: Any = 1,
    gpus: Any = 0,
) -> Array:
    """Return the carbon of a server from its parts, g.

    Args:
        preset: Grams of each part.
        memory_gb: Whole memory; the first 16 GB belong to the base.
        ssds: Number of flash drives.
        hdds: Number of disks.
        cpus: Number of processors, at least 1, which belongs to the base.
        gpus: Number of GPUs.

    Raises:
        UsageError: a count is negative, or there is no processor.
    """
    processors = non_negative("cpus", cpus)
    if not (processors >= 1.0).all():
        raise UsageError("cpus: found less than 1, expected the processor of the base server at least")
    memory = np.maximum(non_negative("memory_gb", memory_gb) - INCLUDED_MEMORY_GB, 0.0) * preset.memory_per_gb
    storage = non_negative("ssds", ssds) * preset.ssd + non_negative("hdds", hdds) * preset.hdd
    processing = (processors - 1.0) * preset.additional_cpu + non_negative("gpus", gpus) * preset.gpu
    return np.asarray(preset.base + memory + storage + processing)


def share_grams(total_g: Any, reserved: Any, total: Any) -> Array:
    """Return the part of a server that ``reserved`` of its ``total`` resources (vCPU, GPUs) carry, g.

    Shares of disjoint reservations add up to the whole.

    Raises:
        UsageError: more is reserved than there is, or an argument lies outside its domain.
    """
    part, whole = non_negative("resources_reserved", reserved), positive("resources_total", total)
    if not (part <= whole).all():
        raise UsageError("resources_reserved: found more than resources_total")
    return np.asarray(non_negative("total_g", total_g) * part / whole)


def server_year_grams(embodied_g_per_year: Any, g_per_kwh: Any, kwh_per_year: Any) -> Array:
    """Return embodied and operational carbon of a server in a year, g.

    Raises:
        UsageError: an argument is negative.
    """
    operational = non_negative("ci", g_per_kwh) * non_negative("kwh_per_year", kwh_per_year)
    return np.asarray(non_negative("embodied_g_per_year", embodied_g_per_year) + operational)


class ClusterPart(NamedTuple):
    """``units`` machines that hold ``count`` parts of ``grams_per_unit`` each; fields may be arrays."""

    units: Any
    grams_per_unit: Any
    count: Any


def cluster_grams(parts: Iterable[ClusterPart], days: Any, lifetime_days: Any) -> Array:
    """Return the embodied carbon that ``days`` of a cluster carry, linear over its life, g.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    whole = sum(
        (
            non_negative("unit", part.units) * non_negative("kg per unit", part.grams_per_unit)
            * non_negative("count", part.count)
            for part in parts
        ),
        start=np.zeros(()),
    )  # fmt: skip
    return np.asarray(whole * non_negative("days", days) / positive("lifetime_days", lifetime_days))
