"""How an accelerator file is written, and its strict reading.

A file is a header and a list of nodes, outermost first; each node is one of ``storage``, ``array``, ``parallel``,
``compute``, ``branches``. Energies and areas are sourced values as in every target file
(``{value: 512 pJ, source: ...}``); widths, depths and shapes share the ``source`` of their node. Unknown keys, zero
bandwidths, trees without memory or compute unit are errors that name the file, the field and what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from codesign.errors import DataError
from codesign.strict_yaml import decode_yaml
from codesign.targets.schema import Written, read_value
from codesign.targets.spatial.architecture import (
    Architecture,
    Branches,
    ComputeUnit,
    Fanout,
    Node,
    Operation,
    Parallel,
    Storage,
    all_parts,
)
from codesign.targets.target import Value

SCHEMA = 1
LARGEST = 2**40
"""Largest depth, width or copy count that is taken seriously: more would leave the exact range of a float."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_IDENTITY = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


class WrittenStorage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A memory as a file writes it."""

    name: str
    kind: Literal["dram", "sram", "regfile", "latch"]
    width: int
    source: str
    word: int | None = None
    depth: int | None = None
    cluster: int = 1
    buffers: int = 1
    banks: int = 1
    ports: int = 1
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    read: Written | None = None
    write: Written | None = None
    update: Written | None = None
    leak: Written | None = None
    area: Written | None = None
    keeps: tuple[Literal["input", "weight", "output"], ...] = ()


class WrittenFanout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An array as a file writes it."""

    name: str
    source: str
    x: int = 1
    y: int = 1
    multicast: bool = True
    reduction: bool = True
    energy: Written | None = None


class WrittenOperation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An operation as a file writes it."""

    energy: Written | None = None
    cycles: float = 1.0


class WrittenCompute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A compute unit as a file writes it."""

    name: str
    operations: dict[str, WrittenOperation]
    source: str
    area: Written | None = None


class WrittenNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A node as a file writes it: exactly one of the fields."""

    storage: WrittenStorage | None = None
    array: WrittenFanout | None = None
    parallel: tuple[WrittenStorage, ...] | None = None
    compute: WrittenCompute | None = None
    branches: tuple[tuple[WrittenNode, ...], ...] | None = None


class WrittenArchitecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole accelerator file."""

    schema: int
    kind: Literal["spatial"]
    id: str
    name: str
    nodes: tuple[WrittenNode, ...]
    node: Written | None = None
    clock: Written | None = None
    notes: tuple[str, ...] = ()


def parse_architecture(text: str, name: str) -> Architecture:
    """Return the accelerator that the YAML ``text`` describes; ``name`` is the file named in errors.

    Raises:
        DataError: naming file, line or field, found and expected.
    """
    written = decode_yaml(text, WrittenArchitecture, name)
    if written.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {written.schema}, expected {SCHEMA}")
    if not _IDENTITY.fullmatch(written.id):
        raise DataError(f"{name}: id: found {written.id!r}, expected lower-case letters, digits and dashes")
    nodes = _nodes(written.nodes, name, "nodes")
    check_tree(nodes, name)
    return Architecture(
        id=written.id,
        name=written.name,
        nodes=nodes,
        node_nm=_optional(written.node, "nm", name, "node"),
        clock=_optional(written.clock, "Hz", name, "clock"),
        notes=written.notes,
        origin=name,
    )


def check_tree(nodes: tuple[Node, ...], name: str) -> None:
    """Refuse trees in which data cannot reach a compute unit, and levels that cannot work.

    Raises:
        DataError: no memory at the root, nodes behind a compute unit, a way without compute unit, names used twice,
            or a width, depth, bandwidth or shape that is not positive.
    """
    outermost = nodes[0] if nodes else None
    if not isinstance(outermost, Storage | Parallel):
        hint = "the outermost node is a storage: all tensors start there"
        raise DataError(f"{name}: disconnected architecture: no memory above the first array or compute unit", hint)
    _check_ends(nodes, name, "nodes")
    seen: set[str] = set()
    for part in all_parts(nodes):
        if not _NAME.fullmatch(part.name):
            raise DataError(f"{name}: name {part.name!r}", "expected letters, digits, dashes, at most 64")
        if part.name in seen:
            raise DataError(f"{name}: two nodes are called {part.name!r}", "mappings need distinct names")
        seen.add(part.name)
        for field, value in _positive_fields(part):
            if not (math.isfinite(value) and 0 < value <= LARGEST):
                problem = "zero bandwidth" if value == 0 and "bandwidth" in field else f"found {value:g}"
                raise DataError(f"{name}: {part.name}.{field}: {problem}, expected a positive number")


def _positive_fields(part: Storage | Fanout | ComputeUnit) -> list[tuple[str, float]]:
    if isinstance(part, Fanout):
        return [("x", part.x), ("y", part.y)]
    if isinstance(part, ComputeUnit):
        return [(f"operations.{name}.cycles", operation.cycles) for name, operation in part.operations.items()]
    named = (
        ("width", part.width_bits), ("word", part.word_bits), ("depth", part.depth), ("cluster", part.cluster),
        ("buffers", part.buffers), ("banks", part.banks), ("ports", part.ports),
        ("read_bandwidth", part.read_bandwidth),
        ("write_bandwidth", part.write_bandwidth), ("shared_bandwidth", part.shared_bandwidth),
    )  # fmt: skip
    return [(field, value) for field, value in named if value is not None]


def _check_ends(nodes: tuple[Node, ...], name: str, place: str) -> None:
    for position, node in enumerate(nodes):
        last = position == len(nodes) - 1
        if isinstance(node, ComputeUnit | Branches) and not last:
            lost = getattr(nodes[position + 1], "name", "a group")
            hint = "nodes run from the outermost memory to the compute unit"
            raise DataError(
                f"{name}: {place}[{position + 1}]: disconnected: {lost} stands behind the compute unit", hint
            )
        if last and not isinstance(node, ComputeUnit | Branches):
            hint = "end the list with a compute node, or with branches"
            raise DataError(f"{name}: {place}: disconnected architecture: no compute unit below {_label(node)}", hint)
        if isinstance(node, Branches):
            if not node.members:
                raise DataError(f"{name}: {place}[{position}].branches: found none, expected lists of nodes")
            for index, member in enumerate(node.members):
                if not member:
                    raise DataError(f"{name}: {place}[{position}].branches[{index}]: empty, expected nodes")
                _check_ends(member, name, f"{place}[{position}].branches[{index}]")


def _label(node: Node) -> str:
    return getattr(node, "name", "the last group")


def _nodes(written: Iterable[WrittenNode], name: str, place: str) -> tuple[Node, ...]:
    return tuple(_node(node, name, f"{place}[{position}]") for position, node in enumerate(written))


def _node(written: WrittenNode, name: str, place: str) -> Node:
    given = [field for field in written.__struct_fields__ if getattr(written, field) is not None]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        raise DataError(f"{name}: {place}: found {found}, expected one of storage, array, parallel, compute, branches")
    if written.storage is not None:
        return _storage(written.storage, name, f"{place}.storage")
    if written.parallel is not None:
        return Parallel(members=tuple(_storage(one, name, f"{place}.parallel.{one.name}") for one in written.parallel))
    if written.branches is not None:
        inner = enumerate(written.branches)
        return Branches(members=tuple(_nodes(branch, name, f"{place}.branches[{index}]") for index, branch in inner))
    if written.array is not None:
        array, field = written.array, f"{place}.array"
        return Fanout(
            name=array.name,
            x=array.x,
            y=array.y,
            multicast=array.multicast,
            reduction=array.reduction,
            energy=_optional(array.energy, "J", name, f"{field}.energy"),
            source=_source(array.source, name, field),
        )
    assert written.compute is not None
    return _compute(written.compute, name, f"{place}.compute")


def _compute(unit: WrittenCompute, name: str, place: str) -> ComputeUnit:
    if not unit.operations:
        raise DataError(f"{name}: {place}.operations: found none, expected for example mac")
    return ComputeUnit(
        name=unit.name,
        operations={
            label: Operation(_optional(one.energy, "J", name, f"{place}.operations.{label}.energy"), one.cycles)
            for label, one in unit.operations.items()
        },
        area=_optional(unit.area, "mm2", name, f"{place}.area"),
        source=_source(unit.source, name, place),
    )


def _storage(written: WrittenStorage, name: str, place: str) -> Storage:
    def value(field: str, unit: str) -> Value | None:
        return _optional(getattr(written, field), unit, name, f"{place}.{field}")

    return Storage(
        name=written.name,
        kind=written.kind,
        width_bits=written.width,
        word_bits=written.word,
        depth=written.depth,
        cluster=written.cluster,
        buffers=written.buffers,
        banks=written.banks,
        ports=written.ports,
        read_bandwidth=written.read_bandwidth,
        write_bandwidth=written.write_bandwidth,
        shared_bandwidth=written.shared_bandwidth,
        read=value("read", "J"),
        write=value("write", "J"),
        update=value("update", "J") or value("write", "J"),
        leak=value("leak", "J"),
        area=value("area", "mm2"),
        keeps=written.keeps,
        source=_source(written.source, name, place),
    )


def _optional(entry: Written | None, unit: str, name: str, field: str) -> Value | None:
    return None if entry is None else read_value(entry, unit, name, field)


def _source(text: str, name: str, place: str) -> str:
    if not text.strip():
        raise DataError(f"{name}: {place}.source: found nothing, expected where the numbers come from")
    return text
