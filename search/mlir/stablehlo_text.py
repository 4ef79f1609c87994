"""A graph of StableHLO operations as MLIR text, in its generic form, which every MLIR reader takes. Pure Python.

The text of an operation stands as it was read, with ``%{i}`` for a value that its regions take from outside; these
count as operands after those that the operation itself lists.
"""

from __future__ import annotations

import re

from codesign.search.mlir.dialects import dense, number
from codesign.search.mlir.graph import Graph, Operation, TensorType, unpack

CAPTURED = re.compile(r"%\{(\d+)\}")


def write(graph: Graph) -> str:
    """Return the module; its one function is ``main``, its arguments in the order of the graph's."""
    heads = ", ".join(f"%a{index}: {_type(one.type)}" for index, one in enumerate(graph.arguments))
    takes = ", ".join(_type(one.type) for one in graph.arguments)
    gives = ", ".join(_type(one.type) for one in graph.outputs)
    lines = [
        "module {",
        f'"func.func"() <{{function_type = ({takes}) -> ({gives}), sym_name = "main"}}> ({{',
        f"^bb0({heads}):",
    ]
    numbers = {operation.uid: index for index, operation in enumerate(graph.operations)}

    def name(value: int) -> str:
        if value < 0:
            return f"%a{-1 - value}"
        uid, result = unpack(value)
        return f"%v{numbers[uid]}#{result}"

    lines += [_line(one, index, [name(value) for value in one.operands]) for index, one in enumerate(graph.operations)]
    ends = ", ".join(name(one.value) for one in graph.outputs)
    lines += [f'"func.return"({ends}) : ({gives}) -> ()', "}) : () -> ()", "}"]
    return "\n".join(lines) + "\n"


def _line(one: Operation, index: int, operands: list[str]) -> str:
    results = ", ".join(map(_type, one.results))
    if one.name == "stablehlo.constant" and one.constant is not None:
        value = f"dense<{number(one.constant, one.results[0].element)}> : {results}"
        return f'%v{index}:1 = "stablehlo.constant"() <{{value = {value}}}> : () -> ({results})'
    captured = {int(found) for found in CAPTURED.findall(one.text)} if "%{" in one.text else set()
    own = [place for place in range(len(operands)) if place not in captured]
    text = CAPTURED.sub(lambda found: operands[int(found[1])], one.text) if captured else one.text
    takes = ", ".join(_type(one.wants[place]) for place in own)
    head = f"%v{index}:{len(one.results)} = " if one.results else ""
    return f'{head}"{one.name}"({", ".join(operands[place] for place in own)}) {text} : ({takes}) -> ({results})'


def _type(one: TensorType) -> str:
    return dense(one.element, one.shape)
