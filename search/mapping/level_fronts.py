"""Mappings built from the inside out, a level at a time, keeping what nothing else dominates.

What a mapping costs is a sum over tensors and the boundaries between their memories. What crosses a boundary depends on
the tile inside of it, and on the iterations outside, which follow from what is inside: their product is what the tile
leaves of the problem. So a partial mapping - the loops of the inner levels, their order, what they keep - has a cost of
its own, whatever comes further out, but for loops directly outside that leave a tile in place.

A level is added to all partial mappings at once: every split of what is left, the orders that hold one of the tensors
in place, every set of tensors that the level may keep. Those whose tiles overflow are dropped; of those with equal
tiles, those that cost more in everything; of the rest the best ``width`` by what they cost at least are kept. Within
that width the enumeration is complete. Costs are those of the counting rules without halos and rounding; what is
returned is to be priced by the model itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.search.mapping.array_fills import array_fills
from codesign.search.mapping.genome import Genome
from codesign.search.mapping.loop_factors import tighten
from codesign.search.mapping.partial_mappings import (
    Array,
    Costing,
    Integers,
    Mask,
    Terms,
    fitting,
    fullest,
    kept,
    past_array,
    past_loops,
    prospects,
    splits,
    started,
    undominated,
)

if TYPE_CHECKING:
    from codesign.search.mapping.space import MappingSpace

WIDTH = 200
"""Partial mappings that are kept from level to level."""

FILLS = 300
"""Fillings of the arrays that mappings are built on, those of fewest steps."""

LISTED = 20_000
"""Splits that one level lists at most; of the worst partial mappings none are listed first."""

LARGEST = 8_000
"""Partial mappings that one level prices at most."""

BEST = 8
"""So many times the width, of the least energy times cycles, are compared with each other."""

FRUGAL = 4
"""One in so many of those kept is kept for its energy alone, not for energy times cycles."""


class _Grown(NamedTuple):
    """Partial mappings that a level made, not written out yet: parent, bounds, tensor held in place, tensors kept."""

    parent: Integers
    bounds: Integers
    held: Integers
    keeps: Mask
    costing: Costing


def level_fronts(space: MappingSpace, width: int = WIDTH) -> tuple[Genome, bool]:
    """Return the best mappings of a pruned enumeration, best first, and whether it was complete.

    Complete means that no limit of width or number cut anything off but what others dominate.

    Args:
        space: A space of even mappings.
        width: Partial mappings that are kept from level to level.
    """
    terms = Terms(space)
    slots, spatial = space.skeletons.slots, list(space.skeletons.spatial)
    fills = array_fills(space.divisors, space.limits, spatial, space.ragged, FILLS + 1)
    complete = fills.shape[2] <= FILLS
    fills = fills[..., :FILLS]
    costing = started(terms, fills)
    count = fills.shape[2]
    factors = np.ones((len(slots), *fills.shape[1:]), dtype=np.int64)
    factors[spatial] = fills
    orders = np.tile(np.arange(fills.shape[1])[None, :, None], (len(space.skeletons.temporal), 1, count))
    keeps = np.zeros((len(slots), len(terms.views), count), dtype=np.bool_)
    for slot in reversed(range(len(slots))):
        if slot in spatial:
            costing = past_array(terms, costing, factors[slot])
            continue
        made, whole = _grow(terms, costing, slot)
        if not len(made.parent):  # a memory that may not be passed by is too small for any tile
            return _genome(space, factors[..., :0], orders[..., :0], keeps[..., :0]), False
        best, narrow = _best(terms, made, factors[spatial], slot, width)
        complete &= whole and narrow
        parent = made.parent[best]
        factors, orders, keeps = factors[..., parent], orders[..., parent], keeps[..., parent]
        factors[slot] = made.bounds[:, best]
        orders[space.skeletons.temporal.index(slot)] = np.stack(terms.orders)[made.held[best]].T
        keeps[slot] = made.keeps[:, best]
        costing = made.costing.take(best)
    return _genome(space, factors, orders, keeps), complete


def _grow(terms: Terms, costing: Costing, slot: int) -> tuple[_Grown, bool]:
    """Return every partial mapping with a level more, and whether all are there."""
    everything = tuple(range(len(terms.views)))
    parts: list[_Grown] = []
    sets = terms.sets(slot) if slot else [everything]
    if slot and sets:
        parent, bounds, whole = splits(terms, costing, slot, LISTED)
    else:
        parent, bounds, whole = np.arange(costing.left.shape[1]), costing.left, True
    inside = costing.inside[:, parent] * bounds
    chosen = []
    for held in everything:
        stays = (bounds[~terms.moves[held]] > 1).any(axis=0) & costing.open[held, parent]
        # without a loop that leaves it in place one order does for all: the first tensor's
        useful = stays | (held == 0)
        for one in sets:
            chosen.append((held, one, useful & fitting(terms, inside, slot, one)))
    if sum(int(fits.sum()) for *_, fits in chosen) > LARGEST:
        whole = False
        full = {one: fullest(terms, costing.left[:, parent], bounds, inside, slot, one) for one in sets}
        chosen = [(held, one, fits & full[one]) for held, one, fits in chosen]
        chosen = [(held, one, _shared_out(fits, parent, LARGEST // len(chosen))) for held, one, fits in chosen]
    for held, one, fits in chosen:
        at = np.flatnonzero(fits)
        around = past_loops(terms, costing.take(parent[at]), bounds[:, at], held)
        parts.append(_grown(terms, parent[at], bounds[:, at], held, one, kept(terms, around, slot, one)))
    if slot and terms.may_skip(slot):
        every = np.arange(costing.left.shape[1])
        parts.append(_grown(terms, every, np.ones_like(costing.left), 0, (), costing))
    nothing = np.zeros(0, dtype=np.int64)
    parts.append(_grown(terms, nothing, costing.left[:, :0], 0, (), costing.take(nothing)))
    return _joined(parts), whole


def _shared_out(chosen: Mask, parent: Integers, most: int) -> Mask:
    """Return at most about ``most`` of those chosen, as many of each parent: spread evenly over its splits."""
    at = np.flatnonzero(chosen)
    if len(at) <= most:
        return chosen
    counts = np.bincount(parent[at], minlength=int(parent.max()) + 1)
    quota = max(1, most // int((counts > 0).sum()))
    place = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    step = np.maximum(1, -(-counts // quota))[parent[at]]
    kept_here = np.zeros_like(chosen)
    kept_here[at[place % step == 0]] = True
    return kept_here


def _grown(
    terms: Terms, parent: Integers, bounds: Integers, held: int, tensors: tuple[int, ...], costing: Costing
) -> _Grown:  # fmt: skip
    keeps = np.zeros((len(terms.views), len(parent)), dtype=np.bool_)
    keeps[list(tensors)] = True
    return _Grown(parent, bounds, np.full(len(parent), held, dtype=np.int64), keeps, costing)


def _joined(parts: list[_Grown]) -> _Grown:
    columns = [np.concatenate(arrays, axis=-1) for arrays in zip(*(part.costing for part in parts), strict=True)]
    parent, bounds, held, keeps = (
        np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in ("parent", "bounds", "held", "keeps")
    )
    return _Grown(parent, bounds, held, keeps, Costing._make(columns))


def _best(terms: Terms, made: _Grown, spatial: Integers, slot: int, width: int) -> tuple[Integers, bool]:
    """Return the places of the partial mappings to go on with, best first, and whether only dominated ones are gone."""
    energy, stretch = prospects(terms, made.costing, slot)
    product: Array = energy * made.costing.cycles * stretch
    groups = _groups(made, spatial)
    best = np.arange(len(product))
    if len(best) > BEST * width:
        best = np.union1d(
            np.argpartition(product, BEST * width)[: BEST * width], np.argpartition(energy, width)[:width]
        )
    ranked = undominated(made.costing, best[np.argsort(product[best], kind="stable")], product, groups)
    if len(ranked) <= width:
        return ranked, len(best) == len(product)
    frugal = ranked[np.argsort(energy[ranked], kind="stable")][: width // FRUGAL]
    return np.concatenate(
        [ranked[: width - len(frugal)], frugal[~np.isin(frugal, ranked[: width - len(frugal)])]]
    ), False


def _groups(made: _Grown, spatial: Integers) -> Integers:
    """Return (B,) numbers that are equal where tiles and arrays are."""
    rows = np.concatenate([made.costing.inside.astype(np.int64), spatial.reshape(-1, spatial.shape[2])[:, made.parent]])
    weights = np.random.Generator(np.random.Philox(key=1)).integers(1, 2**62, size=len(rows)) | 1
    hashed: Integers = (rows * weights[:, None]).sum(axis=0)
    return hashed


def _genome(space: MappingSpace, factors: Integers, orders: Integers, keeps: Mask) -> Genome:
    """Return finished mappings as a batch; those that no option describes or that do not fit are left out."""
    options = np.stack([
        _option(space, tensor, keeps[:, tensor]) for tensor in range(len(space.skeletons.options))
    ])  # fmt: skip
    if space.ragged:
        factors = tighten(factors, space.divisors.extents)
    genome = Genome(options, factors, orders).take((options >= 0).all(axis=0))
    return genome.take(~space.tiles.overflow(genome).any(axis=0))


def _option(space: MappingSpace, tensor: int, keeps: NDArray[np.bool_]) -> Integers:
    """Return (B,) the option of a tensor that keeps it at exactly these slots; -1 where there is none."""
    found = np.full(keeps.shape[1], -1, dtype=np.int64)
    for number, option in enumerate(space.skeletons.options[tensor]):
        wanted = np.zeros(len(keeps), dtype=np.bool_)
        wanted[[holding.cut for holding in option]] = True
        found[(keeps == wanted[:, None]).all(axis=0)] = number
    return found
