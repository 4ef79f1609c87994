"""Cascades of Einsums: a DAG of operators that share tensors, and how often it must traverse a rank.

A *pass* over a rank M is a traversal of all of it that has to end before something else can start. Where an Einsum
reduces M and the result is used together with another M-ranked tensor, the next pass begins: the maximum of a softmax
is known only after all scores (FuseMax [1]_, section III). Softmax attention has 3 passes, 2 or 1, as it is written.

Ranks may be partitioned (m into m1 outside and m0 inside). What has only the outer part is a summary of a tile: it is
small, is made as the tile streams by, and walking over all summaries is no pass over M. A recurrence writes generation
``m1 + 1`` and reads ``m1``: offsets of the axis say so. Its last generation is read through an axis without a rank.

.. [1] Nayak et al., FuseMax: leveraging extended Einsums to optimize attention accelerator design, MICRO 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import msgspec
import numpy as np

from codesign.errors import DataError, UsageError, nearest
from codesign.workload import Axis, Einsum, Tensor


class Cascade(msgspec.Struct, frozen=True, eq=False):
    """Einsums in an order that makes each tensor before it is used, recurrences aside.

    ``parts`` names the parts of each partitioned rank, outermost first.

    Raises:
        DataError: two Einsums share a name or a tensor, a rank has no extent or two, or a tensor is used before it is
            made and not as an earlier generation.
    """

    name: str
    einsums: tuple[Einsum, ...]
    parts: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        names, made = [e.name for e in self.einsums], [e.output.name for e in self.einsums]
        for what, found in (("Einsum", names), ("tensor", made)):
            for name in found:
                if found.count(name) > 1:
                    raise DataError(f"cascade {self.name}: {what} {name!r} is made twice", "give it another name")
        _check_extents(self)
        _check_order(self)

    def producers(self) -> dict[str, Einsum]:
        """Return the Einsum that makes each tensor."""
        return {e.output.name: e for e in self.einsums}

    def parts_of(self, rank: str) -> tuple[str, ...]:
        """Return the parts of ``rank``, outermost first; itself where it has none.

        Raises:
            UsageError: no Einsum iterates over it.
        """
        parts = self.parts.get(rank, (rank,))
        known = set(chain.from_iterable(e.ranks for e in self.einsums))
        if missing := [part for part in parts if part not in known]:
            raise UsageError(
                f"cascade {self.name}: no Einsum has the rank {missing[0]!r}", nearest(rank, known | set(self.parts))
            )
        return parts


def ranks_of(tensor: Tensor) -> frozenset[str]:
    """Return the ranks that occur in the axes of ``tensor``."""
    return frozenset(rank for axis in tensor.axes for rank, _ in axis.terms)


def traverses(einsum: Einsum, parts: tuple[str, ...]) -> bool:
    """Return whether ``einsum`` iterates over all ``parts`` of a rank."""
    return all(part in einsum.ranks for part in parts)


def pass_of(cascade: Cascade, rank: str) -> dict[str, int]:
    """Return in which pass over ``rank`` each Einsum runs that traverses all of it, by name; the first is 1.

    Raises:
        UsageError: no Einsum has the rank.
        DataError: a recurrence waits for its own end.
    """
    parts, moments = cascade.parts_of(rank), moments_of(cascade, rank)
    return {e.name: _traversal(e, parts[0], moments) for e in cascade.einsums if traverses(e, parts)}


def pass_count(cascade: Cascade, rank: str) -> int:
    """Return how many passes over ``rank`` the cascade makes however it is scheduled.

    Raises:
        UsageError: no Einsum has the rank.
        DataError: a recurrence waits for its own end.
    """
    return max(pass_of(cascade, rank).values(), default=0)


def moments_of(cascade: Cascade, rank: str) -> dict[str, int]:
    """Return when each tensor is there: ``2 s`` while pass s streams it, ``2 s + 1`` once pass s has ended.

    Tensors from outside are there at 1, before the first pass. This is the longest path through the DAG; recurrences
    close loops, so it is relaxed until nothing changes.

    Raises:
        UsageError: no Einsum has the rank.
        DataError: a recurrence waits for its own end.
    """
    parts = cascade.parts_of(rank)
    moments: dict[str, int] = {}
    for _ in range(2 * len(cascade.einsums) + 2):
        before = dict(moments)
        for einsum in cascade.einsums:
            moments[einsum.output.name] = _made_at(einsum, parts, moments)
        if moments == before:
            return moments
    raise DataError(f"cascade {cascade.name}: a recurrence over {rank!r} waits for its own end", "read an earlier one")


def _read_at(view: Tensor, outer: str, moments: Mapping[str, int]) -> int:
    """Return when a view can be read: one that lacks the outer part of the rank waits for the end of the pass."""
    moment = moments.get(view.name, 1)
    return moment if moment % 2 or outer in ranks_of(view) else moment + 1


def _traversal(einsum: Einsum, outer: str, moments: Mapping[str, int]) -> int:
    """Return the pass in which ``einsum`` can traverse the rank: with what streams, after what has ended."""
    latest = max((_read_at(view, outer, moments) for view in einsum.inputs), default=1)
    return max(1, (latest + 1) // 2)


def _made_at(einsum: Einsum, parts: tuple[str, ...], moments: Mapping[str, int]) -> int:
    outer = parts[0]
    streams = outer in ranks_of(einsum.output)
    if traverses(einsum, parts):
        return 2 * _traversal(einsum, outer, moments) + (0 if streams else 1)
    latest = max((_read_at(view, outer, moments) for view in einsum.inputs), default=1)
    # summaries of tiles are made with the pass that streams their tiles, else at any time after it
    return latest if latest % 2 or streams else latest + 1


def partitioned(cascade: Cascade, rank: str, tile: int) -> Cascade:
    """Return the cascade with ``rank`` in tiles of ``tile``: ``m`` becomes ``m1`` (outer) and ``m0`` (inner).

    Raises:
        UsageError: no Einsum has the rank, it is partitioned already, the tile does not divide its extent, or a name
            is taken.
    """
    if rank in cascade.parts or len(cascade.parts_of(rank)) > 1:
        raise UsageError(f"cascade {cascade.name}: the rank {rank!r} is partitioned already")
    outer, inner = f"{rank}1", f"{rank}0"
    einsums = []
    for einsum in cascade.einsums:
        if taken := {outer, inner} & set(einsum.ranks):
            raise UsageError(f"cascade {cascade.name}: the rank {min(taken)!r} exists already", "rename it first")
        if rank not in einsum.ranks:
            einsums.append(einsum)
            continue
        extent = einsum.ranks[rank]
        if tile < 1 or np.any(np.asarray(extent) % tile):
            raise UsageError(f"rank {rank!r}: tiles of {tile} do not divide its extent {extent}")
        ranks = {**{r: x for r, x in einsum.ranks.items() if r != rank}, outer: extent // tile, inner: tile}
        views = [_split(view, rank, tile) for view in (*einsum.inputs, einsum.output)]
        einsums.append(msgspec.structs.replace(einsum, ranks=ranks, inputs=tuple(views[:-1]), output=views[-1]))
    return Cascade(cascade.name, tuple(einsums), {**cascade.parts, rank: (outer, inner)})


def _split(view: Tensor, rank: str, tile: int) -> Tensor:
    axes: list[Axis] = []
    for axis in view.axes:
        if axis.terms == ((rank, 1),) and axis.offset == 0 and axis.size is None:
            axes += [Axis(((f"{rank}1", 1),)), Axis(((f"{rank}0", 1),))]
            continue
        terms = tuple(
            chain.from_iterable(
                [(f"{rank}1", stride * tile), (f"{rank}0", stride)] if name == rank else [(name, stride)]
                for name, stride in axis.terms
            )
        )
        axes.append(Axis(terms, axis.offset, axis.size))
    return msgspec.structs.replace(view, axes=tuple(axes))


def is_recurrence(view: Tensor, written: Tensor) -> bool:
    """Return whether ``view`` reads an earlier generation of ``written``: one axis at a smaller offset."""
    if len(view.axes) != len(written.axes):
        return False
    moved = [(read, made) for read, made in zip(view.axes, written.axes, strict=True) if read != made]
    return len(moved) == 1 and all(read.terms == made.terms and read.offset < made.offset for read, made in moved)


def _check_order(cascade: Cascade) -> None:
    producers = cascade.producers()
    made: set[str] = set()
    for einsum in cascade.einsums:
        for view in einsum.inputs:
            maker = producers.get(view.name)
            if maker is not None and view.name not in made and not is_recurrence(view, maker.output):
                raise DataError(
                    f"cascade {cascade.name}: {einsum.name} uses {view.name!r} before {maker.name} makes it",
                    "put the Einsums in order; a recurrence reads an axis at a smaller offset than it writes",
                )
        made.add(einsum.output.name)


def _check_extents(cascade: Cascade) -> None:
    seen: dict[str, object] = {}
    for einsum in cascade.einsums:
        used = frozenset().union(*(ranks_of(view) for view in (*einsum.inputs, einsum.output)))
        for rank in sorted(used - set(einsum.ranks)):
            raise DataError(
                f"cascade {cascade.name}: {einsum.name}: the rank {rank!r} has no extent",
                nearest(rank, einsum.ranks) if einsum.ranks else "give it one",
            )
        for rank, extent in einsum.ranks.items():
            if np.any(np.asarray(seen.setdefault(rank, extent)) != np.asarray(extent)):
                raise DataError(
                    f"cascade {cascade.name}: {einsum.name}: the rank {rank!r} has extent {extent}",
                    f"elsewhere it has {seen[rank]}",
                )
