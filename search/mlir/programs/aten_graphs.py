"""ATen graphs: a traced torch.fx graph as plain data, and plain data as a torch.fx graph again.

The arguments of an operator stand as JSON: ``{"operand": i}`` for a tensor, ``{"dtype": "float32"}`` and its like for
torch's own constants. What comes out of a file names operators only; those that may run are functional operators of
torch's own library that take a tensor or make one of numbers: a file cannot name one that touches other files.
"""

from __future__ import annotations

import json
import math
import operator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from codesign.errors import DataError, UsageError
from codesign.search.mlir.dialects import ELEMENTS
from codesign.search.mlir.graph import Argument, Graph, Operation, Output, Refused, TensorType, pack, unpack
from codesign.search.mlir.programs.traced import Traced

if TYPE_CHECKING:
    import torch

NOTHING = TensorType("none", ())
"""Type of a result that an operator leaves out; no other value can stand for it."""
_MAKERS = ("full", "scalar_tensor", "arange", "zeros", "ones", "empty", "eye", "linspace")
"""Operators that take no tensor."""
_KINDS = ("dtype", "device", "layout", "memory_format")
_VIEWS = ("aten.view.default", "aten._unsafe_view.default")
_VARIABLE = ("number", "Scalar", "float", "double", "Tensor")


def graph_of(traced: Traced) -> Graph:
    """Return a traced program as a graph.

    Raises:
        UsageError: an operator that is no functional operator of torch's library; says which and where.
    """
    values: dict[Any, int] = {}
    kinds: dict[int, TensorType] = {}
    heads: list[Argument] = []
    operations: list[Operation] = []
    outputs: list[Output] = []
    for node in traced.module.graph.nodes:
        if node.op == "placeholder":
            name, role = traced.arguments[len(heads)]
            values[node] = -1 - len(heads)
            kinds[values[node]] = _types(node, traced)[0]
            heads.append(Argument(name, kinds[values[node]], role))
        elif node.op == "output":
            for index, one in enumerate(node.args[0]):
                name = traced.outputs[index] if traced.outputs else ""
                outputs.append(Output(values[one], _types(one, traced)[0], name))
        elif node.target is operator.getitem:
            values[node] = values[node.args[0]] + node.args[1]
        else:
            operations.append(one := _operation(len(operations), node, values, kinds, traced))
            values[node] = pack(one.uid, 0)
            kinds |= {pack(one.uid, index): kind for index, kind in enumerate(one.results)}
    return Graph("aten", tuple(heads), tuple(operations), tuple(outputs))


def _types(node: Any, traced: Traced) -> tuple[TensorType, ...]:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    return tuple(_type(one, node, traced) for one in (value if isinstance(value, (tuple, list)) else (value,)))


def _type(value: Any, node: Any, traced: Traced) -> TensorType:
    if value is None:
        return NOTHING
    dtype = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if dtype not in ELEMENTS:
        raise UsageError(f"{traced.source}: {node.target} {node.meta.get('place', '')} returns {dtype or value}",
                         "tensors of real numbers only")  # fmt: skip
    return TensorType(ELEMENTS[dtype], tuple(int(n) for n in value.shape))


def _operation(uid: int, node: Any, values: dict[Any, int], kinds: dict[int, TensorType], traced: Traced) -> Operation:
    import torch

    name, where = str(node.target), node.meta.get("place", "")
    name = "aten.reshape.default" if name in _VIEWS else name  # a mutant's operand may not be contiguous
    operands: list[int] = []

    def written(value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            operands.append(values[value])
            return {"operand": len(operands) - 1}
        if isinstance(value, (list, tuple)):
            return [written(one) for one in value]
        for kind in _KINDS:
            if isinstance(value, getattr(torch, kind)):
                return {kind: str(value).removeprefix("torch.")}
        return value

    try:
        resolved(name)
    except DataError as error:
        raise UsageError(
            f"{traced.source}: {name}{' at ' + where if where else ''}: {error.message}", error.hint
        ) from None
    names = [spec.name for spec in node.target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    numbers = [
        spec.name
        for spec in node.target._schema.arguments
        if str(spec.type) in _VARIABLE and _finite(given.get(spec.name))
    ]
    constant = float(given[numbers[-1]]) if numbers else None
    if numbers:  # of several the last: eps after momentum, alpha after other
        given[numbers[-1]] = {"constant": type(given[numbers[-1]]).__name__}
    positional = [written(given[name]) for name in names[: len(node.args)]]
    named = {name: written(given[name]) for name in node.kwargs}
    wants = tuple(kinds[value] for value in operands)
    text = json.dumps([positional, named], separators=(",", ":"))
    return Operation(uid, name, tuple(operands), wants, _types(node, traced), text, constant, where)


def _finite(value: Any) -> bool:
    """Return whether an argument is a number that may change: no switch, not infinite."""
    return type(value) in (int, float) and math.isfinite(value)


@lru_cache(maxsize=4096)
def resolved(name: str) -> Any:
    """Return torch's operator of this name.

    Raises:
        DataError: there is none, or it is not one that a program may hold.
    """
    import torch

    space, _, rest = name.partition(".")
    packet, _, overload = rest.partition(".")
    hint = "programs hold functional operators of aten and prims"
    if space not in ("aten", "prims") or not packet.isidentifier() or not overload.isidentifier():
        raise DataError(f"{name!r} is no operator of torch's library", hint)
    found = getattr(getattr(torch.ops, space), packet, None)
    found = getattr(found, overload, None)
    if not isinstance(found, torch._ops.OpOverload):
        raise DataError(f"torch has no operator {name!r}", hint)
    schema = found._schema
    tensors = any("Tensor" in str(one.type) for one in schema.arguments)
    named = {one.name for one in schema.arguments}
    if schema.is_mutable or "filename" in named or not (tensors or packet in _MAKERS):
        raise DataError(f"{name} changes its operands or reaches outside the program", hint)
    return found


def build(graph: Graph) -> torch.fx.GraphModule:
    """Return a graph as a module that takes and returns tensors, arguments in the order of the graph's.

    Raises:
        Refused: an operator that may not be.
    """
    import torch

    made = torch.fx.Graph()
    read = {value for one in graph.operations for value in one.operands} | {one.value for one in graph.outputs}
    values: dict[int, Any] = {-1 - i: made.placeholder(f"a{i}") for i in range(len(graph.arguments))}
    for one in graph.operations:
        positional, named = json.loads(one.text)
        operands = [values[value] for value in one.operands]
        node = made.call_function(
            resolved(one.name),
            tuple(_read(value, operands, one) for value in positional),
            {name: _read(value, operands, one) for name, value in named.items()},
        )
        if len(one.results) == 1:
            values[pack(one.uid, 0)] = node
        else:
            several = [pack(one.uid, index) for index in range(len(one.results))]
            values |= {v: made.call_function(operator.getitem, (node, unpack(v)[1])) for v in several if v in read}
    made.output(tuple(values[one.value] for one in graph.outputs))
    return torch.fx.GraphModule(torch.nn.Module(), made)


def _read(value: Any, operands: list[Any], one: Operation) -> Any:
    import torch

    if isinstance(value, list):
        return [_read(part, operands, one) for part in value]
    if not isinstance(value, dict):
        return value
    if "operand" in value:
        return operands[value["operand"]]
    if "constant" in value:
        assert one.constant is not None
        return int(one.constant) if value["constant"] == "int" and one.constant.is_integer() else one.constant
    ((kind, name),) = value.items()
    if kind not in _KINDS or not str(name).partition(":")[0].isidentifier():
        raise Refused(f"{one}: an argument {value}")
    return torch.device(name) if kind == "device" else getattr(torch, name)
