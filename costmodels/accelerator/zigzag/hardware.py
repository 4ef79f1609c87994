"""ZigZag's hardware files: memories with ports and the dimensions of the array that they serve.

Read as they are: sizes and bandwidths in bits, costs in pJ of an access as wide as the port's ``bandwidth_max``.
Memories are listed from the inside out. ``operands`` I1, I2 and O are inputs, weights and outputs; ``allocation`` names
what a port does for an operand: ``fh`` from the memory outside, ``tl`` to the inside, ``fl`` from the inside, ``th`` to
the outside.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from codesign.costmodels.accelerator.port_model.machine import Move, Port, PortedMachine, PortedMemory
from codesign.errors import DataError, nearest
from codesign.strict_yaml import convert, load_yaml, read_text
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Node, Operation, Parallel, Storage
from codesign.targets.target import Value

PICO = 1e-12

OPERANDS = {"I1": "input", "I2": "weight", "O": "output"}
MOVES: dict[str, Move] = {"fh": "from_outside", "tl": "to_inside", "fl": "from_inside", "th": "to_outside"}

UNLIMITED = 10**10
"""Bits from which on a memory is taken to be outside of the chip."""

WORD = 8
"""Bits of the words in which bandwidths of an ``Architecture`` count."""


class WrittenPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A port as a file writes it."""

    name: str
    type: Literal["read", "write", "read_write"]
    bandwidth_min: int
    bandwidth_max: int
    allocation: list[str] = []


class WrittenMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A memory as a file writes it."""

    size: int
    operands: list[str]
    ports: list[WrittenPort]
    served_dimensions: list[str]
    r_cost: float
    w_cost: float
    area: float = 0.0
    latency: int = 1
    mem_type: str = "sram"
    auto_cost_extraction: bool = False
    force_double_buffering: bool = False


class WrittenArray(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The array as a file writes it."""

    unit_energy: float
    dimensions: list[str]
    sizes: list[int]
    unit_area: float = 0.0
    input_precision: list[int] = []


class WrittenHardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hardware file."""

    name: str
    memories: dict[str, WrittenMemory]
    operational_array: WrittenArray


def is_zigzag_hardware(path: str) -> bool:
    """Say whether a file is a hardware file of ZigZag: by its sections, before anything is checked."""
    return any(line.startswith("operational_array:") for line in read_text(path).splitlines())


def read_hardware(path: str) -> PortedMachine:
    """Return the machine of a hardware file.

    Raises:
        DataError: unknown keys, operands or directions; sizes that are not positive; a memory that lacks a port that
            its operands need; costs that a file asks CACTI for.
    """
    return parse_hardware(read_text(path), path)


def parse_hardware(text: str, name: str) -> PortedMachine:
    """Return the machine that the YAML ``text`` describes; ``name`` is the file named in errors."""
    notes: list[str] = []
    written = convert(load_yaml(text, name, repeated=notes), WrittenHardware, name)
    array = written.operational_array
    if len(array.dimensions) != len(array.sizes) or min(array.sizes, default=0) < 1:
        raise DataError(f"{name}: operational_array: expected a size of at least 1 for every dimension")
    memories = tuple(_memory(label, one, f"{name}: {label}", array) for label, one in written.memories.items())
    if not memories:
        raise DataError(f"{name}: memories: found none, expected at least one")
    machine = PortedMachine(
        name=written.name, memories=memories, array=dict(zip(array.dimensions, array.sizes, strict=True)),
        operation=array.unit_energy * PICO, notes=tuple(notes),
    )  # fmt: skip
    _check_chains(machine, name)
    return machine


def _memory(label: str, written: WrittenMemory, place: str, array: WrittenArray) -> PortedMemory:
    if written.auto_cost_extraction:
        raise DataError(f"{place}: auto_cost_extraction asks CACTI for costs", "write r_cost and w_cost")
    if written.size < 1:
        raise DataError(f"{place}: size: found {written.size}, expected at least 1 bit")
    for operand in written.operands:
        if operand not in OPERANDS:
            raise DataError(f"{place}: operands: found {operand!r}", nearest(operand, OPERANDS))
    for dimension in written.served_dimensions:
        if dimension not in array.dimensions:
            hint = nearest(dimension, array.dimensions)
            raise DataError(f"{place}: served_dimensions: no dimension {dimension!r}", hint)
    return PortedMemory(
        name=label, bits=written.size, read=written.r_cost * PICO, write=written.w_cost * PICO,
        operands=tuple(OPERANDS[operand] for operand in written.operands),
        ports=tuple(_port(one, f"{place}: {one.name}") for one in written.ports),
        serves=frozenset(written.served_dimensions), doubled=written.force_double_buffering,
    )  # fmt: skip


def _port(written: WrittenPort, place: str) -> Port:
    if not 1 <= written.bandwidth_min <= written.bandwidth_max:
        raise DataError(
            f"{place}: bandwidths {written.bandwidth_min} and {written.bandwidth_max}, expected 1 <= min <= max"
        )
    serves = []
    for entry in written.allocation:
        operand, _, way = (part.strip() for part in entry.partition(","))
        if operand not in OPERANDS or way not in MOVES:
            raise DataError(f"{place}: allocation {entry!r}", "an operand and a direction, such as 'I1, tl'")
        reads = way in ("tl", "th")
        if written.type != "read_write" and reads != (written.type == "read"):
            raise DataError(f"{place}: allocation {entry!r} of a port that can only {written.type}")
        serves.append((OPERANDS[operand], MOVES[way]))
    return Port(name=written.name, narrow=written.bandwidth_min, wide=written.bandwidth_max, serves=tuple(serves))


def _check_chains(machine: PortedMachine, name: str) -> None:
    for operand in OPERANDS.values():
        chain = machine.chain(operand)
        if not chain:
            raise DataError(f"{name}: no memory holds {operand}s")
        for place, memory in enumerate(chain):
            needed: list[Move] = ["from_inside", "to_inside"] if operand == "output" else ["to_inside"]
            if place + 1 < len(chain):
                needed += ["to_outside", "from_outside"] if operand == "output" else ["from_outside"]
            for move in needed:
                if memory.port(operand, move) is None:
                    short = next(key for key, value in MOVES.items() if value == move)
                    raise DataError(
                        f"{name}: {memory.name}: no port for {move.replace('_', ' ')} of {operand}s ({short})"
                    )


def architecture_of(machine: PortedMachine) -> Architecture:
    """Return the machine as a tree of memories and arrays, which every other command takes.

    The tree keeps capacities, costs and the width of ports; what it cannot say is which moves share a port: a memory's
    reads share one bandwidth, its writes another, or both one where a port does both.

    Raises:
        DataError: an inner memory serves a dimension that an outer one does not: no tree.
    """
    nodes: list[Node] = []
    placed: set[str] = set()
    group: list[Storage] = []
    held: set[str] = set()
    for memory in reversed(machine.memories):
        outside = [one for one in machine.array if one not in memory.serves and one not in placed]
        if wrong := sorted(placed & memory.serves):
            raise DataError(f"{machine.name}: {memory.name} serves {wrong[0]}, which a memory around it does not")
        if outside:
            nodes += [*_together(group), _fanout(machine, outside)]
            group, held, placed = [], set(), placed | set(outside)
        if held & set(memory.operands):
            nodes += _together(group)
            group, held = [], set()
        group.append(_storage(memory))
        held |= set(memory.operands)
    nodes += _together(group)
    if left := [one for one in machine.array if one not in placed]:
        nodes.append(_fanout(machine, left))
    unit = ComputeUnit(name="mac", operations={"mac": Operation(Value(machine.operation, "J", machine.name))})
    return Architecture(id=machine.name, name=machine.name, nodes=(*nodes, unit), origin=machine.name)


def _together(group: list[Storage]) -> list[Node]:
    return [Parallel(members=tuple(group))] if len(group) > 1 else list(group)


def _fanout(machine: PortedMachine, dimensions: list[str]) -> Fanout:
    sizes = [machine.array[one] for one in dimensions]
    across = sizes[0]
    along = 1
    for size in sizes[1:]:
        along *= size
    return Fanout(name="x".join(dimensions), x=across, y=along, source=machine.name)


def _storage(memory: PortedMemory) -> Storage:
    wide = max(port.wide for port in memory.ports)
    outside = memory.bits >= UNLIMITED
    reads, writes = (sum(port.wide for port in memory.ports if _does(port, way)) / WORD for way in ("to", "from"))
    both = any(_does(port, "to") and _does(port, "from") for port in memory.ports)
    read, write = Value(memory.read, "J", memory.name), Value(memory.write, "J", memory.name)
    return Storage(
        name=memory.name, kind="dram" if outside else "sram", width_bits=wide,
        depth=None if outside else max(1, memory.bits // wide), word_bits=WORD if outside else None,
        buffers=2 if memory.doubled else 1, read=read, write=write, update=write,
        read_bandwidth=None if both else reads, write_bandwidth=None if both else writes,
        shared_bandwidth=max(reads, writes) if both else None,
        keeps=() if set(memory.operands) == set(OPERANDS.values()) else memory.operands, source=memory.name,
    )  # fmt: skip


def _does(port: Port, way: str) -> bool:
    """Say whether a port moves anything ``to`` somewhere (a read) or ``from`` somewhere (a write)."""
    return any(move.startswith(way) for _, move in port.serves)
