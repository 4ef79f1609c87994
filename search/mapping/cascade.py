"""The best mappings of a cascade on one accelerator: fused against unfused, in one front.

A candidate says which intermediates stay at a level on the chip and which loops all Einsums share. For each, mappings
of every Einsum inside these loops are searched by themselves, in what the staying tiles leave of the level (a *pool*,
shared by candidates with equal tiles), joined from first to last with only non-dominated sums kept, and priced
together. This is how FFM [1]_ finds fused mappings: what an Einsum costs depends on the others through the shared loops
alone.

Searched are the ranks that all Einsums and all that stays have in common, at a few divisors each; a recurrence shares
its generations. Each Einsum runs on the compute unit that has most copies of its operation, every level keeps what it
may, and all intermediates stay or none, or with at most ``MOST_SUBSETS`` of them every set.

.. [1] Gilbert et al., Fast and fusiest: an optimal fusion-aware mapper, arXiv 2602.15166.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, combinations, product
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Mappings, Problem, evaluate
from codesign.costmodels.accelerator.cascade_files import fusion_of
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem, plain_ranks, tile_words
from codesign.costmodels.accelerator.fused import FusedCosts, evaluate_cascade
from codesign.costmodels.accelerator.latency import parse_latency
from codesign.errors import LimitCrossed, UsageError
from codesign.search.mapping.inner import search
from codesign.search.mapping.problem import MappingProblem
from codesign.search.objectives import chosen_names
from codesign.search.pareto import Archive
from codesign.targets.spatial import Architecture, Fanout, Node, Storage

Array = NDArray[np.float64]
Shared = tuple[tuple[str, int], ...]

BUDGET = 4_000
"""Mappings priced for an Einsum inside given shared loops."""

POOL = 16
"""Mappings of an Einsum that take part in a join: those of the least energy x latency among the front."""

JOINED = 96
"""Joined mappings kept after every Einsum."""

DIVISORS = 4
"""Bounds of a shared loop that are tried: spread over its divisors."""

MOST_SHARED = 24
"""Combinations of shared loops that are tried for one set of tensors that stay."""

MOST_SUBSETS = 3
"""Intermediates of which every subset may stay; of more all or none."""

OBJECTIVES = ("energy", "latency", "edp", "traffic")


class Candidate(NamedTuple):
    """What stays where, and the loops that all Einsums share."""

    stay: Mapping[str, str]
    shared: Shared


class FusedMapping(NamedTuple):
    """One mapping of the front: its candidate, mappings of the Einsums, costs (a batch of one)."""

    candidate: Candidate
    parts: list[Mappings]
    costs: FusedCosts


class Fused(NamedTuple):
    """What one candidate is worth: its mappings that no other of them beats (a batch of K), and their (K, M) values."""

    candidate: Candidate
    parts: list[Mappings]
    values: Array


class FusedFront(NamedTuple):
    """What a search found.

    Attributes:
        objectives: Names of the M objectives.
        mappings: The K mappings of the front, by the first objective.
        values: (K, M) their objectives; latency in cycles where the design has no clock.
        unfused: (M,) best of each objective where nothing stays on the chip; inf where that does not fit.
        candidates: Fusions that were tried.
        evaluations: Mappings of Einsums that were priced.
        fusions: Every candidate that fits, in the order in which they were tried.
        enumerated: For each search of mappings of an Einsum that began with a pruned enumeration whether it was
            complete.
    """

    objectives: tuple[str, ...]
    mappings: list[FusedMapping]
    values: Array
    unfused: Array
    candidates: int
    evaluations: int
    fusions: list[Fused]
    enumerated: list[bool]


def map_cascade(
    cascade: CascadeProblem,
    architecture: Architecture,
    objectives: Sequence[str] = ("energy", "latency"),
    budget: int = BUDGET,
    seed: int = 0,
    latency: str = "ideal",
) -> FusedFront:
    """Return the front of mappings of a cascade.

    Args:
        cascade: The Einsums.
        architecture: What they are mapped onto.
        objectives: What to minimise: energy, latency, edp, traffic.
        budget: Mappings to price for an Einsum inside given shared loops.
        seed: All randomness derives from it.
        latency: How cycles are counted; ``pipelined`` lets units of several kinds work at once.

    Raises:
        UsageError: an unknown objective or latency, or an operation that no compute unit has.
        LimitCrossed: no mapping fits.
    """
    searched = _Search(cascade, architecture, chosen_names(objectives, OBJECTIVES), budget, seed, latency)
    found: list[Fused] = []
    tried = 0
    for candidate in searched.candidates():
        tried += 1
        fused = searched.fused(candidate)
        if fused is not None:
            found.append(fused)
    if not found:
        raise LimitCrossed(f"{cascade.name} on {architecture.id}: no mapping fits", "enlarge a memory, or the budget")
    alone = [one.values.min(axis=0) for one in found if not one.candidate.stay]
    archive = Archive(len(searched.objectives))
    owners = [(one, row) for one in found for row in range(len(one.values))]
    archive.offer(np.concatenate([one.values for one in found]), np.arange(len(owners), dtype=np.int64))
    order = np.argsort(archive.values[:, 0], kind="stable")
    kept = [owners[number] for number in archive.ids[order].tolist()]
    chosen = [(one.candidate, [part.take(row) for part in one.parts]) for one, row in kept]
    return FusedFront(
        objectives=searched.objectives,
        mappings=[
            FusedMapping(one, parts, evaluate_cascade(cascade, architecture, parts, latency)) for one, parts in chosen
        ],
        values=archive.values[order],
        unfused=np.min([np.full(len(searched.objectives), np.inf), *alone], axis=0),
        candidates=tried,
        evaluations=searched.evaluations,
        fusions=found,
        enumerated=searched.enumerated,
    )


class _Search:
    """What all candidates of a search share: units, pools, and how costs become objectives."""

    def __init__(
        self, cascade: CascadeProblem, architecture: Architecture, objectives: tuple[str, ...], budget: int, seed: int,
        latency: str,
    ) -> None:  # fmt: skip
        self.cascade, self.architecture, self.objectives = cascade, architecture, objectives
        self.budget, self.seed, self.latency = budget, seed, latency
        parse_latency(latency)
        self.alone = ",".join(word for word in latency.split(",") if word.strip() != "pipelined") or "ideal"
        self.units = [self._unit(problem) for problem in cascade.problems]
        self.evaluations = 0
        self.enumerated: list[bool] = []
        self._pools: dict[tuple[int, tuple[int, ...], str, int], Mappings | None] = {}

    def _unit(self, problem: Problem) -> str:
        able = [spine for spine in self.architecture.spines() if problem.operation in spine.compute.operations]
        if not able:
            known = {name for spine in self.architecture.spines() for name in spine.compute.operations}
            message = f"{self.architecture.id}: no compute unit has {problem.operation!r}, which {problem.name} takes"
            raise UsageError(message, f"it has {', '.join(sorted(known))}; fusemax has all of attention")
        return max(able, key=lambda spine: spine.compute_instances).compute.name

    # --- candidates ---------------------------------------------------------------------------------------------

    @cached_property
    def levels(self) -> list[str]:
        """Memories on the chip that every Einsum reaches before any array."""
        reached = []
        for unit in dict.fromkeys(self.units):
            names: list[str] = []
            for node in self.architecture.spine(unit).nodes[1:]:
                if isinstance(node, Fanout):
                    break
                if node in self.architecture.nodes:  # no member of a parallel group
                    names.append(node.name)
            reached.append(names)
        return [name for name in reached[0] if all(name in names for names in reached)]

    def candidates(self) -> Iterator[Candidate]:
        """Yield what may stay with the loops that may be shared, nothing first."""
        passed = list(dict.fromkeys(use.tensor for use in self.cascade.uses))
        recurs = [use.tensor for use in self.cascade.uses if use.consumer < use.producer]
        if not recurs:
            yield Candidate({}, ())
        few = len(passed) <= MOST_SUBSETS and not recurs
        sizes = range(1, len(passed) + 1) if few else [len(passed)]
        for level in self.levels:
            for chosen in chain.from_iterable(combinations(passed, size) for size in sizes if size):
                stay = {name: level for name in chosen if self._may(name, level)}
                if len(stay) == len(chosen):
                    for shared in self._shared(chosen):
                        yield Candidate(stay, shared)

    def _may(self, tensor: str, level: str) -> bool:
        """Say whether all who make or read a tensor may keep it at a level."""
        for at, problem in enumerate(self.cascade.problems):
            for view in problem.tensors:
                if self.cascade.tensors[at][view.name] == tensor:
                    home: Storage = next(
                        one for one in self.architecture.spine(self.units[at]).storages if one.name == level
                    )
                    if home.keeps and problem.operand(view) not in home.keeps:
                        return False
        return True

    def _shared(self, stay: Sequence[str]) -> list[Shared]:
        """Return the loops to try around all Einsums that pass on ``stay``, generations of recurrences innermost."""
        uses = [use for use in self.cascade.uses if use.tensor in stay]
        involved = {at for use in uses for at in (use.producer, use.consumer)}
        inside = range(min(involved), max(involved) + 1)
        generations = dict[str, int]()
        for use in uses:
            if use.consumer < use.producer:
                view = next(one for one in self.cascade.problems[use.consumer].inputs if one.name == use.view)
                pairs = zip(view.axes, self.cascade.written(use.tensor).axes, strict=True)
                ranks = [rank for read, made in pairs if read != made for rank, _ in made.terms]
                generations |= {rank: self.cascade.problems[use.producer].ranks[rank] for rank in ranks}
        common = [
            rank for rank in self.cascade.problems[inside[0]].ranks
            if rank not in generations
            and all(rank in self.cascade.problems[at].ranks for at in inside)
            and all(rank in plain_ranks(self.cascade.written(tensor)) for tensor in stay)
        ]  # fmt: skip
        extents = [self.cascade.problems[inside[0]].ranks[rank] for rank in common]
        bounds = list(product(*(_spread(_divisors(extent), DIVISORS) for extent in extents)))
        # few first: all combinations where they are few, else evenly spread ones
        chosen = [bounds[place] for place in _spread(range(len(bounds)), MOST_SHARED)]
        tail = tuple(generations.items())
        return [(*(pair for pair in zip(common, bound, strict=True) if pair[1] > 1), *tail) for bound in chosen]

    # --- mappings -----------------------------------------------------------------------------------------------

    def _pool(self, at: int, tile: tuple[int, ...], candidate: Candidate) -> Mappings | None:
        """Return mappings of an Einsum over ``tile`` beside what stays; None where none fits."""
        level = next(iter(candidate.stay.values()), "")
        rows = self._rows_taken(candidate, level)
        key = (at, tile, level, rows)
        if key not in self._pools:
            problem = self.cascade.problems[at]
            smaller = msgspec.structs.replace(problem, ranks=dict(zip(problem.ranks, tile, strict=True)))
            free = unhindered(self.architecture)
            left = _without(free, level, rows) if rows else free
            self._pools[key] = None if left is None else self._searched(smaller, left, self.units[at])
        return self._pools[key]

    def _rows_taken(self, candidate: Candidate, level: str) -> int:
        """Return the rows of a level that the tiles of all that stays take."""
        home = next((one for one in self.architecture.spine(self.units[0]).storages if one.name == level), None)
        if home is None or home.depth is None:
            return 0
        bits = 0.0
        for tensor in candidate.stay:
            at = self.cascade.producers[tensor]
            sizes = dict(self.cascade.problems[at].ranks)
            for rank, bound in candidate.shared:
                if rank not in sizes:
                    break
                sizes[rank] //= bound
            made = self.cascade.written(tensor)
            bits += tile_words(made, sizes) * home.element_bits(float(made.bits)) * home.buffers
        return -(-int(bits * home.cluster) // home.width_bits)

    def _searched(self, problem: Problem, architecture: Architecture, unit: str) -> Mappings | None:
        try:
            asked = MappingProblem(
                einsum=problem, architecture=architecture, objectives=("energy", "latency", "traffic", "buffer"),
                unit=unit, bypass=False, latency=self.alone,
            )  # fmt: skip
            front = search(asked, self.budget, self.seed, baseline=False)
        except LimitCrossed:
            return None
        self.evaluations += front.evaluations
        if asked.space.enumerated is not None:
            self.enumerated.append(asked.space.enumerated)
        product_of = front.values[:, 0] * front.values[:, 1]
        chosen = dict.fromkeys([*front.values.argmin(axis=0).tolist(), *product_of.argsort(kind="stable").tolist()])
        return asked.space.mappings(front.points[list(chosen)[:POOL]])[0][1]

    def _inside(self, at: int, candidate: Candidate) -> Mappings | None:
        """Return the pool of an Einsum inside the shared loops of a candidate."""
        problem = self.cascade.problems[at]
        spine = self.architecture.spine(self.units[at])
        fusion = fusion_of(self.cascade, at, candidate.shared, candidate.stay)
        slots, loops = fusion.slots(problem, spine)
        left = dict(problem.ranks)
        for _, rank, bound in loops:
            left[rank] //= bound
        pool = self._pool(at, tuple(left.values()), candidate)
        if pool is None:
            return None
        count, ranks = len(pool), len(slots.ranks)
        outer = np.ones((fusion.depth, ranks, count), dtype=np.int64)
        for slot, rank, bound in loops:
            outer[slot, slots.ranks.index(rank)] = bound
        straight = np.broadcast_to(np.arange(ranks)[None, :, None], (fusion.depth, ranks, count))
        return Mappings(slots, np.concatenate([outer, pool.factors]), np.concatenate([straight, pool.orders]))

    def joined(self, candidate: Candidate) -> tuple[list[Mappings], FusedCosts] | None:
        """Return joined mappings of all Einsums and their costs; None where an Einsum has none."""
        pools: list[Mappings] = []
        rows, sums = np.zeros((0, 1), dtype=np.int64), np.zeros((1, 3))
        for at, problem in enumerate(self.cascade.problems):
            pool = self._inside(at, candidate)
            if pool is None:
                return None
            costs = evaluate(problem, self.architecture, pool, latency=self.alone)
            root = costs.transfer_cycles[0]
            own = np.stack(
                [costs.energy[1], np.maximum(costs.ideal_cycles, costs.transfer_cycles[1:].max(axis=0)), root]
            )
            pairs = np.array(list(product(range(rows.shape[1]), range(len(pool))))).T
            sums = sums[pairs[0]] + own.T[pairs[1]]
            rows = np.vstack([rows[:, pairs[0]], pairs[1]])
            kept = _least(sums)
            rows, sums = rows[:, kept], sums[kept]
            pools.append(pool)
        parts = [pool.take(row) for pool, row in zip(pools, rows, strict=True)]
        return parts, evaluate_cascade(self.cascade, self.architecture, parts, self.latency)

    def fused(self, candidate: Candidate) -> Fused | None:
        """Return the mappings of a candidate that no other of them beats; None where none fits."""
        joined = self.joined(candidate)
        if joined is None:
            return None
        parts, costs = joined
        rows = np.flatnonzero(costs.feasible)
        if not len(rows):
            return None
        archive = Archive(len(self.objectives))
        archive.offer(self.values(costs)[rows], rows.astype(np.int64))
        order = np.argsort(archive.values[:, 0], kind="stable")
        return Fused(candidate, [part.take(archive.ids[order]) for part in parts], archive.values[order])

    def values(self, costs: FusedCosts) -> Array:
        """Return (B, M) objectives."""
        seconds = costs.cycles if costs.seconds is None else costs.seconds
        energy = costs.energy[1]
        known = {"energy": energy, "latency": seconds, "edp": energy * seconds, "traffic": costs.traffic}
        return np.stack([known[name] for name in self.objectives], axis=1)


def unhindered(architecture: Architecture) -> Architecture:
    """Return an accelerator whose outermost memory takes no time: all Einsums share it, so joins count its time apart.

    Else every mapping that waits for it is as quick as any other, and those that leave the arrays idle look good.
    """
    root = architecture.spines()[0].storages[0].name

    def freed(node: Node) -> Node:
        if isinstance(node, Storage) and node.name == root:
            return msgspec.structs.replace(node, shared_bandwidth=None, read_bandwidth=None, write_bandwidth=None)
        return node

    return msgspec.structs.replace(architecture, nodes=tuple(freed(node) for node in architecture.nodes))


def _without(architecture: Architecture, level: str, rows: int) -> Architecture | None:
    """Return an accelerator with ``rows`` less of a level; None where the level has no more."""

    def cut(node: Node) -> Node:
        if isinstance(node, Storage) and node.name == level and node.depth is not None:
            return msgspec.structs.replace(node, depth=node.depth - rows)
        return node

    found = msgspec.structs.replace(architecture, nodes=tuple(cut(node) for node in architecture.nodes))
    changed = next(node for node in found.nodes if isinstance(node, Storage) and node.name == level)
    return None if changed.depth is not None and changed.depth < 1 else found


def _least(values: Array) -> list[int]:
    """Return at most ``JOINED`` rows that no other beats, those of the least products first."""
    archive = Archive(values.shape[1])
    archive.offer(values, np.arange(len(values), dtype=np.int64))
    order = np.argsort(np.prod(archive.values[:, :2], axis=1), kind="stable")
    best = archive.values.argmin(axis=0)
    chosen = dict.fromkeys([*archive.ids[best].tolist(), *archive.ids[order].tolist()])
    return list(chosen)[:JOINED]


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]


def _spread(values: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` of ``values``, the ends and evenly between."""
    places = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return [values[place] for place in dict.fromkeys(places.tolist())]
