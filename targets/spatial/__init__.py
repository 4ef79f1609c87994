"""Spatial accelerators as data: memories, arrays and compute units, with the energy of every action.

Units: J per action, mm2 of silicon, Hz, bits; bandwidths in words per cycle and instance.
"""

from __future__ import annotations

from codesign.targets.spatial.architecture import (
    OPERANDS,
    Architecture,
    Branches,
    ComputeUnit,
    Fanout,
    Node,
    Operation,
    Parallel,
    Spine,
    Storage,
)
from codesign.targets.spatial.loader import is_spatial, list_architectures, load_architecture
from codesign.targets.spatial.schema import parse_architecture

__all__ = [
    "OPERANDS",
    "Architecture",
    "Branches",
    "ComputeUnit",
    "Fanout",
    "Node",
    "Operation",
    "Parallel",
    "Spine",
    "Storage",
    "is_spatial",
    "list_architectures",
    "load_architecture",
    "parse_architecture",
]
