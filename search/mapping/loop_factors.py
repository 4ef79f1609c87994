"""Loop bounds of a rank over the slots: ordered factorisations, drawn, listed and repaired.

A *perfect* split multiplies to the extent. A *ragged* one multiplies to at least the extent and no single bound can be
lowered without leaving a part uncovered; the last tile is then short. Bounds are arrays (slots, ranks, B).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from codesign.costmodels.accelerator.draw import primes
from codesign.search.mapping.genome import Genome, Integers, Mask

MOST_TURNS = 256
"""Primes that a repair moves at most; more than any problem has."""


class Divisors:
    """The primes of every rank."""

    def __init__(self, extents: Sequence[int]) -> None:
        self.extents = np.asarray(extents, dtype=np.int64)
        self.primes = [list(primes(extent)) for extent in extents]
        distinct = [sorted(set(one)) for one in self.primes]
        longest = max((len(one) for one in distinct), default=0) or 1
        self.table = np.array([[*one, *[1] * (longest - len(one))] for one in distinct], dtype=np.int64)

    def pick(self, generator: np.random.Generator, rank: Integers, bound: Integers) -> Integers:
        """Return for each (rank, bound above 1) a prime of the rank that divides the bound; 2 where none does."""
        table = self.table[rank]
        divides = (bound[:, None] % table == 0) & (table > 1)
        choice = np.argmax(generator.random(table.shape, dtype=np.float32) * divides, axis=1)
        rows = np.arange(len(rank))
        return np.where(divides[rows, choice], table[rows, choice], 2)


def shift(genome: Genome, at: Integers, rank: Integers, source: Integers, target: Integers, prime: Integers) -> None:
    """Move a prime of a rank from one slot to another, in the mappings ``at``; a bound it does not divide rounds up."""
    genome.factors[source, rank, at] = -(-genome.factors[source, rank, at] // prime)
    genome.factors[target, rank, at] *= prime


def tighten(factors: Integers, extents: Integers) -> Integers:
    """Return bounds lowered, outermost first, as far as they still cover the extents; too small ones are raised."""
    factors = factors.copy()
    whole = factors.prod(axis=0)
    short = whole < extents[:, None]
    if short.any():
        others = whole // factors[0]
        factors[0] = np.where(short, -(-extents[:, None] // others), factors[0])
        whole = others * factors[0]
    for slot in range(factors.shape[0]):
        others = whole // factors[slot]
        factors[slot] = np.minimum(factors[slot], -(-extents[:, None] // others))
        whole = others * factors[slot]
    return factors


def draw(
    divisors: Divisors, limits: Integers, temporal: Sequence[int], count: int, generator: np.random.Generator
) -> Integers:
    """Return (slots, ranks, count) perfect splits: each prime in a slot at random, arrays never overfilled.

    Args:
        divisors: The primes.
        limits: (slots,) most copies of a spatial slot; 0 for a temporal one.
        temporal: The temporal slots.
        count: How many.
        generator: Source of randomness.
    """
    usable = np.array([slot for slot, limit in enumerate(limits.tolist()) if limit != 1])
    factors = np.ones((len(limits), len(divisors.primes), count), dtype=np.int64)
    copies = np.ones((len(limits), count), dtype=np.int64)
    each = [(rank, prime) for rank, found in enumerate(divisors.primes) for prime in found]
    columns, home = np.arange(count), np.asarray(temporal)
    for place in generator.permutation(len(each)).tolist():
        rank, prime = each[place]
        slot = usable[generator.integers(len(usable), size=count)]
        full = (limits[slot] > 0) & (copies[slot, columns] * prime > limits[slot])
        slot = np.where(full, home[generator.integers(len(home), size=count)], slot)
        factors[slot, rank, columns] *= prime
        copies[slot, columns] *= prime
    return factors


def perfect_splits(extent: int, limits: Sequence[int]) -> Integers:
    """Return (N, slots) every ordered factorisation of ``extent``; spatial slots stay within their limits."""
    rows = np.ones((1, len(limits)), dtype=np.int64)
    found = list(primes(extent))
    for prime in sorted(set(found)):
        ways = _compositions(found.count(prime), len(limits))
        rows = (rows[:, None, :] * prime ** ways[None, :, :]).reshape(-1, len(limits))
        rows = rows[_within(rows, limits)]
    return rows


def ragged_splits(extent: int, limits: Sequence[int]) -> Integers:
    """Return (N, slots) every tight split of ``extent``: bounds that cover it, none of which can be lowered."""
    most = [min(extent, limit) if limit else extent for limit in limits]
    rows = np.array(list(product(*(range(1, one + 1) for one in most))), dtype=np.int64)
    whole = rows.prod(axis=1)
    lower = np.where(rows > 1, whole[:, None] // rows * (rows - 1), 0)
    tight: Mask = (whole >= extent) & (lower < extent).all(axis=1)
    chosen: Integers = rows[tight]
    return chosen


def count_perfect(extent: int, slots: int) -> int:
    """Return how many ordered factorisations over ``slots`` slots there are, limits apart."""
    from math import comb, prod

    found = list(primes(extent))
    return prod(comb(found.count(prime) + slots - 1, slots - 1) for prime in set(found))


def _compositions(total: int, parts: int) -> Integers:
    """Return (N, parts) every way to write ``total`` as an ordered sum."""
    if parts == 1:
        return np.array([[total]], dtype=np.int64)
    found = [
        np.hstack([np.full((len(rest), 1), first), rest])
        for first in range(total + 1)
        for rest in (_compositions(total - first, parts - 1),)
    ]
    return np.concatenate(found)


def _within(rows: Integers, limits: Sequence[int]) -> Mask:
    most = np.array([limit or np.iinfo(np.int64).max for limit in limits])
    return np.asarray((rows <= most).all(axis=1), dtype=np.bool_)
