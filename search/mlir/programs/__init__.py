"""Programs that edits change: StableHLO through torch-mlir, and the ATen graph that torch alone runs."""

from __future__ import annotations

from pathlib import Path

from codesign.search.mlir.programs import program as _stored
from codesign.search.mlir.programs.aten import AtenProgram
from codesign.search.mlir.programs.program import AtenModule, Program, Realised, StableHloText
from codesign.search.mlir.programs.stablehlo import StableHloProgram


def load_program(directory: Path) -> StableHloProgram | AtenProgram:
    """Return the program saved in a directory, of whichever dialect.

    Raises:
        DataError: a file is missing, damaged, or was changed.
    """
    graph, weights = _stored.load(directory)
    kind = StableHloProgram if graph.dialect == "stablehlo" else AtenProgram
    return kind(graph, weights, str(directory))


__all__ = [
    "AtenModule",
    "AtenProgram",
    "Program",
    "Realised",
    "StableHloProgram",
    "StableHloText",
    "load_program",
]
