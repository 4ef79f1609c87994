"""Which fused mappings of a cascade can run: loops that Einsums share, and what may pass between them inside.

A consumer that finds a tensor at a level on the chip, instead of the outermost one, is *linked* to its producer. Both
run inside the loops outside of that tile, one after the other in every iteration. That works where

1. these loops are the same for both, and for every Einsum in between (a reader of the last generation of a recurrence
   runs once the loops over it have ended);
2. they run over ranks of the tensor: over others its tile would be read before it is complete, or be made anew;
3. and so for everything else that is passed on inside of them;
4. a recurrence through several Einsums runs generation by generation: its loop is one of the shared ones.

Loops are compared as arrays over all mappings of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.cascade_problem import CascadeProblem, Use, plain_ranks
from codesign.costmodels.accelerator.mapping import Mappings
from codesign.costmodels.accelerator.problem import relevant
from codesign.errors import UsageError
from codesign.targets.spatial import Architecture

Mask = NDArray[np.bool_]
Codes = NDArray[np.int64]

_BOUND = 1 << 40
"""Codes of loops: the rank times this, and the bound."""


class Link(NamedTuple):
    """A use whose tensor stays on the chip.

    Attributes:
        use: Who reads what.
        level: Where the tensor is.
        outer: Cut of the producer's tile there.
        inner: Cut of the consumer's.
    """

    use: Use
    level: str
    outer: int
    inner: int

    @property
    def first(self) -> int:
        """Index of the first Einsum that runs inside the shared loops."""
        return min(self.use.producer, self.use.consumer)

    @property
    def last(self) -> int:
        """Index of the last one."""
        return max(self.use.producer, self.use.consumer)


def links_of(cascade: CascadeProblem, architecture: Architecture, parts: Sequence[Mappings]) -> tuple[Link, ...]:
    """Return the links of a batch; which tensors stay on the chip is the same for all of its mappings.

    Raises:
        UsageError: a tensor that is read where nobody puts it.
    """
    found = []
    roots = [architecture.spine(part.slots.unit).storages[0].name for part in parts]
    for at, (problem, part) in enumerate(zip(cascade.problems, parts, strict=True)):
        for view, holdings in zip(problem.inputs, part.slots.holdings, strict=False):
            level, tensor = holdings[0].level, cascade.tensors[at][view.name]
            made = tensor in cascade.producers
            if level == roots[at] and not made:
                continue
            where = f"{problem.name} reads {view.name} at {level}"
            if not made:
                raise UsageError(
                    f"mapping: {where}, where nobody puts it", f"keep it at {roots[at]}, the outermost level"
                )
            use = next(one for one in cascade.uses if one.consumer == at and one.view == view.name)
            kept = {one.level: one.cut for one in parts[use.producer].slots.holdings[-1]}
            if level not in kept:
                maker = cascade.problems[use.producer].name
                raise UsageError(f"mapping: {where}; {maker} does not keep it there", f"it is at {', '.join(kept)}")
            if level != roots[at]:
                found.append(Link(use, level, kept[level], holdings[0].cut))
    return tuple(found)


class Loops:
    """The loops of a batch of cascades that run, compacted: for each Einsum codes (rows, B), zero behind the last."""

    def __init__(self, cascade: CascadeProblem, parts: Sequence[Mappings]) -> None:
        self.cascade, self.parts = cascade, parts
        ranks = dict.fromkeys(rank for problem in cascade.problems for rank in problem.ranks)
        self.numbers: dict[tuple[str, ...], int] = {(rank,): at for at, rank in enumerate(ranks)}
        self.rank_of = list(ranks)

    def outside(self, einsum: int, cut: int) -> Codes:
        """Return the loops of an Einsum outside of ``cut``, in time and over arrays, outermost first."""
        part = self.parts[einsum]
        slots, rows = part.slots, []
        places = {slot: place for place, slot in enumerate(slots.temporal)}
        columns = np.arange(len(part))
        for slot in range(cut):
            name = () if slot in places else (slots.slots[slot].node, slots.slots[slot].direction)
            own = np.array([self._number(rank, name) for rank in slots.ranks])
            for place in range(len(slots.ranks)):
                rank = part.orders[places[slot], place] if slot in places else np.full(len(part), place)
                bound = part.factors[slot, rank, columns]
                rows.append(np.where(bound > 1, own[rank] * _BOUND + bound, 0))
        if not rows:
            return np.zeros((0, len(part)), dtype=np.int64)
        codes: Codes = np.stack(rows)
        return _compact(codes)

    def _number(self, rank: str, name: tuple[str, ...]) -> int:
        key = (rank, *name)
        if key not in self.numbers:
            self.numbers[key] = len(self.rank_of)
            self.rank_of.append(rank)
        return self.numbers[key]

    def over(self, codes: Codes, ranks: frozenset[str]) -> Mask:
        """Say which loops run over one of ``ranks``."""
        chosen = np.array([rank in ranks for rank in self.rank_of])
        mask: Mask = (codes > 0) & chosen[codes // _BOUND]
        return mask


def _compact(codes: Codes) -> Codes:
    order = np.argsort(codes == 0, axis=0, kind="stable")
    return np.take_along_axis(codes, order, axis=0)


def _any(loops: Mask) -> Mask:
    """Say for every mapping whether any of its loops is set."""
    return np.asarray(loops.any(axis=0))


def _same(one: Codes, other: Codes) -> Mask:
    """Say where two lists of loops are the same."""
    rows = max(len(one), len(other))
    padded = [np.vstack([codes, np.zeros((rows - len(codes), codes.shape[1]), np.int64)]) for codes in (one, other)]
    equal: Mask = (padded[0] == padded[1]).all(axis=0)
    return equal


def _begins(whole: Codes, outer: Codes) -> Mask:
    """Say where the loops ``outer`` are the outermost ones of ``whole``."""
    if len(outer) > len(whole):
        whole = np.vstack([whole, np.zeros((len(outer) - len(whole), whole.shape[1]), np.int64)])
    begins: Mask = ((outer == 0) | (whole[: len(outer)] == outer)).all(axis=0)
    return begins


def violations(cascade: CascadeProblem, links: Sequence[Link], parts: Sequence[Mappings]) -> Iterator[tuple[str, Mask]]:
    """Yield (why, which mappings of the batch) a cascade cannot run so."""
    loops = Loops(cascade, parts)
    names = [problem.name for problem in cascade.problems]
    yield from _generations(cascade, links, parts)
    for link in links:
        use, shared = link.use, loops.outside(link.use.producer, link.outer)
        tensor, maker, reader = use.tensor, names[use.producer], names[use.consumer]
        view = next(one for one in cascade.problems[use.consumer].inputs if one.name == use.view)
        ended = relevant(cascade.written(tensor)) - relevant(view)
        over = loops.over(shared, ended)
        kept = (shared > 0) & ~over
        # loops over a generation end before its last one is read: they are the innermost of those outside of the tile
        ended_before: Mask = np.logical_or.accumulate(over, axis=0)
        late = _any(kept[1:] & ended_before[:-1])
        agreed = _compact(np.where(over, 0, shared))
        here = loops.outside(use.consumer, link.inner)
        text = f"{maker} and {reader} run in different loops outside of {tensor} at {link.level}"
        apart: Mask = ~_same(agreed, here) | late
        yield text, apart
        allowed = plain_ranks(cascade.written(tensor)) & (plain_ranks(view) | ended)
        incomplete = _any((shared > 0) & ~loops.over(shared, allowed))
        yield f"{reader} would read {tensor} before it is complete, or {maker} make it anew", incomplete
        yield from _between(cascade, loops, link, agreed)


def _generations(
    cascade: CascadeProblem, links: Sequence[Link], parts: Sequence[Mappings]
) -> Iterator[tuple[str, Mask]]:
    """Yield which recurrences do not run generation by generation."""
    linked = {link.use: link for link in links}
    for use in cascade.uses:
        if use.consumer >= use.producer:
            continue
        view = next(one for one in cascade.problems[use.consumer].inputs if one.name == use.view)
        made = cascade.written(use.tensor)
        pairs = zip(view.axes, made.axes, strict=True)
        moving = [rank for read, written in pairs if read != written for rank, _ in written.terms]
        ends = {use.consumer: linked[use].inner, use.producer: linked[use].outer} if use in linked else {}
        whole: Mask = np.zeros(len(parts[0]), dtype=np.bool_)
        for at in (use.consumer, use.producer):
            slots, factors = parts[at].slots, parts[at].factors
            rows = [slots.ranks.index(rank) for rank in moving]
            whole |= (factors[ends.get(at, 0) :, rows] > 1).any(axis=(0, 1))
        text = f"{use.tensor} goes from generation to generation: its loop over {', '.join(moving)} has to be shared"
        yield text, whole


def _between(cascade: CascadeProblem, loops: Loops, link: Link, agreed: Codes) -> Iterator[tuple[str, Mask]]:
    """Yield what is wrong with the Einsums that run inside the loops of a link."""
    names = [problem.name for problem in cascade.problems]
    tensor = link.use.tensor
    for at in range(link.first, link.last + 1):
        if at in (link.use.producer, link.use.consumer):
            continue
        own = loops.outside(at, len(loops.parts[at].slots.slots))
        yield f"{names[at]} does not run in the loops outside of {tensor} at {link.level}", ~_begins(own, agreed)
    for use in cascade.uses:
        inside = link.first <= use.producer <= link.last and link.first <= use.consumer <= link.last
        if not inside or use == link.use:
            continue
        allowed = relevant(cascade.written(use.tensor))
        early = _any((agreed > 0) & ~loops.over(agreed, allowed))
        text = f"{names[use.consumer]} would read {use.tensor} before it is complete, in the loops outside of {tensor}"
        yield text, early
