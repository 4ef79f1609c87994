"""Timeloop v0.4 files: architectures, problems, mappings and reference tables of energy and area."""

from __future__ import annotations

from codesign.costmodels.accelerator.timeloop.architecture import Imported, import_architecture
from codesign.costmodels.accelerator.timeloop.document import is_timeloop, parse_document, read_document
from codesign.costmodels.accelerator.timeloop.export import mapping_text
from codesign.costmodels.accelerator.timeloop.mapping import import_mapping
from codesign.costmodels.accelerator.timeloop.problem import import_problem

__all__ = [
    "Imported",
    "import_architecture",
    "import_mapping",
    "import_problem",
    "is_timeloop",
    "mapping_text",
    "parse_document",
    "read_document",
]
