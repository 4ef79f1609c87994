"""The best mappings of one Einsum on one accelerator, found at once and in memory.

This is the inner search of anything that varies problems or accelerators: no run directory, no journal. Small spaces
are streamed whole; large ones go through ``islands``, which begin with a pruned enumeration (``level_fronts``). The
best mapping of every objective ever seen is kept, and the front over all objectives; random mappings at as many
evaluations say what the search is worth.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Mappings, Problem
from codesign.errors import LimitCrossed
from codesign.search.engine import Engine
from codesign.search.exhaustive import Exhaustive
from codesign.search.islands import LARGEST_BATCH, Islands
from codesign.search.mapping.bounds import Bounds
from codesign.search.mapping.level_fronts import WIDTH
from codesign.search.mapping.problem import MappingProblem
from codesign.search.mapping.space import MappingSpace, Rows
from codesign.search.mapping.uneven import embedded
from codesign.search.mapping.written import written_problem
from codesign.search.pareto import Archive
from codesign.search.random_search import RandomSearch
from codesign.search.unseen import generator_of
from codesign.targets.spatial import Architecture

Array = NDArray[np.float64]

BUDGET = 20_000
"""Evaluations of a search where none are asked for: half a second."""

FRESH = 4_000
"""Budget from which on half of it begins with random mappings alone."""

TURNS, FEWEST = 12, 3
"""Batches of a budget, and of a small one: a batch takes some time of its own, and the first brings good mappings."""


class MappingFront(NamedTuple):
    """What a search found.

    Attributes:
        problem: The searched problem; its ``space`` reads the points.
        objectives: Names of the M objectives.
        points: (K, D) rows of the front, by the first objective.
        values: (K, M) their objectives, SI (latency in cycles where the design has no clock).
        best: (M,) the best value of every objective.
        best_points: (M, D) the mapping of the front that has it: of several, none is worse in all else.
        random: (M,) the best values of random mappings at as many evaluations; the same where all were seen.
        random_points: (R, D) the front of those random mappings.
        random_values: (R, M) their objectives.
        evaluations: Mappings that were priced.
        exhaustive: Whether that was the whole space.
        seconds: Wall time of the search, the random mappings apart.
    """

    problem: MappingProblem
    objectives: tuple[str, ...]
    points: Rows
    values: Array
    best: Array
    best_points: Rows
    random: Array
    random_points: Rows
    random_values: Array
    evaluations: int
    exhaustive: bool
    seconds: float

    @property
    def bounds(self) -> Bounds:
        """Return what no mapping can beat."""
        return self.problem.bounds

    def mapping(self, objective: str) -> Mappings:
        """Return the best mapping by one objective."""
        row = self.best_points[self.objectives.index(objective)]
        return self.problem.space.mappings(row[None, :])[0][1]


def best_mappings(
    einsum: Problem,
    architecture: Architecture,
    objectives: Sequence[str] = ("energy", "latency"),
    budget: int = BUDGET,
    seed: int = 0,
    *,
    where: Sequence[str] = (),
    bypass: bool = True,
    uneven: bool = False,
    ragged: bool = False,
    latency: str = "ideal",
    baseline: bool = True,
) -> MappingFront:
    """Return the front of mappings of a problem.

    Args:
        einsum: What is mapped.
        architecture: What it is mapped onto.
        objectives: What to minimise: energy, latency, edp, buffer, traffic.
        budget: Mappings to price; a space of no more is priced whole.
        seed: All randomness derives from it.
        where: Limits, such as ``utilisation >= 50 %``.
        bypass: Whether tensors may pass by levels that could keep them.
        uneven: Whether tiles of one level may be cut at different loops.
        ragged: Whether bounds may exceed the extents.
        latency: How cycles are counted.
        baseline: Whether to price as many random mappings.

    Raises:
        UsageError: an unknown objective or limit.
        LimitCrossed: no mapping fits, or none keeps the limits.
    """
    problem = MappingProblem(
        einsum=einsum, architecture=architecture, objectives=tuple(objectives), where=tuple(where), bypass=bypass,
        uneven=uneven, ragged=ragged, latency=latency,
    )  # fmt: skip
    return search(problem, budget, seed, baseline=baseline)


def search(problem: MappingProblem, budget: int = BUDGET, seed: int = 0, *, baseline: bool = True) -> MappingFront:
    """Return the front of a mapping problem; arguments and errors as of ``best_mappings``."""
    space = problem.space
    whole = space.size is not None and space.size <= budget
    batch = int(np.clip(max(budget // TURNS, min(budget // FEWEST, WIDTH)), 12, LARGEST_BATCH))
    engine: Engine = (
        Exhaustive(space, chunk=4096) if whole else Islands(space, seed=seed, evaluations=budget, population=batch)
    )
    began = time.perf_counter()
    found = _Best(len(problem.objectives))
    if problem.asked.uneven and not whole:
        _begin_even(problem, engine, budget // 2, seed, found)
    if not whole and budget >= FRESH and not problem.asked.uneven:
        # good mappings to begin with are alike: half of a large budget goes to islands that know none of them
        reasons = Counter(_run(problem, engine, budget // 2, found))
        engine = Islands(space, seed=seed, evaluations=budget, population=batch, starts=False)
        reasons.update(_run(problem, engine, budget, found))
    else:
        reasons = Counter(_run(problem, engine, budget, found))
    seconds = time.perf_counter() - began
    if not len(found.archive):
        most = max(reasons, key=lambda text: reasons[text], default="no mapping was priced")
        raise LimitCrossed(
            f"none of {found.evaluations} mappings of {problem.einsum.name} on {problem.architecture.id} is feasible: "
            f"{reasons.get(most, 0)} x {most}",
            "relax that limit, or search more mappings",
        )
    rival = found
    if baseline and not whole:
        rival = _Best(len(problem.objectives))
        _run(problem, _Draws(space, seed, engine.batch), found.evaluations, rival)
    points, values = found.front()
    random_points, random_values = rival.front()
    return MappingFront(
        problem=problem,
        objectives=tuple(objective.name for objective in problem.objectives),
        points=points,
        values=values,
        best=found.best,
        best_points=points[values.argmin(axis=0)],
        random=rival.best,
        random_points=space.repair(random_points) if len(random_points) else random_points,
        random_values=random_values,
        evaluations=found.evaluations,
        exhaustive=whole,
        seconds=seconds,
    )


def even_front(problem: MappingProblem, budget: int, seed: int) -> Rows:
    """Return the best even mappings of a problem, as rows of its uneven space; none where none is feasible."""
    even = MappingProblem(
        einsum=problem.einsum, architecture=problem.architecture, keeps=problem.keeps, must=problem.must,
        **{**problem.spec(), "problem": written_problem(problem.einsum), "uneven": False},
    )  # fmt: skip
    try:
        front = search(even, budget, seed, baseline=False)
    except LimitCrossed:
        return problem.space.sample(np.random.Generator(np.random.Philox(key=seed)), 0)
    return embedded(even.space, problem.space, front.points)


def _begin_even(problem: MappingProblem, engine: Engine, budget: int, seed: int, found: _Best) -> None:
    """Spend ``budget`` on even mappings, and tell the engine the best of them."""
    points = even_front(problem, budget, seed)
    if len(points):
        results = problem.evaluate(points)
        engine.tell(points, results)
        found.offer(points, results.objectives, results.ok)
    found.evaluations = budget


class _Draws(RandomSearch):
    """Random mappings whose orders stay as drawn: they cost the same, and nobody compares the points."""

    space: MappingSpace

    def __init__(self, space: MappingSpace, seed: int, chunk: int) -> None:
        super().__init__(space, seed=seed, chunk=chunk)

    def ask(self, count: int) -> Rows:
        """Return random mappings."""
        if self.space.size is not None:
            return super().ask(count)
        self._batches += 1
        return self.space.moves.sample(generator_of(self.seed, self._batches), count).rows()


class _Best:
    """The front, and the best of every objective, of all that was priced."""

    def __init__(self, objectives: int) -> None:
        self.archive = Archive(objectives)
        self.kept: dict[int, Rows] = {}
        self.best: Array = np.full(objectives, np.inf)
        self.evaluations = 0

    def front(self) -> tuple[Rows, Array]:
        """Return the points of the front by the first objective, and their values."""
        order = np.argsort(self.archive.values[:, 0], kind="stable")
        points = [self.kept[number] for number in self.archive.ids[order].tolist()]
        return np.stack(points) if points else np.zeros((0, 0), np.int64), self.archive.values[order]

    def offer(self, points: Rows, values: Array, ok: NDArray[np.bool_]) -> None:
        """Take in a priced batch."""
        ids = np.arange(self.evaluations, self.evaluations + len(points), dtype=np.int64)
        self.evaluations += len(points)
        rows = np.flatnonzero(ok)
        if not len(rows):
            return
        self.best = np.minimum(self.best, values[rows].min(axis=0))
        entered = self.archive.offer(values[rows], ids[rows])
        self.kept |= dict(zip(ids[rows[entered]].tolist(), points[rows[entered]], strict=True))
        self.kept = {number: self.kept[number] for number in self.archive.ids.tolist()}


def _run(problem: MappingProblem, engine: Engine, budget: int, found: _Best) -> dict[str, int]:
    """Ask, price and tell until the budget or the space ends; return how often each reason took a mapping out."""
    reasons: dict[str, int] = {}
    while found.evaluations < budget:
        points = engine.ask(min(engine.batch, budget - found.evaluations))
        if not len(points):
            break
        results = problem.evaluate(points)
        engine.tell(points, results)
        found.offer(points, results.objectives, results.ok)
        for text, count in results.reason_counts().items():
            reasons[text] = reasons.get(text, 0) + count
    return reasons
