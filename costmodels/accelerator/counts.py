"""The loop-nest cost model: accesses, energy and cycles of thousands of mappings in one array computation.

The rules are those that reproduce Timeloop's published outputs (``docs/accelerators.md`` states them one by one).
Counts are words per instance over the whole run. A level serves its tensors to the next level inside that keeps them;
between the two stand arrays whose networks multicast what copies share and reduce partial sums.

Energy is J, leakage J per cycle and instance, bandwidth words per cycle and instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codesign.costmodels.accelerator.costs import Array, Costs, whole_rows
from codesign.costmodels.accelerator.latency import (
    IDEAL,
    Latency,
    array_cycles,
    grid_of,
    joined,
    port_cycles,
    single,
)
from codesign.costmodels.accelerator.mapping import Holding, Mappings, Slots
from codesign.costmodels.accelerator.nest import Nest, View, product
from codesign.costmodels.accelerator.problem import Problem
from codesign.errors import UsageError, nearest
from codesign.targets.spatial import Architecture, Fanout, Spine
from codesign.targets.target import Value

CHUNK = 8192
"""Mappings priced at once: what fits the caches of a core."""

REUSE = ("reset", "retain")
"""When neighbouring windows share their overlap: only if nothing else moved (as Timeloop's outputs), or always."""


def evaluate(
    problem: Problem, architecture: Architecture, mappings: Mappings, reuse: str = "reset", latency: str = "ideal"
) -> Costs:
    """Return what a batch of mappings costs.

    Args:
        problem: The Einsum.
        architecture: The accelerator; ``mappings.slots.unit`` names the compute unit.
        mappings: B mappings of one skeleton.
        reuse: ``reset`` credits the overlap of windows only where the sliding loop is the innermost that runs, as
            published outputs of Timeloop do; ``retain`` also where loops inside it leave the tensor in place.
        latency: How cycles are counted: a mode and flags, see ``latency``.

    Returns:
        Arrays over levels, tensors and the B mappings; infeasible ones are priced too, see ``Costs.feasible``.

    Raises:
        UsageError: no mapping, arrays of other shapes than the skeleton asks, an unknown reuse or latency, or a compute
            unit that lacks the problem's operation.
    """
    if not len(mappings):
        raise UsageError("no mapping to price", "give at least one")
    if reuse not in REUSE:
        raise UsageError(f"unknown reuse {reuse!r}", nearest(reuse, REUSE))
    _check_shapes(problem, mappings)
    spine = architecture.spine(mappings.slots.unit)
    operations = spine.compute.operations
    if problem.operation not in operations:
        message = f"{architecture.id}: {spine.compute.name} has no operation {problem.operation!r}"
        raise UsageError(message, nearest(problem.operation, operations))
    return Pricing(problem, architecture, spine, mappings.slots, reuse == "retain", single(latency)).costs(mappings)


def _check_shapes(problem: Problem, mappings: Mappings) -> None:
    slots, count = mappings.slots, len(mappings)
    if slots.ranks != tuple(problem.ranks) or len(slots.holdings) != len(problem.tensors):
        raise UsageError(f"the skeleton is of another problem than {problem.name}", "make_slots(problem, spine)")
    ranks = len(slots.ranks)
    expected = {"factors": (len(slots.slots), ranks, count), "orders": (len(slots.temporal), ranks, count)}
    for name, shape in expected.items():
        found = getattr(mappings, name)
        if found.shape != shape:
            raise UsageError(f"mappings.{name}: found shape {found.shape}, expected {shape}")
    if int(mappings.factors.min()) < 1:
        raise UsageError("mappings.factors: found a bound below 1")
    if int(mappings.orders.min()) < 0 or int(mappings.orders.max()) >= ranks:
        raise UsageError(f"mappings.orders: found a rank outside of 0 to {ranks - 1}")


def _unpriced(spine: Spine, slots: Slots, operation: str) -> tuple[str, ...]:
    """Return the levels and units whose energy is not known."""
    used = {holding.level for holdings in slots.holdings for holding in holdings}
    levels = [
        storage.name
        for storage in spine.storages
        if storage.name in used and (storage.read is None or storage.write is None)
    ]
    compute = [spine.compute.name] if spine.compute.operations[operation].energy is None else []
    return (*levels, *compute)


def ends(value: Value | None) -> tuple[float, float, float]:
    """Return (low, value, high) of a sourced number; zeros where nothing is counted."""
    if value is None:
        return 0.0, 0.0, 0.0
    low = value.value if value.low is None else value.low
    return low, value.value, value.value if value.high is None else value.high


class Pricing:
    """What all chunks of a batch share: views of the tensors, levels, energies."""

    def __init__(
        self, problem: Problem, architecture: Architecture, spine: Spine, slots: Slots, retain: bool,
        latency: Latency = IDEAL,
    ) -> None:  # fmt: skip
        self.retain, self.latency, self.grid = retain, latency, grid_of(spine, slots)
        self.problem, self.architecture, self.spine, self.slots = problem, architecture, spine, slots
        self.views = [View(tensor, slots.ranks, place) for place, tensor in enumerate(problem.tensors)]
        self.storages = {storage.name: storage for storage in spine.storages}
        self.entries = tuple(
            (holding.level, tensor.name)
            for tensor, holdings in zip(problem.tensors, slots.holdings, strict=True)
            for holding in holdings
        )
        self.bits = {tensor.name: float(tensor.bits) for tensor in problem.tensors}
        fanouts = {node.name: node for node in spine.nodes if isinstance(node, Fanout)}
        self.fanouts = fanouts
        arrays = [fanouts.get(slot.node) for slot in slots.slots]
        self.multicast = [array is not None and array.multicast for array in arrays]
        self.reduction = [array is not None and array.reduction for array in arrays]

    def costs(self, mappings: Mappings) -> Costs:
        """Return what the mappings cost, chunk by chunk."""
        parts = [self.price(mappings, slice(at, at + CHUNK)) for at in range(0, len(mappings), CHUNK)]
        joined: dict[str, Any] = {
            name: parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts], axis=-1)
            for name in parts[0]
        }
        return Costs(
            problem=self.problem,
            architecture=self.architecture,
            slots=self.slots,
            levels=tuple(storage.name for storage in self.spine.storages),
            entries=self.entries,
            unpriced=_unpriced(self.spine, self.slots, self.problem.operation),
            **joined,
        )

    def price(self, mappings: Mappings, part: slice) -> dict[str, Array]:
        """Return the arrays of ``Costs`` for the mappings ``part``."""
        chosen = Mappings(self.slots, mappings.factors[..., part], mappings.orders[..., part])
        nest = Nest(chosen, self.problem, self.views)
        counts, network = self._counts(nest)
        used = {name: nest.copies(0, self._start(name)) for name in self.storages}
        held = self.spine.compute.operations[self.problem.operation]
        work = array_cycles(self.latency, nest, self.views, self.grid, held.cycles)
        transfers, first = self._transfers(counts), self._first_cycles(nest)
        cycles, limiting = joined(self.latency, work, transfers, first)
        energies = self._energies(counts, used, cycles)
        tiles = self._tiles(nest)
        occupancy, overflow = self._occupancy(tiles)
        operations = float(self.problem.operations)
        return {
            "tile": tiles,
            "reads": counts[0],
            "fills": counts[1],
            "updates": counts[2],
            **energies,
            "instances": np.stack(list(used.values())),
            "occupancy": occupancy,
            "overflow_words": overflow,
            "network_energy": network,
            "compute_energy": np.array([end * operations for end in ends(held.energy)])[:, None] * np.ones(nest.count),
            "units": nest.copies(0, len(self.slots.slots)),
            "ideal_cycles": work,
            "transfer_cycles": transfers,
            "first_cycles": first,
            "cycles": cycles,
            "limiting": limiting,
            "idle": self._idle(nest),
            "uncovered": self._uncovered(nest),
        }

    def _start(self, level: str) -> int:
        return next(index for index, slot in enumerate(self.slots.slots) if slot.node == level)

    def _counts(self, nest: Nest) -> tuple[Array, Array]:
        """Return ((3, K, B) reads, fills, updates), and (3, B) energy of the networks."""
        counts = np.zeros((3, len(self.entries), nest.count))
        network = np.zeros((3, nest.count))
        latched, end = nest.latched(), len(self.slots.slots)
        some, every = bool(latched.any()), bool(latched.all())
        row = 0
        for view, holdings in zip(self.views, self.slots.holdings, strict=True):
            writes = view is self.views[-1]
            shared = self.reduction if writes else self.multicast
            cuts = [holding.cut for holding in holdings]
            inflows = [nest.inflow(view, cut, self.retain) for cut in cuts]
            below = nest.inflow(view, end, self.retain) if some else nest.operations
            if some and not every:
                below = np.where(latched, below, nest.operations)
            for place, cut in enumerate(cuts):
                innermost = place + 1 == len(cuts)
                inner = end if innermost else cuts[place + 1]
                flow = below if innermost else inflows[place + 1]
                served = flow * nest.streams(view, cut, inner, shared)
                reads, fills, updates = counts[:, row]
                if writes:
                    distinct = nest.distinct(view, cut)
                    updates[:] = served
                    np.maximum(served - distinct, 0.0, out=reads)
                    if place:
                        np.maximum(inflows[place] - distinct, 0.0, out=fills)
                else:
                    reads[:] = served
                    if place:
                        fills[:] = inflows[place]
                if any(array.energy is not None for array in self.fanouts.values()):
                    back = np.maximum(flow - nest.distinct(view, inner), 0.0) if writes else 0.0
                    self._deliver(nest, view, (cut, inner), flow + back, network)
                row += 1
        return counts, network

    def _deliver(self, nest: Nest, view: View, span: tuple[int, int], flow: Array, network: Array) -> None:
        """Add the energy of the arrays between two keepers: every word to every copy that takes it, or sends it."""
        shared = self.reduction if view is self.views[-1] else self.multicast
        for slot in nest.spread:
            array = self.fanouts[self.slots.slots[slot].node]
            if array.energy is None or not span[0] <= slot < span[1] or self.slots.slots[slot].direction == "y":
                continue
            words = flow * nest.streams(view, slot + 2, span[1], shared) * nest.copies(0, slot + 2)
            network += np.array(ends(array.energy))[:, None] * words

    def _transfers(self, counts: Array) -> Array:
        """Return the cycles that the ports of every level take, (L, B)."""
        found = np.zeros((len(self.storages), counts.shape[-1]))
        for place, storage in enumerate(self.storages.values()):
            rows = [row for row, (level, _) in enumerate(self.entries) if level == storage.name]
            if rows and storage.limited:
                reads, fills, updates = np.sum([counts[:, row] * self._scale(row) for row in rows], axis=0)
                found[place] = port_cycles(storage, reads, fills + updates)
        return found

    def _scale(self, row: int) -> float:
        """Return the words in which the bandwidth of a level counts, for one of a tensor there."""
        level, tensor = self.entries[row]
        return self.storages[level].element_bits(self.bits[tensor]) / self.storages[level].reference_bits

    def _first_cycles(self, nest: Nest) -> Array:
        """Return the cycles until the outermost level has read the first tile of every input, (B,)."""
        words = np.zeros(nest.count)
        if not self.latency.ramp_up:
            return words
        root = next(iter(self.storages.values()))
        for place, view in enumerate(self.views[:-1]):
            entry = (root.name, self.problem.tensors[place].name)
            if entry in self.entries:
                words += self._first_words(nest, place, view) * self._scale(self.entries.index(entry))
        return port_cycles(root, words, np.zeros(nest.count))

    def _first_words(self, nest: Nest, tensor: int, view: View) -> Array:
        """Return the words that the outermost level reads for the first tiles of a tensor, (B,)."""
        return self._first_tile(nest, view, self.slots.holdings[tensor])

    def _first_tile(self, nest: Nest, view: View, holdings: Sequence[Holding]) -> Array:
        inner = holdings[1].cut if len(holdings) > 1 else len(self.slots.slots)
        return view.footprint(nest.inside[inner]) * nest.streams(view, holdings[0].cut, inner, self.multicast)

    def _energies(self, counts: Array, used: Mapping[str, Array], cycles: Array) -> dict[str, Array]:
        """Return the energies of entries and levels."""
        entry = np.empty(counts.shape[1:])
        bounds = np.zeros((2, len(self.storages), len(cycles)))
        leak = np.zeros((len(self.storages), len(cycles)))
        places = {name: place for place, name in enumerate(self.storages)}
        for row, (level, tensor) in enumerate(self.entries):
            storage = self.storages[level]
            rows = whole_rows(counts[:, row], storage.block(self.bits[tensor]))
            charged = np.minimum(used[level], self.spine.instances(level) / storage.cluster)
            update = storage.update if storage.update is not None else storage.write
            costs = np.array([ends(storage.read), ends(storage.write), ends(update)])
            low, entry[row], high = (costs.T @ rows) * charged
            bounds[0, places[level]] += low
            bounds[1, places[level]] += high
        for name, place in places.items():
            if (held := self.storages[name].leak) is not None:
                leaked = cycles * used[name]
                low, value, high = ends(held)
                leak[place] = leaked * value
                bounds[0, place] += leaked * low
                bounds[1, place] += leaked * high
        return {"entry_energy": entry, "leak_energy": leak, "level_low": bounds[0], "level_high": bounds[1]}

    def _tiles(self, nest: Nest) -> Array:
        """Return the words of the largest tile of every entry, (K, B)."""
        tiles, perfect = [], nest.perfect()
        for view, holdings in zip(self.views, self.slots.holdings, strict=True):
            for holding in holdings:
                sizes = nest.inside[holding.cut] if perfect else nest.largest(holding.cut)
                tiles.append(view.footprint(sizes))
        return np.stack(tiles)

    def _occupancy(self, tiles: Array) -> tuple[Array, Array]:
        """Return (share of the capacity that is used, words by which it is exceeded), each (L, B)."""
        occupancy, overflow = (np.zeros((len(self.storages), tiles.shape[1])) for _ in range(2))
        for place, storage in enumerate(self.storages.values()):
            if storage.capacity_bits is None:
                continue
            taken = np.zeros(tiles.shape[1])
            smallest = float(storage.reference_bits)
            for row, (level, tensor) in enumerate(self.entries):
                if level == storage.name:
                    smallest = storage.element_bits(self.bits[tensor])
                    taken += tiles[row] * smallest
            taken *= storage.buffers
            occupancy[place] = taken / storage.capacity_bits
            overflow[place] = np.maximum(taken - storage.capacity_bits, 0.0) / smallest
        return occupancy, overflow

    def _idle(self, nest: Nest) -> Array:
        """Return the copies asked of an array beyond those there are, (B,): the largest excess."""
        excess = np.zeros(nest.count)
        for slot, copies in nest.spread.items():
            array = self.fanouts[self.slots.slots[slot].node]
            there = array.x if self.slots.slots[slot].direction == "x" else array.y
            excess = np.maximum(excess, copies - there)
        return excess

    def _uncovered(self, nest: Nest) -> Array:
        """Return the operations that the loops do not reach, (B,)."""
        if nest.perfect():
            return np.zeros(nest.count)
        reached = product(list(nest.largest(0)), nest.count)
        return float(self.problem.operations) - reached
