"""The mapping problem of a whole model: which mapping every layer has, for the front of the network.

Layers run one after the other, equal shapes with equal mappings. Every shape is searched once for its own front; the
front of the network is merged from those (``merge``). The design to compare with takes, for every shape, the best of
as many random mappings by energy times latency.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.inputs import read_architecture
from codesign.costmodels.impact import Site
from codesign.costmodels.siting import check_site, placed
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.search import problem as base
from codesign.search.digests import digests
from codesign.search.mapping.layers import LAYER_BUDGET, Layer, MappedModel, map_model, problems_of
from codesign.search.mapping.merge import total
from codesign.search.mapping.network_space import NetworkSpace
from codesign.search.mapping.problem import operational_carbon
from codesign.search.mapping.written import written_problem
from codesign.search.objectives import chosen_names
from codesign.search.problem import Details, Metric, Objective, Points, Results
from codesign.strict_yaml import convert
from codesign.targets.spatial import Architecture

if TYPE_CHECKING:
    from codesign.search.mapping.network_details import Views

Array = NDArray[np.float64]

KNOWN = ("energy", "latency", "edp", "buffer", "traffic", "carbon")

PARTS = ("energy", "latency", "traffic", "buffer")
"""What layers are merged by, as far as it is asked for: all objectives follow from these."""

MADE_OF = {"edp": ("energy", "latency"), "carbon": ("energy",)}

Bits = Annotated[int, msgspec.Meta(ge=1, le=64)]


class ModelMappingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the mapping of a model is asked.

    Attributes:
        model: A preset, or any other spelling of a model.
        target: An accelerator: a name of the catalogue or a file.
        objectives: What to minimise over the whole model.
        where: Limits on every layer.
        tables: ERT and ART files of a Timeloop target.
        bits: Of inputs, weights and outputs.
        sizes: Sizes of the run, such as ``batch``; the rest as the model has them.
        mappings: Priced for every shape of layer.
        seed: All randomness derives from it.
        bypass: As of ``MappingSpec``, and so are the next two.
        uneven: Whether tiles of one level may be cut at different loops.
        ragged: Whether bounds may exceed the extents.
        latency: How cycles are counted.
        site: Grid and PUE of the objective ``carbon``.
    """

    model: str
    target: str
    objectives: tuple[str, ...] = ("energy", "latency")
    where: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    bits: tuple[Bits, Bits, Bits] = (8, 8, 16)
    sizes: dict[str, int] = {}
    mappings: Annotated[int, msgspec.Meta(ge=1)] = LAYER_BUDGET
    seed: int = 0
    bypass: bool = True
    uneven: bool = False
    ragged: bool = False
    latency: str = "ideal"
    site: Site = Site()


class Choice(NamedTuple):
    """The mappings that one shape of layer chooses from: its front, then the one to compare with.

    Attributes:
        layer: The shape.
        points: (K + 1, D) rows of its space.
        columns: Name -> (K + 1,) of one run, as of ``MappingProblem.columns``.
    """

    layer: Layer
    points: NDArray[np.int64]
    columns: dict[str, Array]


def _choice(layer: Layer) -> Choice:
    """Return what a shape chooses from: its front, then the random mapping of the least energy x latency."""
    front = layer.front
    rival = front.random_values[:, :2].prod(axis=1).argmin() if len(front.random_values) else None
    last = front.points[:1] if rival is None else front.random_points[rival : rival + 1]
    points = np.concatenate([front.points, last])
    return Choice(layer, points, front.problem.columns(front.problem.mixed_costs(points)))


class ModelMapping(base.Problem):
    """Mappings of all layers of one model onto one accelerator; deterministic."""

    name = "model-mapping"
    functional_unit = "run of the model"

    def __init__(self, *, architecture: Architecture | None = None, **spec: Any) -> None:
        """Set up from a spec, and search every shape of layer: seconds for a network.

        Args:
            architecture: The accelerator, instead of the one that the spec names.
            **spec: The fields of ``ModelMappingSpec``.

        Raises:
            UsageError: unknown names, sizes or objectives.
            DataError: a file is wrong.
            LimitCrossed: a layer that no mapping fits, or none within the limits.
        """
        self.asked: ModelMappingSpec = convert(placed(spec), ModelMappingSpec, "model mapping spec")
        asked = self.asked
        check_site(asked.site)
        if not asked.target:
            raise UsageError("no target given", "for example --target eyeriss-like")
        wanted = chosen_names(asked.objectives, KNOWN)
        if architecture is None:
            imported = read_architecture(asked.target, asked.tables)
            if imported.keeps or imported.limits or imported.passes:
                message = f"{imported.architecture.id}: its constraints name tensors and ranks of a problem of its own"
                raise UsageError(message, "search that problem with --problem, or take the constraints out of the file")
            architecture = imported.architecture
        self.architecture = architecture
        self.layers = problems_of(load_model(asked.model).workload(**asked.sizes), asked.bits)[0]
        time = "s" if architecture.clock is not None else "cycle"
        self.units = units = {
            "energy": "J", "latency": time, "edp": f"J {time}", "traffic": "B", "buffer": "B", "carbon": "gCO2e",
            "cycles": "cycle", "utilisation": "",
        }  # fmt: skip
        self.objectives = tuple(Objective(name, units[name], self.functional_unit) for name in wanted)
        self.metrics = tuple(Metric(name, unit) for name, unit in units.items() if name not in wanted)
        self.title = f"{asked.model} on {architecture.name}"
        self.question = f"How do the loops of all layers of {asked.model} run best on {architecture.name}?"
        self.mapped = self._mapped()
        self.choices = tuple(map(_choice, self.mapped.layers))
        self.runs = [one.layer.runs for one in self.choices]
        self.network = self.space = self._space()
        self.merged = self.network.merged
        self.sources = self._sources()

    @property
    def parts(self) -> tuple[str, ...]:
        """Return what layers are merged by: energy and latency always, the rest where it is asked for."""
        needed = {part for name in self.asked.objectives for part in MADE_OF.get(name, (name,))}
        return tuple(part for part in PARTS if part in needed or part in ("energy", "latency"))

    # --- what is chosen from ------------------------------------------------------------------------------------

    def _mapped(self) -> MappedModel:
        """Return the front of every shape of layer: this is the search."""
        asked = self.asked
        return map_model(
            asked.model, self.architecture, self.parts, budget=asked.mappings, seed=asked.seed, bits=asked.bits,
            where=asked.where, bypass=asked.bypass, uneven=asked.uneven, ragged=asked.ragged,
            latency=asked.latency, sizes=asked.sizes,
        )  # fmt: skip

    def _space(self) -> NetworkSpace:
        names: list[str] = []
        for choice in self.choices:  # blocks may share names of layers
            same = sum(name.partition(" (")[0] == choice.layer.names[0] for name in names)
            names.append(choice.layer.names[0] + (f" ({same + 1})" if same else ""))
        pools = [np.stack([one.columns[part] for part in self.parts], axis=1) for one in self.choices]
        return NetworkSpace(names, pools, self.runs, [part == "buffer" for part in self.parts])

    def _sources(self) -> tuple[str, ...]:
        """Return where the numbers come from, and how exact the front is."""
        nodes = (*self.architecture.spine().nodes, self.architecture.spine().compute)
        how = (
            "exact"
            if not self.merged.error
            else f"thinned: the whole front is at most {100.0 * self.merged.error:.2g} % better"
        )
        return (
            f"{self.mapped.evaluations:,} mappings priced for {len(self.choices)} shapes of layers, seed "
            f"{self.asked.seed}; {len(self.merged.choices)} networks of {self.merged.size} on the front merged from "
            f"theirs: {how}",
            *(f"{node.name}: {node.source}" for node in nodes if node.source),
            *(f"left out: {many} operators, {reason}" for reason, many in self.mapped.left_out.items()),
        )

    # --- evaluation ---------------------------------------------------------------------------------------------

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of networks: sums over their layers, the largest buffer."""
        columns = self.columns(points.astype(np.int64))
        ends = [
            np.stack([columns.get(f"{one.name}_{end}", columns[one.name]) for one in self.objectives], axis=1)
            for end in ("low", "high")
        ]
        return Results.make(
            np.stack([columns[one.name] for one in self.objectives], axis=1), low=ends[0], high=ends[1],
            metrics={metric.name: columns[metric.name] for metric in self.metrics},
        )  # fmt: skip

    def columns(self, choices: NDArray[np.int64]) -> dict[str, Array]:
        """Return objectives and metrics of networks (N, L), name -> (N,)."""
        names = ("energy", "latency", "traffic", "buffer", "cycles", "energy_low", "energy_high")
        pools = [np.stack([one.columns[name] for name in names], axis=1) for one in self.choices]
        whole = total(pools, self.runs, [name == "buffer" for name in names], choices)
        columns = dict(zip(names, whole.T, strict=True))
        columns |= {
            end.replace("energy", "edp"): columns[end] * columns["latency"]
            for end in ("energy", "energy_low", "energy_high")
        }
        columns |= operational_carbon(
            np.array([columns[name] for name in ("energy_low", "energy", "energy_high")]), self.asked.site
        )
        unit = self.architecture.spine().compute
        slots = columns["cycles"] * self.architecture.spine().compute_instances
        return columns | {"utilisation": self.mapped.macs * unit.operations["mac"].cycles / slots}

    # --- what reports ask ---------------------------------------------------------------------------------------

    def baseline(self) -> Points | None:
        """Return the network of the best random mappings."""
        return self.network.last()

    def describe(self, point: Points) -> Details:
        """Return the layers, their roofline, mappings and Timeloop files, energy by level and layer, of one network."""
        return self._views.details(np.atleast_2d(point).astype(np.int64)[0])

    @cached_property
    def _views(self) -> Views:
        from codesign.search.mapping.network_details import Views

        return Views(self)

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of the question, the layers and the accelerator."""
        inputs: dict[str, Any] = {
            "question": msgspec.to_builtins(self.asked),
            f"layers of {self.asked.model}": [[written_problem(one), runs] for one, runs in self.layers],
            f"target {self.architecture.id}": msgspec.to_builtins(self.architecture),
        }
        return digests(inputs)

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self.asked)
        return built

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> ModelMapping:
        """Return the problem of a spec."""
        return cls(**spec)
