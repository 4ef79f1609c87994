"""What of a spatial accelerator a search varies: its memories, arrays and compute unit by the part they play.

A template has one memory at its root (DRAM), then *buffers*, then arrays with *pads* (memories beside each compute
unit) among and below them, and one kind of compute unit. Sizes of buffers and pads keep the template's proportions.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from codesign.costmodels.accelerator.inputs import read_architecture
from codesign.errors import UsageError
from codesign.search.accelerator.technologies import technologies
from codesign.targets.spatial import Architecture, Branches, ComputeUnit, Fanout, Parallel, Storage, list_architectures

BITS_PER_BYTE = 8.0
NODES_NM = (28.0, 22.0, 14.0, 10.0, 7.0)
"""Nodes with coefficients of chiplets; nothing is extrapolated."""


class Design(NamedTuple):
    """One configuration.

    Attributes:
        rows: Of the array.
        columns: Of the array.
        pads: Elements of every pad over those of the template.
        buffer: Bytes of all buffers of a core.
        bandwidth: Bytes a cycle that the first buffer reads.
        memory: Memory device.
        node: nm.
        bits: Of operands; partial sums have twice as many.
        cores: Each with its own buffers and array.
        package: How cores are joined; ``monolithic`` for one die.
        volts: Supply.
    """

    rows: int
    columns: int
    pads: float
    buffer: float
    bandwidth: float
    memory: str
    node: float
    bits: int
    cores: int = 1
    package: str = "monolithic"
    volts: float = 0.9


class Template(msgspec.Struct, frozen=True):
    """A template.

    Attributes:
        architecture: The accelerator as the catalogue has it.
        root: DRAM.
        buffers: Memories above the arrays.
        fanouts: Arrays.
        pads: Memories below an array.
        compute: The compute unit.
        bits: Of an operand.
        clock: At the nominal supply, Hz.
        fused: Whether it runs attention in one pass on two arrays, priced by closed forms instead of mappings.
    """

    architecture: Architecture
    root: Storage
    buffers: tuple[Storage, ...]
    fanouts: tuple[Fanout, ...]
    pads: tuple[Storage, ...]
    compute: ComputeUnit
    bits: int
    clock: float
    fused: bool = False

    @property
    def buffer_bytes(self) -> float:
        """Return the bytes of all buffers."""
        return sum(capacity_bytes(one) for one in self.buffers)

    @property
    def bandwidth(self) -> float:
        """Return the bytes a cycle that the first buffer reads; of one access where its file limits nothing."""
        first = self.buffers[0]
        words = first.read_bandwidth or first.shared_bandwidth or first.width_bits / first.reference_bits
        return words * first.reference_bits / BITS_PER_BYTE

    def design(self) -> Design:
        """Return the template as a configuration, at the nearest node that carbon has coefficients for."""
        rows = max((one.y for one in self.fanouts), default=1)
        columns = max((one.x for one in self.fanouts), default=1)
        stated = self.architecture.node_nm
        node = NODES_NM[0] if stated is None else min(NODES_NM, key=lambda known: (abs(known - stated.value), known))
        return Design(rows, columns, 1.0, self.buffer_bytes, self.bandwidth, "lpddr4", node, self.bits)


def read_template(name: str) -> Template:
    """Return a template by name of the catalogue or path of a file.

    Raises:
        UsageError: no such accelerator, or one whose tree does not have the form above.
        DataError: the file is wrong.
    """
    return template_of(read_architecture(name).architecture)


def template_of(architecture: Architecture) -> Template:
    """Return an accelerator as a template.

    Raises:
        UsageError: its tree does not have the form of a template.
    """

    def refused(why: str) -> UsageError:
        usable = [name for name in list_architectures() if name != architecture.id]
        return UsageError(f"{architecture.id} is no template: {why}", f"for example {', '.join(usable)}")

    several = [node for node in architecture.nodes if isinstance(node, Branches)]
    fused = bool(several) and _runs_attention(architecture)
    if several and not fused:
        raise refused("it has compute units of several kinds")
    spine = architecture.spine()
    root = spine.nodes[0]
    if not isinstance(root, Storage) or isinstance(architecture.nodes[0], Parallel) or root.depth is not None:
        raise refused("its outermost memory is no DRAM without limit")
    fanouts = tuple(node for node in spine.nodes if isinstance(node, Fanout))
    for direction in ("x", "y"):
        if sum(getattr(one, direction) > 1 for one in fanouts) > 1:
            raise refused(f"two of its arrays spread along {direction}")
    first = min((spine.nodes.index(one) for one in fanouts), default=len(spine.nodes))
    storages = [(place, node) for place, node in enumerate(spine.nodes) if isinstance(node, Storage)]
    buffers = tuple(node for place, node in storages if 0 < place < first)
    pads = tuple(node for place, node in storages if place > first)
    if not fanouts or not buffers:
        raise refused("it has no array" if not fanouts else "it has no buffer above its arrays")
    if any(one.depth is None for one in (*buffers, *pads)):
        raise refused("a memory on the chip has no depth")
    if "mac" not in spine.compute.operations:
        raise refused(f"its {spine.compute.name} has no operation mac")
    clock = technologies().supply.clock if architecture.clock is None else architecture.clock.value
    return Template(architecture, root, buffers, fanouts, pads, spine.compute, root.word_bits or 8, clock, fused)


def _runs_attention(architecture: Architecture) -> bool:
    """Say whether a tree is that of FuseMax: a 2D array that has maxima and exponentials, a 1D array that divides."""
    spines = architecture.spines()
    if len(spines) != 2:
        return False
    flat, lane = (spine.compute.operations for spine in spines)
    sides = [[node for node in spine.nodes if isinstance(node, Fanout)] for spine in spines]
    shaped = all(len(one) == 1 for one in sides) and sides[0][0].y > 1 and sides[1][0].y == 1
    return shaped and {"mac", "max", "exp"} <= set(flat) and {"mac", "exp", "divide"} <= set(lane)


def capacity_bytes(storage: Storage) -> float:
    """Return the bytes of an instance of a memory with a depth."""
    return (storage.capacity_bits or 0.0) / BITS_PER_BYTE
