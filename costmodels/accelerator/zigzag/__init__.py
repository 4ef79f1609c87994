"""ZigZag v3 files: hardware, workloads and mappings in YAML."""

from __future__ import annotations

from codesign.costmodels.accelerator.zigzag.hardware import architecture_of, is_zigzag_hardware, read_hardware
from codesign.costmodels.accelerator.zigzag.spatial import LayerMapping, SpatialChoices, read_spatial
from codesign.costmodels.accelerator.zigzag.workload import Layer, read_workload

__all__ = [
    "Layer",
    "LayerMapping",
    "SpatialChoices",
    "architecture_of",
    "is_zigzag_hardware",
    "read_hardware",
    "read_spatial",
    "read_workload",
]
