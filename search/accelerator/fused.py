"""FuseMax as a template: attention in one pass on a 2D and a 1D array, its layers priced by closed forms.

Where other templates search mappings, this one has one: attention runs as FuseMax binds it (``fusemax``), every other
product fills the 2D array, its operands crossing to DRAM as the buffer allows (``linear_layers``). Knobs are rows and
columns of the 2D array (the 1D array has as many lanes as columns), the buffer, DRAM, node and supply; elements have
16 bits. Energies and areas are those of the artifact scaled to the node, the buffer is the fit of SRAM. Joules, mm2,
watts, seconds, bytes.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.attention_cascades import AttentionShape
from codesign.costmodels.accelerator.bands import Band, band
from codesign.costmodels.accelerator.energy_tables import action_energy, tables, unit_area
from codesign.costmodels.accelerator.fusemax import Machine, one_pass_attention
from codesign.costmodels.accelerator.fusemax_energy import (
    REGISTER_JOULES,
    Actions,
    Counts,
    attention_counts,
    energy_parts,
)
from codesign.costmodels.accelerator.linear_layers import product_bytes
from codesign.costmodels.accelerator.node_scaling import USUAL_VOLTS, energy_scale
from codesign.costmodels.accelerator.problem import relevant
from codesign.costmodels.accelerator.sram import Sram, sram
from codesign.errors import UsageError
from codesign.search.accelerator.configure import SOURCE, Configured, add, as_value, root_storage
from codesign.search.accelerator.layers import Layers
from codesign.search.accelerator.price import LayerCost
from codesign.search.accelerator.technologies import memory_device, technologies
from codesign.search.accelerator.template import BITS_PER_BYTE, Design, Template
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Operation, Storage
from codesign.targets.target import Value
from codesign.workload import Role

BITS = 16
ROW_BITS = 4096
TABLE_NM = 45.0

FUSED_ASSUMPTIONS = (
    "attention: one pass, bound as in FuseMax (MICRO 2024, section V); lanes: as many as columns",
    "products: all of the 2D array filled, tiles rounded up; operands re-read where they exceed the buffer",
    "convolutions: as products of their patches, which cross to DRAM like data (im2col)",
    "energies and areas of elements: artifact of FuseMax at 45 nm, scaled to the node by Stillmaker and Baas 2017",
    "leakage of elements, their wires and background power of DRAM are in no table and are not counted",
)


class FusedConfigured(Configured, frozen=True, kw_only=True):
    """A configuration of the fused template: what closed forms need, beside."""

    machine: Machine
    actions: Actions


class FusedCost(NamedTuple):
    """A layer: its cost, and its energy by action, J."""

    cost: LayerCost
    parts: dict[str, Band]


def configure_fused(template: Template, design: Design) -> FusedConfigured:
    """Return a configuration of the fused template.

    Raises:
        UsageError: a device, node or supply without data, or a buffer beyond the fit of SRAM.
    """
    device, supply = memory_device(design.memory), technologies().supply
    clock = template.clock * float(supply.speed(design.volts))
    memory = sram(Sram(design.buffer, ROW_BITS, 1, 1, design.node))
    at_supply = energy_scale(design.node, design.node, USUAL_VOLTS, design.volts)
    names = ("fusemax_mac", "fusemax_add", "fusemax_max", "divide_fp")
    operations = [action_energy(name, design.node, design.volts) for name in names]
    register = band(REGISTER_JOULES, *tables().spread).times(
        energy_scale(TABLE_NM, design.node, USUAL_VOLTS, design.volts)
    )
    rows = [joules.times(at_supply).times(1.0 / ROW_BITS) for joules in (memory.read_joules, memory.write_joules)]
    actions = Actions._make([*operations, register, *rows, device.bit])
    elements, lanes = design.rows * design.columns, design.columns
    registers = unit_area("fusemax_register_file", design.node)
    mac, plus, largest, divide = (unit_area(f"fusemax_{name}", design.node) for name in ("mac", "add", "max", "divide"))
    areas = {
        template.buffers[0].name: memory.area_mm2,
        "array_2d": add((mac, plus, largest, registers)).times(elements),
        "array_1d": add((mac, plus, largest, divide, registers)).times(lanes),
    }
    static = memory.leakage_watts.times(design.volts / USUAL_VOLTS)
    busy = add((actions.mac.times(elements + lanes), actions.register.times(elements), rows[0].times(ROW_BITS)))
    moved = device.bit.times(device.bandwidth * BITS_PER_BYTE)
    return FusedConfigured(
        design=design,
        architecture=_architecture(template, design, clock, actions),
        core_areas=areas,
        static_watts=static,
        peak_watts=busy.times(clock).plus(moved).plus(static),
        machine=Machine(design.rows, design.columns, lanes, clock, design.buffer, device.bandwidth, BITS // 8),
        actions=actions,
    )


def _architecture(template: Template, design: Design, clock: float, actions: Actions) -> Architecture:
    """Return the 2D array below buffer and DRAM, as reports and rooflines see it."""
    reads, writes = (as_value(one.times(ROW_BITS), "J") for one in (actions.buffer_read, actions.buffer_write))
    depth = max(1, round(design.buffer * BITS_PER_BYTE / ROW_BITS))
    buffer = Storage(name=template.buffers[0].name, kind="sram", width_bits=ROW_BITS, word_bits=BITS, depth=depth,
                     read=reads, write=writes, source=SOURCE)  # fmt: skip
    unit = ComputeUnit(name=template.compute.name, operations={"mac": Operation(as_value(actions.mac, "J"))})
    array = Fanout(name=template.fanouts[0].name, x=design.columns, y=design.rows)
    return Architecture(
        id=template.architecture.id, name=f"{template.architecture.name.split(',')[0]}, configured",
        nodes=(root_storage(template, design, clock), buffer, array, unit),
        clock=Value(clock, "Hz", technologies().supply.source), origin=template.architecture.origin,
    )  # fmt: skip


def fused_costs(configured: FusedConfigured, layers: Layers) -> tuple[FusedCost, ...]:
    """Return every layer: scores of attention stand for all of it, the product with values then costs nothing more.

    Raises:
        UsageError: a layer that is no product, or a buffer that holds no block of queries.
    """
    pairs = attention_pairs(layers.problems)
    done = set(pairs.values())
    found = []
    for place, problem in enumerate(layers.problems):
        if place in pairs:
            found.append(_attention(configured, problem, layers.problems[pairs[place]]))
        elif place in done:
            found.append(FusedCost(LayerCost(0, 0.0, band(0.0), 0.0, 0.0), {}))
        else:
            found.append(_product(configured, problem))
    return tuple(found)


def attention_pairs(problems: tuple[Problem, ...]) -> dict[int, int]:
    """Return index of scores -> index of their product with values: what reads a tensor of the scores' ranks."""
    pairs: dict[int, int] = {}
    bare = [place for place, one in enumerate(problems) if all(view.role is not Role.WEIGHT for view in one.inputs)]
    for first in bare:
        scores = relevant(problems[first].output)
        for second in bare:
            taken = first in pairs or second in pairs.values() or second <= first
            same = problems[first].ranks.items() & problems[second].ranks.items()
            if not taken and relevant(problems[second].inputs[0]) == scores and scores <= dict(same).keys():
                pairs[first] = second
    return pairs


def attention_shape(scores: Problem, values: Problem) -> AttentionShape:
    """Return the extents of attention from its two products; heads are what queries, keys and scores share.

    Queries of a group that shares its keys count as more queries.
    """
    queries, keys = (relevant(view) for view in scores.inputs)
    out = relevant(scores.output)

    def size(ranks: frozenset[str], of: Problem = scores) -> int:
        return prod(of.ranks[rank] for rank in ranks)

    results = relevant(values.output) - out
    heads = queries & keys & out
    return AttentionShape(
        1, size(heads), size((queries & out) - heads), size((keys & out) - heads), size((queries & keys) - out),
        size(results, values),
    )  # fmt: skip


def _attention(configured: FusedConfigured, scores: Problem, values: Problem) -> FusedCost:
    shape, machine = attention_shape(scores, values), configured.machine
    run = one_pass_attention(shape, machine)
    if not bool(run.fits):
        raise UsageError(f"buffer: {configured.design.buffer:g} B hold no block of queries", "enlarge the buffer")
    parts = energy_parts(attention_counts(shape, run.traffic_bytes, machine), configured.actions)
    seconds = float(run.seconds)
    cost = LayerCost(0, seconds, add(parts.values()), float(run.traffic_bytes), float(run.array_utilisation))
    return FusedCost(cost, parts)


def _product(configured: FusedConfigured, problem: Problem) -> FusedCost:
    """Return a product of ``m`` rows, ``n`` columns and depth ``k``, ``count`` times; convolutions as im2col."""
    left, right, out = (relevant(view) for view in (*problem.inputs[:2], problem.output))
    shared = left & right & out

    def size(ranks: frozenset[str]) -> int:
        return prod(problem.ranks[rank] for rank in ranks)

    count, k = size(shared), size((left & right) - out)
    m, n = size((left & out) - shared), size((right & out) - shared)
    if len(problem.inputs) != 2 or count * m * n * k != problem.operations:
        raise UsageError(f"{problem.name}: no product of two tensors", "choose another template")
    machine = configured.machine
    tiles = count * -(-k // int(machine.rows)) * -(-n // int(machine.columns))
    traffic = count * float(product_bytes(m, k, n, machine))
    seconds = max(float(tiles * m) / float(machine.clock_hz), traffic / float(machine.bandwidth))
    macs = float(count * m * n * k)
    bits = float(BITS)
    read = bits * (tiles * m * float(min(k, int(machine.rows))) + count * k * n)
    zero = np.zeros(())
    counts = Counts(
        np.asarray(macs), zero, zero, zero, np.asarray(macs), np.asarray(read),
        np.asarray(BITS_PER_BYTE * traffic + bits * count * m * n), np.asarray(BITS_PER_BYTE * traffic),
    )  # fmt: skip
    parts = energy_parts(counts, configured.actions)
    slots = seconds * float(machine.clock_hz) * int(machine.rows) * int(machine.columns)
    return FusedCost(LayerCost(0, seconds, add(parts.values()), traffic, macs / slots), parts)
