"""All mappings one step away from a mapping, as batches.

A step moves one prime of a rank to another slot, exchanges two primes between two slots, gives a slot another class
of orders, or changes one level of one tensor: kept or passed by, or its tile cut one slot further in or out. Ragged
spaces also raise and lower bounds by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from codesign.search.mapping.genome import Genome, Mask, join
from codesign.search.mapping.loop_factors import tighten
from codesign.search.mapping.loop_orders import classes
from codesign.search.mapping.numbering import seen
from codesign.search.mapping.skeleton import Option

if TYPE_CHECKING:
    from codesign.search.mapping.space import MappingSpace


def neighbours(space: MappingSpace, genome: Genome) -> Genome:
    """Return the mappings around those of ``genome``, each of which fits arrays and memories.

    The mappings themselves may be among them; equal ones may occur twice.
    """
    parts = [
        genome,
        _primes(space, genome),
        _exchanges(space, genome),
        *_orders(space, genome),
        *_keeping(space, genome),
    ]
    if space.ragged:
        parts += _nudges(space, genome)
    around = join(parts)
    return around.take(_fits(space, around))


def _fits(space: MappingSpace, genome: Genome) -> Mask:
    limits = space.limits[:, None]
    arrays = ((genome.factors.prod(axis=1) <= limits) | (limits == 0)).all(axis=0)
    fits: Mask = arrays & ~space.tiles.overflow(genome).any(axis=0)
    return fits if space.loops is None else fits & space.loops.keep(genome.factors)


def _primes(space: MappingSpace, genome: Genome) -> Genome:
    """Return the mappings in which one prime of a rank stands in another slot."""
    usable = space.moves.usable.tolist()
    steps = np.array([
        (rank, prime, source, target)
        for rank, primes in enumerate(space.divisors.primes) for prime in sorted(set(primes))
        for source in usable for target in usable if source != target
    ], dtype=np.int64).reshape(-1, 4)  # fmt: skip
    rank, prime, source, target = steps.T
    step, at = np.nonzero(genome.factors[source, rank] % prime[:, None] == 0)
    found, columns = genome.take(at), np.arange(len(at))
    found.factors[source[step], rank[step], columns] //= prime[step]
    found.factors[target[step], rank[step], columns] *= prime[step]
    return found


def _exchanges(space: MappingSpace, genome: Genome) -> Genome:
    """Return the mappings in which two slots exchange a prime of one rank for a prime of another (or another prime).

    Where an array or a memory is full, a prime can only come in when another goes out.
    """
    usable = space.moves.usable.tolist()
    each = [(rank, prime) for rank, primes in enumerate(space.divisors.primes) for prime in sorted(set(primes))]
    steps = np.array(
        [(*one, *two, here, there) for one in each for two in each for here in usable for there in usable
         if one != two and here < there], dtype=np.int64
    ).reshape(-1, 6)  # fmt: skip
    first, out, second, back, here, there = steps.T
    divides = genome.factors[here, first] % out[:, None] == 0
    step, at = np.nonzero(divides & (genome.factors[there, second] % back[:, None] == 0))
    found, columns = genome.take(at), np.arange(len(at))
    for rank, prime, source, target in ((first, out, here, there), (second, back, there, here)):
        found.factors[source[step], rank[step], columns] //= prime[step]
        found.factors[target[step], rank[step], columns] *= prime[step]
    return found


def _nudges(space: MappingSpace, genome: Genome) -> Iterator[Genome]:
    """Yield the mappings in which one bound is one higher or lower and another takes up the rest."""
    for rank, extent in enumerate(space.divisors.extents.tolist()):
        for slot in space.moves.usable.tolist():
            for step in (-1, 1):
                for other in space.moves.temporal.tolist():
                    bound = genome.factors[slot, rank] + step
                    at = np.flatnonzero((bound >= 1) & (bound <= extent))
                    if other == slot or not len(at):
                        continue
                    found = genome.take(at)
                    found.factors[slot, rank] += step
                    found.factors[other, rank] = 1
                    found.factors[other, rank] = -(-extent // found.factors[:, rank].prod(axis=0))
                    factors = tighten(found.factors, space.divisors.extents)
                    yield Genome(found.options, factors, found.orders)


def _orders(space: MappingSpace, genome: Genome) -> Iterator[Genome]:
    """Yield the mappings in which one slot has another class of orders."""
    powers = 1 << np.arange(len(space.skeletons.ranks), dtype=np.int64)
    for place, slot in enumerate(space.skeletons.temporal):
        tensors = seen(space.sees, genome.options, place)
        running = ((genome.factors[slot] > 1) * powers[:, None]).sum(axis=0)
        for index in range(genome.size):  # a handful of mappings: those that a local search stands on
            orders = [one.order for one in classes(space.relevance, int(tensors[index]), int(running[index]))]
            if len(orders) > 1:
                found = genome.take(np.full(len(orders), index))
                found.orders[place] = np.array(orders).T
                yield found


def _keeping(space: MappingSpace, genome: Genome) -> Iterator[Genome]:
    """Yield the mappings in which one level of one tensor is kept differently."""
    for tensor, options in enumerate(space.skeletons.options):
        for index in range(genome.size):
            mine = options[genome.options[tensor, index]]
            others = [place for place, option in enumerate(options) if _adjacent(mine, option)]
            if others:
                found = genome.take(np.full(len(others), index))
                found.options[tensor] = others
                yield found


def _adjacent(first: Option, second: Option) -> bool:
    """Say whether two ways to keep a tensor differ in one level only, and in its cut by one slot at most."""
    one, two = ({holding.level: holding.cut for holding in option} for option in (first, second))
    apart = [level for level in {*one, *two} if one.get(level) != two.get(level)]
    if len(apart) != 1:
        return False
    level = apart[0]
    return level not in one or level not in two or abs(one[level] - two[level]) == 1
