"""A fused cascade run step by step: obvious code that follows every value, for tiny sizes.

Loops that linked Einsums share are run around them. Every step says which words it reads and writes: an intermediate
that stays on the chip must be complete when it is read, and still be there. Beside, what a level holds is added up:
tiles of the Einsum that runs, tiles of others that are used again without being fetched, intermediates that are alive.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from math import prod

from codesign.costmodels.accelerator import Mappings
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.fused_loops import Link
from codesign.costmodels.accelerator.problem import relevant
from codesign.workload import Tensor
from tests.costmodels.accelerator.oracle import Coordinate, Loop, loops, tile_at

Index = dict[int, int]
"""Index of every shared loop that runs, by slot."""


class Walk:
    """One run of a cascade.

    Attributes:
        wrong: What went wrong, as words.
        again: (Einsum, entry) whose tile was used again by a later execution of the Einsum.
    """

    def __init__(self, cascade: CascadeProblem, parts: Sequence[Mappings], links: Sequence[Link]) -> None:
        self.cascade, self.links = cascade, links
        self.parts = parts
        self.nests = [loops(part) for part in parts]
        self.depths = [
            max((_cut(link, at) for link in links if at in _ends(link)), default=0) for at in range(len(parts))
        ]
        self.wrong: set[str] = set()
        self.again: set[tuple[int, int]] = set()
        self.made: Counter[tuple[str, Coordinate]] = Counter()
        self.there: dict[str, set[Coordinate]] = {}
        self.tile: dict[str, tuple[int, ...]] = {}
        self.held: dict[tuple[int, int], tuple[int, ...]] = {}
        self._run(range(len(parts)), 0, {})

    def _fused(self, at: int, depth: int) -> bool:
        return any(link.first <= at and link.last > at and link.outer > depth for link in self.links)

    def _run(self, einsums: Sequence[int], depth: int, index: Index) -> None:
        """Run Einsums that share the loops down to ``depth``, in order."""
        bodies: list[list[int]] = []
        for at in einsums:
            if bodies and self._fused(bodies[-1][-1], depth):
                bodies[-1].append(at)
            else:
                bodies.append([at])
        for body in bodies:
            if len(body) == 1 and self.depths[body[0]] <= depth:
                self._execute(body[0], index)
                continue
            bounds = {self._bound(at, depth) for at in body}
            if len(bounds) > 1:
                self.wrong.add("different loops")
                return
            ((_, bound),) = bounds
            for step in range(bound):
                self._run(body, depth + 1, {**index, depth: step})

    def _bound(self, at: int, slot: int) -> tuple[str, int]:
        return next(((loop.rank, loop.bound) for loop in self.nests[at] if loop.slot == slot), ("", 1))

    def _execute(self, at: int, index: Index) -> None:
        """Run the nest of one Einsum inside the shared loops at ``index``."""
        problem, nest = self.cascade.problems[at], self.nests[at]
        rest = [loop for loop in nest if loop.slot not in index]
        first = True
        for steps in itertools.product(*(range(loop.bound) for loop in rest)):
            now = [(loop, index[loop.slot]) for loop in nest if loop.slot in index]
            now += list(zip(rest, steps, strict=True))
            self._reuse(at, now, first)
            first = False
            base = dict.fromkeys(problem.ranks, 0)
            for loop, step in now:
                base[loop.rank] += step * loop.stride
            self._step(at, base, index)

    def _reuse(self, at: int, now: Sequence[tuple[Loop, int]], first: bool) -> None:
        """Note which tiles of an Einsum its execution before left for it."""
        entry = 0
        for tensor, holdings in zip(self.cascade.problems[at].tensors, self.parts[at].slots.holdings, strict=True):
            for holding in holdings:
                outside = [(loop, step) for loop, step in now if loop.slot < holding.cut and not loop.spatial]
                tile = tuple(step for loop, step in outside if loop.rank in relevant(tensor))
                if first and self.held.get((at, entry)) == tile:
                    self.again.add((at, entry))
                self.held[at, entry] = tile
                entry += 1

    def _step(self, at: int, base: dict[str, int], index: Index) -> None:
        problem, names = self.cascade.problems[at], self.cascade.tensors[at]
        one = dict.fromkeys(problem.ranks, 1)
        for view in problem.inputs:
            tensor = names[view.name]
            if tensor not in self.cascade.producers:
                continue
            (word,) = tile_at(view, one, base)
            maker = self.cascade.problems[self.cascade.producers[tensor]]
            needed = prod(extent for rank, extent in maker.ranks.items() if rank not in relevant(maker.output))
            if self.made[tensor, word] != needed:
                self.wrong.add(f"{tensor} incomplete")
            linked = any(link.use.consumer == at and link.use.view == view.name for link in self.links)
            if linked and word not in self.there.get(tensor, set()):
                self.wrong.add(f"{tensor} gone")
        (word,) = tile_at(problem.output, one, base)
        tensor = names[problem.output.name]
        depth = max((link.outer for link in self.links if link.use.tensor == tensor), default=0)
        tile = tuple(index.get(slot, 0) for slot in range(depth))
        if self.tile.get(tensor) != tile:
            self.tile[tensor], self.there[tensor] = tile, set()
        self.made[tensor, word] += 1
        self.there[tensor].add(word)


def _ends(link: Link) -> tuple[int, int]:
    return link.use.producer, link.use.consumer


def _cut(link: Link, at: int) -> int:
    return link.outer if at == link.use.producer else link.inner


def words_of(tensor: Tensor, part: Mappings, cut: int) -> int:
    """Return the words of a tile at ``cut``."""
    ranks = {rank: 1 for rank in part.slots.ranks}
    for loop in loops(part):
        if loop.slot >= cut:
            ranks[loop.rank] *= loop.bound
    return len(tile_at(tensor, ranks, dict.fromkeys(ranks, 0)))


def fullest(cascade: CascadeProblem, parts: Sequence[Mappings], links: Sequence[Link], walk: Walk, level: str) -> int:
    """Return the words that a level holds at the fullest moment of a run of which all Einsums are linked in a row."""
    moments = []
    for running in range(len(parts)):
        words = 0
        for at, (problem, part) in enumerate(zip(cascade.problems, parts, strict=True)):
            entry = 0
            for tensor, holdings in zip(problem.tensors, part.slots.holdings, strict=True):
                linked = any(
                    link.level == level and at in _ends(link) and link.use.tensor == cascade.tensors[at][tensor.name]
                    for link in links
                )
                for holding in holdings:
                    counts = at == running or (at, entry) in walk.again
                    if holding.level == level and counts and not linked:
                        words += words_of(tensor, part, holding.cut)
                    entry += 1
        for name in {link.use.tensor for link in links if link.level == level}:
            mine = [link for link in links if link.use.tensor == name]
            if min(link.first for link in mine) <= running <= max(link.last for link in mine):
                words += words_of(cascade.written(name), parts[mine[0].use.producer], mine[0].outer)
        moments.append(words)
    return max(moments)
