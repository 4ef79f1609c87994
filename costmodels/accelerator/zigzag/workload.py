"""ZigZag's workload files: one Einsum a layer, with the layers that its operands come from.

An equation such as ``O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]`` names the axes of three tensors; an axis that
is no loop is a sum of two loops by one of the ``dimension_relations`` (``ix=2*ox+1*fx``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from codesign.costmodels.accelerator.problem import Problem, checked
from codesign.errors import DataError, UsageError, nearest
from codesign.strict_yaml import convert, load_yaml, read_text
from codesign.workload import Axis, Role, Tensor

_EQUATION = re.compile(r"(\w+)((?:\[\w+\])+)\s*\+?=\s*(\w+)((?:\[\w+\])+)\s*[*+]\s*(\w+)((?:\[\w+\])+)")
_RELATION = re.compile(r"(\w+)\s*=\s*(?:(\d{1,6})\s*\*\s*)?(\w+)\s*\+\s*(?:(\d{1,6})\s*\*\s*)?(\w+)")
_AXES = re.compile(r"\[(\w+)\]")

FINAL = "O_final"


class WrittenLayer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A layer as a file writes it."""

    id: int
    operator_type: str
    equation: str
    loop_dims: list[str]
    loop_sizes: list[int]
    operand_precision: dict[str, int]
    operand_source: dict[str, int]
    dimension_relations: list[str] = []
    name: str = ""


class Layer(NamedTuple):
    """One layer.

    Attributes:
        number: Its id in the file.
        name: Its name; ``Layer3`` where it has none.
        kind: Operator type; mappings may be given by it.
        problem: The Einsum, with partial sums as wide as O.
        final_bits: Bits of an output element without partial sums.
        sources: Tensor -> the layer that makes it; constants are left out.
    """

    number: int
    name: str
    kind: str
    problem: Problem
    final_bits: int
    sources: Mapping[str, int]


def read_workload(path: str) -> tuple[Layer, ...]:
    """Return the layers of a workload file.

    Raises:
        DataError: unknown keys, equations that cannot be read, axes that are neither loops nor related to loops.
    """
    return parse_workload(read_text(path), path)


def parse_workload(text: str, name: str) -> tuple[Layer, ...]:
    """Return the layers that the YAML ``text`` describes; ``name`` is the file named in errors."""
    data = load_yaml(text, name)
    if not isinstance(data, list):
        raise DataError(f"{name}: found a {type(data).__name__}, expected a list of layers")
    layers = tuple(_layer(convert(one, WrittenLayer, f"{name}[{place}]"), f"{name}[{place}]")
                   for place, one in enumerate(data))  # fmt: skip
    numbers = [layer.number for layer in layers]
    twice = next((one for one in numbers if numbers.count(one) > 1), None)
    if twice is not None:
        raise DataError(f"{name}: two layers have the id {twice}")
    return layers


def _layer(written: WrittenLayer, place: str) -> Layer:
    match = _EQUATION.fullmatch(re.sub(r"\s", "", written.equation))
    if match is None:
        raise DataError(f"{place}: equation {written.equation[:80]!r} cannot be read", "O[b][k]+=I[b][c]*W[c][k]")
    if len(written.loop_dims) != len(written.loop_sizes):
        raise DataError(f"{place}: {len(written.loop_dims)} loop_dims and {len(written.loop_sizes)} loop_sizes")
    windows = dict(_window(text, place) for text in written.dimension_relations)
    tensors = [
        _tensor(label, axes, written, windows, place)
        for label, axes in zip(match.groups()[::2], match.groups()[1::2], strict=True)
    ]
    output, *inputs = tensors
    for label in (*written.operand_source, *(one for one in written.operand_precision if one != FINAL)):
        if label not in [tensor.name for tensor in tensors]:
            raise DataError(f"{place}: no operand {label!r}", nearest(label, [tensor.name for tensor in tensors]))
    name = written.name or f"Layer{written.id}"
    ranks = dict(zip(written.loop_dims, written.loop_sizes, strict=True))
    try:
        problem = checked(Problem(name=name, ranks=ranks, inputs=tuple(inputs), output=output), place)
    except UsageError as error:
        raise DataError(error.message, error.hint) from None
    final = written.operand_precision.get(FINAL, written.operand_precision[output.name])
    sources = {label: source for label, source in written.operand_source.items() if source != written.id}
    return Layer(written.id, name, written.operator_type, problem, final, sources)


def _window(text: str, place: str) -> tuple[str, Axis]:
    match = _RELATION.fullmatch(text.strip())
    if match is None:
        raise DataError(f"{place}: dimension_relations: {text[:60]!r} cannot be read", "ix=2*ox+1*fx")
    axis, first, one, second, two = match.groups()
    return axis.upper(), Axis(((one.upper(), int(first or 1)), (two.upper(), int(second or 1))))


def _tensor(label: str, axes: str, written: WrittenLayer, windows: Mapping[str, Axis], place: str) -> Tensor:
    if label not in written.operand_precision:
        raise DataError(f"{place}: operand_precision: none for {label}")
    found = []
    for axis in _AXES.findall(axes):
        rank = axis.upper()
        if rank in written.loop_dims:
            found.append(Axis(((rank, 1),)))
        elif rank in windows:
            found.append(windows[rank])
        else:
            known = (*written.loop_dims, *windows)
            raise DataError(f"{place}: {label}[{axis}] is neither a loop nor related to loops", nearest(rank, known))
    role = Role.WEIGHT if label == "W" else Role.ACTIVATION
    return Tensor(label, tuple(found), role, written.operand_precision[label])
