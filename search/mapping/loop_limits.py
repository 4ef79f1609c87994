"""Limits on loops, as Timeloop's constraints state them, turned into what every cell of a mapping may hold.

A cell is the bound of a rank at a slot. Either it is fixed, or primes may move in and out of it, up to a largest bound
where there is one. At an array the ranks of a permutation before its ``split`` may lie along X only, those after it
along Y only; a fixed or largest factor without a split speaks of X, or of Y where X has no room for it. Ranks of a
permutation at a level are its innermost loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.draw import primes
from codesign.costmodels.accelerator.timeloop.constraints import Limit
from codesign.costmodels.accelerator.timeloop.mapping import array_of
from codesign.errors import DataError, nearest
from codesign.search.mapping.genome import Integers, Mask
from codesign.search.mapping.loop_factors import Divisors, perfect_splits
from codesign.search.mapping.skeleton import Skeletons
from codesign.targets.spatial import Spine

NO_LIMIT = np.iinfo(np.int64).max


class LoopLimits(NamedTuple):
    """What loops may be.

    Attributes:
        base: (slots, ranks) the bound of a fixed cell; 1 elsewhere.
        free: (slots, ranks) whether primes may move in and out.
        most: (slots, ranks) largest bound.
        orders: Temporal slot, counted among those -> ranks that stand innermost, innermost first.
    """

    base: Integers
    free: Mask
    most: Integers
    orders: dict[int, tuple[int, ...]]

    def keep(self, factors: Integers, rank: int | None = None) -> Mask:
        """Return (B,) whether bounds (slots, ranks, B) are within the limits; (slots, B) of one ``rank`` alike."""
        base, free, most = (one if rank is None else one[:, rank] for one in (self.base, self.free, self.most))
        cells = np.where(free[..., None], factors <= most[..., None], factors == base[..., None])
        within: Mask = np.all(cells.reshape(-1, factors.shape[-1]), axis=0)
        return within

    def open(self, rank: Integers, factors: Integers, prime: Integers) -> Mask:
        """Return (slots, B) where a prime of a rank may go; ``factors`` are (slots, B) bounds of that rank."""
        within: Mask = np.less_equal(factors * prime, self.most[:, rank]) & self.free[:, rank]
        return within

    def imposed(self, place: int, orders: Integers, runs: Mask) -> Integers:
        """Return orders (ranks, B) of a temporal slot with the listed ranks innermost, loops that do not run outside.

        Args:
            place: The slot, counted among the temporal ones.
            orders: Ranks from outside to inside.
            runs: By position, whether the loop there runs.
        """
        listed = self.orders[place]
        inside = np.zeros(len(orders), dtype=np.int64)
        for depth, rank in enumerate(listed):
            inside[rank] = len(listed) - depth
        places = np.arange(len(orders))[:, None]
        size = len(orders) + 1
        key = np.where(runs, size + places + inside[orders] * size**2, orders)
        found: Integers = np.take_along_axis(orders, np.argsort(key, axis=0, kind="stable"), axis=0)
        return found

    def outermost(self, extents: Integers, copies: Integers) -> Integers:
        """Return (slots, ranks) bounds whose free primes stand as far outside as they may."""
        factors = self.base.copy()
        for rank, extent in enumerate(extents.tolist()):
            whole = np.flatnonzero(self.free[:, rank] & (copies == 0) & (self.most[:, rank] == NO_LIMIT))
            if len(whole):
                factors[whole[0], rank] = extent // prod(self.base[:, rank].tolist())
            else:
                factors[:, rank] = max(splits_of(self, rank, extent, copies).tolist())
        return factors


def splits_of(limits: LoopLimits, rank: int, extent: int, copies: Integers) -> Integers:
    """Return (N, slots) every split of a rank within the limits; ``copies`` as of ``read_limits``."""
    base, places = limits.base[:, rank], np.flatnonzero(limits.free[:, rank])
    held = prod(base.tolist())
    if extent % held or (not len(places) and held != extent):
        return np.zeros((0, len(base)), dtype=np.int64)
    if not len(places):
        return base[None, :].copy()
    caps = np.minimum(np.where(copies > 0, copies, NO_LIMIT), limits.most[:, rank])[places]
    part = perfect_splits(extent // held, [0 if cap == NO_LIMIT else int(cap) for cap in caps.tolist()])
    rows = np.repeat(base[None, :], len(part), axis=0)
    rows[:, places] = part
    return rows


def draw_within(
    limits: LoopLimits, divisors: Divisors, copies: Integers, count: int, generator: np.random.Generator
) -> Integers:
    """Return (slots, ranks, count) perfect splits within the limits; arrays may be overfilled.

    Each free prime goes to a slot at random that is open to it. Where largest bounds leave none, the whole split of
    the rank is drawn from the list of all.
    """
    factors = np.repeat(limits.base[..., None], count, axis=2)
    columns = np.arange(count)
    for rank, extent in enumerate(divisors.extents.tolist()):
        short = np.zeros(count, dtype=np.bool_)
        for prime in generator.permutation(list(primes(extent // prod(limits.base[:, rank].tolist())))).tolist():
            ranks, moved = np.full(count, rank), np.full(count, int(prime))
            allowed = limits.open(ranks, factors[:, rank], moved)
            allowed &= (copies == 0)[:, None] | (factors.prod(axis=1) * int(prime) <= copies[:, None])
            slot = (generator.random(allowed.shape) * allowed).argmax(axis=0)
            open_still = allowed.any(axis=0)
            short |= ~open_still
            factors[slot[open_still], rank, columns[open_still]] *= int(prime)
        if short.any():
            rows = splits_of(limits, rank, extent, copies)
            factors[:, rank, short] = rows[generator.integers(len(rows), size=int(short.sum()))].T
    return factors


def read_limits(
    limits: Sequence[Limit], problem: Problem, spine: Spine, skeletons: Skeletons, copies: Integers
) -> LoopLimits:
    """Return the limits of a search.

    Args:
        limits: As a file states them.
        problem: What is mapped.
        spine: What it is mapped onto.
        skeletons: The slots.
        copies: (slots,) most copies of a spatial slot; 0 for a temporal one.

    Raises:
        DataError: an unknown level or rank, or limits that no mapping meets; says where they stand.
    """
    shape = (len(skeletons.slots), len(skeletons.ranks))
    free = np.repeat((copies != 1)[:, None], shape[1], axis=1)
    read = _Reader(
        LoopLimits(np.ones(shape, np.int64), free, np.full(shape, NO_LIMIT), {}), problem, spine, skeletons, copies
    )
    for limit in limits:
        read.take(limit)
    read.check()
    return read.found


class _Reader:
    """Takes in one limit after the other."""

    def __init__(
        self, found: LoopLimits, problem: Problem, spine: Spine, skeletons: Skeletons, copies: Integers
    ) -> None:
        self.found, self.problem, self.spine, self.skeletons, self.copies = found, problem, spine, skeletons, copies
        self.said: dict[int, list[str]] = {}
        self.rest: dict[int, tuple[str, int]] = {}

    def rank(self, name: str, place: str) -> int:
        if name not in self.skeletons.ranks:
            hint = f"{nearest(name, self.skeletons.ranks)}; constraints name ranks of {self.problem.name}"
            raise DataError(f"{place}: unknown rank {name!r}", hint)
        return self.skeletons.ranks.index(name)

    def slots(self, limit: Limit) -> list[int]:
        """Return the slots that a limit speaks of; none where it speaks of temporal loops at an array."""
        array = array_of(limit.node, self.spine)
        levels = [storage.name for storage in self.spine.storages]
        known = limit.node in levels if not limit.spatial else array is not None
        if not known and (limit.spatial or array is None):
            names = [slot.node for slot in self.skeletons.slots]
            what = "array" if limit.spatial else "level"
            raise DataError(f"{limit.place}: unknown {what} {limit.node!r}", nearest(limit.node, names))
        node = array if limit.spatial else limit.node
        return [
            place for place, slot in enumerate(self.skeletons.slots)
            if slot.node == node and (slot.direction != "temporal") == limit.spatial
        ]  # fmt: skip

    def take(self, limit: Limit) -> None:
        slots = self.slots(limit)
        order = tuple(self.rank(name, f"{limit.place}.permutation") for name in limit.order)
        fixed = {self.rank(name, f"{limit.place}.factors"): bound for name, bound in limit.fixed.items()}
        most = {self.rank(name, f"{limit.place}.factors"): bound for name, bound in limit.most.items()}
        if limit.only:
            fixed |= {rank: 1 for rank in range(len(self.skeletons.ranks)) if rank not in (*fixed, *most)}
        fixed = {rank: 1 for rank in self._still(limit)} | fixed
        if limit.spatial and limit.split is not None:
            x, y = slots
            self.found.free[y, list(order[: limit.split])] = False
            self.found.free[x, list(order[limit.split :])] = False
        elif order and slots and not limit.spatial:
            self.found.orders[self.skeletons.temporal.index(slots[0])] = order
        for rank, bound in fixed.items():
            self._fix(limit, slots, rank, bound)
        for rank, bound in most.items():
            chosen = self._chosen(limit, slots, rank, 1)
            self.found.free[[slot for slot in slots if slot != chosen], rank] = False
            if chosen is not None:
                self.found.most[chosen, rank] = min(bound, self.found.most[chosen, rank])
                self._say(rank, limit, f"<={bound}")

    def _still(self, limit: Limit) -> list[int]:
        """Return the ranks of the tensors that the loops of a level may not walk over."""
        tensors = {tensor.name: tensor for tensor in self.problem.tensors}
        found = []
        for name in limit.still:
            if name not in tensors:
                where = f"{limit.place}.no_iteration_over_dataspaces"
                raise DataError(f"{where}: unknown tensor {name!r}", nearest(name, tensors))
            found += [self.skeletons.ranks.index(rank) for axis in tensors[name].axes for rank, _ in axis.terms]
        return found

    def _say(self, rank: int, limit: Limit, bound: str) -> None:
        self.said.setdefault(rank, []).append(f"{self.skeletons.ranks[rank]}{bound} at {limit.place}")

    def _chosen(self, limit: Limit, slots: list[int], rank: int, bound: int) -> int | None:
        """Return the slot that a factor goes to: the first with room; None where none is open."""
        may = [slot for slot in slots if self.found.free[slot, rank]]
        return next((slot for slot in may if not self.copies[slot] or bound <= self.copies[slot]), None)

    def _fix(self, limit: Limit, slots: list[int], rank: int, bound: int) -> None:
        name = self.skeletons.ranks[rank]
        chosen = self._chosen(limit, slots, rank, bound)
        if bound > 1:
            if chosen is None:
                raise DataError(
                    f"{limit.place}.factors: {name}={bound} has no room at {limit.node}",
                    "lower the factor, enlarge the array, or let its split send the rank along the other direction",
                )
            self.found.base[chosen, rank] = bound
        if bound == 0 and chosen is not None:
            if rank in self.rest:
                raise DataError(
                    f"{limit.place}.factors: a second {name}=0", f"one level takes all: {self.rest[rank][0]}"
                )
            self.rest[rank] = f"{name}=0 at {limit.place}", chosen
            return
        self.found.free[slots, rank] = False
        self._say(rank, limit, f"={bound}")

    def check(self) -> None:
        """Refuse limits that no mapping meets."""
        for rank, (_, chosen) in self.rest.items():
            self.found.free[[slot for slot in range(len(self.copies)) if slot != chosen], rank] = False
        for rank, name in enumerate(self.skeletons.ranks):
            extent = self.problem.ranks[name]
            if rank in (*self.said, *self.rest) and not len(splits_of(self.found, rank, extent, self.copies)):
                said = [*self.said.get(rank, []), *([self.rest[rank][0]] if rank in self.rest else [])]
                held = prod(self.found.base[:, rank].tolist())
                raise DataError(
                    f"no mapping of {name} ({extent} iterations) meets {'; '.join(said)}",
                    f"fixed factors multiply to {held}: they have to divide {extent}, and a level without a limit on "
                    f"{name}, or {name}=0 at one, takes the rest",
                )
        full = self.found.base.prod(axis=1)
        for slot in np.flatnonzero((self.copies > 0) & (full > self.copies)).tolist():
            node = self.skeletons.slots[slot]
            names = [name for rank, name in enumerate(self.skeletons.ranks) if self.found.base[slot, rank] > 1]
            said = [text for rank in map(self.skeletons.ranks.index, names) for text in self.said[rank]]
            raise DataError(
                f"fixed factors spread over {full[slot]} copies along {node.direction.upper()} of {node.node}, which "
                f"has {self.copies[slot]}: {'; '.join(said)}",
                "lower one of them",
            )


def keeping(
    problem: Problem, spine: Spine, keeps: dict[str, list[str]], passes: dict[str, list[str]], where: str
) -> dict[str, list[str]]:
    """Return level -> the tensors that it may keep, from what levels keep and what passes them by.

    Raises:
        DataError: a level or tensor that there is not.
    """
    names = [tensor.name for tensor in problem.tensors]
    levels = [storage.name for storage in spine.storages]
    for level, tensors in (*keeps.items(), *passes.items()):
        if level not in levels and (array_of(level, spine) is None or (level in keeps and tensors)):
            raise DataError(f"{where}: constraints.dataspace: unknown level {level!r}", nearest(level, levels))
        for name in tensors:
            if name not in names:
                hint = f"{nearest(name, names)}; constraints name tensors of {problem.name}"
                raise DataError(f"{where}: {level}: constraints.dataspace: unknown tensor {name!r}", hint)
    found = {level: list(tensors) for level, tensors in keeps.items() if level in levels}
    found |= {level: [name for name in names if name not in by] for level, by in passes.items() if level in levels}
    return found
