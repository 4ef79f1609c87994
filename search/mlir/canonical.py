"""What a compiler does for free, done before the search, so that it does not sell it: on graphs of either dialect.

Constants are folded where they are one number throughout, multiplications by 1 and additions of 0 are dropped, equal
operations are computed once, and what nobody reads is not computed. (x + 0 turns -0 into 0: taken as equal.)
"""

from __future__ import annotations

import json

import msgspec

from codesign.search.mlir.dialects import constant, rounded
from codesign.search.mlir.graph import Argument, Graph, Operation, Output, Refused, TensorType, pack, unpack

_SHAPED = ("stablehlo.reshape", "stablehlo.broadcast_in_dim", "stablehlo.transpose", "stablehlo.slice")
_SAME = ("aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.lift_fresh_copy.default")
_RESHAPES = ("stablehlo.reshape", "aten.reshape.default")
_UNITS = {
    "stablehlo.multiply": (1.0, True), "stablehlo.divide": (1.0, False), "stablehlo.add": (0.0, True),
    "stablehlo.subtract": (0.0, False), "aten.mul.Tensor": (1.0, False), "aten.div.Tensor": (1.0, False),
}  # fmt: skip
"""Operation -> (the operand that changes nothing, whether it may also come first)."""
_RANDOM = ("rand", "bernoulli", "dropout", "normal", "rng")
"""Two operations named so are never the same one."""


def canonicalise(graph: Graph) -> Graph:
    """Return the program without what a compiler removes anyway; uids are 0, 1, ... in order."""
    while True:
        simpler = _pruned(_once(graph))
        if len(simpler.operations) == len(graph.operations) and simpler == graph:
            return _numbered(simpler)
        graph = simpler


def _once(graph: Graph) -> Graph:
    types = graph.types()
    instead: dict[int, int] = {}
    known: dict[object, Operation] = {}
    kept: dict[int, Operation] = {}
    for one in graph.operations:
        operands = tuple(instead.get(value, value) for value in one.operands)
        one = msgspec.structs.replace(one, operands=operands)
        same = _forwarded(one, kept, types)
        if same is not None:
            instead[pack(one.uid, 0)] = same
            continue
        one = _folded(one, kept) or _reshaped(one, kept)
        key = (one.name, one.operands, one.text, one.constant, one.results)
        twin = None if any(word in one.name for word in _RANDOM) else known.get(key)
        if twin is not None:
            instead |= {pack(one.uid, index): pack(twin.uid, index) for index in range(len(one.results))}
            continue
        known[key] = kept[one.uid] = one
    outputs = tuple(Output(instead.get(one.value, one.value), one.type, one.name) for one in graph.outputs)
    return Graph(graph.dialect, graph.arguments, tuple(kept.values()), outputs)


def _forwarded(one: Operation, kept: dict[int, Operation], types: dict[int, TensorType]) -> int | None:
    """Return the operand that an operation only passes on."""
    if not one.operands or len(one.results) != 1:
        return None
    first = one.operands[0]
    unchanged = types[first] == one.results[0]
    if unchanged and (one.name in _SAME or one.name in _RESHAPES or one.name == "stablehlo.convert"):
        return first
    source = kept.get(unpack(first)[0]) if first >= 0 else None
    if one.name == "aten.t.default" and source is not None and source.name == one.name:
        return source.operands[0]
    unit, commutes = _UNITS.get(one.name, (None, False))
    if unit is None:
        return None
    if len(one.operands) == 1:  # a scalar of ATen
        plain = "alpha" not in one.text and "rounding_mode" not in one.text
        return first if unchanged and plain and one.constant == unit else None
    if unchanged and _splat(one.operands[1], kept) == unit:
        return first
    if commutes and types[one.operands[1]] == one.results[0] and _splat(first, kept) == unit:
        return one.operands[1]
    return None


def _splat(value: int, kept: dict[int, Operation]) -> float | None:
    made = kept.get(unpack(value)[0]) if value >= 0 else None
    return made.constant if made is not None and made.name == "stablehlo.constant" else None


def _folded(one: Operation, kept: dict[int, Operation]) -> Operation | None:
    """Return the constant that an operation on a constant returns, None where it does not."""
    if one.name not in (*_SHAPED, "stablehlo.convert") or (value := _splat(one.operands[0], kept)) is None:
        return None
    try:
        folded = constant("stablehlo", one.uid, rounded(value, one.results[0].element), one.results[0])
    except Refused:
        return None
    return msgspec.structs.replace(folded, location=one.location)


def _reshaped(one: Operation, kept: dict[int, Operation]) -> Operation:
    """Return a reshape of a reshape as one."""
    source = kept.get(unpack(one.operands[0])[0]) if one.operands and one.operands[0] >= 0 else None
    if one.name not in _RESHAPES or source is None or source.name not in _RESHAPES:
        return one
    return msgspec.structs.replace(one, operands=source.operands, wants=source.wants)


def _pruned(graph: Graph) -> Graph:
    needed = {unpack(one.value)[0] for one in graph.outputs if one.value >= 0}
    kept = []
    for one in reversed(graph.operations):
        if one.uid in needed:
            needed.update(unpack(value)[0] for value in one.operands if value >= 0)
            kept.append(one)
    return Graph(graph.dialect, graph.arguments, tuple(reversed(kept)), graph.outputs)


def _numbered(graph: Graph) -> Graph:
    """Return the graph with uids 0, 1, ... and without weights that nobody reads."""
    read = {value for one in graph.operations for value in one.operands} | {one.value for one in graph.outputs}
    arguments: list[Argument] = []
    values: dict[int, int] = {}
    for index, argument in enumerate(graph.arguments):
        if argument.role == "data" or -1 - index in read:
            values[-1 - index] = -1 - len(arguments)
            arguments.append(argument)
    for index, one in enumerate(graph.operations):
        values |= {pack(one.uid, result): pack(index, result) for result in range(len(one.results))}
    operations = tuple(
        msgspec.structs.replace(one, uid=index, operands=tuple(values[value] for value in one.operands))
        for index, one in enumerate(graph.operations)
    )
    outputs = tuple(Output(values[one.value], one.type, one.name) for one in graph.outputs)
    return Graph(graph.dialect, tuple(arguments), operations, outputs)


def described(one: Operation) -> str:
    """Return the attributes of an operation for people, on one line."""
    if one.constant is not None and one.name.endswith(("constant", "full.default")):
        return f"{one.constant:g}"
    if not one.text.startswith("[["):
        return " ".join(one.text.split())
    positional, named = json.loads(one.text)
    plain = [value for value in positional if not isinstance(value, dict)]
    return ", ".join([*map(str, plain), *(f"{name}={value}" for name, value in named.items())])
