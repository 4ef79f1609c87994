"""A loop nest walked step by step: obvious code that counts every access, for tiny sizes.

Every instance of a level is followed by itself through every temporal step. It holds one tile, a set of coordinates.
When only loops advance that do not move a tensor, its tile stays. When the one loop that advanced is the innermost
running loop, what both tiles share stays; with ``retain`` the innermost of those that move the tensor. Otherwise the
whole tile comes in.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from codesign.costmodels.accelerator import Mappings, Problem
from codesign.costmodels.accelerator.mapping import Slots, loops_of
from codesign.costmodels.accelerator.problem import relevant
from codesign.workload import Tensor

Coordinate = tuple[int, ...]
Tile = frozenset[Coordinate]


class Loop(NamedTuple):
    slot: int
    rank: str
    bound: int
    spatial: bool
    stride: int


class Arrival(NamedTuple):
    """A tile that replaces another one in an instance: the tile, and which of its words come in."""

    tile: Tile
    fresh: Tile


class Access(NamedTuple):
    reads: float
    fills: float
    updates: float


def loops(mappings: Mappings) -> list[Loop]:
    """Return the loops of the first mapping, outermost first."""
    bare = loops_of(mappings)
    found = []
    for place, (slot, rank, bound) in enumerate(bare):
        stride = prod(b for _, r, b in bare[place + 1 :] if r == rank)
        found.append(Loop(slot, rank, bound, mappings.slots.slots[slot].direction != "temporal", stride))
    return found


def tile_at(tensor: Tensor, inside: dict[str, int], base: dict[str, int]) -> Tile:
    """Return the bounding box of a tensor over ``inside`` iterations of every rank, from ``base`` on."""
    spans = []
    for axis in tensor.axes:
        low = sum(step * base[rank] for rank, step in axis.terms)
        spans.append(range(low, low + 1 + sum(step * (inside[rank] - 1) for rank, step in axis.terms)))
    return frozenset(itertools.product(*spans))


def arrivals(
    tensor: Tensor, nest: list[Loop], cut: int, spatial: tuple[int, ...], ranks: list[str], retain: bool
) -> Iterator[Arrival]:
    """Yield what comes into one instance; ``spatial`` are its indices in the spatial loops outside of ``cut``."""
    outside = [loop for loop in nest if loop.slot < cut]
    inside = {rank: prod(loop.bound for loop in nest if loop.slot >= cut and loop.rank == rank) for rank in ranks}
    temporal = [loop for loop in outside if not loop.spatial]
    arrays = [loop for loop in outside if loop.spatial]
    moving = relevant(tensor)
    previous: tuple[int, ...] | None = None
    held: Tile = frozenset()
    for steps in itertools.product(*(range(loop.bound) for loop in temporal)):
        base = dict.fromkeys(ranks, 0)
        for loop, index in (*zip(temporal, steps), *zip(arrays, spatial)):
            base[loop.rank] += index * loop.stride
        tile = tile_at(tensor, inside, base)
        changed = [place for place in range(len(steps)) if previous is None or steps[place] != previous[place]]
        if previous is None or any(temporal[place].rank in moving for place in changed):
            last = max((place for place, loop in enumerate(temporal) if loop.rank in moving), default=-1)
            slides = previous is not None and changed == [len(steps) - 1]
            if retain and previous is not None:
                moved = [place for place in changed if temporal[place].rank in moving]
                slides = moved == [last] and steps[last] == previous[last] + 1
            yield Arrival(tile, tile - held if slides else tile)
            held = tile
        previous = steps


def places(nest: list[Loop], outer: int, inner: int) -> list[tuple[int, ...]]:
    """Return the index tuples of the spatial loops from slot ``outer`` up to ``inner``."""
    return list(itertools.product(*(range(loop.bound) for loop in nest if loop.spatial and outer <= loop.slot < inner)))


def accesses(problem: Problem, mappings: Mappings, tensor: Tensor, retain: bool = False) -> list[Access]:
    """Return reads, fills and updates per instance of every level that keeps ``tensor``, outermost first."""
    slots: Slots = mappings.slots
    nest, ranks, end = loops(mappings), list(problem.ranks), len(mappings.slots.slots)
    cuts = [holding.cut for holding in slots.holdings[[one is tensor for one in problem.tensors].index(True)]]
    latched = bool(nest) and nest[-1].spatial
    moving = relevant(tensor)
    found = []
    for place, cut in enumerate(cuts):
        innermost = place + 1 == len(cuts)
        inner = end if innermost else cuts[place + 1]
        between = [loop for loop in nest if loop.spatial and cut <= loop.slot < inner]
        per_instance = []
        for here in places(nest, 0, cut):
            streams = [
                below for below in places(nest, cut, inner)
                if all(index == 0 or loop.rank in moving for loop, index in zip(between, below))
            ]  # fmt: skip
            every_step = innermost and not latched
            per_instance.append(_served(problem, tensor, nest, (cut, inner), here, streams, every_step, retain))
        assert len(set(per_instance)) == 1, "instances of a perfect nest are alike"
        reads, updates = per_instance[0]
        fills = 0
        if place:
            fills = _filled(tensor, nest, cut, ranks, tensor is problem.output, retain)
        found.append(Access(reads, fills, updates))
    return found


def _served(
    problem: Problem, tensor: Tensor, nest: list[Loop], span: tuple[int, int], here: tuple[int, ...],
    streams: list[tuple[int, ...]], every_step: bool, retain: bool,
) -> tuple[int, int]:  # fmt: skip
    """Return (reads, updates) of one instance that serves ``streams`` of children."""
    reads = updates = 0
    touched: set[Coordinate] = set()
    ranks = list(problem.ranks)
    for below in streams:
        came = arrivals(tensor, nest, span[1], here + below, ranks, retain)
        moved = _steps(tensor, nest, here + below, ranks) if every_step else (arrival.fresh for arrival in came)
        for words in moved:
            if tensor is problem.output:
                updates += len(words)
                reads += len(words & touched)
                touched |= words
            else:
                reads += len(words)
    return reads, updates


def _steps(tensor: Tensor, nest: list[Loop], spatial: tuple[int, ...], ranks: list[str]) -> Iterator[Tile]:
    """Yield the word that one compute unit takes at every temporal step."""
    temporal = [loop for loop in nest if not loop.spatial]
    arrays = [loop for loop in nest if loop.spatial]
    for steps in itertools.product(*(range(loop.bound) for loop in temporal)):
        base = dict.fromkeys(ranks, 0)
        for loop, index in (*zip(temporal, steps), *zip(arrays, spatial)):
            base[loop.rank] += index * loop.stride
        yield tile_at(tensor, dict.fromkeys(ranks, 1), base)


def _filled(tensor: Tensor, nest: list[Loop], cut: int, ranks: list[str], output: bool, retain: bool) -> int:
    """Return the words written into one instance from above; of an output only those it has seen before."""
    totals = set()
    for here in places(nest, 0, cut):
        total, touched = 0, set[Coordinate]()
        for arrival in arrivals(tensor, nest, cut, here, ranks, retain):
            total += len(arrival.fresh & touched) if output else len(arrival.fresh)
            touched |= arrival.tile
        totals.add(total)
    assert len(totals) == 1
    return totals.pop()
