"""Numbers of mappings: every mapping of a small space once, by its number.

A mapping is a skeleton, a split of every rank, and a class of orders for every temporal slot; how many classes there
are depends on which loops run there. The list of (skeleton, splits) that fit arrays and memories is held, with the
running count of mappings; the orders are the digits of what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from codesign.search.mapping.genome import Genome, Integers
from codesign.search.mapping.loop_orders import Relevance, classes
from codesign.search.mapping.skeleton import Skeletons
from codesign.search.mapping.tiles import Tiles

MOST_LISTED = 2**19
"""Most pairs of skeleton and splits that are listed, fitting or not: beyond, a space counts as endless."""


class Numbering:
    """The mappings of a small space in order."""

    def __init__(
        self, skeletons: Skeletons, splits: Sequence[Integers], limits: Integers, tiles: Tiles, relevance: Relevance,
        sees: Sequence[Integers],
    ) -> None:  # fmt: skip
        """List the space.

        Args:
            skeletons: The skeletons.
            splits: For every rank its (N, slots) splits.
            limits: (slots,) most copies of a spatial slot, 0 for a temporal one.
            tiles: Sizes of tiles.
            relevance: Which rank moves what.
            sees: For every tensor (options, temporal slots) whether it sees the order of the slot.
        """
        self.skeletons, self.splits, self.relevance, self.sees = skeletons, splits, relevance, sees
        self.radix = [len(options) for options in skeletons.options] + [len(one) for one in splits]
        numbers = np.arange(prod(self.radix), dtype=np.int64)
        fitting = []
        for start in range(0, len(numbers), 16_384):
            part = numbers[start : start + 16_384]
            genome = self._genome(part)
            copies = genome.factors.prod(axis=1)
            fits = ((copies <= limits[:, None]) | (limits[:, None] == 0)).all(axis=0)
            fits &= ~tiles.overflow(genome).any(axis=0)
            fitting.append(part[fits])
        self.fitting = np.concatenate(fitting)
        self._list_orders()
        weights = np.ones(len(self.fitting), dtype=np.int64)
        for start in range(0, len(self.fitting), 16_384):
            chunk = slice(start, start + 16_384)
            keys = self._keys(self._genome(self.fitting[chunk]))
            weights[chunk] = np.prod([self.counts[key] for key in keys], axis=0)
        self.first = np.concatenate([[0], np.cumsum(weights)])
        self.size = int(self.first[-1])

    def _genome(self, numbers: Integers) -> Genome:
        digits = np.unravel_index(numbers, self.radix)
        tensors, temporal = len(self.skeletons.options), len(self.skeletons.temporal)
        options = np.stack(digits[:tensors]).astype(np.int64)
        pairs = zip(self.splits, digits[tensors:], strict=True)
        factors = np.stack([split[digit] for split, digit in pairs]).transpose(2, 0, 1)
        orders = np.zeros((temporal, len(self.splits), len(numbers)), dtype=np.int64)
        return Genome(options, np.ascontiguousarray(factors), orders)

    def _keys(self, genome: Genome) -> list[Integers]:
        """Return for every temporal slot (B,) what its classes depend on: tensors that see it, loops that run."""
        powers = (1 << np.arange(len(self.splits), dtype=np.int64))[:, None]
        found = []
        for place, slot in enumerate(self.skeletons.temporal):
            running = ((genome.factors[slot] > 1) * powers).sum(axis=0)
            found.append(running * 2**self.relevance.tensors + seen(self.sees, genome.options, place))
        return found

    def _list_orders(self) -> None:
        """List the classes of every key that occurs."""
        occurring: set[int] = set()
        for start in range(0, len(self.fitting), 16_384):
            for found_here in self._keys(self._genome(self.fitting[start : start + 16_384])):
                occurring.update(np.unique(found_here).tolist())
        keys = 2 ** (len(self.splits) + self.relevance.tensors)
        self.counts, self.starts = np.zeros(keys, dtype=np.int64), np.zeros(keys, dtype=np.int64)
        listed: list[tuple[int, ...]] = []
        for key in sorted(occurring):
            running, tensors = divmod(key, 2**self.relevance.tensors)
            found = classes(self.relevance, tensors, running)
            self.counts[key], self.starts[key] = len(found), len(listed)
            listed += [one.order for one in found]
        self.listed = np.array(listed, dtype=np.int64).reshape(-1, len(self.splits))

    def at(self, numbers: Integers) -> Genome:
        """Return the mappings of these numbers (0 .. size-1)."""
        pair = np.searchsorted(self.first, numbers, side="right") - 1
        genome = self._genome(self.fitting[pair])
        rest = numbers - self.first[pair]
        keys = self._keys(genome)
        for place in reversed(range(len(keys))):
            rest, digit = np.divmod(rest, self.counts[keys[place]])
            genome.orders[place] = self.listed[self.starts[keys[place]] + digit].T
        return genome


def seen(sees: Sequence[Integers], options: Integers, place: int) -> Integers:
    """Return (B,) the set of tensors that see the order of temporal slot ``place``."""
    whole = np.zeros(options.shape[1], dtype=np.int64)
    for tensor, table in enumerate(sees):
        whole |= table[options[tensor], place] << tensor
    return whole
