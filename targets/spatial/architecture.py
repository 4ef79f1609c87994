"""What a spatial accelerator is: an ordered tree of memories and arrays that ends in compute units.

The nodes of a tree run from the outermost memory to the compute unit. A *storage* node holds tiles of tensors; a
*fanout* replicates everything below it in two directions; a *parallel* group holds memories beside each other that
keep different tensors; *branches* split the tree between compute units of several kinds. An Einsum runs on one
compute unit and sees one *spine*: the storages and fanouts between the root and that unit.

Units: energy in J per action (an access moves one row of ``width_bits``), leakage in J per cycle and instance, area
in mm2 per instance, bandwidth in words per cycle and instance (a word has ``word_bits``, 8 bits where tensors
decide), clock in Hz. What is not known is absent, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import msgspec

from codesign.errors import UsageError, nearest
from codesign.targets.target import Value

OPERANDS = ("input", "weight", "output")
"""The three parts that a tensor may play; a storage may be reserved for some of them."""


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """A memory level.

    Attributes:
        name: Name that mappings use.
        kind: dram, sram, regfile or latch; says what the level is, decides nothing.
        width_bits: Bits that one access moves.
        word_bits: Bits of one tensor element here; None where the tensors themselves decide.
        depth: Rows of an instance; None where the capacity is not limited.
        cluster: Instances that share one physical row, and therefore one access.
        buffers: Copies of every tile that are held at once; 2 fetches the next tile while this one is used.
        banks: Banks of an instance.
        ports: Ports of an instance.
        read_bandwidth: Words that can be read per cycle; None where not limited.
        write_bandwidth: Words that can be written per cycle.
        shared_bandwidth: Words that can be read or written per cycle over a common port.
        read: Energy of reading a row, J.
        write: Energy of filling a row, J.
        update: Energy of accumulating into a row, J.
        leak: Leakage of one cycle, J.
        area: Silicon of one instance, mm2.
        keeps: Operands that this level may hold; empty for all.
        source: Where widths, depths and bandwidths come from.
    """

    name: str
    kind: str
    width_bits: int
    word_bits: int | None = None
    depth: int | None = None
    cluster: int = 1
    buffers: int = 1
    banks: int = 1
    ports: int = 1
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    read: Value | None = None
    write: Value | None = None
    update: Value | None = None
    leak: Value | None = None
    area: Value | None = None
    keeps: tuple[str, ...] = ()
    source: str = ""

    def block(self, tensor_bits: float) -> float:
        """Return the elements of a tensor of ``tensor_bits`` that one access of one instance moves."""
        return self.width_bits / (self.element_bits(tensor_bits) * self.cluster)

    def element_bits(self, tensor_bits: float) -> float:
        """Return the bits that an element of a tensor of ``tensor_bits`` takes here."""
        return self.word_bits or tensor_bits

    @property
    def reference_bits(self) -> int:
        """Return the bits of the words in which bandwidths count."""
        return self.word_bits or 8

    @property
    def limited(self) -> bool:
        """Return whether any bandwidth is limited."""
        return any(limit is not None for limit in (self.read_bandwidth, self.write_bandwidth, self.shared_bandwidth))

    @property
    def capacity_bits(self) -> float | None:
        """Return the bits that one instance holds; None where it is not limited."""
        return None if self.depth is None else self.depth * self.width_bits / self.cluster


class Fanout(msgspec.Struct, frozen=True, kw_only=True):
    """An array: ``x`` times ``y`` copies of everything below it, and the network that feeds them.

    Attributes:
        name: Name that mappings use.
        x: Copies along the first direction.
        y: Copies along the second.
        multicast: Whether one read serves all copies that need the same word.
        reduction: Whether partial sums of the copies are added on their way out.
        energy: Energy of delivering one word to one copy, J; None where it is not counted.
        source: Where the shape comes from.
    """

    name: str
    x: int = 1
    y: int = 1
    multicast: bool = True
    reduction: bool = True
    energy: Value | None = None
    source: str = ""


class Operation(msgspec.Struct, frozen=True):
    """What one operation of a compute unit costs: J, and cycles for which it occupies the unit."""

    energy: Value | None = None
    cycles: float = 1.0


class ComputeUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A compute unit.

    Attributes:
        name: Name that mappings use.
        operations: Operation (``mac``, ``add``, ``max``, ``exp``, ``divide``, ...) -> its cost.
        area: Silicon of one unit, mm2.
        source: Where the set of operations comes from.
    """

    name: str
    operations: Mapping[str, Operation]
    area: Value | None = None
    source: str = ""


class Parallel(msgspec.Struct, frozen=True, kw_only=True):
    """Memories beside each other; each keeps its own tensors."""

    members: tuple[Storage, ...]


class Branches(msgspec.Struct, frozen=True, kw_only=True):
    """Sub-trees beside each other, one for each kind of compute unit."""

    members: tuple[tuple[Node, ...], ...]


Node = Storage | Fanout | Parallel | ComputeUnit | Branches


class Spine(msgspec.Struct, frozen=True):
    """The way from the root to one compute unit, outermost first; members of parallel groups follow each other."""

    nodes: tuple[Storage | Fanout, ...]
    compute: ComputeUnit

    @property
    def storages(self) -> tuple[Storage, ...]:
        """Return the memory levels, outermost first."""
        return tuple(node for node in self.nodes if isinstance(node, Storage))

    def instances(self, name: str) -> int:
        """Return how many copies there are of the level ``name`` (or of the compute unit).

        Raises:
            UsageError: no such level.
        """
        copies = 1
        for node in self.nodes:
            if node.name == name:
                return copies
            if isinstance(node, Fanout):
                copies *= node.x * node.y
        if name == self.compute.name:
            return copies
        raise UsageError(f"no level {name!r}", nearest(name, [node.name for node in self.nodes]))

    @property
    def compute_instances(self) -> int:
        """Return how many compute units there are."""
        return self.instances(self.compute.name)


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A spatial accelerator.

    Attributes:
        id: Name in the catalogue.
        name: Name for people.
        nodes: The tree, outermost first.
        node_nm: Feature size, nm.
        clock: Clock rate, Hz; None where the design states none.
        notes: What to know before using it.
        origin: Where it was read from, for results.
    """

    id: str
    name: str
    nodes: tuple[Node, ...]
    node_nm: Value | None = None
    clock: Value | None = None
    notes: tuple[str, ...] = ()
    origin: str = "catalogue"

    def spines(self) -> tuple[Spine, ...]:
        """Return the way to every compute unit."""
        return tuple(_spines(self.nodes, ()))

    def spine(self, unit: str = "") -> Spine:
        """Return the way to the compute unit ``unit``; to the first one where none is named.

        Raises:
            UsageError: no such unit.
        """
        found = {spine.compute.name: spine for spine in self.spines()}
        if unit and unit not in found:
            raise UsageError(f"{self.id}: no compute unit {unit!r}", nearest(unit, found))
        return found[unit] if unit else next(iter(found.values()))

    def area(self) -> float | None:
        """Return the silicon of all instances, mm2; None where the area of a part on the chip is not known."""
        parts = list(_parts(self.nodes, 1))
        if any(area is None and not off_chip for area, _, off_chip in parts):
            return None
        return sum(area.value * copies for area, copies, _ in parts if area is not None)


def _spines(nodes: tuple[Node, ...], above: tuple[Storage | Fanout, ...]) -> Iterator[Spine]:
    for node in nodes:
        if isinstance(node, Branches):
            for member in node.members:
                yield from _spines(member, above)
        elif isinstance(node, ComputeUnit):
            yield Spine(above, node)
        else:
            above += node.members if isinstance(node, Parallel) else (node,)


def _parts(nodes: tuple[Node, ...], copies: int) -> Iterator[tuple[Value | None, int, bool]]:
    """Yield (area of an instance, instances, whether it is off the chip) of every part."""
    for node in nodes:
        if isinstance(node, Fanout):
            copies *= node.x * node.y
        elif isinstance(node, Branches):
            for member in node.members:
                yield from _parts(member, copies)
        else:
            for part in node.members if isinstance(node, Parallel) else (node,):
                yield part.area, copies, isinstance(part, Storage) and part.kind == "dram"


def all_parts(nodes: tuple[Node, ...]) -> Iterator[Storage | Fanout | ComputeUnit]:
    """Yield every storage, fanout and compute unit of a tree, outermost first."""
    for node in nodes:
        if isinstance(node, Branches):
            for member in node.members:
                yield from all_parts(member)
        elif isinstance(node, Parallel):
            yield from node.members
        else:
            yield node


def copies_below(nodes: tuple[Storage | Fanout, ...]) -> int:
    """Return the copies that the fanouts among ``nodes`` make."""
    return prod(node.x * node.y for node in nodes if isinstance(node, Fanout))
