"""Search over mappings: loop nests of a problem on a spatial accelerator, thousands at a time."""

from __future__ import annotations

from codesign.search.mapping.space import MappingSpace

__all__ = ["MappingSpace"]
