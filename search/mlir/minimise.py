"""Delta debugging: the few parts of a list that its effect needs [1]_.

References:
    [1] Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002, figure 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from codesign.errors import UsageError
from codesign.search.mlir.graph import Refused

T = TypeVar("T")


def minimise(parts: Sequence[T], holds: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Return a part of ``parts`` for which ``holds`` is true and from which no single one can be dropped (ddmin).

    Args:
        parts: What to reduce; the order is kept.
        holds: Whether a selection still has the effect; asked once for each selection. One that is refused (an edit
            whose copy is gone) has not.

    Raises:
        UsageError: not even all parts together have the effect.
    """
    asked: dict[tuple[int, ...], bool] = {}

    def test(chosen: tuple[int, ...]) -> bool:
        if chosen not in asked:
            try:
                asked[chosen] = holds(tuple(parts[index] for index in chosen))
            except Refused:
                asked[chosen] = False
        return asked[chosen]

    kept = tuple(range(len(parts)))
    if not test(kept):
        raise UsageError(f"all {len(parts)} parts together do not have the effect", "nothing can be minimised")
    if test(()):
        return ()
    pieces = 2
    while len(kept) > 1:
        cuts = [round(index * len(kept) / pieces) for index in range(pieces + 1)]
        subsets = [kept[a:b] for a, b in pairwise(cuts)]
        rests = [tuple(index for index in kept if index not in subset) for subset in subsets]
        if (found := next((subset for subset in subsets if test(subset)), None)) is not None:
            kept, pieces = found, 2
        elif (found := next((rest for rest in rests if test(rest)), None)) is not None:
            kept, pieces = found, max(pieces - 1, 2)
        elif pieces < len(kept):
            pieces = min(2 * pieces, len(kept))
        else:
            break
    return tuple(parts[index] for index in kept)
