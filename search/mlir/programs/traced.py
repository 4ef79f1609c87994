"""PyTorch code as one flat torch.fx graph whose weights are inputs: of a module by torch.export, of a step by make_fx.

Every node says where it comes from: the module's path and the user's source line.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError, UsageError
from codesign.search.mlir.graph import Role

if TYPE_CHECKING:
    import torch

Step = Callable[..., Mapping[str, Any]]
"""(weights by name, *data) -> new weights by name."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A traced program; ``arguments`` names the placeholders of ``module`` in order."""

    module: torch.fx.GraphModule
    arguments: list[tuple[str, Role]]
    weights: dict[str, NDArray[Any]]
    outputs: tuple[str, ...]
    source: str


def trace_module(
    module: torch.nn.Module, example: Sequence[torch.Tensor], source: str, decompositions: Mapping[Any, Any]
) -> Traced:
    """Return the forward pass of a module in evaluation mode, on inputs of the shapes of ``example``.

    Args:
        module: What to trace.
        example: Its inputs; their values do not matter.
        source: What to call it in errors.
        decompositions: torch's table of operators to break up; empty to keep them.

    Raises:
        UsageError: its inputs do not fit, or its control flow or shapes depend on data.
    """
    import torch

    module.eval()
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(module, tuple(example)).run_decompositions(dict(decompositions))
    except CodesignError:
        raise
    except Exception as error:  # user code and the tracer may raise anything
        raise explained(error, source) from error
    signature = program.graph_signature
    stored = {**program.state_dict, **program.constants}
    held = {
        **signature.inputs_to_parameters, **signature.inputs_to_buffers,
        **getattr(signature, "inputs_to_lifted_tensor_constants", {}),
    }  # fmt: skip
    arguments: list[tuple[str, Role]] = []
    weights: dict[str, NDArray[Any]] = {}
    for node in program.graph.find_nodes(op="placeholder"):
        name = held.get(node.name)
        arguments.append((name or node.name, "weight" if name else "data"))
        if name:
            weights[name] = array(stored[name], name)
    graph_module = program.graph_module
    output = graph_module.graph.output_node()
    user = set(signature.user_outputs)
    output.args = (tuple(node for node in output.args[0] if getattr(node, "name", None) in user),)
    return _finished(Traced(graph_module, arguments, weights, (), source))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what torch warns, logs and dumps while it exports: a failure is told in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, of how it copies its trees
            yield
    finally:
        logging.disable(before)


def trace_step(
    step: Step,
    weights: Mapping[str, torch.Tensor],
    example: Sequence[torch.Tensor],
    source: str,
    decompositions: Mapping[Any, Any],
) -> Traced:
    """Return a training step, its forward, backward and update in one graph, weights in and weights out.

    Args:
        step: ``step(weights, *data)`` returns the new weights by name; it takes its gradients itself
            (``torch.func.grad``).
        weights: The weights by name.
        example: The data of one step, after the weights.
        source: What to call it in errors.
        decompositions: torch's table of operators to break up; empty to keep them.

    Raises:
        UsageError: the step returns other weights than it takes, or its control flow depends on data.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    names = list(weights)

    def flat(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        new = step(dict(zip(names, tensors, strict=False)), *tensors[len(names) :])
        if not isinstance(new, Mapping) or set(new) != set(names):
            found = ", ".join(map(str, new)) if isinstance(new, Mapping) else type(new).__name__
            raise UsageError(f"{source}: the step returned {found}", f"expected the new weights {', '.join(names)}")
        return tuple(new[name] for name in names)

    values = [*(weights[name].detach().clone() for name in names), *example]
    try:
        module = make_fx(flat, decomposition_table=dict(decompositions), record_stack_traces=True)(*values)
    except CodesignError:
        raise
    except Exception as error:
        raise explained(error, source) from error
    arguments: list[tuple[str, Role]] = [(name, "weight") for name in names]
    arguments += [(f"data{index}", "data") for index in range(len(example))]
    held = {name: array(weights[name], name) for name in names}
    return _finished(Traced(module, arguments, held, tuple(names), source))


def _finished(traced: Traced) -> Traced:
    """Make inputs of the tensors that the graph holds, drop dead nodes, and write down where nodes come from."""
    graph = traced.module.graph
    first = next(iter(graph.nodes))
    for index, node in enumerate(graph.find_nodes(op="get_attr")):
        tensor = getattr(traced.module, str(node.target))
        name = f"constant{index}"
        with graph.inserting_before(first):
            placeholder = graph.placeholder(name)
        placeholder.meta = dict(node.meta)
        placeholder.meta.setdefault("val", tensor)
        node.replace_all_uses_with(placeholder)
        graph.erase_node(node)
        traced.arguments.insert(index, (name, "weight"))
        traced.weights[name] = array(tensor, name)
    graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))
    for node in graph.nodes:
        if node.op == "call_function":
            where = place(node)
            file, _, line = where.rpartition(":") if ":" in where else (where, "", "0")
            node.meta["stack_trace"] = f'File "{file}", line {line}, in forward' if file else ""
            node.meta["place"] = where
            _check_shapes(node, traced.source)
    traced.module.recompile()
    return traced


def _check_shapes(node: torch.fx.Node, source: str) -> None:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    for one in value if isinstance(value, (tuple, list)) else (value,):
        if any(not isinstance(n, int) for n in getattr(one, "shape", ())):
            where = node.meta["place"]
            raise UsageError(
                f"{source}: {node.target}{' at ' + where if where else ''} returns a shape that depends on data",
                "every shape must follow from the shapes of the inputs",
            )


_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def place(node: torch.fx.Node) -> str:
    """Return ``module.path file.py:line`` of a node, empty where nothing is known."""
    import torch

    library, here = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    frames = [f for f in _FRAME.findall(node.meta.get("stack_trace") or "") if not f[0].startswith((library, here))]
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    module = str(stack[-1][0]) if stack else ""
    line = f"{Path(frames[-1][0]).name}:{frames[-1][1]}" if frames else ""
    return " ".join(part for part in (module, line) if part)


def array(tensor: Any, name: str) -> NDArray[Any]:
    """Return a weight as an array.

    Raises:
        UsageError: elements that a file of arrays does not hold.
    """
    try:
        held: NDArray[Any] = np.array(tensor.detach().cpu().numpy())
    except TypeError:
        raise UsageError(f"weight {name} is {tensor.dtype}", "convert the model to float32 or float16") from None
    return held


def explained(error: BaseException, source: str) -> UsageError:
    """Return what a failed trace means to the user."""
    import torch

    library, here = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    where, walk = "", error.__traceback__
    while walk is not None:
        file = walk.tb_frame.f_code.co_filename
        if not file.startswith((library, here, "<")):
            where = f" at {Path(file).name}:{walk.tb_lineno}"
        walk = walk.tb_next
    text = " ".join(str(error).split())
    if re.search(r"data.dependent|dynamic control flow|GuardOnDataDependent|Tensor\.item|aten\._local_scalar", text):
        found = _FRAME.findall(str(error))
        mine = [f for f in found if not f[0].startswith((library, here))]
        where = f" at {Path(mine[-1][0]).name}:{mine[-1][1]}" if mine else where
        return UsageError(
            f"{source}: control flow depends on data{where}", "write it with torch.where, or leave the branch out"
        )
    return UsageError(f"{source}: tracing raised {type(error).__name__}: {text[:200]}{where}", "call it to see why")
