"""How repairs and constants are written in each dialect, as operations of a graph. Pure Python."""

from __future__ import annotations

import json
import math
import struct

from codesign.search.mlir.graph import Dialect, Operation, Refused, TensorType, pack
from codesign.search.mlir.repair import Pad, Reshape, Slice, Step, shape_after

TORCH_NAMES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64", "i32": "int32",
    "i16": "int16", "i8": "int8", "ui8": "uint8", "i1": "bool",
}  # fmt: skip
"""Element type -> torch's name of it."""
ELEMENTS = {name: element for element, name in TORCH_NAMES.items()}


def rounded(value: float, element: str) -> float:
    """Return a number as the element type holds it."""
    if not math.isfinite(value):
        raise Refused(f"a constant cannot become {value}")
    if element == "f64":
        return float(value)
    if element == "bf16":  # the upper half of an f32, ties to even
        word = struct.unpack("<I", struct.pack("<f", value))[0]
        word = (word + 0x7FFF + ((word >> 16) & 1)) & 0xFFFF0000
        near = float(struct.unpack("<f", struct.pack("<I", word))[0])
    elif element in ("f32", "f16"):
        code = "<f" if element == "f32" else "<e"
        try:
            near = float(struct.unpack(code, struct.pack(code, value))[0])
        except OverflowError:
            near = math.inf
    else:
        return float(int(value))
    if not math.isfinite(near):
        raise Refused(f"{value:g} is too large for {element}")
    return near


def dense(element: str, shape: tuple[int, ...]) -> str:
    """Return a type as MLIR writes it."""
    return "tensor<" + "".join(f"{n}x" for n in shape) + element + ">"


def number(value: float, element: str) -> str:
    """Return a number as MLIR writes it; ``repr`` reads back to the same one."""
    if element == "i1":
        return "true" if value else "false"
    if not element.startswith(("f", "bf")):
        return str(int(value))
    mantissa, mark, exponent = repr(float(value)).partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + mark + exponent


def constant(dialect: Dialect, uid: int, value: float, kind: TensorType, *, repair: bool = False) -> Operation:
    """Return an operation that returns one number everywhere."""
    if dialect == "stablehlo":
        return Operation(uid, "stablehlo.constant", (), (), (kind,), "", rounded(value, kind.element), "", repair)
    if kind.element not in TORCH_NAMES:
        raise Refused(f"torch has no elements {kind.element}")
    written = arguments(list(kind.shape), CONSTANT, dtype={"dtype": TORCH_NAMES[kind.element]})
    return Operation(uid, "aten.full.default", (), (), (kind,), written, value, "", repair)


CONSTANT = {"constant": "float"}
"""Where an ATen operation takes the number in ``Operation.constant``; ``int`` where it was a whole number."""


def arguments(*positional: object, **named: object) -> str:
    """Return the arguments of an ATen operation as text: tensors are ``{"operand": i}``."""
    return json.dumps([positional, named], separators=(",", ":"))


def repair_operations(
    dialect: Dialect, steps: tuple[Step, ...], value: int, found: TensorType, uid: int
) -> list[Operation]:
    """Return the operations that perform ``steps`` on ``value``, uids from ``uid`` on; the last returns the result."""
    made: list[Operation] = []
    for step in steps:
        after = TensorType(found.element, shape_after(step, found.shape))
        write = _stablehlo if dialect == "stablehlo" else _aten
        made += write(step, value, found, after, uid + len(made))
        value, found = pack(made[-1].uid, 0), after
    return made


def _stablehlo(step: Step, value: int, found: TensorType, after: TensorType, uid: int) -> list[Operation]:
    if isinstance(step, Slice):
        text = f"<{{limit_indices = {_array(step.stop)}, start_indices = {_array(step.start)}, "
        text += f"strides = {_array((1,) * len(step.start))}}}>"
        return [Operation(uid, "stablehlo.slice", (value,), (found,), (after,), text, repair=True)]
    if isinstance(step, Pad):
        scalar = TensorType(found.element, ())
        one = constant("stablehlo", uid, 1.0, scalar, repair=True)
        text = f"<{{edge_padding_high = {_array(step.high)}, edge_padding_low = {_array(step.low)}, "
        text += f"interior_padding = {_array((0,) * len(step.low))}}}>"
        operands, wants = (value, pack(uid, 0)), (found, scalar)
        return [one, Operation(uid + 1, "stablehlo.pad", operands, wants, (after,), text, repair=True)]
    if isinstance(step, Reshape):
        return [Operation(uid, "stablehlo.reshape", (value,), (found,), (after,), repair=True)]
    new = len(after.shape) - len(found.shape)
    text = f"<{{broadcast_dimensions = {_array(tuple(range(new, len(after.shape))))}}}>"
    return [Operation(uid, "stablehlo.broadcast_in_dim", (value,), (found,), (after,), text, repair=True)]


def _array(values: tuple[int, ...]) -> str:
    return f"array<i64: {', '.join(map(str, values))}>" if values else "array<i64>"


def _aten(step: Step, value: int, found: TensorType, after: TensorType, uid: int) -> list[Operation]:
    operand = {"operand": 0}
    if isinstance(step, Slice):
        made: list[Operation] = []
        for axis, (start, stop) in enumerate(zip(step.start, step.stop, strict=True)):
            if stop - start == found.shape[axis]:
                continue
            smaller = (*found.shape[:axis], stop - start, *found.shape[axis + 1 :])
            kind = TensorType(found.element, smaller)
            text = arguments(operand, axis, start, stop)
            made.append(Operation(uid + len(made), "aten.slice.Tensor", (value,), (found,), (kind,), text, repair=True))
            value, found = pack(made[-1].uid, 0), kind
        return made
    if isinstance(step, Pad):
        pads = [n for low, high in reversed(list(zip(step.low, step.high, strict=True))) for n in (low, high)]
        name, text = "aten.constant_pad_nd.default", arguments(operand, pads, 1)
    elif isinstance(step, Reshape):
        name, text = "aten.reshape.default", arguments(operand, list(step.shape))
    else:
        name, text = "aten.expand.default", arguments(operand, list(step.shape))
    return [Operation(uid, name, (value,), (found,), (after,), text, repair=True)]
