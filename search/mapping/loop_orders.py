"""Orders of loops that cost the same, and one of each kind.

Within a temporal slot the cost model sees little of an order. A tensor stays where it is while loops run that do not
move it, so of a slot it sees which loops run inside of the last one that moves it: a *set*. Where the innermost loop
slides a window it sees which loop that is. Orders that agree in these sets and in the innermost sliding loop are one
class: a 7-rank convolution has some 30 classes instead of 5,040 orders. (The pair "last loop that moves the tensor,
last loop" alone is not enough: loops between the two count with their bounds.)

Ranks are numbers below ``ranks``; sets of ranks and sets of tensors are bit masks. Orders run from outside to inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.nest import View
from codesign.errors import UsageError

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

CODE_BITS = 63
"""Bits that the code of a class may take."""


class Relevance(NamedTuple):
    """Which tensors a rank moves.

    Attributes:
        moves: For every rank the set of tensors that it moves.
        slides: For every rank the set of tensors of which it slides a window.
        tensors: How many tensors there are.
    """

    moves: tuple[int, ...]
    slides: tuple[int, ...]
    tensors: int

    @property
    def ranks(self) -> int:
        """Return how many ranks there are."""
        return len(self.moves)


def relevance_of(problem: Problem, ranks: Sequence[str]) -> Relevance:
    """Return which ranks of a problem move which tensors.

    Raises:
        UsageError: more ranks and tensors than codes of classes can tell apart.
    """
    views = [View(tensor, ranks, place) for place, tensor in enumerate(problem.tensors)]
    moves, slides = [0] * len(ranks), [0] * len(ranks)
    for view in views:
        for rank in view.ranks:
            moves[rank] |= view.bit
        for rank in view.slides:
            slides[rank] |= view.bit
    if len(ranks) * (len(views) + 1) + len(views) + 5 > CODE_BITS or len(ranks) > 31:
        raise UsageError(
            f"{problem.name}: {len(ranks)} ranks and {len(views)} tensors are too many to search",
            "fold ranks of extent 1 away, or merge ranks that every tensor shares",
        )
    return Relevance(tuple(moves), tuple(slides), len(views))


class OrderClass(NamedTuple):
    """One class: its code, and the order that stands for it."""

    code: int
    order: tuple[int, ...]


@lru_cache(maxsize=65_536)
def classes(relevance: Relevance, tensors: int, running: int) -> tuple[OrderClass, ...]:
    """Return every class of orders of the loops ``running``, as far as ``tensors`` can tell them apart.

    Loops that do not run stand outermost, in order of their rank. Classes come in order of their codes.
    """
    ranks = relevance.ranks
    still = [rank for rank in range(ranks) if not running >> rank & 1]
    found: dict[int, tuple[int, ...]] = {}
    # a state is what the sets of a partial order are: (placed loops, tensors still open, sets, innermost sliding loop)
    states: dict[tuple[int, int, tuple[int, ...], int], tuple[int, ...]]
    states = {(0, tensors, (0,) * relevance.tensors, 0): ()}
    while states:
        grown: dict[tuple[int, int, tuple[int, ...], int], tuple[int, ...]] = {}
        for (placed, waiting, sets, innermost), inside in states.items():
            if not waiting or placed == running:
                sets = tuple(placed if waiting >> place & 1 else one for place, one in enumerate(sets))
                rest = [rank for rank in range(ranks) if running >> rank & 1 and not placed >> rank & 1]
                order = (*still, *rest, *reversed(inside))
                found.setdefault(code(relevance, tensors, running, sets, innermost), order)
                continue
            for rank in range(ranks):
                if not running >> rank & 1 or placed >> rank & 1:
                    continue
                closing = relevance.moves[rank] & waiting
                after = tuple(placed if closing >> place & 1 else one for place, one in enumerate(sets))
                first = innermost if placed else rank + 1 if relevance.slides[rank] & tensors else 0
                state = (placed | 1 << rank, waiting & ~closing, after, first)
                grown.setdefault(state, (*inside, rank))
        states = grown
    return tuple(OrderClass(number, found[number]) for number in sorted(found))


def code(relevance: Relevance, tensors: int, running: int, sets: Iterable[int], innermost: int) -> int:
    """Return the number of a class: equal numbers, equal costs."""
    number = innermost
    for one in (*sets, running):
        number = number << relevance.ranks | one
    return number << relevance.tensors | tensors


def codes(relevance: Relevance, orders: Integers, runs: Mask, tensors: Integers) -> Integers:
    """Return the codes of a batch of orders of one slot.

    Args:
        relevance: Which rank moves what.
        orders: (ranks, B) ranks from outside to inside.
        runs: (ranks, B) by position, whether the loop there runs.
        tensors: (B,) sets of tensors that see the slot.
    """
    moves, slides = (np.asarray(one, dtype=np.int64) for one in (relevance.moves, relevance.slides))
    count = orders.shape[1]
    waiting, placed = tensors.copy(), np.zeros(count, dtype=np.int64)
    sets = np.zeros((relevance.tensors, count), dtype=np.int64)
    innermost = np.zeros(count, dtype=np.int64)
    for position in reversed(range(relevance.ranks)):
        rank, run = orders[position], runs[position]
        first = run & (placed == 0) & ((slides[rank] & tensors) != 0)
        innermost[first] = rank[first] + 1
        closing = moves[rank] * run & waiting
        for place in range(relevance.tensors):
            np.copyto(sets[place], placed, where=(closing >> place & 1).astype(np.bool_))
        waiting &= ~closing
        placed |= run.astype(np.int64) << rank
    number = innermost
    for place in range(relevance.tensors):
        open_still = (waiting >> place & 1).astype(np.bool_)
        number = number << relevance.ranks | np.where(open_still, placed, sets[place])
    number = number << relevance.ranks | placed
    return number << relevance.tensors | tensors


def canonical(relevance: Relevance, orders: Integers, runs: Mask, tensors: Integers) -> Integers:
    """Return (ranks, B) the order that stands for the class of each order; arguments as of ``codes``."""
    numbers = codes(relevance, orders, runs, tensors)
    distinct, inverse = np.unique(numbers, return_inverse=True)
    every, seen = (1 << relevance.ranks) - 1, (1 << relevance.tensors) - 1
    standing = [
        _standing(relevance, number & seen, number >> relevance.tensors & every)[number] for number in distinct.tolist()
    ]
    found: Integers = np.array(standing, dtype=np.int64).reshape(-1, relevance.ranks).T[:, inverse]
    return found


@lru_cache(maxsize=65_536)
def _standing(relevance: Relevance, tensors: int, running: int) -> dict[int, tuple[int, ...]]:
    return {one.code: one.order for one in classes(relevance, tensors, running)}
