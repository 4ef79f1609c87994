"""Mappings worth keeping of every layer on every geometry, found once for all nodes, DRAM, packages and supplies.

A *geometry* is what decides how many words a mapping moves and how many cycles the chip takes: arrays, buffers, pads,
bandwidth on the chip, cores, bits. It is searched with DRAM that limits nothing and costs the least of its devices, for
energy, latency and DRAM traffic. Energy at another device is that energy and so much more a bit of traffic; latency is
the larger of cycles and traffic over bandwidth; node and supply scale all of a chip alike. So what is best at any
of them is on this front, up to the search's own error, static power and links between cores.

Every search starts from the mappings of the template's own geometry, found with a larger budget: a design that can run
the template's mappings is never worse for want of luck. What is found depends on layer, geometry and seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.accelerator import Costs, Mappings, Problem
from codesign.costmodels.accelerator.mixed import evaluate_mixed
from codesign.errors import LimitCrossed
from codesign.search.accelerator.configure import configure
from codesign.search.accelerator.layers import Layers
from codesign.search.accelerator.technologies import memory_device
from codesign.search.accelerator.template import Design, Template
from codesign.search.exhaustive import Exhaustive
from codesign.search.islands import Islands
from codesign.search.mapping.genome import join
from codesign.search.mapping.problem import MappingProblem
from codesign.search.mapping.space import MappingSpace, Rows
from codesign.search.pareto import Archive
from codesign.search.unseen import generator_of
from codesign.targets.spatial import Architecture, Storage
from codesign.targets.target import Value

MAPPINGS = 800
"""Mappings that are priced for a layer on a geometry."""

TEMPLATE_SHARE = 12
"""How many times as many on the template's own."""

MOST_KEPT = 64
"""Mappings kept of a layer on a geometry: the best of each objective, then those of the least energy x latency."""

MEMORIES = ("lpddr4", "hbm2", "hbm3", "ddr3")
"""Devices beside the chip: the least of their energies is that of every search."""

OBJECTIVES = ("energy", "latency", "traffic")

BATCHES = 6
"""Batches that the budget of a layer is spent in: fewer than elsewhere, since the search begins with good mappings."""

FILLS = 2
"""Times that every mapping of the template gets its arrays filled up, at random."""

ADAPTING = 2**32
"""Number of the random stream that adapts mappings, beyond those of the engine's batches."""


class Geometry(NamedTuple):
    """What of a design decides counts and cycles on the chip; fields as of ``Design``."""

    rows: int
    columns: int
    pads: float
    buffer: float
    bandwidth: float
    bits: int
    cores: int


class Pool(NamedTuple):
    """Mappings of one layer on one geometry: rows of ``problem.space``; none, with the reason, where nothing fits."""

    problem: MappingProblem | None
    points: Rows
    reason: str = ""

    def costs(self, einsum: Problem, architecture: Architecture) -> Costs:
        """Return what all of them cost on an accelerator of this geometry."""
        assert self.problem is not None
        genome, skeletons = self.problem.space.genome(self.points), self.problem.space.skeletons
        mappings = Mappings(skeletons.skeleton([0] * len(skeletons.options)), genome.factors, genome.orders)
        return evaluate_mixed(einsum, architecture, mappings, skeletons.options, genome.options)


class Pools:
    """The pools of a search, each found when it is first asked for."""

    def __init__(
        self, template: Template, mappings: int = MAPPINGS, seed: int = 0, memories: Sequence[str] = MEMORIES
    ) -> None:
        """Set up; nothing is searched yet.

        Args:
            template: What is configured.
            mappings: Priced for a layer on a geometry.
            seed: All randomness derives from it.
            memories: Devices that may be chosen, beside the usual ones.
        """
        self.memories = tuple(dict.fromkeys((*MEMORIES, *memories)))
        self.template, self.mappings, self.seed = template, mappings, seed
        self._found: dict[tuple[Geometry, bool], tuple[Pool, ...]] = {}
        self.searched = 0

    def of(self, layers: Layers, design: Design) -> tuple[Pool, ...]:
        """Return the pools of all layers on the geometry of a design."""
        geometry = geometry_of(design)
        home = geometry_of(self.template.design())._replace(bits=geometry.bits, cores=geometry.cores)
        begin = self._pools(layers, home, None)
        return begin if geometry == home else self._pools(layers, geometry, begin)

    def _pools(self, layers: Layers, geometry: Geometry, begin: tuple[Pool, ...] | None) -> tuple[Pool, ...]:
        key = (geometry, begin is None)
        if key not in self._found:
            architecture = reference(self.template, geometry, self.memories)
            budget = self.mappings * (TEMPLATE_SHARE if begin is None else 1)
            self._found[key] = tuple(
                self._search(problem, architecture, budget, None if begin is None else begin[place])
                for place, problem in enumerate(layers.problems)
            )
        return self._found[key]

    def _search(self, einsum: Problem, architecture: Architecture, budget: int, begin: Pool | None) -> Pool:
        """Return the pool of one layer on one geometry."""
        try:
            problem = MappingProblem(einsum=einsum, architecture=architecture, objectives=OBJECTIVES)
        except LimitCrossed as error:
            return Pool(None, np.zeros((0, 0), np.int64), error.message)
        self.searched += 1
        space = problem.space
        whole = space.size is not None and space.size <= budget
        engine = Exhaustive(space, chunk=4096) if whole else Islands(
            space, seed=self.seed, evaluations=budget, population=max(budget // BATCHES, 12), top_up=False,
            starts=False
        )  # fmt: skip
        found = _Front()
        if begin is not None and begin.points.shape[1:] == (space.dimensions,) and not whole:
            points = adapted(space, begin.points, self.seed)
            results = problem.evaluate(points)
            kept = np.flatnonzero(results.ok)
            if len(kept):
                engine.tell(points[kept], results.take(kept))
                found.offer(points[kept], results.objectives[kept])
        spent = 0
        while spent < budget or whole:
            points = engine.ask(min(engine.batch, budget - spent) if not whole else engine.batch)
            if not len(points):
                break
            spent += len(points)
            results = problem.evaluate(points)
            engine.tell(points, results)
            found.offer(points[results.ok], results.objectives[results.ok])
        if not len(found.points):
            return Pool(None, np.zeros((0, 0), np.int64), f"{einsum.name}: none of {spent} mappings fits")
        return Pool(problem, found.kept())


class _Front:
    """The front of what was offered, with its points."""

    def __init__(self) -> None:
        self.archive = Archive(len(OBJECTIVES))
        self.points: dict[int, Rows] = {}
        self.seen = 0

    def offer(self, points: Rows, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
        """Take in feasible mappings."""
        ids = np.arange(self.seen, self.seen + len(points), dtype=np.int64)
        self.seen += len(points)
        entered = self.archive.offer(values, ids)
        self.points |= dict(zip(ids[entered].tolist(), points[entered], strict=True))
        self.points = {number: self.points[number] for number in self.archive.ids.tolist()}

    def kept(self) -> Rows:
        """Return at most ``MOST_KEPT`` points."""
        values, ids = self.archive.values, self.archive.ids
        champions = values.argmin(axis=0).tolist()
        product = (values[:, 0] * values[:, 1]).argsort(kind="stable").tolist()
        chosen = list(dict.fromkeys([*champions, *product]))[:MOST_KEPT]
        return np.stack([self.points[int(ids[place])] for place in chosen])


def adapted(space: MappingSpace, points: Rows, seed: int) -> Rows:
    """Return mappings of another geometry made to fit this one, and the same with its arrays filled up, each once.

    A larger array needs other bounds than a smaller one, which small changes would take long to find.
    """
    generator = generator_of(seed, ADAPTING)
    fitting = space.moves.fit(generator, space.genome(points))
    rows = space.rows_of(join([fitting, *(space.moves.fill(generator, fitting) for _ in range(FILLS))]))
    _, first = np.unique(space.key(rows), return_index=True)
    found: Rows = rows[np.sort(first)]
    return found


def geometry_of(design: Design) -> Geometry:
    """Return the geometry of a design."""
    return Geometry(*(getattr(design, name) for name in Geometry._fields))


def reference(template: Template, geometry: Geometry, memories: Sequence[str] = MEMORIES) -> Architecture:
    """Return the accelerator that a geometry is searched on: DRAM without limit, at the least energy of devices."""
    design = template.design()._replace(**geometry._asdict())
    architecture = configure(template, design).architecture
    root = architecture.nodes[0]
    assert isinstance(root, Storage)
    least = min(float(memory_device(name).bit.value) for name in memories) * root.width_bits
    energy = Value(least, "J", "least of the memory devices of the search")
    free = msgspec.structs.replace(root, read=energy, write=energy, update=energy, shared_bandwidth=None)
    return msgspec.structs.replace(architecture, nodes=(free, *architecture.nodes[1:]))
