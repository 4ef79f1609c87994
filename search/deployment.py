"""The deployment problem: which accelerator, precision, sharding, replicas and batch serve a model best.

The space is a box: target, dtype, tensor/pipeline/expert degree, nodes, replicas, batch, power limit. Everything but
the last three is structural, and those take few values: so the first time a structure is asked for, its (batch x
replicas x power limit) table is priced in one array computation, and points are looked up in it.
Searching then costs a gather per point whatever the engine, and the answer cannot depend on the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.deployment import MEMORY_SHARE, METRICS, price
from codesign.costmodels.merit_columns import MERITS, with_merits
from codesign.costmodels.siting import placed
from codesign.costmodels.structure import Load, Structure, check_structure
from codesign.errors import CodesignError, UsageError, nearest
from codesign.models import Model, load_model
from codesign.quantity import headline
from codesign.search.constraints import parse_where, violations
from codesign.search.deployment_spec import BATCHING, COUNTS, DeploymentSpec, checked, objective_names
from codesign.search.problem import Details, Metric, Objective, Points, Problem, Results, Status
from codesign.search.quality import quality_loss
from codesign.search.space import BoxSpace
from codesign.strict_yaml import convert
from codesign.targets import Target, load_target
from codesign.units import format_si
from codesign.workload.structure import by_structure

STRUCTURAL = ("target", "dtype", "tp", "pp", "ep", "nodes")

KNOWN = {**METRICS, **MERITS}
"""Everything that can be an objective or a limit."""

SHOWN = (
    "ttft", "tpot", "request_latency", "throughput", "tokens_per_device", "tokens_per_user", "memory", "power",
    "devices", "energy_per_token", "carbon_per_million_tokens", "embodied_carbon", "cost_per_million_tokens",
)  # fmt: skip

TABLE = 4096
"""Designs of one structure that are priced together; larger grids of its numbers take several tables."""

MOST_CELLS = 8_000_000
"""Numbers that priced tables may hold (64 MB): structures beyond are priced again when asked for again."""


class _Block(msgspec.Struct, frozen=True, eq=False):
    """Everything known about one structure on its grid of batches, replicas and power limits."""

    values: dict[str, NDArray[np.float64]]
    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    sources: dict[str, str]
    code: NDArray[np.int64]
    reasons: tuple[str, ...]

    @property
    def cells(self) -> int:
        """Numbers held."""
        return len(self.code) * (len(self.values) + 2 * len(self.low) + 1)


class Deployment(Problem):
    """Deployments of one model as a search problem; deterministic."""

    name = "deployment"
    functional_unit = "output token"

    def __init__(self, **spec: Any) -> None:
        self.asked = asked = checked(convert(placed(spec), DeploymentSpec, "deployment spec"))
        self.model: Model = load_model(asked.model)
        self.targets: dict[str, Target] = {}
        self.given: dict[str, str] = {}  # id -> name as given: a target of a file has no other name in commands
        for name in asked.targets:
            target = load_target(name, overlay=asked.overlay)
            self.targets[target.id] = target
            self.given[target.id] = name
        dtypes = asked.dtypes or (self.model.checkpoint_dtype,)
        self.frees_power = asked.power_limits != (100,)
        self.frees_dtype = len(dtypes) > 1 or dtypes != (self.model.checkpoint_dtype,)
        self.box = BoxSpace(self._parameters(dtypes))
        self.space = self.box
        self._blocks: dict[tuple[Any, ...], _Block] = {}
        self._cells = 0
        self._grid = len(asked.batches) * len(asked.replicas) * len(asked.power_limits)
        self.objectives = tuple(self._objective(name) for name in self._wanted())
        chosen = {self._metric_of[o.name] for o in self.objectives}
        self.metrics = tuple(
            Metric(name, KNOWN[name].unit, KNOWN[name].per) for name in SHOWN if name not in chosen
        ) + ((Metric("quality", "", "score lost"),) if self.frees_dtype and "quality" not in chosen else ())
        units = {name: KNOWN[m].unit if m in KNOWN else "" for name, m in objective_names().items()}
        units |= dict.fromkeys(COUNTS, "")
        self.constraints = tuple(parse_where(text, units) for text in asked.where)
        self.title = f"{self.model.name} on {', '.join(self.targets)}"
        self.question = (
            f"Which deployment serves {self.model.name} best for {asked.prompt} prompt and "
            f"{asked.generate} generated tokens ({BATCHING[asked.mode]})?"
        )
        self.views = self._views()
        self.sources = tuple(
            f"{target.id}: {factor.name} {factor.method.value}, {factor.origin.value} inputs, sigma {factor.sigma:.2f}"
            for target in self.targets.values()
            for factor in self._factors(target)
        )

    # --- set-up -------------------------------------------------------------------------------------------------

    def _parameters(self, dtypes: Sequence[str]) -> list[Any]:
        from codesign.search.parameters import Categorical, Ordinal

        asked = self.asked
        largest = max((target.devices_per_node or 1) for target in self.targets.values())
        connected = any(target.link("node") is not None for target in self.targets.values())
        degrees = tuple(d for d in asked.degrees if d <= largest) if connected else (1,)
        spread = any(target.link("network") is not None for target in self.targets.values())
        experts = self.model.experts is not None
        stages = tuple(s for s in asked.stages if s <= max(1, largest)) if connected else (1,)
        return [
            Categorical("target", tuple(self.targets)),
            Categorical("dtype", tuple(dict.fromkeys(dtypes))),
            Ordinal("tp", degrees or (1,), "device"),
            Ordinal("pp", stages or (1,), "stage"),
            Ordinal("ep", (degrees or (1,)) if experts else (1,), "device"),
            Ordinal("nodes", asked.nodes if spread else (1,), "node"),
            Ordinal("replicas", asked.replicas, "replica"),
            Ordinal("batch", asked.batches, "request"),
            *([Ordinal("power_limit", asked.power_limits, "% of TDP")] if self.frees_power else []),
        ]

    def _wanted(self) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(self.asked.objectives))
        if not wanted:
            raise UsageError("no objective given", "for example --objectives latency,energy,carbon,cost")
        return (*wanted, "quality") if self.frees_dtype and "quality" not in wanted else wanted

    def _objective(self, name: str) -> Objective:
        known = objective_names()
        if name not in known:
            raise UsageError(f"unknown objective {name!r}", nearest(name, known))
        metric = known[name]
        if metric == "quality":
            return Objective("quality", "", "score lost")
        entry = KNOWN[metric]
        return Objective(name, entry.unit, entry.per, entry.better)  # type: ignore[arg-type]

    @property
    def _metric_of(self) -> dict[str, str]:
        return objective_names()

    def _views(self) -> tuple[tuple[str, str], ...]:
        names = [o.name for o in self.objectives]
        pairs = [("tokens_per_user", "tokens_per_device")]
        pairs += [(names[0], name) for name in names[1:]]
        return tuple(pairs)

    def _factors(self, target: Target) -> Any:
        from codesign.costmodels.impact import at_site
        from codesign.costmodels.machine import factors_of

        return at_site(factors_of(target, self.model.checkpoint_dtype), self.asked.site)

    @cached_property
    def _kept(self) -> frozenset[str]:
        """Metrics that searching asks for: objectives, shown metrics, limited ones."""
        limited = {self._metric_of.get(k.metric, k.metric) for k in self.constraints}
        return frozenset({self._metric_of[o.name] for o in self.objectives} | {m.name for m in self.metrics} | limited)

    # --- evaluation ---------------------------------------------------------------------------------------------

    def structure(self, values: Mapping[str, Any]) -> Structure:
        """Return the structural part of a design given by its parameter values."""
        asked = self.asked
        return Structure(
            values["dtype"], int(values["tp"]), int(values["pp"]), int(values["ep"]), int(values["nodes"]),
            asked.execution, asked.mode, asked.chunk, framework=asked.framework,
        )  # fmt: skip

    def _block(self, structure: dict[str, Any]) -> _Block:
        key = tuple(structure[name] for name in (*STRUCTURAL, "table"))
        if key not in self._blocks:
            block = self._blocks[key] = self._price(structure)
            self._cells += block.cells
            while self._cells > MOST_CELLS and len(self._blocks) > 1:  # the oldest goes: streams pass once
                self._cells -= self._blocks.pop(next(iter(self._blocks))).cells
        return self._blocks[key]

    def _price(self, values: dict[str, Any]) -> _Block:
        asked = self.asked
        cells = np.arange(values["table"] * TABLE, min((values["table"] + 1) * TABLE, self._grid))
        counts = (len(asked.batches), len(asked.replicas), len(asked.power_limits))
        places = np.unravel_index(cells, counts)
        batch, replicas, percent = (
            np.asarray(given, np.float64)[at]
            for given, at in zip((asked.batches, asked.replicas, asked.power_limits), places, strict=True)
        )
        target, structure, shape = self.targets[values["target"]], self.structure(values), batch.shape
        load = Load(
            batch, asked.prompt, asked.generate, replicas, asked.rate,
            power_limit=percent / 100.0 * target.power.tdp.value if self.frees_power else None,
        )  # fmt: skip

        def refused(reason: str) -> _Block:
            return _Block({}, {}, {}, {}, np.ones(shape, np.int64), ("", reason))

        misplaced = check_structure(structure, target, self.model)
        if misplaced:
            return refused(f"placement: {misplaced}")
        try:
            priced = price(self.model, target, structure, load, asked.site)
            # figures of merit cost a table as much again as the rest of its carbon: only where they are asked for
            estimate = (with_merits(priced) if self._kept & MERITS.keys() else priced).estimate
        except CodesignError as error:
            return refused(error.message)
        # copies, not views: a view would keep everything that the estimate was computed from
        columns = {n: np.broadcast_to(c.value, shape).copy() for n, c in estimate.columns.items() if n in self._kept}
        low, high, sources = {}, {}, {}
        # only objectives are ranked with their intervals; every other number's is computed when it is shown
        for name in (self._metric_of[o.name] for o in self.objectives):
            if name not in columns:
                continue
            column = estimate.columns[name]
            low[name], high[name] = (np.broadcast_to(end, shape).copy() for end in estimate.interval(name))
            sources[name] = headline(
                np.abs(column.slopes).reshape(len(estimate.factors), -1).mean(axis=1), estimate.factors
            )
        return _Block(columns, low, high, sources, np.broadcast_to(estimate.reason, shape), estimate.reasons)

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of ``points``: a gather from the tables of their structures."""
        values = self.box.decode(points)
        count = len(points)
        batches = np.searchsorted(np.asarray(self.asked.batches), values["batch"])
        replicas = np.searchsorted(np.asarray(self.asked.replicas), values["replicas"])
        cell = batches * len(self.asked.replicas) + replicas
        if self.frees_power:
            limits = np.searchsorted(np.asarray(self.asked.power_limits), values["power_limit"])
            cell = cell * len(self.asked.power_limits) + limits
        tables = {**values, "table": cell // TABLE}
        names = [self._metric_of[o.name] for o in self.objectives]
        wanted = [*names, *(m.name for m in self.metrics)]
        limited = (self._metric_of.get(k.metric, k.metric) for k in self.constraints)
        wanted += [name for name in limited if name not in wanted and name not in values]
        value = {name: np.full(count, np.nan) for name in wanted}
        low = {name: np.full(count, np.nan) for name in names}
        high = {name: np.full(count, np.nan) for name in names}
        reasons: dict[str, int] = {}
        why = np.full(count, -1, np.int32)
        source = np.zeros((count, len(names)), np.int16)
        texts: dict[str, int] = {}
        for structure, index in by_structure(tables, (*STRUCTURAL, "table")):
            block = self._block(structure)
            at = cell[index] % TABLE
            for name in wanted:
                if name in block.values:
                    value[name][index] = block.values[name][at]
            for position, name in enumerate(names):
                if name in block.low:
                    low[name][index], high[name][index] = block.low[name][at], block.high[name][at]
                    source[index, position] = texts.setdefault(block.sources[name], len(texts))
            if "quality" in wanted:
                loss = quality_loss(self.model.name, structure["dtype"], self.model.checkpoint_dtype)
                value["quality"][index] = np.nan if loss is None else loss
            table = np.array([-1, *(reasons.setdefault(r, len(reasons)) for r in block.reasons[1:])], np.int32)
            why[index] = table[block.code[at]]
        columns = {
            **{k: v for k, v in values.items() if k in COUNTS},
            **value,
        }
        columns |= {alias: columns[name] for alias, name in self._metric_of.items() if name in columns}
        return self._results(value, low, high, names, why, reasons, source, texts, columns)

    def _results(
        self,
        value: dict[str, Any],
        low: dict[str, Any],
        high: dict[str, Any],
        names: list[str],
        why: NDArray[np.int32],
        reasons: dict[str, int],
        source: NDArray[np.int16],
        texts: dict[str, int],
        columns: dict[str, Any],
    ) -> Results:
        count = len(why)
        unknown = np.isnan(value["quality"]) if "quality" in value else np.zeros(count, np.bool_)
        if "quality" in names:
            # unknown quality is drawn apart: it takes no part in the ranking, so its rank value is a constant
            value = {**value, "quality": np.where(unknown, 0.0, value["quality"])}
            low = {**low, "quality": value["quality"]}
            high = {**high, "quality": value["quality"]}
        sign = np.array([o.sign for o in self.objectives])
        objectives = np.stack([value[name] for name in names], axis=1) * sign
        ends = [np.stack([end[name] for name in names], axis=1) * sign for end in (low, high)]
        status = np.where(why >= 0, np.uint8(Status.INFEASIBLE), np.uint8(Status.OK))
        missing = ~np.isfinite(objectives).all(axis=1)
        # a target without a price has no cost: the point cannot be ranked, and says so
        lacking = reasons.setdefault(
            "an objective is not declared for this target (price or embodied carbon)", len(reasons)
        )
        why = np.where(missing & (why < 0), np.int32(lacking), why)
        status = np.where(missing & (status == Status.OK), np.uint8(Status.INVALID), status)
        return Results.make(
            objectives,
            low=np.minimum(*ends),
            high=np.maximum(*ends),
            violations=violations(self.constraints, columns, count) if self.constraints else None,
            constraints=self.constraints,
            status=status,
            reason=why,
            reasons=tuple(reasons),
            metrics={m.name: value[m.name] for m in self.metrics},
            source=source,
            sources=tuple(texts) or ("analytical",),
            apart=unknown,
        )

    # --- what reports ask ---------------------------------------------------------------------------------------

    def baseline(self) -> Points | None:
        """Return the plainest design: first target and dtype, one device, the smallest batch that the space has."""
        return self.space.enumerate(0, 1)

    def nearest_miss(self) -> str:
        """Return how much memory the design closest to fitting lacks, where no design fits its target."""
        self.evaluate(self.box.enumerate(0, min(self.box.size or 0, self.block)))
        priced = [(key[0], block) for key, block in self._blocks.items() if "memory" in block.values]
        over = [block.values["memory"] / (MEMORY_SHARE * self.targets[name].memory_capacity) for name, block in priced]
        if not over or min(float(ratio.min()) for ratio in over) <= 1.0:
            return ""
        best = min(range(len(over)), key=lambda place: float(over[place].min()))
        name, needed = priced[best][0], float(priced[best][1].values["memory"].min())
        usable = MEMORY_SHARE * self.targets[name].memory_capacity
        return (
            f"memory binds: the smallest needs {format_si(needed, 'B')} a device, {format_si(usable, 'B')} usable on "
            f"{name}, {format_si(needed - usable, 'B')} missing: raise --tp or --pp, or choose a smaller --dtype"
        )

    def describe(self, point: Points) -> Details:
        """Return breakdowns and serving commands of one design."""
        from codesign.search.deployment_details import details

        return details(self, self.space.rows(np.atleast_2d(point))[0])

    def fingerprint(self) -> dict[str, str]:
        """Return the digest of each input."""
        from codesign.search.deployment_details import fingerprint

        return fingerprint(self)

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self.asked)
        return built
