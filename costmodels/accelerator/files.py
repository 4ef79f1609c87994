"""Problem and mapping files of our own form.

A problem::

    schema: 1
    ranks: {M: 64, N: 64, K: 64}
    inputs: {A: [M, K], B: [K, N]}       # an axis is a rank or a sum such as 2*P + R
    output: {Z: [M, N]}

A mapping lists levels and arrays outermost first, loops outermost first too; ``outside`` gives for a tensor how many
of the level's loops lie outside of its tile, which makes the mapping uneven::

    schema: 1
    nest:
      - {level: DRAM, loops: [M4, N2]}
      - {level: buffer, keep: [A, Z], loops: [K8, N4], outside: {A: 1}}
      - {array: grid, x: [M16], y: [K8]}
"""

from __future__ import annotations

import re

import msgspec

from codesign.costmodels.accelerator.fusion import ALONE, Fusion
from codesign.costmodels.accelerator.mapping import Mappings, one_mapping
from codesign.costmodels.accelerator.problem import Problem, checked
from codesign.errors import DataError, UsageError, nearest
from codesign.strict_yaml import decode_yaml
from codesign.targets.spatial import Architecture, Fanout
from codesign.workload import Axis, Role, Tensor

SCHEMA = 1
_LOOP = re.compile(r"([A-Za-z_][A-Za-z_0-9]*?)=?(\d{1,12})")
_TERM = re.compile(r"(?:(\d{1,9})\s*\*\s*)?([A-Za-z_]\w*)")


class WrittenProblem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A problem as a file writes it."""

    schema: int
    ranks: dict[str, int]
    inputs: dict[str, list[str]]
    output: dict[str, list[str]]
    name: str = "problem"
    operation: str = "mac"
    bits: dict[str, int] = {}
    weights: list[str] = []


class WrittenNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A level or an array of a mapping as a file writes it."""

    level: str | None = None
    array: str | None = None
    keep: list[str] | None = None
    loops: list[str] = []
    outside: dict[str, int] = {}
    x: list[str] = []
    y: list[str] = []


class WrittenMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping as a file writes it."""

    schema: int
    nest: list[WrittenNode]
    unit: str = ""


def parse_problem_file(text: str, name: str) -> Problem:
    """Return the problem that the YAML ``text`` describes; ``name`` is the file named in errors.

    Raises:
        DataError: naming file, field, found and expected.
    """
    written = decode_yaml(text, WrittenProblem, name)
    check_schema(written.schema, name)
    if len(written.output) != 1:
        raise DataError(f"{name}: output: found {len(written.output)} tensors, expected one")
    names = [*written.inputs, *written.output]
    for key in (*written.bits, *written.weights):
        if key not in names:
            raise DataError(f"{name}: no tensor {key!r}", nearest(key, names))
    for key, bits in written.bits.items():
        if not 1 <= bits <= 4096:
            raise DataError(f"{name}: bits.{key}: found {bits}, expected 1 to 4096")

    def tensor(label: str, axes: list[str]) -> Tensor:
        role = Role.WEIGHT if label in written.weights else Role.ACTIVATION
        found = tuple(read_axis(axis, f"{name}: {label}") for axis in axes)
        return Tensor(label, found, role, written.bits.get(label, 8))

    inputs = tuple(tensor(label, axes) for label, axes in written.inputs.items())
    (output,) = (tensor(label, axes) for label, axes in written.output.items())
    found = Problem(name=written.name, ranks=written.ranks, inputs=inputs, output=output, operation=written.operation)
    try:
        return checked(found, name)
    except UsageError as error:
        raise DataError(error.message, error.hint) from None


def read_axis(text: str, place: str) -> Axis:
    """Return an axis such as ``2*P + R``.

    Raises:
        DataError: it cannot be read.
    """
    terms = []
    for part in text.split("+"):
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise DataError(f"{place}: axis {text[:60]!r} cannot be read", "a rank, or a sum such as 2*P + R")
        terms.append((match[2], int(match[1] or 1)))
    return Axis(tuple(terms))


def check_schema(found: int, name: str) -> None:
    """Refuse another version of a file.

    Raises:
        DataError: naming both.
    """
    if found != SCHEMA:
        raise DataError(f"{name}: schema: found {found}, expected {SCHEMA}")


def parse_mapping_file(text: str, name: str, problem: Problem, architecture: Architecture) -> Mappings:
    """Return the mapping that the YAML ``text`` describes, as a batch of one.

    Raises:
        DataError: unknown levels, arrays, ranks or tensors; nodes out of order; loops that cannot be read.
    """
    written = decode_yaml(text, WrittenMapping, name)
    check_schema(written.schema, name)
    try:
        return read_mapping(written, name, problem, architecture)
    except UsageError as error:
        raise DataError(f"{name}: {error.message}", error.hint) from None


def read_mapping(
    written: WrittenMapping, name: str, problem: Problem, architecture: Architecture, fusion: Fusion = ALONE
) -> Mappings:
    """Return the mapping that was written; ``fusion`` says what it shares with others of a cascade.

    Raises:
        UsageError: tensors, cuts or bounds that cannot be.
        DataError: nodes or loops that cannot be read.
    """
    spine = architecture.spine(written.unit)
    order = [node.name for node in spine.nodes]
    arrays = {node.name for node in spine.nodes if isinstance(node, Fanout)}
    keeps: dict[str, list[str]] = {}
    cuts: dict[tuple[str, str], int] = {}
    splits: dict[str, int] = {}
    last = -1
    for place, node in enumerate(written.nest):
        where = f"{name}: nest[{place}]"
        if (node.level is None) == (node.array is None):
            raise DataError(f"{where}: expected either level or array")
        label = node.level or node.array or ""
        known = [one for one in order if (one in arrays) == (node.level is None)]
        if label not in known:
            raise DataError(f"{where}: no {'level' if node.level else 'array'} {label!r}", nearest(label, known))
        if order.index(label) <= last:
            raise DataError(f"{where}: {label} stands out of order", f"outermost first: {', '.join(order)}")
        last = order.index(label)
        wrong = (node.x or node.y) if node.level else (node.loops or node.keep or node.outside)
        if wrong:
            raise DataError(f"{where}: levels have keep, loops and outside; arrays have x and y")
        if node.keep is not None:
            keeps[label] = node.keep
        if node.outside:
            cuts |= {(tensor, label): number for tensor, number in node.outside.items()}
            splits[label] = max(1, len(node.loops))
            _check_outside(node, problem, where)
    slots, loops = fusion.slots(problem, spine, keeps, splits, cuts)
    for place, node in enumerate(written.nest):
        where = f"{name}: nest[{place}]"
        if node.level is not None:
            start = slots.find(node.level) + (fusion.depth if node.level == order[0] else 0)
            spread = splits.get(node.level, 1) > 1
            loops += [(start + at * spread, *read_loop(text, where)) for at, text in enumerate(node.loops)]
        else:
            loops += [(slots.find(node.array or "", "x"), *read_loop(text, where)) for text in node.x]
            loops += [(slots.find(node.array or "", "y"), *read_loop(text, where)) for text in node.y]
    return one_mapping(slots, loops)


def _check_outside(node: WrittenNode, problem: Problem, where: str) -> None:
    names = [tensor.name for tensor in problem.tensors]
    for tensor, number in node.outside.items():
        if tensor not in names:
            raise DataError(f"{where}: outside: no tensor {tensor!r}", nearest(tensor, names))
        if not 0 <= number <= len(node.loops):
            raise DataError(f"{where}: outside.{tensor}: found {number}, expected 0 to {len(node.loops)}")


def read_loop(text: str, where: str) -> tuple[str, int]:
    """Return the rank and bound of a loop such as ``M4``.

    Raises:
        DataError: it cannot be read.
    """
    match = _LOOP.fullmatch(text.strip())
    if match is None:
        raise DataError(f"{where}: loop {text[:40]!r} cannot be read", "a rank and its bound, such as M4")
    return match[1], int(match[2])
