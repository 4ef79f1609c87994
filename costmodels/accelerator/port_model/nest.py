"""Uneven mappings as one sequence of loops: every tensor cuts it where its memories end.

All mappings of a batch spread the same ranks over the array (``Spread``) and order the same loops in time differently.
A tensor's memory holds the loops inside of its cut, and the units that it serves. Loops directly outside of a cut that
do not move the tensor leave its tile in place, so they count as inside: the cut is moved outwards over them.

*Mean and whole.* Where units do not divide a rank, the array is full in all steps but the last. Its mean copies
(extent over steps, a fraction) give energies; the whole number below gives the times between transfers.

Arrays have the mapping as their last axis, loops innermost first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.port_model.machine import PortedMachine, PortedMemory
from codesign.costmodels.accelerator.problem import Problem, relevant
from codesign.errors import UsageError
from codesign.workload import Axis, Tensor

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDING = 1e-9
"""Relative error by which a product of fractions may miss a whole number."""


class Spread:
    """What stands on the array: dimension -> rank -> copies, as means and as whole numbers.

    Attributes:
        mean: Copies that do the work on average.
        whole: Copies in a full step, rounded down.
        steps: Rank -> iterations in time that are left.
    """

    def __init__(self, problem: Problem, machine: PortedMachine, wanted: Mapping[str, Mapping[str, int]]) -> None:
        """Fit what is wanted to the array and the problem.

        Args:
            problem: What is mapped.
            machine: What it is mapped onto.
            wanted: Dimension of the array -> rank -> copies; ranks that the problem lacks are left out, copies beyond
                the extent are cut.

        Raises:
            UsageError: an unknown dimension, or more copies than a dimension or a rank has.
        """
        fitted: dict[str, dict[str, int]] = {}
        for dimension, copies in wanted.items():
            if dimension not in machine.array:
                raise UsageError(f"{machine.name}: the array has no dimension {dimension!r}", ", ".join(machine.array))
            fitted[dimension] = {
                rank: min(count, problem.ranks[rank], machine.array[dimension])
                for rank, count in copies.items() if rank in problem.ranks
            }  # fmt: skip
            asked = int(np.prod(list(fitted[dimension].values()), dtype=np.int64))
            if asked > machine.array[dimension]:
                message = f"{problem.name}: {asked} copies along {dimension}, which has {machine.array[dimension]}"
                raise UsageError(message, "spread fewer")
        self.mean: dict[str, dict[str, float]] = {one: {} for one in fitted}
        self.whole: dict[str, dict[str, int]] = {one: {} for one in fitted}
        self.steps = dict(problem.ranks)
        for rank, extent in problem.ranks.items():
            self._fit(rank, extent, fitted)

    def _fit(self, rank: str, extent: int, fitted: Mapping[str, Mapping[str, int]]) -> None:
        """Set the copies of one rank; the dimension with the most of them takes up what does not divide."""
        homes = {one: copies[rank] for one, copies in fitted.items() if rank in copies}
        if not homes:
            return
        total = int(np.prod(list(homes.values()), dtype=np.int64))
        if total > extent:
            raise UsageError(f"{total} copies of rank {rank}, which has {extent}", "spread fewer")
        largest = max(homes, key=lambda one: homes[one])
        others = total // homes[largest]
        steps = ceil(extent / total)
        for one, count in homes.items():
            self.mean[one][rank] = extent / steps / others if one == largest else float(count)
            self.whole[one][rank] = int(self.mean[one][rank] + ROUNDING)
        self.steps[rank] = steps

    def stages(self, chain: tuple[PortedMemory, ...], whole: bool) -> list[dict[str, float]]:
        """Return, for a chain of memories, what spreads between each and the next one inside: rank -> copies.

        The first stage lies between the units and the innermost memory; the last one beyond the outermost memory.
        """
        source: Mapping[str, Mapping[str, float]] = self.whole if whole else self.mean
        left = dict(source)
        found: list[dict[str, float]] = []
        for memory in chain:
            taken = [left.pop(one) for one in list(left) if one in memory.serves]
            found.append(_joined(taken))
        return [*found, _joined(list(left.values()))]


def _joined(parts: list[Mapping[str, float]]) -> dict[str, float]:
    joined: dict[str, float] = {}
    for part in parts:
        for rank, count in part.items():
            joined[rank] = joined.get(rank, 1.0) * count
    return joined


class Orders:
    """A batch of orders of the same loops.

    Attributes:
        names: Names of the ranks.
        ranks: (N, B) index of the rank of each loop, innermost first.
        bounds: (N, B) iterations of each loop.
        inside: (N + 1, R, B) iterations of every rank among the first n loops.
        cycles: (N + 1, B) iterations of the first n loops.
    """

    def __init__(self, names: tuple[str, ...], ranks: Integers, bounds: Integers) -> None:
        self.names, self.ranks, self.bounds = names, ranks, bounds
        self.loops, self.count = ranks.shape
        self.inside: Array = np.ones((self.loops + 1, len(names), self.count))
        columns = np.arange(self.count)
        for loop in range(self.loops):
            self.inside[loop + 1] = self.inside[loop]
            self.inside[loop + 1, ranks[loop], columns] *= bounds[loop]
        self.cycles: Array = self.inside.prod(axis=1)
        self.columns = columns

    def at(self, table: Array, cut: Integers) -> Array:
        """Return the rows of a (N + 1, B) table at the cuts (B,)."""
        found: Array = table[cut, self.columns]
        return found

    def moving(self, ranks: frozenset[str]) -> Mask:
        """Return (N, B) whether a loop is of one of ``ranks``."""
        known = np.array([name in ranks for name in self.names], dtype=np.bool_)
        found: Mask = known[self.ranks]
        return found


class View:
    """One tensor in a batch of orders: which loops move it, and how large its tiles are.

    Attributes:
        outwards: (N + 1, B) a cut moved outwards over the loops that leave the tensor in place.
        still: (N + 1, B) the cut moved inwards over the loops that leave it in place.
        fresh: (N + 1, B) the cut moved inwards over the loops that move it by whole elements (no sliding window).
        last_still: (B,) loops up to and with the outermost that leaves the tensor in place; 0 for none.
    """

    def __init__(self, problem: Problem, tensor: Tensor, orders: Orders) -> None:
        self.tensor, self.orders, self.problem = tensor, orders, problem
        self.ranks = relevant(tensor)
        self.windows = [axis for axis in tensor.axes if len(axis.terms) > 1]
        sliding = frozenset(rank for axis in self.windows for rank, _ in axis.terms)
        moves, slides = orders.moving(self.ranks), orders.moving(sliding)
        loops, count = orders.loops, orders.count
        self.outwards: Integers = np.empty((loops + 1, count), np.int64)
        self.outwards[loops] = loops
        for loop in reversed(range(loops)):
            self.outwards[loop] = np.where(moves[loop], loop, self.outwards[loop + 1])
        self.still, self.fresh = (np.zeros((loops + 1, count), np.int64) for _ in range(2))
        for loop in range(loops):
            self.still[loop + 1] = np.where(moves[loop], loop + 1, self.still[loop])
            self.fresh[loop + 1] = np.where(moves[loop] & ~slides[loop], self.fresh[loop], loop + 1)
        numbered = np.where(moves, 0, np.arange(1, loops + 1)[:, None])
        self.last_still: Integers = numbered.max(axis=0) if loops else np.zeros(count, np.int64)

    @cached_property
    def largest(self) -> list[int]:
        """Return the elements of every axis of the whole tensor."""
        return [int(elements(axis, {rank: float(n) for rank, n in self.problem.ranks.items()}))
                for axis in self.tensor.axes]  # fmt: skip

    def words(self, cut: Integers | None, copies: Mapping[str, float]) -> Array:
        """Return (B,) the elements of a tile: the loops inside ``cut`` (none where None) over ``copies``."""
        names, orders = self.orders.names, self.orders
        sizes: dict[str, Array] = {}
        for rank in self.ranks:
            inside = np.ones(orders.count) if cut is None else orders.inside[cut, names.index(rank), orders.columns]
            sizes[rank] = inside * copies.get(rank, 1.0)
        whole = np.ones(orders.count)
        for axis, most in zip(self.tensor.axes, self.largest, strict=True):
            size = elements(axis, sizes)
            whole = whole * (size if len(axis.terms) == 1 else np.minimum(size, most))
        return whole

    def unique(self, copies: Mapping[str, float]) -> float:
        """Return how many of ``copies`` hold different elements."""
        return float(self.words(None, copies)[0])


def elements(axis: Axis, sizes: Mapping[str, Array | float]) -> Array:
    """Return how many elements an axis has where its ranks take ``sizes`` values each.

    A window of two ranks, ``a*x + b*y``, has fewer than there are pairs: those that several pairs reach count once.
    """
    if len(axis.terms) == 1:
        return np.asarray(sizes[axis.terms[0][0]], np.float64)
    if len(axis.terms) > 2:
        box = [step * (np.asarray(sizes[rank]) - 1.0) for rank, step in axis.terms]
        return np.asarray(1.0 + np.sum(box, axis=0), np.float64)
    (one, first), (two, second) = axis.terms
    across, along = (np.floor(np.asarray(sizes[rank], np.float64) + ROUNDING) for rank in (one, two))
    common = gcd(first, second)
    twice = np.maximum(along - first // common, 0.0) * np.maximum(across - second // common, 0.0)
    return np.asarray(across * along - twice, np.float64)
