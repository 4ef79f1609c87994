"""Mappings as a search varies them: a batch of integer arrays, and the rows that engines see.

The mapping is the last axis of every array, so that operations on a batch run over contiguous numbers. A row holds the
options of the tensors, then the factors slot by slot, then the orders slot by slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Mappings
from codesign.search.mapping.skeleton import Skeletons

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Genome(NamedTuple):
    """A batch of B mappings.

    Attributes:
        options: (tensors, B) which of its options a tensor has.
        factors: (slots, ranks, B) loop bounds.
        orders: (temporal slots, ranks, B) ranks from outside to inside.
    """

    options: Integers
    factors: Integers
    orders: Integers

    @property
    def size(self) -> int:
        """Return B."""
        return int(self.options.shape[-1])

    def take(self, index: Any) -> Genome:
        """Return the mappings that ``index`` (numbers or a mask) selects."""
        return Genome(self.options[:, index], self.factors[..., index], self.orders[..., index])

    def put(self, index: Any, other: Genome) -> None:
        """Overwrite the mappings at ``index``."""
        self.options[:, index] = other.options
        self.factors[..., index] = other.factors
        self.orders[..., index] = other.orders

    def copy(self) -> Genome:
        """Return a copy that may be written to."""
        return Genome(self.options.copy(), self.factors.copy(), self.orders.copy())

    def rows(self) -> Integers:
        """Return one row a mapping."""
        parts = [part.reshape(prod(part.shape[:-1]), self.size) for part in self]
        return np.ascontiguousarray(np.concatenate(parts).T)


def join(parts: Sequence[Genome]) -> Genome:
    """Return all mappings of ``parts`` (at least one) in order."""
    return Genome(*(np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True)))


def from_rows(rows: NDArray[Any], skeletons: Skeletons) -> Genome:
    """Return the mappings of these rows."""
    flat = np.ascontiguousarray(rows.astype(np.int64, copy=False).T)
    tensors, ranks, count = len(skeletons.options), len(skeletons.ranks), rows.shape[0]
    cells = len(skeletons.slots) * ranks
    return Genome(
        flat[:tensors],
        flat[tensors : tensors + cells].reshape(len(skeletons.slots), ranks, count),
        flat[tensors + cells :].reshape(len(skeletons.temporal), ranks, count),
    )


def width(skeletons: Skeletons) -> int:
    """Return the length of a row."""
    loops = len(skeletons.slots) + len(skeletons.temporal)
    return len(skeletons.options) + loops * len(skeletons.ranks)


def by_skeleton(genome: Genome, skeletons: Skeletons) -> list[tuple[NDArray[np.intp], Mappings]]:
    """Return (their places, the mappings) of every skeleton that occurs."""
    if not genome.size:
        return []
    radix = [len(options) for options in skeletons.options]
    numbers = np.ravel_multi_index(tuple(genome.options), radix)
    distinct, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    found = []
    for number, places in zip(distinct.tolist(), np.split(order, np.cumsum(counts)[:-1]), strict=True):
        chosen = [int(one) for one in np.unravel_index(number, radix)]
        part = genome if len(distinct) == 1 else genome.take(places)
        found.append((places, Mappings(skeletons.skeleton(chosen), part.factors, part.orders)))
    return found
