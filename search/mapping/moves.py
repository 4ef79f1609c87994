"""How mappings are varied, whole batches at once: moving primes, swapping loops, changing what a level keeps.

Every operator returns mappings that fit arrays and memories: where a change makes a tile too large, primes move out of
it, to loops further outside, until it fits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.search.mapping.genome import Genome, Integers, Mask
from codesign.search.mapping.loop_factors import MOST_TURNS, Divisors, draw, shift, tighten
from codesign.search.mapping.loop_limits import LoopLimits, draw_within
from codesign.search.mapping.skeleton import Skeletons
from codesign.search.mapping.tiles import Tiles

SPATIAL_WEIGHT = 0.1
"""How readily a repair takes a prime out of an array, against one out of a temporal loop: arrays are to be filled."""

PRIME, SWAP = 0.6, 0.9
"""Mutations that move a prime; those, and those that swap two loops. The rest change which levels keep a tensor."""

FILLING = 8
"""Primes that filling an array tries to bring in."""

MOST_STEPS = 3
"""Further primes that a mutation moves at most."""


class Moves:
    """The operators of one space."""

    def __init__(
        self, skeletons: Skeletons, divisors: Divisors, limits: Integers, tiles: Tiles, ragged: bool,
        loops: LoopLimits | None = None,
    ) -> None:  # fmt: skip
        self.skeletons, self.divisors, self.limits, self.tiles, self.ragged = skeletons, divisors, limits, tiles, ragged
        self.loops = loops
        self.temporal = np.asarray(skeletons.temporal)
        self.usable = np.flatnonzero(limits != 1)
        self.ranks = len(skeletons.ranks)
        self.choices = np.array([len(options) for options in skeletons.options])
        self.changeable = np.flatnonzero(self.choices > 1)
        self.weights = np.where(limits == 0, 1.0, SPATIAL_WEIGHT)[:, None, None].astype(np.float32)

    # --- drawing ------------------------------------------------------------------------------------------------

    def sample(self, generator: np.random.Generator, count: int) -> Genome:
        """Return ``count`` random mappings that fit."""
        options = np.stack([generator.integers(most, size=count) for most in self.choices.tolist()])
        if self.loops is None:
            factors = draw(self.divisors, self.limits, self.temporal.tolist(), count, generator)
        else:
            factors = draw_within(self.loops, self.divisors, self.limits, count, generator)
        keys = generator.random((len(self.temporal), self.ranks, count), dtype=np.float32)
        genome = Genome(options, factors, np.argsort(keys, axis=1))
        if self.ragged and count:
            half = np.flatnonzero(generator.random(count) < 0.5)
            genome.put(half, self._kick(generator, genome.take(half)))
        return self.fit(generator, genome)

    def mutate(self, generator: np.random.Generator, genome: Genome, rate: float | None = None) -> Genome:
        """Return mappings changed: one step each, and half of them more primes.

        ``rate`` is the share of the primes that move; half of the mappings move one, a quarter two, and so on where
        None.
        """
        genome = genome.copy()
        chance = generator.random(genome.size)
        self._move_primes(generator, genome, np.flatnonzero(chance < PRIME))
        self._swap(generator, genome, np.flatnonzero((chance >= PRIME) & (chance < SWAP)))
        self._change_keeping(generator, genome, np.flatnonzero(chance >= SWAP))
        more = generator.geometric(0.5, size=genome.size) - 1
        if rate is not None:
            more[:] = max(0, round(rate * sum(map(len, self.divisors.primes))) - 1)
        for turn in range(min(int(more.max(initial=0)), MOST_STEPS if rate is None else MOST_TURNS)):
            self._move_primes(generator, genome, np.flatnonzero(more > turn))
        return self.fit(generator, genome)

    def crossover(self, generator: np.random.Generator, first: Genome, second: Genome, fit: bool = True) -> Genome:
        """Return one child a pair: bounds by rank, orders by slot, kept levels by tensor, each of either parent.

        Without ``fit`` tiles may overflow: for those that are changed and repaired after.
        """
        sides = [generator.random((size, first.size)) < 0.5 for size in
                 (len(self.choices), self.ranks, len(self.temporal))]  # fmt: skip
        child = Genome(
            np.where(sides[0], first.options, second.options),
            np.where(sides[1][None], first.factors, second.factors),
            np.where(sides[2][:, None], first.orders, second.orders),
        )
        return self.fit(generator, child) if fit else child

    # --- single changes, in place -------------------------------------------------------------------------------

    def _move_primes(self, generator: np.random.Generator, genome: Genome, at: Integers) -> None:
        if not len(at):
            return
        if self.ragged:
            some = generator.random(len(at)) < 0.3
            genome.put(at[some], self._kick(generator, genome.take(at[some])))
            at = at[~some]
        slot, rank, found = _draw_cell(generator, self._loose(genome.factors[..., at]))
        at, slot, rank = at[found], slot[found], rank[found]
        if self.loops is not None:
            self._shift_within(generator, genome, at, slot, rank, self.limits != 1)
            return
        step = generator.integers(1, max(2, len(self.usable)), size=len(at))
        place = np.searchsorted(self.usable, slot)
        target = self.usable[(place + step) % len(self.usable)]
        prime = self.divisors.pick(generator, rank, genome.factors[slot, rank, at])
        shift(genome, at, rank, slot, target, prime)
        if self.ragged:
            genome.factors[..., at] = tighten(genome.factors[..., at], self.divisors.extents)

    def _loose(self, factors: Integers) -> Mask:
        """Return the cells that a prime may leave."""
        if self.loops is None:
            return factors > 1
        loose: Mask = np.asarray(self.loops.free[..., None] & (factors > 1), dtype=np.bool_)
        return loose

    def _shift_within(
        self, generator: np.random.Generator, genome: Genome, at: Integers, slot: Integers, rank: Integers, to: Mask
    ) -> Mask:
        """Move a prime out of each cell (slot, rank) to another slot within the limits; return which could.

        ``to`` are the slots it may go to, (slots,) or (slots, B).
        """
        assert self.loops is not None
        prime = self.divisors.pick(generator, rank, genome.factors[slot, rank, at])
        allowed = self.loops.open(rank, genome.factors[:, rank, at], prime)
        allowed &= to if to.ndim == 2 else to[:, None]
        allowed[slot, np.arange(len(at))] = False
        keys = generator.random(allowed.shape) * allowed
        target = keys.argmax(axis=0)
        could: Mask = np.any(allowed, axis=0)
        shift(genome, at[could], rank[could], slot[could], target[could], prime[could])
        return could

    def _kick(self, generator: np.random.Generator, genome: Genome) -> Genome:
        """Set one bound to any number; another slot of the rank takes up what is left, rounded up."""
        factors, at = genome.factors.copy(), np.arange(genome.size)
        rank = generator.integers(self.ranks, size=genome.size)
        slot = self.usable[generator.integers(len(self.usable), size=genome.size)]
        extent = self.divisors.extents[rank]
        most = np.where(self.limits[slot] > 0, np.minimum(self.limits[slot], extent), extent)
        factors[slot, rank, at] = np.floor(np.exp(generator.random(genome.size) * np.log(most + 1.0))).astype(np.int64)
        other = self.temporal[generator.integers(len(self.temporal), size=genome.size)]
        apart = other != slot
        at, rank, other = at[apart], rank[apart], other[apart]
        factors[other, rank, at] = 1
        factors[other, rank, at] = -(-extent[apart] // factors[:, rank, at].prod(axis=0))
        return Genome(genome.options, tighten(factors, self.divisors.extents), genome.orders)

    def _swap(self, generator: np.random.Generator, genome: Genome, at: Integers) -> None:
        if not len(at):
            return
        orders = genome.orders[..., at]
        bounds = np.take_along_axis(genome.factors[self.temporal][..., at], orders, axis=1)
        runs = bounds > 1
        slot, first, _ = _draw_cell(generator, runs & (runs.sum(axis=1, keepdims=True) > 1))
        columns = np.arange(len(at))
        rest = runs[slot, :, columns].T.copy()
        rest[first, columns] = False
        keys = generator.random(rest.shape, dtype=np.float32) + rest
        second = keys.argmax(axis=0)
        genome.orders[slot, first, at] = orders[slot, second, columns]
        genome.orders[slot, second, at] = orders[slot, first, columns]

    def _change_keeping(self, generator: np.random.Generator, genome: Genome, at: Integers) -> None:
        if not len(self.changeable) or not len(at):
            self._move_primes(generator, genome, at)
            return
        # one change for all of a batch: mappings of one skeleton are priced together, so fewer skeletons are faster
        tensor = int(generator.choice(self.changeable))
        step = int(generator.integers(1, self.choices[tensor]))
        genome.options[tensor, at] = (genome.options[tensor, at] + step) % self.choices[tensor]

    # --- repair -------------------------------------------------------------------------------------------------

    def fit(self, generator: np.random.Generator, genome: Genome) -> Genome:
        """Return mappings that fit arrays and memories; what cannot fit, whatever its bounds, stays as it is."""
        genome = genome.copy()
        self._fit_arrays(generator, genome)
        waiting = np.arange(genome.size)
        part = Genome(genome.options, genome.factors, genome.orders[:0])  # orders do not change
        for _ in range(MOST_TURNS):
            over = self.tiles.overflow(part)
            bad = over.any(axis=0)
            genome.factors[..., waiting[~bad]] = part.factors[..., ~bad]
            waiting, part = waiting[bad], part.take(bad)
            if not len(waiting) or not self._move_out(generator, part, over[:, bad]):
                break
        genome.factors[..., waiting] = part.factors
        return genome

    def fill(self, generator: np.random.Generator, genome: Genome) -> Genome:
        """Return mappings whose arrays are filled up with primes of temporal loops, as far as tries find some."""
        genome = genome.copy()
        homes = (self.limits == 0)[:, None, None]
        for slot in np.flatnonzero(self.limits > 1).tolist():
            for _ in range(FILLING):
                at = np.flatnonzero(2 * genome.factors[slot].prod(axis=0) <= self.limits[slot])
                source, rank, found = _draw_cell(generator, self._loose(genome.factors[..., at]) & homes)
                at, source, rank = at[found], source[found], rank[found]
                prime = self.divisors.pick(generator, rank, genome.factors[source, rank, at])
                goes = genome.factors[slot][:, at].prod(axis=0) * prime <= self.limits[slot]
                if not len(at):
                    break
                shift(genome, at[goes], rank[goes], source[goes], np.full(int(goes.sum()), slot), prime[goes])
        return self.fit(generator, genome)

    def _fit_arrays(self, generator: np.random.Generator, genome: Genome) -> None:
        for slot in np.flatnonzero(self.limits > 0).tolist():
            for _ in range(MOST_TURNS):
                at = np.flatnonzero(genome.factors[slot].prod(axis=0) > self.limits[slot])
                if not len(at):
                    break
                keys = generator.random((self.ranks, len(at))) * self._loose(genome.factors[..., at])[slot]
                rank = keys.argmax(axis=0)
                if self.loops is not None:
                    loose = keys.any(axis=0)
                    homes = np.isin(np.arange(len(self.limits)), self.temporal)
                    at, rank = at[loose], rank[loose]
                    if not self._shift_within(generator, genome, at, np.full(len(at), slot), rank, homes).any():
                        break
                    continue
                target = self.temporal[generator.integers(len(self.temporal), size=len(at))]
                prime = self.divisors.pick(generator, rank, genome.factors[slot, rank, at])
                shift(genome, at, rank, np.full(len(at), slot), target, prime)
                if self.ragged:
                    genome.factors[..., at] = tighten(genome.factors[..., at], self.divisors.extents)

    def _move_out(self, generator: np.random.Generator, part: Genome, over: Mask) -> bool:
        """Move one prime out of the innermost memory that overflows, in every mapping; say whether any could."""
        innermost = len(over) - 1 - over[::-1].argmax(axis=0)
        cut = self.tiles.first_cuts(part)[innermost, np.arange(part.size)]
        inside = np.arange(len(self.limits))[:, None, None] >= cut
        slot, rank, found = _draw_cell(generator, self._loose(part.factors) & inside, self.weights)
        at = np.flatnonzero(found)
        if not len(at):
            return False
        slot, rank = slot[at], rank[at]
        if self.loops is not None:
            homes = np.isin(np.arange(len(self.limits)), self.temporal)[:, None]
            to = homes & (np.arange(len(self.limits))[:, None] < cut[at])
            return bool(self._shift_within(generator, part, at, slot, rank, to).any())
        outside = np.searchsorted(self.temporal, cut[at])
        target = self.temporal[np.floor(generator.random(len(at)) * np.maximum(outside, 1)).astype(np.int64)]
        prime = self.divisors.pick(generator, rank, part.factors[slot, rank, at])
        shift(part, at, rank, slot, target, prime)
        if self.ragged:
            part.factors[..., at] = tighten(part.factors[..., at], self.divisors.extents)
        return True


def _draw_cell(
    generator: np.random.Generator,
    allowed: Mask,
    weights: NDArray[np.float32] | float = 1.0,
) -> tuple[Integers, Integers, Mask]:
    """Return (row, column, whether there is one) of a random allowed cell of each (rows, columns, B)."""
    keys = (generator.random(allowed.shape, dtype=np.float32) + np.float32(1e-6)) * allowed * np.float32(1.0) * weights
    flat = keys.reshape(allowed.shape[0] * allowed.shape[1], allowed.shape[2])
    best = flat.argmax(axis=0)
    row, column = np.divmod(best, allowed.shape[1])
    return row, column, flat[best, np.arange(allowed.shape[-1])] > 0
