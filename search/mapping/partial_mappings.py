"""A batch of partial mappings, and how a level is added to it.

Words that cross a boundary are counted for all instances together. ``flow`` is what enters the innermost memories that
hold a tensor so far: iterations left outside, times the tile, times all instances. ``open`` says that no loop outside
has moved the tensor yet: further loops that do not move it divide the flow. ``rate`` is what a word of an open flow has
cost so far; ``energy`` what is settled. The mapping is the last axis.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.counts import ends
from codesign.targets.spatial import Storage

if TYPE_CHECKING:
    from codesign.search.mapping.space import MappingSpace

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Costing(NamedTuple):
    """What B partial mappings cost so far, and what comes of them.

    Attributes:
        left: (ranks, B) iterations in time that are not placed yet.
        inside: (ranks, B) extents of the present tile.
        flow: (tensors, B) words.
        rate: (tensors, B) J a word of an open flow.
        open: (tensors, B) whether no loop further out has moved the tensor yet.
        energy: (B,) J.
        stretch: (B,) largest need of a port over its bandwidth, at least 1.
        shared: (tensors, B) copies of the arrays further out that need the same word.
        copies: (B,) all copies of the arrays further out.
        cycles: (B,) iterations in time of the whole nest.
    """

    left: Integers
    inside: Array
    flow: Array
    rate: Array
    open: Mask
    energy: Array
    stretch: Array
    shared: Array
    copies: Array
    cycles: Array

    def take(self, index: Integers) -> Costing:
        """Return the mappings that ``index`` selects."""
        return Costing._make(part[..., index] for part in self)


class Terms:
    """What does not change while the mappings of one space are built."""

    def __init__(self, space: MappingSpace) -> None:
        self.problem, self.skeletons = space.problem, space.skeletons
        self.extents = space.divisors.extents
        spine = space.architecture.spine(self.skeletons.unit)
        self.storages = {storage.name: storage for storage in spine.storages}
        self.views = space.tiles.views
        ranks = range(len(self.skeletons.ranks))
        self.moves: Mask = np.array([[rank in view.ranks for rank in ranks] for view in self.views])
        self.words = np.array([float(self.problem.words(tensor)) for tensor in self.problem.tensors])
        self.output = len(self.views) - 1
        held = spine.compute.operations[self.problem.operation]
        self.compute = ends(held.energy)[1] * self.problem.operations
        self.outermost_array = min(self.skeletons.spatial, default=len(self.skeletons.slots))
        self.orders = [np.argsort(~moved, kind="stable") for moved in self.moves]

    def storage(self, slot: int) -> Storage:
        """Return the memory of a temporal slot."""
        return self.storages[self.skeletons.slots[slot].node]

    def bits(self, slot: int, tensor: int) -> float:
        """Return bits of an element of a tensor at the memory of a slot."""
        return float(self.storage(slot).element_bits(float(self.problem.tensors[tensor].bits)))

    def sets(self, slot: int) -> list[tuple[int, ...]]:
        """Return the sets of tensors that the memory of a slot may keep, the empty one left out."""
        level = self.skeletons.slots[slot].node
        levels = [[{one.level for one in option} for option in options] for options in self.skeletons.options]
        may = [tensor for tensor, options in enumerate(levels) if any(level in option for option in options)]
        must = {tensor for tensor in may if all(level in option for option in levels[tensor])}
        found = (one for size in range(1, len(may) + 1) for one in combinations(may, size))
        return [one for one in found if must <= set(one)]

    def may_skip(self, slot: int) -> bool:
        """Say whether the memory of a slot may keep nothing."""
        level = self.skeletons.slots[slot].node
        return all(
            any(all(one.level != level for one in option) for option in options) for options in self.skeletons.options
        )

    def joules(self, slot: int, tensor: int) -> tuple[float, float, float]:
        """Return J a word of a tensor read, written and updated at the memory of a slot."""
        storage = self.storage(slot)
        share = self.bits(slot, tensor) / storage.width_bits
        update = storage.update if storage.update is not None else storage.write
        read, write, change = (ends(one)[1] * share for one in (storage.read, storage.write, update))
        return read, write, change


def started(terms: Terms, fills: Integers) -> Costing:
    """Return mappings with nothing but the ``fills`` (spatial slots, ranks, B) of their arrays.

    Operands go straight to the compute units, a word each step.
    """
    copies = fills.prod(axis=0)
    left = -(-terms.extents[:, None] // copies)
    count, tensors = fills.shape[2], len(terms.views)
    total = left.prod(axis=0).astype(np.float64) * copies.prod(axis=0)
    shared = np.stack([np.where(terms.moves[tensor][:, None], 1, copies).prod(axis=0) for tensor in range(tensors)])
    return Costing(
        left=left, inside=np.ones(left.shape), flow=np.tile(total, (tensors, 1)), rate=np.zeros((tensors, count)),
        open=np.zeros((tensors, count), dtype=np.bool_), energy=np.zeros(count), stretch=np.ones(count),
        shared=shared.astype(np.float64), copies=copies.prod(axis=0).astype(np.float64),
        cycles=left.prod(axis=0).astype(np.float64),
    )  # fmt: skip


def past_array(terms: Terms, costing: Costing, bounds: Integers) -> Costing:
    """Return the mappings with the copies ``bounds`` (ranks, B) of one direction of an array inside of the tile.

    Compute units hold their operands where no loop in time runs inside of an array.
    """
    holds = (bounds.prod(axis=0) > 1) & (costing.left.prod(axis=0) == costing.cycles)
    same = np.stack([np.where(moved[:, None], 1, bounds).prod(axis=0) for moved in terms.moves]).astype(np.float64)
    return costing._replace(
        inside=costing.inside * bounds, flow=costing.flow / same, rate=costing.rate * same,
        open=costing.open | holds, shared=costing.shared / same, copies=costing.copies / bounds.prod(axis=0),
    )  # fmt: skip


def past_loops(terms: Terms, costing: Costing, bounds: Integers, held: int) -> Costing:
    """Return the mappings with loops ``bounds`` (ranks, B) around, innermost those that leave tensor ``held`` be."""
    inner = np.where(terms.moves[held][:, None], 1, bounds)
    flow, rate, open_, energy = costing.flow.copy(), costing.rate.copy(), costing.open.copy(), costing.energy.copy()
    whole = bounds.prod(axis=0)
    for tensor, moved in enumerate(terms.moves):
        around = (bounds[moved] > 1).any(axis=0)
        close = (inner[moved] > 1).any(axis=0)
        stays = np.where(around, np.where(close, 1, inner.prod(axis=0)), whole)
        flow[tensor] = np.where(open_[tensor], flow[tensor] / stays, flow[tensor])
        closing = open_[tensor] & around
        energy += np.where(closing, flow[tensor] * rate[tensor], 0.0)
        rate[tensor] = np.where(closing, 0.0, rate[tensor])
        open_[tensor] &= ~around
    return costing._replace(
        left=costing.left // bounds, inside=costing.inside * bounds, flow=flow, rate=rate, open=open_, energy=energy
    )


def kept(terms: Terms, costing: Costing, slot: int, tensors: tuple[int, ...]) -> Costing:
    """Return the mappings with ``tensors`` held at the memory of a slot."""
    flow, rate, open_, energy = costing.flow.copy(), costing.rate.copy(), costing.open.copy(), costing.energy.copy()
    around = costing.left.prod(axis=0) * costing.copies
    sizes = np.minimum(costing.inside, terms.extents[:, None])
    storage = terms.storage(slot)
    moved = np.zeros((2, len(energy)))
    for tensor in tensors:
        read, write, update = terms.joules(slot, tensor)
        share = terms.bits(slot, tensor) / storage.reference_bits
        first = np.zeros(len(energy))
        if tensor == terms.output:
            first = np.minimum(terms.words[tensor] * costing.shared[tensor], flow[tensor])
            cost = read + update
            energy -= first * read
            moved += share * np.stack([flow[tensor] - first, flow[tensor]])
        else:
            cost = read
            moved[0] += share * flow[tensor]
        energy += np.where(open_[tensor], 0.0, flow[tensor] * cost)
        rate[tensor] = np.where(open_[tensor], rate[tensor] + cost, 0.0)
        if slot:
            flow[tensor] = around * terms.views[tensor].footprint(sizes)
            again = np.minimum(first, flow[tensor])
            energy -= again * write
            rate[tensor] += write
            open_[tensor] = True
            moved[1] += share * (flow[tensor] - again)
    need = _needed(storage, moved, costing.copies * costing.cycles, costing.stretch)
    return costing._replace(flow=flow, rate=rate, open=open_, energy=energy, stretch=need)


def prospects(terms: Terms, costing: Costing, slot: int) -> tuple[Array, Array]:
    """Return (B,) J of finished mappings, and the largest need of a port over its bandwidth.

    Of partial ones what both are at least, if no more is held in place: every tensor comes from the next memory that
    may keep it and has room for its present tile.
    """
    energy: Array = terms.compute + costing.energy + (costing.rate * costing.flow * costing.open).sum(axis=0)
    need = costing.stretch.copy()
    waiting = np.ones(costing.flow.shape, dtype=np.bool_)
    for further in reversed(range(slot)):
        if terms.skeletons.slots[further].direction != "temporal":
            continue
        moved = np.zeros((2, len(energy)))
        storage = terms.storage(further)
        for tensor in sorted(
            {one for group in terms.sets(further) for one in group} if further else range(len(waiting))
        ):
            here = waiting[tensor] & (fitting(terms, costing.inside, further, (tensor,)) if further else True)
            waiting[tensor] &= ~here
            read, _, update = terms.joules(further, tensor)
            words = np.where(here, costing.flow[tensor] / costing.shared[tensor], 0.0)
            energy += words * (update if tensor == terms.output else read)
            moved[int(tensor == terms.output)] += words * (terms.bits(further, tensor) / storage.reference_bits)
        if further < terms.outermost_array:
            need = _needed(storage, moved, costing.cycles, need)
    return energy, need


def _needed(storage: Storage, moved: Array, turns: Array, need: Array) -> Array:
    """Return the larger of ``need`` and what the ports of a memory need to move (reads, writes) in so many cycles."""
    limits = (storage.read_bandwidth, storage.write_bandwidth, storage.shared_bandwidth)
    for limit, words in zip(limits, (*moved, moved.sum(axis=0)), strict=True):
        if limit is not None:
            need = np.maximum(need, words / (turns * limit))
    return need


def fitting(terms: Terms, inside: Array, slot: int, tensors: tuple[int, ...]) -> Mask:
    """Return (B,) whether tiles of ``tensors`` fit the memory of a slot."""
    storage = terms.storage(slot)
    if storage.capacity_bits is None:
        return np.ones(inside.shape[1], dtype=np.bool_)
    sizes = np.minimum(inside, terms.extents[:, None])
    taken = np.zeros(inside.shape[1])
    for tensor in tensors:
        taken += terms.views[tensor].footprint(sizes) * terms.bits(slot, tensor)
    fits: Mask = taken * storage.buffers <= storage.capacity_bits
    return fits


def fullest(
    terms: Terms, left: Integers, bounds: Integers, inside: Array, slot: int, tensors: tuple[int, ...]
) -> Mask:  # fmt: skip
    """Return (B,) whether no rank of ``tensors`` can take another prime of what is left into the memory of a slot."""
    full = np.ones(inside.shape[1], dtype=np.bool_)
    if terms.storage(slot).capacity_bits is None:
        return full
    for rank in np.flatnonzero(terms.moves[list(tensors)].any(axis=0)).tolist():
        more = left[rank] // bounds[rank]
        values, where = np.unique(more, return_inverse=True)
        prime = np.array([_divisors(int(value))[1] if value > 1 else 1 for value in values.tolist()])[where]
        larger = inside.copy()
        larger[rank] *= prime
        full &= (prime == 1) | ~fitting(terms, larger, slot, tensors)
    return full


def undominated(costing: Costing, ranked: Integers, scores: Array, groups: Integers) -> Integers:
    """Return those of ``ranked`` (best first) that the best of their group does not beat in everything."""
    order = ranked[np.argsort(groups[ranked], kind="stable")]
    first = np.flatnonzero(np.concatenate([[True], np.diff(groups[order]) != 0]))
    leader = np.repeat(order[first], np.diff(np.append(first, len(order))))
    worse = (costing.energy[order] >= costing.energy[leader]) & (costing.stretch[order] >= costing.stretch[leader])
    worse &= (costing.flow[:, order] >= costing.flow[:, leader]).all(axis=0)
    worse &= (costing.rate[:, order] >= costing.rate[:, leader]).all(axis=0)
    worse &= (costing.open[:, order] <= costing.open[:, leader]).all(axis=0)
    rest = order[~worse | (order == leader)]
    best: Integers = rest[np.argsort(scores[rest], kind="stable")]
    return best


def splits(terms: Terms, costing: Costing, slot: int, most: int) -> tuple[Integers, Integers, bool]:
    """Return (parent (M,), bounds (ranks, M), whether all are there): the splits of what is left that may fit.

    Ranks are split one after the other; what already overflows the memory of the slot, whatever it keeps, goes no
    further. Where more than ``most`` remain the last parents are left out.
    """
    ranks, count = costing.left.shape
    sets, whole = terms.sets(slot), True
    parent = np.arange(count)
    bounds = np.ones((ranks, count), dtype=np.int64)
    smallest = [one for one in sets if not any(set(other) < set(one) for other in sets)]
    tight = np.array([terms.moves[list(one)].any(axis=0) for one in smallest]).sum(axis=0)
    for rank in np.argsort(-tight, kind="stable").tolist():  # those first that fill the memory whatever it keeps
        values = np.unique(costing.left[rank])
        if values[-1] == 1:
            continue
        divisors = [_divisors(int(value)) for value in values.tolist()]
        table = np.ones((len(values), max(map(len, divisors))), dtype=np.int64)
        for row, found in enumerate(divisors):
            table[row, : len(found)] = found
        rows = np.searchsorted(values, costing.left[rank, parent])
        sizes = np.array([len(one) for one in divisors])[rows]
        each = np.repeat(np.arange(len(parent)), sizes)
        digit = np.arange(len(each)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        parent, bounds = parent[each], bounds[:, each]
        bounds[rank] = table[rows[each], digit]
        fits = np.full(len(parent), not tight[rank])
        if tight[rank]:
            inside = costing.inside[:, parent] * bounds
            for one in smallest:
                fits |= fitting(terms, inside, slot, one)
        elif len(parent) <= most:
            continue
        if fits.sum() > most:
            last = parent[np.flatnonzero(fits)[most]]
            fits &= parent < max(last, 1)
            whole = False
        parent, bounds = parent[fits], bounds[:, fits]
    return parent, bounds, whole


def _divisors(value: int) -> list[int]:
    small = [one for one in range(1, int(value**0.5) + 1) if value % one == 0]
    return sorted({*small, *(value // one for one in small)})
