"""Programs in StableHLO: torch modules and training steps through torch-mlir, or an MLIR text file.

A mutant is written from its edited graph and verified by MLIR when it is realised: proposals need no MLIR, and every
process that realises one checks it anew.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.errors import DataError, UsageError
from codesign.search.mlir.edits import Edit, apply
from codesign.search.mlir.graph import Argument, Graph, Output
from codesign.search.mlir.programs import mlir_modules, program
from codesign.search.mlir.programs.program import Program, StableHloText, Weights
from codesign.search.mlir.programs.traced import Traced
from codesign.search.mlir.stablehlo_text import write

if TYPE_CHECKING:
    import torch


class StableHloProgram(Program):
    """A StableHLO program and its weights."""

    def realise(self, edits: Iterable[Edit] = ()) -> StableHloText:
        """Return the verified program that a set of edits makes.

        Raises:
            Refused: an edit cannot be applied, or MLIR does not verify the result.
        """
        graph = apply(self.graph, edits)
        text = write(graph)
        mlir_modules.parse(text)
        return StableHloText(graph, text)

    def text(self, edits: Iterable[Edit] = ()) -> str:
        """Return a mutant as MLIR for people."""
        return str(mlir_modules.parse(write(apply(self.graph, edits))))

    def export(self, directory: Path, edits: Iterable[Edit] = ()) -> None:
        """Write a mutant as ``program.mlir`` and ``weights.npz``, which ``from_text`` and other tools read.

        Weights are called ``arg0``, ``arg1``, ... by their places among the arguments.
        """
        text = self.text(edits)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / program.TEXT).write_text(text, encoding="utf-8")
        places = {one.name: f"arg{index}" for index, one in enumerate(self.graph.arguments)}
        program.write_arrays(directory / program.WEIGHTS, {places[name]: one for name, one in self.weights.items()})

    def save(self, directory: Path) -> None:
        """Write graph, weights, and the program as MLIR for people."""
        super().save(directory)
        (directory / program.TEXT).write_text(self.text(), encoding="utf-8")

    @classmethod
    def from_text(cls, path: Path, weights: Path | None = None) -> StableHloProgram:
        """Return the program of an MLIR text file.

        Args:
            path: The file; it holds one function, or one called ``main``.
            weights: A ``.npz`` file of the arguments that are weights: ``arg1`` is the second argument. The others
                are data.

        Raises:
            DataError: it does not parse or verify, holds other dialects, or a weight does not fit.
            EnvironmentLacks: torch-mlir is not installed.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}", "expected MLIR text") from None
        held = program.read_arrays(weights) if weights else {}
        return cls.from_source(text, str(path), held, str(weights or path))

    @classmethod
    def from_source(
        cls, text: str, source: str, held: Weights, weights_source: str, names: Sequence[str] = ()
    ) -> StableHloProgram:
        """Return the program of MLIR text; arguments are called ``names``, or ``arg0``, ``arg1``, ..."""
        module = mlir_modules.read_text(text, source)
        mlir_modules.simplify(module)
        graph = mlir_modules.graph_of(module, source)
        called = names or [one.name for one in graph.arguments]
        heads = tuple(
            Argument(name, one.type, "weight" if name in held else "data")
            for name, one in zip(called, graph.arguments, strict=True)
        )
        checked = program.check_weights(Graph("stablehlo", heads, (), ()), held, weights_source)
        return cls.with_weights(Graph("stablehlo", heads, graph.operations, graph.outputs), checked, source)

    @staticmethod
    def _decompositions() -> Mapping[Any, Any]:
        mlir_modules.bindings()
        from torch_mlir.fx import get_decomposition_table

        table: Mapping[Any, Any] = get_decomposition_table()
        return table

    @classmethod
    def _graph(cls, traced: Traced) -> Graph:
        module = mlir_modules.read_text(_stablehlo(traced), traced.source)
        mlir_modules.simplify(module)
        graph = mlir_modules.graph_of(module, traced.source, list(traced.arguments))
        if not traced.outputs:
            return graph
        named = zip(graph.outputs, traced.outputs, strict=True)
        ends = tuple(Output(one.value, one.type, name) for one, name in named)
        return Graph(graph.dialect, graph.arguments, graph.operations, ends)


def _stablehlo(traced: Traced) -> str:
    """Return a traced program as StableHLO text with locations.

    Raises:
        UsageError: an operator that torch-mlir cannot lower; says which, and where it stands.
    """
    try:
        return _lowered(traced.module)
    except _Unlowered as error:
        found = re.search(r"aten\.\w+(?:\.\w+)?", str(error))
        node = _culprit(traced.module, found[0] if found else "")
        named = found[0] if found else "an operator" if node is None else str(node.target)
        where = f" at {node.meta['place']}" if node is not None and node.meta.get("place") else ""
        raise UsageError(
            f"{traced.source}: torch-mlir cannot lower {named}{where} to StableHLO",
            "replace it, or search the ATen graph: --backend torch",
        ) from None


class _Unlowered(Exception):
    """What torch-mlir says where it cannot lower a program."""


def _lowered(module: torch.fx.GraphModule) -> str:
    from torch_mlir import fx, ir
    from torch_mlir.dialects import torch as torch_dialect
    from torch_mlir.extras.fx_importer import FxImporter

    context = ir.Context()
    torch_dialect.register_dialect(context)
    said: list[str] = []

    def listen(diagnostic: Any) -> bool:
        said.append(f"{diagnostic.message} {diagnostic.location}")
        return True  # nothing is printed

    listener = context.attach_diagnostic_handler(listen)
    try:
        found = fx.stateless_fx_import(
            module, output_type="stablehlo", model_name="main", fx_importer=FxImporter(context=context)
        )
    except Exception as error:  # the importer and its passes raise several kinds
        raise _Unlowered(" ".join([*said, str(error)])) from None
    finally:
        listener.detach()
    text: str = found.operation.get_asm(enable_debug_info=True)
    return text


def _culprit(module: torch.fx.GraphModule, name: str) -> torch.fx.Node | None:
    """Return the first operator called ``name`` ("aten.x"), or that cannot be lowered alone where it has no name."""
    stem = name.removeprefix("aten.").split(".")[0]
    tried = set()
    nodes: list[torch.fx.Node] = list(module.graph.nodes)
    for node in nodes:
        if node.op != "call_function" or node.target is operator.getitem:
            continue
        if stem:
            if f"aten.{stem}." in f"{node.target}.":
                return node
        elif node.target not in tried:  # one message is of what its passes made of another operator
            tried.add(node.target)
            try:
                _lowered(_alone(module, node))
            except _Unlowered:
                return node
    return None


def _alone(module: torch.fx.GraphModule, node: torch.fx.Node) -> torch.fx.GraphModule:
    """Return a module of one operator, whose operands are its inputs."""
    import torch

    graph = torch.fx.Graph()
    inputs: dict[torch.fx.Node, torch.fx.Node] = {}
    for operand in node.all_input_nodes:
        inputs[operand] = graph.placeholder(operand.name)
        inputs[operand].meta = dict(operand.meta)
    copy = graph.node_copy(node, inputs.__getitem__)
    values = node.meta.get("val")
    results = [copy]
    if isinstance(values, tuple | list):
        results = [graph.call_function(operator.getitem, (copy, place)) for place in range(len(values))]
        for result, value in zip(results, values, strict=True):
            result.meta["val"] = value
    graph.output(tuple(results))
    return torch.fx.GraphModule(module, graph)
