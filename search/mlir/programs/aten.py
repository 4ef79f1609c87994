"""Programs as ATen graphs: always available, run by torch operator by operator.

What runs is eager, so that gains come from operators that are gone, not from fusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from codesign.search.mlir.edits import Edit, apply
from codesign.search.mlir.graph import Graph
from codesign.search.mlir.programs import aten_graphs
from codesign.search.mlir.programs.program import AtenModule, Program, Weights
from codesign.search.mlir.programs.traced import Traced


class AtenProgram(Program):
    """An ATen graph and its weights."""

    def __init__(self, graph: Graph, weights: Weights, source: str = "program") -> None:
        """Set up; use ``from_module``, ``from_training_step`` or ``load``.

        Raises:
            DataError: it names an operator that a program may not hold, or a weight does not fit.
        """
        for one in graph.operations:
            aten_graphs.resolved(one.name)
        super().__init__(graph, weights, source)

    def realise(self, edits: Iterable[Edit] = ()) -> AtenModule:
        """Return the module that a set of edits makes.

        Raises:
            Refused: an edit cannot be applied.
        """
        graph = apply(self.graph, edits)
        return AtenModule(graph, aten_graphs.build(graph))

    @staticmethod
    def _decompositions() -> Mapping[Any, Any]:
        return {}

    @classmethod
    def _graph(cls, traced: Traced) -> Graph:
        return aten_graphs.graph_of(traced)
