"""The mapping problem of a cascade: what stays on the chip, which loops all Einsums share, and how each one runs.

Every fusion is searched once, and its best mappings are joined and priced (``cascade``); the run records them all. The
design to compare with is the best one of which nothing stays on the chip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Mappings
from codesign.costmodels.accelerator.cascade_export import fused_text
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.fused import FusedCosts, evaluate_cascade
from codesign.costmodels.accelerator.inputs import read_architecture, read_cascade
from codesign.errors import UsageError
from codesign.search import problem as base
from codesign.search.digests import digests
from codesign.search.mapping.cascade import BUDGET, Candidate, map_cascade
from codesign.search.mapping.cascade_space import CascadeSpace
from codesign.search.mapping.written import StoredCascade, read_stored, stored_cascade
from codesign.search.problem import Details, Metric, Objective, Points, Results, Status
from codesign.strict_yaml import convert
from codesign.targets.spatial import Architecture

Array = NDArray[np.float64]

MISSING = "no mapping of this number was found for that fusion"


class CascadeMappingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the mapping of a cascade is asked.

    Attributes:
        problem: A line such as ``mlp:P64D32M128N32``, a file, or (as runs store it) the cascade itself.
        target: An accelerator: a name of the catalogue or a file.
        objectives: What to minimise: energy, latency, edp, traffic.
        tables: ERT and ART files of a Timeloop target.
        mappings: Priced for an Einsum inside given shared loops.
        seed: All randomness derives from it.
        latency: How cycles are counted.
    """

    problem: str | StoredCascade
    target: str
    objectives: tuple[str, ...] = ("energy", "latency")
    tables: tuple[str, ...] = ()
    mappings: Annotated[int, msgspec.Meta(ge=1)] = BUDGET
    seed: int = 0
    latency: str = "ideal"


class CascadeMapping(base.Problem):
    """Fused and unfused mappings of one cascade onto one accelerator; deterministic."""

    name = "cascade-mapping"
    functional_unit = "run of the cascade"
    space: CascadeSpace

    def __init__(
        self, *, cascade: CascadeProblem | None = None, architecture: Architecture | None = None, **spec: Any
    ) -> None:
        """Set up from a spec, and search every fusion: seconds.

        Args:
            cascade: The Einsums, instead of those that the spec names.
            architecture: The accelerator, instead of the one that the spec names.
            **spec: The fields of ``CascadeMappingSpec``.

        Raises:
            UsageError: unknown names or objectives, an operation that no compute unit has.
            DataError: a file is wrong.
            LimitCrossed: no mapping fits.
        """
        given = dict(spec)
        if cascade is not None:
            given.setdefault("problem", stored_cascade(cascade))
        if architecture is not None:
            given.setdefault("target", architecture.id)
        self.asked: CascadeMappingSpec = convert(given, CascadeMappingSpec, "cascade mapping spec")
        asked = self.asked
        if not asked.target:
            raise UsageError("no target given", "for example --target fusemax")
        self.cascade = cascade or _cascade_of(asked)
        self.architecture = architecture or read_architecture(asked.target, asked.tables).architecture
        time = "s" if self.architecture.clock is not None else "cycle"
        self.units = units = {
            "energy": "J", "latency": time, "edp": f"J {time}", "traffic": "B", "cycles": "cycle", "occupancy": "",
        }  # fmt: skip
        self.found = map_cascade(
            self.cascade, self.architecture, asked.objectives, asked.mappings, asked.seed, asked.latency
        )
        wanted = self.found.objectives
        self.space = CascadeSpace(self.found.fusions)
        self.objectives = tuple(Objective(name, units[name], self.functional_unit) for name in wanted)
        self.metrics = tuple(Metric(name, unit) for name, unit in units.items() if name not in wanted)
        self.title = f"{self.cascade.name} on {self.architecture.name}"
        einsums = ", ".join(problem.name for problem in self.cascade.problems)
        self.question = (
            f"What of {self.cascade.name} ({einsums}) stays on the chip of {self.architecture.name}, and how do its "
            "loops run best?"
        )
        self.sources = self._sources()

    def _sources(self) -> tuple[str, ...]:
        """Return where the numbers come from."""
        found = self.found
        units = dict.fromkeys(part.slots.unit for part in found.mappings[0].parts)
        spines = [self.architecture.spine(unit) for unit in units]
        nodes = {node.name: node.source for spine in spines for node in (*spine.nodes, spine.compute) if node.source}
        return (
            f"{found.candidates} fusions tried, {len(found.fusions)} fit; {found.evaluations:,} mappings of Einsums "
            f"priced, seed {self.asked.seed}, cycles {self.asked.latency}",
            *(f"{name}: {source}" for name, source in nodes.items()),
        )

    # --- evaluation ---------------------------------------------------------------------------------------------

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of fused mappings; combinations that were not found are invalid."""
        fusion, mapping = self.space.places(points)
        columns: dict[str, Array] = {}
        for number in np.unique(fusion[fusion >= 0]).tolist():
            rows = np.flatnonzero(fusion == number)
            parts = [part.take(mapping[rows]) for part in self.space.fusions[number].parts]
            costs = evaluate_cascade(self.cascade, self.architecture, parts, self.asked.latency)
            for name, column in self.columns(costs).items():
                columns.setdefault(name, np.full(len(points), np.nan))[rows] = column
        nothing = np.full(len(points), np.nan)
        names = [one.name for one in self.objectives]
        values, low, high = (
            np.stack([columns.get(f"{name}{end}", columns.get(name, nothing)) for name in names], axis=1)
            for end in ("", "_low", "_high")
        )
        return Results.make(
            values, low=low, high=high,
            status=np.where(fusion < 0, np.uint8(Status.INVALID), np.uint8(Status.OK)),
            reason=np.where(fusion < 0, 0, -1), reasons=(MISSING,),
            metrics={metric.name: columns.get(metric.name, nothing) for metric in self.metrics},
        )  # fmt: skip

    def columns(self, costs: FusedCosts) -> dict[str, Array]:
        """Return objectives and metrics of a batch, name -> (B,)."""
        low, energy, high = costs.energy
        latency = costs.cycles if costs.seconds is None else costs.seconds
        return {
            "energy": energy, "energy_low": low, "energy_high": high, "latency": latency, "traffic": costs.traffic,
            "edp": energy * latency, "edp_low": low * latency, "edp_high": high * latency, "cycles": costs.cycles,
            "occupancy": costs.occupancy.max(axis=0),
        }  # fmt: skip

    # --- what reports ask ---------------------------------------------------------------------------------------

    def mapping(self, point: Points) -> tuple[Candidate, list[Mappings], FusedCosts]:
        """Return the fusion of one point, the mapping of every Einsum, and what they cost (batches of one).

        Raises:
            UsageError: a point that no search found.
        """
        fusion, mapping = self.space.places(np.atleast_2d(point))
        if fusion[0] < 0:
            raise UsageError(MISSING, "points of the run have one")
        one = self.space.fusions[int(fusion[0])]
        parts = [part.take(mapping[:1]) for part in one.parts]
        return one.candidate, parts, evaluate_cascade(self.cascade, self.architecture, parts, self.asked.latency)

    def mapping_file(self, point: Points) -> str:
        """Return one mapping as the file that ``estimate --problem CASCADE --mapping`` reads."""
        candidate, parts, _ = self.mapping(point)
        return fused_text(self.cascade, candidate.shared, candidate.stay, parts)

    @cached_property
    def _baseline(self) -> Points | None:
        return self.space.unfused()

    def baseline(self) -> Points | None:
        """Return the best mapping of which nothing stays on the chip; None where such a one cannot run."""
        return self._baseline

    def describe(self, point: Points) -> Details:
        """Return energy by level and Einsum, traffic, what stays, the loop nests and the mapping file of one point."""
        from codesign.search.mapping.cascade_details import details

        return details(self, np.atleast_2d(point))

    def files(self, trials: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Return the mapping file of every point of the front and of the baseline: ``mapping-ID.yaml``."""
        names = list(trials)
        found = {}
        for cells in zip(*trials.values(), strict=True):
            row = dict(zip(names, cells, strict=True))
            if row["front"] or row["baseline"]:
                found[f"mapping-{row['id']}.yaml"] = self.mapping_file(self.space.point(row))
        return found

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of the question, the cascade and the accelerator."""
        inputs: dict[str, Any] = {
            "question": {**msgspec.to_builtins(self.asked), "problem": self.cascade.name},
            f"cascade {self.cascade.name}": stored_cascade(self.cascade),
            f"target {self.architecture.id}": msgspec.to_builtins(self.architecture),
        }
        return digests(inputs)

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types; a cascade of a file is stored itself: the run outlives the file."""
        spec: dict[str, Any] = msgspec.to_builtins(self.asked)
        if isinstance(self.asked.problem, str) and self.asked.problem.endswith((".yaml", ".yml")):
            spec["problem"] = stored_cascade(self.cascade)
        return spec

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> CascadeMapping:
        """Return the problem of a spec."""
        return cls(**spec)


def _cascade_of(asked: CascadeMappingSpec) -> CascadeProblem:
    if asked.problem == "":
        raise UsageError("no problem given", "for example --problem mlp:P64D32M128N32")
    return read_cascade(asked.problem) if isinstance(asked.problem, str) else read_stored(asked.problem)
