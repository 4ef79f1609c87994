"""The loops of a batch of mappings in nest order, and what moves through them.

Everything here follows the counting rules of ``docs/accelerators.md``. All arrays have the mapping as their last
axis, so every operation runs over thousands of mappings at once.

*Mean tiles.* Factors may be imperfect: the bounds of a rank may multiply to more than its extent. The last tile is
then short. Extents of tiles are means, ``extent / product of the bounds outside``: summed over a nest they give
exactly the operations and the data there are, and they are the true extents where factors are perfect. Loops run to
their bounds, so a ragged nest takes the cycles of the padded one, and its lost cycles show in the utilisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.mapping import Mappings
from codesign.costmodels.accelerator.problem import Problem, relevant
from codesign.workload import Tensor

Array = NDArray[np.float64]
Numbers = NDArray[np.unsignedinteger[Any]]


class View:
    """What the nest needs to know of one tensor, as indices of ranks.

    Attributes:
        bit: The tensor's bit in codes of relevance.
        ranks: Ranks that move the tensor.
        axes: For every axis its (rank, coefficient) terms.
        slides: Rank -> (axis, coefficient) where it moves one axis of several terms, a sliding window, and no other.
    """

    __slots__ = ("axes", "bit", "ranks", "slides")

    def __init__(self, tensor: Tensor, names: Sequence[str], position: int) -> None:
        self.bit = 1 << position
        self.axes = [[(names.index(rank), step) for rank, step in axis.terms] for axis in tensor.axes]
        self.ranks = sorted(names.index(rank) for rank in relevant(tensor))
        self.slides: dict[int, tuple[int, int]] = {}
        for rank in self.ranks:
            homes = [(place, axis) for place, axis in enumerate(self.axes) if any(rank == one for one, _ in axis)]
            if len(homes) == 1 and len(homes[0][1]) > 1:
                self.slides[rank] = (homes[0][0], sum(step for one, step in homes[0][1] if one == rank))

    def extents(self, sizes: Array) -> list[Array]:
        """Return the extent of every axis over tiles of ``sizes`` (ranks, B); axes without a rank are left out."""
        found = []
        for axis in self.axes:
            if not axis:  # one generation of a recurrence
                continue
            if len(axis) == 1 and axis[0][1] == 1:
                found.append(sizes[axis[0][0]])
                continue
            extent = sizes[axis[0][0]] * float(axis[0][1])
            for rank, step in axis[1:]:
                extent = extent + (sizes[rank] if step == 1 else sizes[rank] * float(step))
            found.append(extent + (1.0 - sum(step for _, step in axis)))
        return found

    def footprint(self, sizes: Array) -> Array:
        """Return the elements of the bounding box over tiles of ``sizes`` (ranks, B)."""
        return product(self.extents(sizes), sizes.shape[-1])


def product(parts: Sequence[Array], count: int) -> Array:
    """Return the product of ``parts`` (each (B,)); ones where there are none."""
    if not parts:
        return np.ones(count)
    whole = parts[0]
    for part in parts[1:]:
        whole = whole * part
    return whole


class Nest:
    """The loops of a batch, laid out once and asked per tensor and cut.

    Attributes:
        count: Mappings, B.
        bounds: (slots, ranks, B) loop bounds.
        inside: (slots + 1, ranks, B) mean extent of every rank inside each cut.
        spread: Slot -> (B,) copies that a spatial slot makes.
        steps: (temporal positions + 1, B) iterations up to each temporal position.
    """

    def __init__(self, mappings: Mappings, problem: Problem, views: Sequence[View]) -> None:
        slots = mappings.slots
        self.slots = slots
        self.count = len(mappings)
        self.rank_count = len(slots.ranks)
        self.bounds: Array = mappings.factors.astype(np.float64)
        self.extents = np.array([float(problem.ranks[rank]) for rank in slots.ranks])
        self.inside: Array = np.empty((len(slots.slots) + 1, self.rank_count, self.count))
        self.inside[0] = self.extents[:, None]
        self.spread: dict[int, Array] = {}
        for slot, place in enumerate(slots.slots):
            np.divide(self.inside[slot], self.bounds[slot], out=self.inside[slot + 1])
            if place.direction != "temporal":
                self.spread[slot] = product(list(self.bounds[slot]), self.count)
        self._order(mappings, views)

    def _order(self, mappings: Mappings, views: Sequence[View]) -> None:
        """Lay the temporal loops out in nest order."""
        codes = np.zeros(self.rank_count, dtype=np.min_scalar_type(1 << len(views)))
        for view in views:
            codes[view.ranks] |= view.bit
        temporal, ranks = self.slots.temporal, self.rank_count
        rows = len(temporal) * ranks
        self.rank_at = mappings.orders.reshape(rows, self.count)
        self.bound_at: Array = np.empty((rows, self.count))
        columns = np.arange(self.count)
        for place, slot in enumerate(temporal):
            flat = mappings.orders[place] * self.count + columns
            np.take(self.bounds[slot].reshape(-1), flat, out=self.bound_at[place * ranks : (place + 1) * ranks])
        self.columns = columns
        runs = self.bound_at > 1.0
        self.moved = np.take(codes, self.rank_at) * runs
        self.steps: Array = np.empty((rows + 1, self.count))
        self.steps[0] = 1.0
        np.cumprod(self.bound_at, axis=0, out=self.steps[1:])
        # numbers of rows from 1, in the smallest type: the last row that is set is then a maximum
        self.numbers: Numbers = np.arange(1, rows + 1, dtype=np.min_scalar_type(rows))[:, None]
        self.running: Numbers = (runs * self.numbers).astype(self.numbers.dtype, copy=False)
        self._running_last: dict[int, NDArray[np.intp]] = {}

    def prefix(self, cut: int) -> int:
        """Return how many temporal positions lie outside of ``cut``."""
        return self.rank_count * sum(slot < cut for slot in self.slots.temporal)

    def last_running(self, cut: int) -> NDArray[np.intp]:
        """Return the number (from 1) of the innermost loop outside of ``cut`` that runs; 0 for none."""
        rows = self.prefix(cut)
        if rows not in self._running_last:
            self._running_last[rows] = last_row(self.running[:rows], self.count)
        return self._running_last[rows]

    @property
    def operations(self) -> Array:
        """Return the mean operations of one compute unit that is used."""
        return float(np.prod(self.extents)) / product(list(self.spread.values()), self.count)

    def inflow(self, view: View, cut: int, retain: bool = False) -> Array:
        """Return the words of a tensor that enter one tile at ``cut`` over the whole run.

        A tile stays while loops run that do not move the tensor. Where the innermost running loop slides a window
        along one axis, only what is new comes in; every other change fetches the whole tile. With ``retain`` loops
        inside the sliding one that do not move the tensor leave the window in place.
        """
        rows = self.prefix(cut)
        extents = view.extents(self.inside[cut])
        tile = product(extents, self.count)
        if not rows:
            return tile
        moved = (self.moved[:rows] & view.bit) != 0
        last = last_row(moved * self.numbers[:rows], self.count)
        whole = np.take(self.steps.reshape(-1), last * self.count + self.columns) * tile
        if not view.slides:
            return whole
        candidates = np.flatnonzero((last > 0) if retain else (last > 0) & (last == self.last_running(cut)))
        if len(candidates):
            self._slide(view, last[candidates] - 1, candidates, extents, tile, whole)
        return whole

    def _slide(
        self, view: View, rows: NDArray[np.intp], at: NDArray[np.intp], extents: Sequence[Array], tile: Array,
        whole: Array,
    ) -> None:  # fmt: skip
        """Credit what neighbouring windows share to the mappings ``at``, whose innermost loop stands in ``rows``."""
        ranks = self.rank_at[rows, at]
        slots = np.asarray(self.slots.temporal)[rows // self.rank_count]
        for rank, (axis, step) in view.slides.items():
            chosen = ranks == rank
            here, row, slot = at[chosen], rows[chosen], slots[chosen]
            advance = step * self.inside[slot + 1, rank, here]
            extent = extents[axis][here]
            slides = advance < extent
            here, row, advance, extent = here[slides], row[slides], advance[slides], extent[slides]
            bound = self.bound_at[row, here]
            fresh = tile[here] / extent * advance
            whole[here] = self.steps[row, here] * (tile[here] + (bound - 1.0) * fresh)

    def latched(self) -> NDArray[np.bool_]:
        """Say where the innermost running loop is spatial: then an operand stays in a latch of the compute unit."""
        innermost = self.last_running(len(self.slots.slots))
        places = np.asarray((-1, *np.repeat(self.slots.temporal, self.rank_count)))
        spatial = np.full(self.count, -1)
        for slot, copies in self.spread.items():
            spatial = np.where(copies > 1.0, slot, spatial)
        return spatial > places[innermost]

    def copies(self, outer: int, inner: int) -> Array:
        """Return the copies that the spatial slots from ``outer`` up to ``inner`` make."""
        return product([self.spread[slot] for slot in self.spread if outer <= slot < inner], self.count)

    def streams(self, view: View, outer: int, inner: int, shared: Sequence[bool]) -> Array:
        """Return the different streams of a tensor over the spatial slots from ``outer`` up to ``inner``.

        Args:
            view: The tensor.
            outer: First slot.
            inner: Slot behind the last.
            shared: For every slot whether its network joins copies that need the same word.
        """
        parts = []
        for slot in self.spread:
            if outer <= slot < inner:
                parts += [self.bounds[slot, rank] for rank in view.ranks] if shared[slot] else [self.spread[slot]]
        return product(parts, self.count)

    def distinct(self, view: View, cut: int) -> Array:
        """Return the different words of a tensor that one instance inside ``cut`` touches over the whole run."""
        sizes = np.repeat(self.extents[:, None], self.count, axis=1)
        for slot in self.spread:
            if slot < cut:
                sizes = sizes / self.bounds[slot]
        return view.footprint(sizes)

    def largest(self, cut: int) -> Array:
        """Return the extents (ranks, B) of the largest tile inside ``cut``."""
        size: Array = np.prod(self.bounds[cut:], axis=0)
        tiles: Array = np.minimum(size, self.extents[:, None])
        return tiles

    def perfect(self) -> bool:
        """Say whether all factors multiply to the extents."""
        return bool((self.inside[-1] == 1.0).all())


def last_row(numbered: Numbers, count: int) -> NDArray[np.intp]:
    """Return the largest number of every column (rows, B): the last row that is set; 0 for none."""
    if not len(numbered):
        return np.zeros(count, dtype=np.intp)
    last: NDArray[np.intp] = numbered.max(axis=0).astype(np.intp)
    return last
