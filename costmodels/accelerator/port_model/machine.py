"""A machine as its ports see it: memories with physical ports, each shared by the moves of several tensors.

Every operand (``input``, ``weight``, ``output``) has its own chain of memories, innermost first; a memory may stand in
several chains. A memory serves some dimensions of the array: over those, one instance feeds all units; over the others
it is replicated. Energies are J of an access as wide as the port, capacities and widths bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Move = Literal["from_outside", "to_inside", "from_inside", "to_outside"]
"""What a memory does: takes a tile in, feeds what is inside of it, takes results back, passes results on."""

MOVES: tuple[Move, ...] = ("from_outside", "to_inside", "from_inside", "to_outside")


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A physical port.

    Attributes:
        name: Name within the memory.
        narrow: Bits that it moves at least.
        wide: Bits that it moves at most in a cycle; the energy is that of so many.
        serves: The (operand, move) pairs that share it.
    """

    name: str
    narrow: int
    wide: int
    serves: tuple[tuple[str, Move], ...]


class PortedMemory(msgspec.Struct, frozen=True, kw_only=True):
    """A memory.

    Attributes:
        name: Its name.
        bits: Capacity of an instance.
        read: J of reading once, as wide as the port.
        write: J of writing once.
        operands: Operands that it holds.
        ports: Its ports.
        serves: Dimensions of the array that one instance serves.
        doubled: Whether every tile is held twice, unless the whole tensor is there.
    """

    name: str
    bits: int
    read: float
    write: float
    operands: tuple[str, ...]
    ports: tuple[Port, ...]
    serves: frozenset[str]
    doubled: bool = False

    def port(self, operand: str, move: Move) -> Port | None:
        """Return the port of a move; None where there is none."""
        return next((port for port in self.ports if (operand, move) in port.serves), None)


class PortedMachine(msgspec.Struct, frozen=True, kw_only=True):
    """An accelerator.

    Attributes:
        name: Its name.
        memories: Innermost first.
        array: Dimension of the array -> units along it.
        operation: J of one operation.
        notes: What to know of how it was read.
    """

    name: str
    memories: tuple[PortedMemory, ...]
    array: Mapping[str, int]
    operation: float
    notes: tuple[str, ...] = ()

    def chain(self, operand: str) -> tuple[PortedMemory, ...]:
        """Return the memories that hold an operand, innermost first."""
        return tuple(memory for memory in self.memories if operand in memory.operands)

    @property
    def units(self) -> int:
        """Return how many compute units there are."""
        count = 1
        for size in self.array.values():
            count *= size
        return count
