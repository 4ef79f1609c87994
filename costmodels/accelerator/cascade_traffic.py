"""Traffic of cascades: what must cross to memory at least, and what a grouping into kernels moves.

Whatever the schedule, tensors from outside are read once and results written once: the *compulsory* traffic. A cascade
of several passes over a rank needs its fibres again after each pass. One that does not fit on chip comes from memory
once more: either itself, or what it is computed from. Units: bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.accelerator.cascade import Cascade, moments_of, pass_of, ranks_of, traverses
from codesign.costmodels.carbon.domains import non_negative
from codesign.errors import UsageError, nearest
from codesign.quantity import Array
from codesign.workload import Block, Einsum, Group, Phase, Tensor


def compulsory_bytes(cascade: Cascade) -> Any:
    """Return the bytes of inputs and results, each once; intermediates never leave the chip."""
    return grouped_bytes(cascade, [[einsum.name for einsum in cascade.einsums]])


def unfused_bytes(cascade: Cascade) -> Any:
    """Return the bytes when every Einsum is a kernel of its own; those that a recurrence ties stay together."""
    return grouped_bytes(cascade, tied(cascade))


def grouped_bytes(cascade: Cascade, groups: Sequence[Sequence[str]]) -> Any:
    """Return the bytes when each group of Einsums is one kernel: what is made and used inside stays there.

    Args:
        cascade: The cascade.
        groups: Names of its Einsums, each in one group.

    Raises:
        UsageError: an Einsum is unknown, in no group or in two, a recurrence crosses groups, or groups wait for each
            other.
    """
    home = _homes(cascade, groups)
    kernels: list[list[Einsum]] = [[] for _ in groups]
    producers = cascade.producers()
    made: set[str] = set()
    for einsum in cascade.einsums:
        kept = []
        for view in einsum.inputs:
            maker = producers.get(view.name)
            if maker is None or view.name in made:
                kept.append(view)
            elif home[maker.name] != home[einsum.name]:
                raise UsageError(
                    f"cascade {cascade.name}: the recurrence of {view.name!r} crosses two groups",
                    f"put {einsum.name} and {maker.name} into one",
                )
        made.add(einsum.output.name)
        # earlier generations are on chip already, and the first is a constant
        kernels[home[einsum.name]].append(msgspec.structs.replace(einsum, inputs=tuple(kept)))
    _check_schedule(cascade, home)
    phase = Phase(cascade.name, (Block("", tuple(Group(str(i), tuple(ops)) for i, ops in enumerate(kernels))),))
    internal = phase.internal()
    return sum(group.traffic(internal) for _, group in phase.groups())


def tied(cascade: Cascade) -> list[list[str]]:
    """Return the finest grouping that a recurrence does not cross: one Einsum each, or a run of Einsums."""
    names = [einsum.name for einsum in cascade.einsums]
    position = {einsum.output.name: i for i, einsum in enumerate(cascade.einsums)}
    groups: list[list[str]] = []
    last = -1
    for i, einsum in enumerate(cascade.einsums):
        if i > last:
            groups.append([])
        groups[-1].append(names[i])
        last = max([last, *(position[view.name] for view in einsum.inputs if position.get(view.name, -1) >= i)])
    return groups


class _Pass(NamedTuple):
    """The end of one pass: which tensors are needed again after it, and over which ranks it repeats."""

    needed: tuple[Tensor, ...]
    repeats: frozenset[str]


def traffic_bound(cascade: Cascade, rank: str, buffer_bytes: Any) -> Array:
    """Return a lower bound of the bytes that cross to memory, for any schedule on a buffer of ``buffer_bytes``.

    The compulsory traffic, and for each end of a pass over ``rank`` what of the fibres needed again does not fit. A
    fibre comes from memory, or is made anew from those it is computed from: the cheaper counts.

    Args:
        cascade: The cascade; extents may be arrays.
        rank: The rank that it passes over.
        buffer_bytes: Size of the buffer, any shape; infinite gives the compulsory traffic.

    Raises:
        UsageError: no Einsum has the rank, or the size is negative.
        DataError: a recurrence waits for its own end.
    """
    unlimited = np.all(np.isposinf(buffer_bytes))
    room = np.full(np.shape(buffer_bytes), np.inf) if unlimited else non_negative("buffer_bytes", buffer_bytes)
    total = np.asarray(compulsory_bytes(cascade), np.float64) + np.zeros(room.shape)
    for ended in _passes(cascade, rank):
        missing = [_refetched(cascade, rank, view, ended.repeats, room) for view in ended.needed]
        total = total + _largest(missing)
    return total


def fibre_bytes(cascade: Cascade, rank: str) -> Array:
    """Return the bytes of the largest fibre that is needed again after a pass over ``rank``; 0 for one pass.

    A buffer that holds it brings the bound down to the compulsory traffic. It grows with the rank, which a cascade of
    one pass avoids.

    Raises:
        UsageError: no Einsum has the rank.
        DataError: a recurrence waits for its own end.
    """
    sizes = [_fibre(cascade, view, p.repeats) for p in _passes(cascade, rank) for view in p.needed]
    return _largest(sizes)


def _largest(sizes: Sequence[Array]) -> Array:
    """Return the largest of arrays of bytes at every design, 0 of none."""
    found: Array = np.asarray(0.0)
    for size in sizes:
        found = np.maximum(found, size)
    return found


def _passes(cascade: Cascade, rank: str) -> list[_Pass]:
    """Return the ends of all passes but the last."""
    parts, moments = cascade.parts_of(rank), moments_of(cascade, rank)
    stage = pass_of(cascade, rank)
    producers = cascade.producers()
    found = []
    for number in range(1, max(stage.values(), default=0)):
        ended = [e.output for e in cascade.einsums if moments[e.output.name] == 2 * number + 1]
        repeats = frozenset[str]().union(*(ranks_of(t) for t in ended)) - set(parts)
        needed: dict[str, Tensor] = {}
        for einsum in cascade.einsums:
            for view in einsum.inputs if stage.get(einsum.name, 0) > number else ():
                maker = producers.get(view.name)
                later = number + 1
                before = _first_use(cascade, view.name, stage, later) if maker is None else stage.get(maker.name, later)
                if before <= number and set(parts) <= ranks_of(view):
                    needed[view.name] = view
        found.append(_Pass(tuple(needed.values()), repeats))
    return found


def _first_use(cascade: Cascade, name: str, stage: dict[str, int], otherwise: int) -> int:
    """Return the first pass that reads the outside tensor ``name``."""
    users = [stage[e.name] for e in cascade.einsums if e.name in stage and name in {view.name for view in e.inputs}]
    return min(users, default=otherwise)


def _refetched(
    cascade: Cascade, rank: str, view: Tensor, repeats: frozenset[str], room: Array, seen: frozenset[str] = frozenset()
) -> Array:
    """Return the least bytes that bring back ``view``: its own, or those of what it is computed from."""
    ranks = _extents(cascade)
    # repeats inside a sliding window share its halo: counted once, which keeps this a lower bound
    plain = {axis.terms[0][0] for axis in view.axes if len(axis.terms) == 1}
    count = prod((np.asarray(ranks[r], np.float64) for r in sorted(plain & repeats)), start=np.asarray(1.0))
    own: Array = count * np.maximum(_fibre(cascade, view, repeats) - room, 0.0)
    maker = cascade.producers().get(view.name)
    parts = cascade.parts_of(rank)
    if maker is None or not traverses(maker, parts):
        return own
    seen = seen | {view.name}  # a recurrence leads back to itself
    sources = [s for s in maker.inputs if set(parts) <= ranks_of(s) and s.name not in seen]
    anew = [_refetched(cascade, rank, source, repeats, room, seen) for source in sources]
    return np.minimum(own, _largest(anew))


def _fibre(cascade: Cascade, view: Tensor, repeats: frozenset[str]) -> Array:
    ranks = _extents(cascade)
    inside = {r: 1 if r in repeats else extent for r, extent in ranks.items()}
    return np.asarray(view.footprint(inside), np.float64)


def _extents(cascade: Cascade) -> dict[str, Any]:
    return {rank: extent for einsum in cascade.einsums for rank, extent in einsum.ranks.items()}


def _check_schedule(cascade: Cascade, home: dict[str, int]) -> None:
    """Refuse groups that cannot run one after the other: each needs what the other makes."""
    producers = cascade.producers()
    needs: dict[int, set[int]] = {group: set() for group in home.values()}
    for einsum in cascade.einsums:
        makers = [producers[view.name].name for view in einsum.inputs if view.name in producers]
        needs[home[einsum.name]] |= {home[maker] for maker in makers} - {home[einsum.name]}
    while ready := {group for group, others in needs.items() if not others}:
        needs = {group: others - ready for group, others in needs.items() if group not in ready}
    if needs:
        stuck = next(einsum.name for einsum in cascade.einsums if home[einsum.name] in needs)
        raise UsageError(
            f"cascade {cascade.name}: the group of {stuck} and another wait for each other",
            "fuse them, or split one",
        )


def _homes(cascade: Cascade, groups: Sequence[Sequence[str]]) -> dict[str, int]:
    names = [einsum.name for einsum in cascade.einsums]
    home: dict[str, int] = {}
    for index, group in enumerate(groups):
        for name in group:
            if name not in names:
                raise UsageError(f"cascade {cascade.name}: no Einsum {name!r}", nearest(name, names))
            if name in home:
                raise UsageError(f"cascade {cascade.name}: {name} is in two groups")
            home[name] = index
    if missing := [name for name in names if name not in home]:
        raise UsageError(f"cascade {cascade.name}: {missing[0]} is in no group")
    return home
