"""Search over mappings: loop nests of a problem on a spatial accelerator, thousands at a time."""

from __future__ import annotations

from codesign.search.mapping.cascade_mapping import CascadeMapping
from codesign.search.mapping.inner import MappingFront, best_mappings
from codesign.search.mapping.layers import MappedModel, map_model
from codesign.search.mapping.network import ModelMapping
from codesign.search.mapping.problem import MappingProblem
from codesign.search.mapping.space import MappingSpace

__all__ = [
    "CascadeMapping",
    "MappedModel",
    "MappingFront",
    "MappingProblem",
    "MappingSpace",
    "ModelMapping",
    "best_mappings",
    "map_model",
]
