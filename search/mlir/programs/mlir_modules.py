"""Reading MLIR: parse, verify, simplify, and turn one function into a graph. The only file that loads MLIR bindings.

The bindings are those of torch-mlir, which know StableHLO.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from codesign.errors import DataError, EnvironmentLacks, printable
from codesign.search.mlir.graph import Argument, Graph, Operation, Output, Refused, Role, TensorType, pack

SIMPLIFY = "inline,symbol-dce,canonicalize,cse,func.func(stablehlo-aggressive-simplification),canonicalize,cse"
DIALECTS = ("stablehlo", "chlo")
"""What programs may be made of."""
_VALUE = re.compile(r"%[A-Za-z0-9_$.-]+(?:#\d+)?")


def bindings() -> tuple[Any, Any]:
    """Return (``torch_mlir.ir``, ``torch_mlir.passmanager``).

    Raises:
        EnvironmentLacks: torch-mlir is not installed.
    """
    try:
        from torch_mlir import ir, passmanager
    except ImportError:
        raise EnvironmentLacks(
            "StableHLO programs need torch-mlir", "pip install 'codesign[mlir]'; the back end torch needs nothing"
        ) from None
    return ir, passmanager


@lru_cache(maxsize=1)
def context() -> Any:
    """Return the MLIR context of this process, with StableHLO and its passes registered."""
    ir, _ = bindings()
    from torch_mlir._mlir_libs import _stablehlo, _torchMlir  # noqa: F401  (importing the latter registers passes)

    made = ir.Context()
    _stablehlo.register_dialect(made)
    return made


def parse(text: str | bytes) -> Any:
    """Return the verified module of ``text``.

    Raises:
        Refused: it does not parse or verify; says where and why.
    """
    ir, _ = bindings()
    try:
        module = ir.Module.parse(text, context())
        module.operation.verify()
    except ir.MLIRError as error:
        raise Refused(_first(str(error))) from None
    return module


def _first(message: str) -> str:
    """Return the first error of a diagnostic, on one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    found = next((line for line in lines if "error:" in line), lines[0] if lines else "unknown error")
    return printable(re.sub(r'^error: |"-":', "line ", found), 300)


def simplify(module: Any) -> None:
    """Inline, canonicalise and remove common subexpressions, in place."""
    _, passes = bindings()
    with context():  # loads what registers the passes
        passes.PassManager.parse(f"builtin.module({SIMPLIFY})").run(module.operation)


def read_text(text: str, source: str) -> Any:
    """Return the module of a text file, constants of ``arith`` as StableHLO's.

    Raises:
        DataError: it does not parse or verify.
    """
    try:
        return parse(_inline(text.replace("arith.constant", "stablehlo.constant")))
    except Refused as error:
        raise DataError(
            f"{source}: not a StableHLO program: {error.message}", "write it with torch-mlir or jax"
        ) from None


_RESOURCE = re.compile(r'([\w.$-]+): "0x[0-9A-Fa-f]{8}([0-9A-Fa-f]*)"')


def _inline(text: str) -> str:
    """Return the text with the constants that stand in its resource section in their places, where XLA takes them.

    A resource is written in hexadecimal, its alignment in the first four bytes.
    """
    program, mark, section = text.rpartition("{-#")
    if not mark:
        return text
    held = dict(_RESOURCE.findall(section))
    return re.sub(
        r"dense_resource<([\w.$-]+)>",
        lambda found: f'dense<"0x{held[found[1]]}">' if found[1] in held else found[0],
        program,
    )


def graph_of(module: Any, source: str, arguments: Sequence[tuple[str, Role]] = ()) -> Graph:
    """Return the graph of the one function of a module.

    Args:
        module: A verified module.
        source: What to call it in errors.
        arguments: Name and role of each argument; ``arg0``, ``arg1``, ... and data where not given.

    Raises:
        DataError: no function or several, dynamic shapes, operations of a dialect that XLA does not take.
    """
    functions = [one for one in module.body.operations if one.operation.name == "func.func"]
    if len(functions) > 1:
        functions = [one for one in functions if one.name.value == "main"]
    if len(functions) != 1:
        raise DataError(f"{source}: expected one function, or one called main", "keep one entry function")
    block = functions[0].regions[0].blocks[0]
    state = bindings()[0].AsmState(functions[0].operation)  # the names that values print with
    values: dict[Any, int] = {}
    names: dict[str, int] = {}
    heads = []
    for index, value in enumerate(block.arguments):
        unnamed: tuple[str, Role] = (f"arg{index}", "data")
        name, role = arguments[index] if arguments else unnamed
        heads.append(Argument(name, _tensor(value.type, source), role))
        values[value] = names[value.get_name(state)] = -1 - index
    operations, outputs = [], []
    for uid, wrapped in enumerate(block.operations):
        one = wrapped.operation
        if one.name in ("func.return", "return"):
            outputs = [Output(values[value], _tensor(value.type, source)) for value in one.operands]
            continue
        operations.append(_operation(uid, one, values, names, source))
        for index, value in enumerate(one.results):
            values[value] = names[value.get_name(state)] = pack(uid, index)
    return Graph("stablehlo", tuple(heads), tuple(operations), tuple(outputs))


def _operation(uid: int, one: Any, values: dict[Any, int], names: dict[str, int], source: str) -> Operation:
    ir, _ = bindings()
    location = place(str(one.location))
    if one.name.split(".")[0] not in DIALECTS:
        where = f" at {location}" if location else ""
        raise DataError(
            f"{source}: {one.name}{where} is not StableHLO", "only stablehlo and chlo operations run on XLA"
        )
    operands = [values[value] for value in one.operands]
    wants = [_tensor(value.type, source) for value in one.operands]
    results = tuple(_tensor(value.type, source) for value in one.results)
    number = None
    if one.name == "stablehlo.constant":
        number = _splat(ir, one.attributes["value"])
    text = "" if number is not None else _text(one)
    if "dense_resource<" in text:
        raise DataError(f"{source}: a constant is a resource outside the text", "pass weights as arguments")
    if len(one.regions):
        text = _captures(text, names, operands, wants, values, source)
    return Operation(uid, one.name, tuple(operands), tuple(wants), results, text, number, location)


def _text(one: Any) -> str:
    """Return what stands between the operands and the types of an operation in generic form."""
    written: str = one.get_asm(print_generic_op_form=True)
    start = written.index(")", written.index('"(')) + 1
    return written[start : written.rindex(" : (")].strip()


def _captures(
    text: str, names: dict[str, int], operands: list[int], wants: list[TensorType], values: dict[Any, int], source: str
) -> str:
    """Return the text with ``%{i}`` for values from outside the regions, which are added to the operands.

    Values of the regions are called ``%r0``, ``%r1``, ... in order: equal regions are equal texts.
    """
    kinds = {packed: value.type for value, packed in values.items()}
    places: dict[str, int] = {}
    local: dict[str, int] = {}

    def moved(found: re.Match[str]) -> str:
        name = found[0]
        if name not in names:
            stem, mark, result = name.partition("#")
            return f"%r{local.setdefault(stem, len(local))}{mark}{result}"
        if name not in places:
            places[name] = len(operands)
            operands.append(names[name])
            wants.append(_tensor(kinds[names[name]], source))
        return f"%{{{places[name]}}}"

    return _VALUE.sub(moved, text)


def _splat(ir: Any, value: Any) -> float | None:
    """Return the finite number that a constant holds everywhere, None where there is none."""
    if not getattr(value, "is_splat", False):
        return None
    scalar = value.get_splat_value()
    if isinstance(value, ir.DenseFPElementsAttr):
        number = float(ir.FloatAttr(scalar).value)
    elif isinstance(value, ir.DenseIntElementsAttr):
        number = float(ir.BoolAttr(scalar).value if "i1" in str(value.type).split("x")[-1] else _integer(ir, scalar))
    else:
        return None
    return number if math.isfinite(number) else None


def _integer(ir: Any, scalar: Any) -> float:
    number = int(ir.IntegerAttr(scalar).value)
    return number if abs(number) < 2**53 else math.inf  # not exact as a float: kept as text


_TENSOR = re.compile(r"tensor<((?:\d+x)*)([a-z]+\d+|i1|index)>")


@lru_cache(maxsize=65536)
def _written_tensor(text: str) -> TensorType | None:
    found = _TENSOR.fullmatch(text)
    return TensorType(found[2], tuple(map(int, found[1].split("x")[:-1]))) if found else None


def _tensor(kind: Any, source: str) -> TensorType:
    text = str(kind)
    made = _written_tensor(text)
    if made is None:
        why = "its shape is dynamic" if "?" in text else "not a tensor of numbers"
        raise DataError(f"{source}: a value of type {text}: {why}", "export with static shapes")
    return made


_FILE = re.compile(r'"([^"]+)":(\d+):\d+')


def place(location: str) -> str:
    """Return the module and source line of an MLIR location, the first of several; empty where unknown."""
    found = [(name, line) for name, line in _FILE.findall(location) if name != "-"]
    if not found:
        return ""
    name, line = found[0]
    return printable(f"{name}:{line}" if line != "0" else name, 200)
