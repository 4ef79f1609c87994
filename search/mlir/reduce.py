"""A winner's edits reduced to those that its effect needs.

Timing is dear and noisy, and most edits of a large set either leave the compiled program as it was or change what it
does. So delta debugging first asks the compiler: a part of the edits that answers as well and costs no more FLOPs,
bytes and operations will do. What is left is reduced by the clock, and measured once more in full.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from codesign.search.mlir.edits import Edit
from codesign.search.mlir.minimise import minimise
from codesign.search.mlir.remeasure import Bench, How, Member

ACCOUNT = ("flops", "bytes", "operations")


class Winner(msgspec.Struct, frozen=True):
    """The member that a search stands by: its edits reduced, and the program measured with them alone."""

    id: int
    edits: tuple[Edit, ...]
    before: int
    member: Member


def lighter(member: Member, original: Member, cost: str) -> bool:
    """Return whether a member takes less of ``cost`` than the original."""
    return bool(cost) and getattr(member, cost) < getattr(original, cost)


def reduced(winner: Winner, original: Member, lost: float, bench: Bench, cost: str = "") -> Winner:
    """Return the winner with only the edits that its effect needs.

    Args:
        winner: What was chosen.
        original: The program without edits.
        lost: Error that it may lose on the selection data.
        bench: Where parts of the edits are measured.
        cost: The account that a search without timing is about; empty where there is none.
    """
    by_speed, by_cost = winner.member.faster, lighter(winner.member, original, cost)
    by_answers = not (by_speed or by_cost)
    worst = max(winner.member.selection_error, original.selection_error + (-np.inf if by_answers else lost))
    names = (cost,) if by_cost else tuple(name for name in ACCOUNT if np.isfinite(getattr(winner.member, name)))

    def answers(found: Member) -> bool:
        return found.sound and found.selection_error <= worst and (not by_answers or found.better(original))

    def light(found: Member) -> bool:
        return by_answers or all(getattr(found, name) <= getattr(winner.member, name) for name in names)

    def fast(found: Member) -> bool:
        return found.speedup >= winner.member.low

    def stands(found: Member) -> bool:
        return answers(found) and (not by_speed or (found.faster and fast(found)))

    found = winner
    if by_answers or names:
        found = _least(found, bench, "account", lambda one: answers(one) and light(one))
        found = _measured(found, winner, bench, stands)
    if not by_speed:
        return found
    less = _least(found, bench, "brief", lambda one: answers(one) and fast(one))
    return _measured(less, found, bench, stands)


def _least(winner: Winner, bench: Bench, how: How, holds: Callable[[Member], bool]) -> Winner:
    """Return ``winner`` with a part of its edits of which ``bench`` says that it holds, and no single one too many."""
    known = {winner.edits: winner.member}

    def ask(edits: tuple[Edit, ...]) -> bool:
        if edits == winner.edits:
            return True
        if edits not in known:
            known[edits] = bench.edits(edits, how)
        return holds(known[edits])

    kept = minimise(winner.edits, ask)
    return Winner(winner.id, kept, winner.before, known[kept])


def _measured(less: Winner, before: Winner, bench: Bench, holds: Callable[[Member], bool]) -> Winner:
    """Return ``less`` measured in full; ``before`` where it does not hold then."""
    if less.edits == before.edits:
        return before
    member = bench.edits(less.edits)
    return msgspec.structs.replace(less, member=member) if holds(member) else before
