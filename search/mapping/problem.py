"""The mapping problem: how the loops of one Einsum run best on a spatial accelerator.

Objectives are the energy (J), the latency (s, or cycles where the design states no clock), their product, and the
memory that tiles take on the chip. A batch of points is priced by one array computation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Costs, Mappings, Problem, evaluate
from codesign.costmodels.accelerator.inputs import read_architecture
from codesign.costmodels.accelerator.latency import single
from codesign.costmodels.accelerator.mixed import evaluate_mixed
from codesign.costmodels.accelerator.timeloop.constraints import Limit
from codesign.costmodels.carbon.accounting import JOULES_PER_KWH, facility_grams
from codesign.costmodels.impact import Site
from codesign.costmodels.siting import check_site, placed
from codesign.errors import DataError, UsageError, nearest
from codesign.quantity import Z90
from codesign.search import problem as base
from codesign.search.constraints import parse_where, violations
from codesign.search.digests import digests
from codesign.search.mapping.bounds import bounds_of
from codesign.search.mapping.loop_limits import keeping
from codesign.search.mapping.skeleton import Keeps
from codesign.search.mapping.space import MappingSpace
from codesign.search.mapping.spec import MappingSpec, check_text, problem_of, stored
from codesign.search.mapping.written import written_problem
from codesign.search.objectives import chosen_names
from codesign.search.problem import Details, Metric, Objective, Points, Results, Status
from codesign.search.unseen import generator_of
from codesign.strict_yaml import convert
from codesign.targets.spatial import Architecture
from codesign.units import format_si

Array = NDArray[np.float64]

EVEN_BUDGET = 10_000
"""Even mappings priced for the best of them, where uneven ones are searched."""

RANDOM = 1000
"""Random mappings of which the best is the design to compare with."""

LEVEL_OVERFLOWS = "tiles overflow {level} by up to {words:,.0f} words"


class MappingProblem(base.Problem):
    """Mappings of one Einsum onto one accelerator; deterministic."""

    name = "mapping"
    functional_unit = "run of the problem"

    def __init__(
        self, *, einsum: Problem | None = None, architecture: Architecture | None = None, keeps: Keeps | None = None,
        must: Keeps | None = None, **spec: Any,
    ) -> None:  # fmt: skip
        """Set up from a spec (see ``MappingSpec``).

        Args:
            einsum: The problem, instead of the one that the spec names.
            architecture: The accelerator, instead of the one that the spec names.
            keeps: Level -> the only tensors that it may keep, with ``architecture``; files state their own.
            must: Level -> the tensors that it has to keep, likewise.
            **spec: The fields of the spec.

        Raises:
            UsageError: unknown names, or objectives that the accelerator's data do not give.
            DataError: a file is wrong.
            LimitCrossed: no mapping fits the memories.
        """
        given = dict(spec)
        if einsum is not None:
            given.setdefault("problem", written_problem(einsum))
        if architecture is not None:
            given.setdefault("target", architecture.id)
        self.asked: MappingSpec = convert(placed(given), MappingSpec, "mapping spec")
        check_site(self.asked.site)
        check_text(self.asked)
        self.latency = single(self.asked.latency)
        self.einsum = problem_of(self.asked) if einsum is None else einsum
        self.notes: tuple[str, ...] = ()
        limits: tuple[Limit, ...] = ()
        self.keeps: Keeps = keeps or {}
        self.must: Keeps = must or {}
        if architecture is None:
            imported = read_architecture(self.asked.target, self.asked.tables)
            architecture, limits = imported.architecture, tuple(imported.limits)
            spine = architecture.spine(self.asked.unit)
            self.keeps = keeping(self.einsum, spine, imported.keeps, imported.passes, self.asked.target)
            self.must = {level: self.keeps[level] for level in imported.keeps if level in self.keeps}
            self.notes = (*imported.notes, *_unused(limits))
        self.architecture = architecture
        self.spine = self.architecture.spine(self.asked.unit)
        if self.einsum.operation not in self.spine.compute.operations:
            message = f"{self.architecture.id}: {self.spine.compute.name} has no operation {self.einsum.operation!r}"
            raise UsageError(message, nearest(self.einsum.operation, self.spine.compute.operations))
        self.space: MappingSpace = MappingSpace(
            self.einsum, self.architecture, unit=self.asked.unit, keeps=self.keeps, must=self.must,
            bypass=self.asked.bypass, uneven=self.asked.uneven, ragged=self.asked.ragged, limits=limits,
        )  # fmt: skip
        self._baseline: Points | None = None
        self.bounds = bounds_of(self.einsum, self.architecture, self.asked.unit)
        units = self._units()
        wanted = chosen_names(self.asked.objectives, ("energy", "latency", "edp", "buffer", "traffic", "carbon"))
        self.objectives = tuple(Objective(name, units[name]) for name in wanted)
        self.metrics = tuple(Metric(name, unit) for name, unit in units.items() if name not in wanted)
        # cycles, and products with a time, are plain numbers in a limit: no unit of that name can be written
        plain = {name: "" if "cycle" in unit or name == "edp" else unit for name, unit in units.items()}
        self.constraints = tuple(parse_where(text, plain) for text in self.asked.where)
        self.title = f"{self.einsum.name} on {self.architecture.name}"
        ranks = " ".join(f"{rank}{extent}" for rank, extent in self.einsum.ranks.items())
        self.question = f"How do the loops of {self.einsum.name} ({ranks}) run best on {self.architecture.name}?"
        parts = (*self.spine.nodes, self.spine.compute)
        self.sources = (*(f"{node.name}: {node.source}" for node in parts if node.source), *self.notes)

    def _units(self) -> dict[str, str]:
        time = "s" if self.architecture.clock is not None else "cycle"
        return {
            "energy": "J", "latency": time, "edp": f"J {time}", "buffer": "B", "traffic": "B", "cycles": "cycle",
            "carbon": "gCO2e", "utilisation": "", "occupancy": "", "energy_gap": "", "latency_gap": "",
        }  # fmt: skip

    # --- evaluation ---------------------------------------------------------------------------------------------

    def costs(self, mappings: Mappings) -> Costs:
        """Return what mappings of one skeleton cost."""
        return evaluate(self.einsum, self.architecture, mappings, latency=self.asked.latency)

    def mixed_costs(self, points: Points) -> Costs:
        """Return what mappings of any skeletons cost; rows of levels that one passes by are zero."""
        genome = self.space.genome(points)
        skeletons = self.space.skeletons
        mappings = Mappings(skeletons.skeleton([0] * len(skeletons.options)), genome.factors, genome.orders)
        return evaluate_mixed(self.einsum, self.architecture, mappings, skeletons.options, genome.options, self.latency)

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of mappings; those that overflow a memory or an array are infeasible and say where."""
        why = np.full(len(points), -1, np.int32)
        reasons: dict[str, int] = {}
        costs = self.mixed_costs(points)
        if costs.unpriced:
            missing = ", ".join(costs.unpriced)
            raise DataError(f"{self.architecture.id}: the energy of {missing} is not known", "add it to the target")
        columns = self.columns(costs)
        self._refuse(costs, why, reasons)
        names = [objective.name for objective in self.objectives]
        values = np.stack([columns[name] for name in names], axis=1)
        low, high = (np.stack([_end(columns, name, end) for name in names], axis=1) for end in ("low", "high"))
        return Results.make(
            values,
            low=low,
            high=high,
            violations=violations(self.constraints, columns, len(points)) if self.constraints else None,
            constraints=self.constraints,
            status=np.where(why >= 0, np.uint8(Status.INFEASIBLE), np.uint8(Status.OK)),
            reason=why,
            reasons=tuple(reasons),
            metrics={metric.name: columns[metric.name] for metric in self.metrics},
        )

    def columns(self, costs: Costs) -> dict[str, Array]:
        """Return objectives and metrics of a batch, name -> (B,)."""
        low, energy, high = costs.energy
        seconds = costs.seconds
        latency = costs.cycles if seconds is None else seconds
        rate = 1.0 if self.architecture.clock is None else self.architecture.clock.value
        home = [row for row, (level, _) in enumerate(costs.entries) if level == costs.levels[0]]
        traffic = np.zeros(len(costs))
        for row in home:
            moved = costs.reads[row] + costs.fills[row] + costs.updates[row]
            traffic += moved * self._bytes[costs.entries[row]]
        held = costs.occupancy * costs.instances * self._capacities[:, None] / 8.0
        return {
            **operational_carbon(np.array([low, energy, high]), self.asked.site),
            "energy": energy, "energy_low": low, "energy_high": high, "latency": latency, "edp": energy * latency,
            "buffer": held.sum(axis=0), "traffic": traffic, "cycles": costs.cycles, "utilisation": costs.utilisation,
            "occupancy": costs.occupancy.max(axis=0),
            "energy_gap": energy / self.bounds.energy - 1.0 if self.bounds.energy else np.full(len(costs), np.nan),
            "latency_gap": latency * rate / self.bounds.cycles - 1.0,
        }  # fmt: skip

    @cached_property
    def _bytes(self) -> dict[tuple[str, str], float]:
        """Bytes of a word of every (level, tensor)."""
        return {
            (storage.name, tensor.name): storage.element_bits(float(tensor.bits)) / 8.0
            for storage in self.spine.storages for tensor in self.einsum.tensors
        }  # fmt: skip

    @cached_property
    def _capacities(self) -> Array:
        """Bits that an instance of every level holds; 0 where that is not limited."""
        return np.array([storage.capacity_bits or 0.0 for storage in self.spine.storages])

    def _refuse(self, costs: Costs, why: NDArray[np.int32], reasons: dict[str, int]) -> None:
        """Note why mappings of a batch cannot run."""
        for level, over in zip(costs.levels, costs.overflow_words, strict=True):
            if (over > 0.0).any():
                text = LEVEL_OVERFLOWS.format(level=level, words=float(over.max()))
                why[over > 0.0] = reasons.setdefault(text, len(reasons))
        for bad, text in ((costs.idle, "spreads beyond an array"), (costs.uncovered, "loops do not cover the problem")):
            if (bad > 0.0).any():
                why[bad > 0.0] = reasons.setdefault(text, len(reasons))

    # --- what reports ask ---------------------------------------------------------------------------------------

    def describe(self, point: Points) -> Details:
        """Return energy by level, the loop nest, the accesses, and a Timeloop mapping file of one mapping."""
        from codesign.search.mapping.details import details

        return details(self, np.atleast_2d(point))

    def baseline(self) -> Points | None:
        """Return a design to compare with: the best even mapping for uneven ones, else the best of some random ones.

        Best by the product of the objectives.
        """
        if self._baseline is None:
            points = self.space.sample(generator_of(0, 0), RANDOM)
            if self.asked.uneven:
                from codesign.search.mapping.inner import even_front  # that module searches problems of this one

                points = np.concatenate([points[:1], even_front(self, EVEN_BUDGET, 0)])
            results = self.evaluate(points)
            with np.errstate(divide="ignore"):
                product = np.log(np.where(results.ok[:, None], results.objectives, np.inf)).sum(axis=1)
            self._baseline = points[product.argmin() : product.argmin() + 1]
        return self._baseline

    def nearest_miss(self) -> str:
        """Return which limit random mappings miss most, and how near the best of them comes."""
        if not self.constraints:
            return ""
        points = self.space.sample(generator_of(0, 1), RANDOM)
        columns = self.columns(self.mixed_costs(points))
        missed = violations(self.constraints, columns, len(points)).min(axis=0)
        limit = self.constraints[int(missed.argmax())]
        nearest_one = float(columns[limit.metric][limit.violation(columns[limit.metric]).argmin()])
        shown = f"{100.0 * nearest_one:.3g} %" if "%" in limit.text else format_si(nearest_one, limit.unit)
        return f"{limit.text!r} binds: the best of {RANDOM:,} random mappings reaches {shown}; relax it"

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of problem and accelerator."""
        inputs = {
            "problem": written_problem(self.einsum),
            f"target {self.architecture.id}": msgspec.to_builtins(self.architecture),
        }
        return digests(inputs)

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types."""
        return stored(self.asked, self.einsum)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> MappingProblem:
        """Return the problem of a spec."""
        return cls(**spec)


def operational_carbon(joules: Array, site: Site) -> dict[str, Array]:
    """Return carbon, with its ends, of (3, N) energies low, value, high.

    The hardware is there: its embodied carbon is spent whatever runs on it, so only operation counts.
    """
    grams, spread = facility_grams(joules / JOULES_PER_KWH, site.grid, site.pue), np.exp(Z90 * site.grid_sigma)
    return {"carbon_low": grams[0] / spread, "carbon": grams[1], "carbon_high": grams[2] * spread}


def _unused(limits: Sequence[Limit]) -> list[str]:
    """Return a note about every key of a constraint that is not applied."""
    return [f"{limit.place}: {', '.join(limit.unused)} not applied" for limit in limits if limit.unused]


def _end(columns: dict[str, Array], name: str, end: str) -> Array:
    """Return one end of the interval of an objective: energies have one, counts are exact."""
    if name in ("energy", "carbon"):
        return columns[f"{name}_{end}"]
    if name == "edp":
        return columns[f"energy_{end}"] * columns["latency"]
    return columns[name]
