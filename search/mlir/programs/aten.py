"""Programs as ATen graphs: always available, run by torch operator by operator.

What runs is eager, so that gains come from operators that are gone, not from fusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from codesign.search.mlir.canonical import canonicalise
from codesign.search.mlir.edits import Edit, apply
from codesign.search.mlir.graph import Graph
from codesign.search.mlir.programs import aten_graphs, program
from codesign.search.mlir.programs.program import AtenModule, Weights
from codesign.search.mlir.programs.traced import Step, Traced, trace_module, trace_step

if TYPE_CHECKING:
    import torch


class AtenProgram:
    """An ATen graph and its weights, which are arguments."""

    dialect = "aten"

    def __init__(self, graph: Graph, weights: Weights, source: str = "program") -> None:
        """Set up; use ``from_module``, ``from_training_step`` or ``load``."""
        self.graph, self.source = graph, source
        self.weights = program.check_weights(graph, weights, source)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of graph and weights."""
        return program.fingerprint(self.graph, self.weights)

    def realise(self, edits: Iterable[Edit] = ()) -> AtenModule:
        """Return the module that a set of edits makes.

        Raises:
            Refused: an edit cannot be applied.
        """
        graph = apply(self.graph, edits)
        return AtenModule(graph, aten_graphs.build(graph))

    def save(self, directory: Path) -> None:
        """Write graph and weights; operators are named, nothing is pickled."""
        program.save(self.graph, self.weights, directory)

    @classmethod
    def load(cls, directory: Path) -> AtenProgram:
        """Return a saved program.

        Raises:
            DataError: a file is missing, damaged, was changed, or names an operator that a program may not hold.
        """
        graph, weights = program.load(directory)
        for one in graph.operations:
            aten_graphs.resolved(one.name)
        return cls(graph, weights, str(directory))

    @classmethod
    def from_module(
        cls, module: torch.nn.Module, example: Sequence[torch.Tensor], source: str = "module"
    ) -> AtenProgram:
        """Return the forward pass of a module in evaluation mode; ``example`` gives the shapes of its inputs.

        Raises:
            UsageError: control flow or shapes depend on data, or an operator that is not torch's own.
        """
        return cls._made(trace_module(module, example, source, {}))

    @classmethod
    def from_training_step(
        cls,
        step: Step,
        weights: Mapping[str, torch.Tensor],
        example: Sequence[torch.Tensor],
        source: str = "training step",
    ) -> AtenProgram:
        """Return a training step ``step(weights, *data) -> new weights``, weights by name in and out.

        Raises:
            UsageError: control flow or shapes depend on data, or an operator that is not torch's own.
        """
        return cls._made(trace_step(step, weights, example, source, {}))

    @classmethod
    def _made(cls, traced: Traced) -> AtenProgram:
        graph = canonicalise(aten_graphs.graph_of(traced))
        kept = {one.name for one in graph.arguments}
        return cls(graph, {name: held for name, held in traced.weights.items() if name in kept}, traced.source)
