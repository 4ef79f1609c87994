"""A configuration of a template as an accelerator: its tree with sizes, energies and areas from one set of tables.

Every configuration, the template's own among them, is priced from the same tables, so that designs compare:
multiply-adds from the table of actions, memories from the fit of SRAM (register files too: the tangent of the fit,
never below 32 B), DRAM by the bit moved. Assumed, and stated in
``ASSUMPTIONS``: how a multiply-add follows its width, its area, and leakage
in proportion to the supply. Joules per action, mm2, watts, Hz.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.accelerator.bands import Band, band
from codesign.costmodels.accelerator.energy_tables import action_energy, unit_area
from codesign.costmodels.accelerator.node_scaling import USUAL_VOLTS, energy_scale
from codesign.costmodels.accelerator.sram import Sram, SramCost, sram
from codesign.quantity import Origin
from codesign.search.accelerator.technologies import joining, memory_device, technologies
from codesign.search.accelerator.template import BITS_PER_BYTE, Design, Template, capacity_bytes
from codesign.targets.spatial import Architecture, Fanout, Node, Operation, Parallel, Storage
from codesign.targets.target import Value

LEAST_BYTES = 32.0
"""Smallest memory that the fit of SRAM answers for; smaller ones are priced as that."""

ASSUMPTIONS = (
    "multiply-add: energy by a power law between 8 and 32 bits; area of a multiplier of w bits that of w adders",
    "memories: fit to CACTI, high-performance cells at 360 K; register files as such, below 2 KB by the tangent",
    "leakage of logic, background power of DRAM and an interposer for HBM are in no table and are not counted",
    "clock: that of the template at 0.9 V whatever the node, by the alpha-power law at other supplies",
)

SOURCE = "energy tables and SRAM fit of codesign, scaled by Stillmaker and Baas 2017"


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration with everything that is known before any mapping.

    Attributes:
        design: What was asked.
        architecture: The accelerator, energies and areas of an instance in it; without leakage.
        core_areas: Part -> mm2 of all its instances in one core.
        static_watts: Leakage of all cores.
        peak_watts: Every compute unit and every port busy in every cycle, with leakage.
    """

    design: Design
    architecture: Architecture
    core_areas: Mapping[str, Band]
    static_watts: Band
    peak_watts: Band

    @property
    def core_area(self) -> Band:
        """Return the silicon of one core, mm2."""
        return add(self.core_areas.values())

    @property
    def area(self) -> Band:
        """Return the silicon of all cores, mm2."""
        return self.core_area.times(self.design.cores)

    @property
    def clock(self) -> float:
        """Return the clock, Hz."""
        assert self.architecture.clock is not None
        return self.architecture.clock.value


def configure(template: Template, design: Design) -> Configured:
    """Return a configuration of a template.

    Args:
        template: What gives the tree.
        design: The numbers.

    Raises:
        UsageError: a memory device, package, node or supply without data, or a memory beyond the fit.
    """
    supply = technologies().supply
    clock = template.clock * float(supply.speed(design.volts))
    root = root_storage(template, design, clock)
    sized = {one.name: _buffer(template, design, one) for one in template.buffers}
    sized |= {one.name: _pad(template, design, one) for one in template.pads}
    costs = {name: _memory_cost(one, design) for name, one in sized.items()}
    priced = {name: _priced(one, costs[name]) for name, one in sized.items()}
    mac, mac_area = mac_energy(design.bits, design.node, design.volts), mac_mm2(design.bits, design.node)
    nodes: list[Node] = [root]
    if design.cores > 1:
        link = joining(design.package).link.times(design.bits)
        nodes.append(Fanout(name="cores", x=design.cores, energy=as_value(link, "J"), source=SOURCE))
    nodes += [_node(node, template, design, priced, mac, mac_area) for node in template.architecture.nodes[1:]]
    architecture = Architecture(
        id=template.architecture.id,
        name=f"{template.architecture.name.split(',')[0]}, configured",
        nodes=tuple(nodes),
        node_nm=Value(design.node, "nm", "configuration", origin=Origin.ASSUMED),
        clock=Value(clock, "Hz", supply.source, origin=Origin.ASSUMED),
        origin=template.architecture.origin,
    )
    units = design.rows * design.columns
    copies = {one.name: 1 for one in template.buffers} | {
        one.name: architecture.spine().instances(one.name) // design.cores for one in template.pads
    }
    areas = {name: costs[name].area_mm2.times(count) for name, count in copies.items()}
    areas[template.compute.name] = mac_area.times(units)
    static = add(costs[name].leakage_watts.times(count * design.cores) for name, count in copies.items())
    static = static.times(design.volts / USUAL_VOLTS)
    busy = [mac.times(units)] + [_busy(priced[name]).times(count) for name, count in copies.items()]
    device = memory_device(design.memory)
    moved = device.bit.times(device.bandwidth * BITS_PER_BYTE)
    return Configured(
        design=design,
        architecture=architecture,
        core_areas=areas,
        static_watts=static,
        peak_watts=add(busy).times(clock * design.cores).plus(moved).plus(static),
    )


def mac_energy(bits: int, node_nm: float, volts: float) -> Band:
    """Return the energy of a multiply-add of ``bits`` into a sum of twice as many, J."""
    return _by_width("int_mult", bits, node_nm, volts).plus(_by_width("int_add", 2 * bits, node_nm, volts))


def mac_mm2(bits: int, node_nm: float) -> Band:
    """Return the area of that multiply-add, mm2: as many adders as the multiplier has bits, and that of the sum."""
    return unit_area("aladdin_adder", node_nm).times((bits * bits + 2 * bits) / 32.0)


def _by_width(kind: str, bits: int, node_nm: float, volts: float) -> Band:
    """Return the energy of an integer operation by the power law through its 8 and 32 bits, J."""
    share = np.log(bits / 8.0) / np.log(4.0)
    narrow, wide = (action_energy(f"{kind}_{width}", node_nm, volts) for width in (8, 32))
    return Band(*(np.asarray(low ** (1.0 - share) * high**share) for low, high in zip(narrow, wide, strict=True)))


def root_storage(template: Template, design: Design, clock: float) -> Storage:
    """Return the DRAM: its port moves what the device does in a cycle."""
    device = memory_device(design.memory)
    word = _word(template.root, template, design) or 8
    row = device.bit.times(template.root.width_bits)
    return msgspec.structs.replace(
        template.root, word_bits=_word(template.root, template, design), read=as_value(row, "J"),
        write=as_value(row, "J"), update=as_value(row, "J"), leak=None, read_bandwidth=None, write_bandwidth=None,
        shared_bandwidth=device.bandwidth / clock / (word / BITS_PER_BYTE), source=device.source,
    )  # fmt: skip


def _buffer(template: Template, design: Design, one: Storage) -> Storage:
    """Return a buffer of its share of the bytes, whose rows and ports follow the bandwidth."""
    faster = design.bandwidth / template.bandwidth
    width = max(8, round(one.width_bits * faster / 8.0) * 8)
    held = capacity_bytes(one) * design.buffer / template.buffer_bytes
    # bytes a cycle are what was asked for: words of wider operands are fewer
    words = faster * template.bits / design.bits if one.word_bits else faster
    return _ports(
        one, words, word_bits=_word(one, template, design), width_bits=width, depth=max(1, round(held * 8 / width))
    )


def _pad(template: Template, design: Design, one: Storage) -> Storage:
    """Return a pad of as many times the elements of the template; its rows follow their width."""
    wider = design.bits / template.bits
    words = 1.0 if one.word_bits else wider
    return _ports(
        one, words, word_bits=_word(one, template, design), width_bits=round(one.width_bits * wider),
        depth=max(1, round((one.depth or 1) * design.pads)),
    )  # fmt: skip


def _word(one: Storage, template: Template, design: Design) -> int | None:
    return None if one.word_bits is None else one.word_bits * design.bits // template.bits


def _ports(one: Storage, factor: float, **fields: Any) -> Storage:
    ports = {
        name: None if getattr(one, name) is None else getattr(one, name) * factor
        for name in ("read_bandwidth", "write_bandwidth", "shared_bandwidth")
    }
    banks = (
        1 if one.banks == 1 else min(one.banks, max(1, int(fields["depth"] * fields["width_bits"] / 8 // LEAST_BYTES)))
    )
    return msgspec.structs.replace(one, **{**ports, **fields, "banks": banks, "cluster": 1, "leak": None})


def _memory_cost(one: Storage, design: Design) -> SramCost:
    """Return what a memory costs at the node and supply; the fit is at the nominal supply."""
    size = max(capacity_bytes(one), LEAST_BYTES)
    ports = 1 if one.kind in ("regfile", "latch") else one.ports
    cost = sram(Sram(size, one.width_bits, ports, one.banks, design.node))
    at_supply = energy_scale(design.node, design.node, USUAL_VOLTS, design.volts)
    return cost._replace(read_joules=cost.read_joules.times(at_supply), write_joules=cost.write_joules.times(at_supply))


def _priced(one: Storage, cost: SramCost) -> Storage:
    read, write = as_value(cost.read_joules, "J"), as_value(cost.write_joules, "J")
    return msgspec.structs.replace(one, read=read, write=write, update=write, area=as_value(cost.area_mm2, "mm2"))


def _busy(one: Storage) -> Band:
    """Return the energy of one cycle in which every port of a memory moves all it can, J."""
    assert one.read is not None
    assert one.write is not None
    rows = one.width_bits / one.reference_bits
    reads = (one.read_bandwidth or one.shared_bandwidth or rows) / rows
    writes = 0.0 if one.read_bandwidth is None and one.shared_bandwidth else (one.write_bandwidth or rows) / rows
    return _band(one.read).times(reads).plus(_band(one.write).times(writes))


def _node(
    node: Node, template: Template, design: Design, priced: Mapping[str, Storage], mac: Band, mac_area: Band
) -> Node:
    """Return a node of the template with the numbers of the configuration."""
    if isinstance(node, Storage):
        return priced[node.name]
    if isinstance(node, Parallel):
        return Parallel(members=tuple(priced[one.name] for one in node.members))
    if isinstance(node, Fanout):
        shaped = {"x": design.columns if node.x > 1 else 1, "y": design.rows if node.y > 1 else 1}
        return msgspec.structs.replace(node, **shaped, energy=None)
    operation = msgspec.structs.replace(template.compute.operations["mac"], energy=as_value(mac, "J"))
    return msgspec.structs.replace(
        template.compute, operations={"mac": Operation(operation.energy, operation.cycles)},
        area=as_value(mac_area, "mm2"), source=ASSUMPTIONS[0],
    )  # fmt: skip


def as_value(one: Band, unit: str) -> Value:
    """Return a band as a sourced number of a design."""
    low, value, high = (float(end) for end in one)
    return Value(value, unit, SOURCE, origin=Origin.ASSUMED, low=low, high=high)


def _band(value: Value) -> Band:
    low = value.value if value.low is None else value.low
    high = value.value if value.high is None else value.high
    return Band(np.asarray(low), np.asarray(value.value), np.asarray(high))


def add(parts: Iterable[Band]) -> Band:
    """Return the sum of bands, ends with ends."""
    whole = band(0.0)
    for part in parts:
        whole = whole.plus(part)
    return whole
