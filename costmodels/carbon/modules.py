"""Carbon of an accelerator module: the published figure where there is one, else the sum of its parts; never both.

Bottom-up is dies, memory and package, and 20 to 30 % for board and thermal parts (assumed). A bare die of ACT is six to
seven times below the module, mostly for want of its HBM. Grams, cradle to gate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.coefficients import Coefficient, coefficient, group, plain_name
from codesign.costmodels.carbon.dies import carbon_per_area, die_grams, fab_intensity, process_node
from codesign.costmodels.carbon.domains import non_negative
from codesign.costmodels.carbon.memory import memory_grams, memory_process
from codesign.errors import UsageError
from codesign.quantity import Array, Method, Origin, Quantity

FAB = "taiwan-2022"


class ModuleParts(NamedTuple):
    """What a module is built of.

    Attributes:
        die_mm2: Areas of its logic dies, mm2.
        node_nm: Their nodes.
        memory_gb: Memory on the package, GB of 1e9 bytes.
        memory: Its process: ``hbm``, or an entry of another memory.
        circuits: Packages counted as integrated circuits.
    """

    die_mm2: tuple[float, ...]
    node_nm: tuple[float, ...]
    memory_gb: float
    memory: str = "hbm"
    circuits: int = 1


def module_coefficient(name: str) -> Coefficient | None:
    """Return the published figure of a module, None where there is none: an unknown module is not an error."""
    return group("module").values.get(plain_name(name))


def module_grams(dies_g: Any, memory_g: Any, package_g: Any, board_share: Any) -> Array:
    """Return the carbon of a module from its parts, g; arguments broadcast.

    Args:
        dies_g: Logic dies.
        memory_g: Memory on the package.
        package_g: Package.
        board_share: Board and thermal parts over the sum of the others.

    Raises:
        UsageError: an argument is negative.
    """
    parts = non_negative("dies_g", dies_g) + non_negative("memory_g", memory_g) + non_negative("package_g", package_g)
    return np.asarray(parts * (1.0 + non_negative("board_share", board_share)))


def module_quantity(name: str = "", parts: ModuleParts | None = None) -> Quantity:
    """Return the carbon of a module with its range: as published under ``name``, else from ``parts``.

    Low and high of a sum of parts are those of all its parts at once, fab, abatement and yield among them.

    Raises:
        UsageError: no figure is published under ``name`` and no parts are given.
    """
    published = module_coefficient(name) if name else None
    if published is not None:
        return published.quantity()
    if parts is None:
        hint = "give its parts, or one of: " + ", ".join(group("module").values)
        raise UsageError(f"module {name!r} has no published figure", hint)
    low, value, high = (_bottom_up(parts, corner) for corner in _CORNERS)
    source = f"{Method.NEW_FAMILY.value}: dies of ACT v2.0, {parts.memory}, package, board share {Origin.ASSUMED.value}"
    return Quantity(value, low, high, "g", source)


_CORNERS: tuple[dict[str, Any], ...] = (
    {"corner": "low", "yield": "high", "abatement": "high"},
    {"corner": "value", "yield": "value", "abatement": "value"},
    {"corner": "high", "yield": "low", "abatement": "low"},
)
"""A low yield and a low abatement mean more carbon."""


def _bottom_up(parts: ModuleParts, corner: dict[str, Any]) -> float:
    if len(parts.die_mm2) != len(parts.node_nm):
        raise UsageError(f"node_nm: found {len(parts.node_nm)} nodes for {len(parts.die_mm2)} dies")
    end = corner["corner"]
    per_area = carbon_per_area(
        process_node(np.asarray(parts.node_nm, np.float64), end),
        fab_intensity(FAB),
        coefficient("default", "abatement").at(corner["abatement"]),
        coefficient("default", "yield").at(corner["yield"]),
    )
    dies = float(die_grams(np.asarray(parts.die_mm2), per_area.total_g_cm2).sum())
    memory = memory_grams(memory_process(parts.memory).at(end), parts.memory_gb)
    package = parts.circuits * coefficient("package", "per_ic").at(end)
    return float(module_grams(dies, memory, package, coefficient("module_share", "board_and_thermal").at(end)))
