"""Carbon of memory and storage: grams per GB times capacity, over the yield.

``E = g_per_GB * capacity_GB / Y`` (ACT v2.0; GB of 1e9 bytes). Public figures of DRAM differ by a factor of 20 and the
table of ACT is the lowest: server memory and HBM have entries of their own with that range, and ACT's DRAM is never
used for HBM.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.carbon.coefficients import Coefficient, find, group, plain_name
from codesign.costmodels.carbon.domains import non_negative, positive_share
from codesign.errors import UsageError
from codesign.quantity import Array

GROUPS = ("dram", "ssd", "hdd", "memory")
KINDS = {"dram": ("dram", "memory"), "ssd": ("ssd",), "hdd": ("hdd",)}
"""Kind of a part -> the groups of its processes."""


def memory_process(process: str, kind: str = "") -> Coefficient:
    """Return the grams per GB of a process or product.

    Args:
        process: For example ``ddr4_10nm``, ``nand_tlc_v3``, ``BarraCuda``, ``hbm``, ``server_dram``.
        kind: ``dram``, ``ssd`` or ``hdd``; any where empty.

    Raises:
        UsageError: it is unknown (the hint names the nearest), or of another kind.
    """
    if kind:
        key = plain_name(process)
        others = [other for other, names in KINDS.items() if any(key in group(name).values for name in names)]
        if others and kind not in others:
            raise UsageError(f"process: {process!r} is {others[0]}, expected {kind}", f"set model: {others[0]}")
    return find(KINDS[kind] if kind else GROUPS, process, "process")


def memory_grams(g_per_gb: Any, capacity_gb: Any, die_yield: Any = 1.0) -> Array:
    """Return the carbon of memory, g.

    Args:
        g_per_gb: Of its process; ``memory_process`` gives the published ones.
        capacity_gb: GB of 1e9 bytes.
        die_yield: Above 0 and at most 1; 1 where the figure is of good parts.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    grams = non_negative("g_per_gb", g_per_gb) * non_negative("capacity_gb", capacity_gb)
    return np.asarray(grams / positive_share("yield", die_yield))
