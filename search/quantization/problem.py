"""The quantization problem: which bits for which layer, judged by simulated quantization on held-out data.

The search sees the quality on its own split alone. Beside it stand the quality on the split that selects a plan from
the front, on the report split that nothing else has seen, and the gap between search and report. A plan that is no
better than answering without the model is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.siting import placed
from codesign.quantity import Array
from codesign.search import problem as base
from codesign.search.constraints import parse_where, violations
from codesign.search.digests import digests
from codesign.search.objectives import chosen_names
from codesign.search.problem import Details, Metric, Objective, Points, Results, Stage, Status
from codesign.search.quantization.judge import Quality
from codesign.search.quantization.laboratory import Laboratory
from codesign.search.quantization.plan_space import PlanSpace
from codesign.search.quantization.pricing import COSTS, Pricer
from codesign.search.quantization.spec import QuantizationSpec, checked
from codesign.search.quantization.task import Task
from codesign.search.quantization.tasks import task_of
from codesign.strict_yaml import convert
from codesign.targets import load_target
from codesign.workload.quantization import QuantizationPlan

TRIVIAL = {"error": "the commonest class", "perplexity": "the frequencies of the tokens", "mse": "the mean"}

NOT_A_NUMBER = "its answers are not numbers"


class QuantizationProblem(base.Problem):
    """Plans of one trained module on one target; deterministic."""

    name = "quantization"
    explained = False
    told = ("weight_bits", "activation_bits")
    stages = (Stage("quality", dear=True),)

    def __init__(self, *, task: Task | None = None, **spec: Any) -> None:
        """Set up from a spec (see ``QuantizationSpec``); ``task`` stands in for the one that its model names.

        Raises:
            UsageError: unknown names, a module without layers to quantise, or data that it does not take.
            DataError: a file is wrong, or the original's quality is not a number.
        """
        self.asked = asked = checked(convert(placed(spec), QuantizationSpec, "quantization spec"))
        self.target = load_target(asked.target, overlay=asked.overlay)
        self.task = task if task is not None else task_of(asked.model, asked.data, asked.report_data)
        self._inputs = self.task.digests()
        self.laboratory = Laboratory(self.task)
        self.plans = PlanSpace(self.laboratory, asked)
        self.space = self.plans.box
        self.pricer = Pricer(self.task, self.target, asked.site, asked.batch)
        self.functional_unit = self.task.functional_unit
        measure = self.task.measure
        known = (measure, "loss", "quality", *COSTS)
        wanted = chosen_names(asked.objectives, known, f"{measure},memory,latency")
        self.objectives = tuple(map(self._objective, wanted))
        self.metrics = self._metrics({one.name for one in self.objectives})
        units = {one.name: one.unit for one in self.objectives} | {one.name: one.unit for one in self.metrics}
        units |= dict.fromkeys(("weight_bits", "activation_bits", "loss", "selection_loss"), "")
        self.constraints = tuple(parse_where(text, units) for text in asked.where)
        self.trivial = {split: self.laboratory.trivial(split) for split in ("search", "report")}
        self.title = f"{self.task.name} on {self.target.id}"
        self.question = (
            f"Which bits does each layer of {self.task.name} need, and what do they save on {self.target.name}?"
        )
        first, *others = (one.name for one in self.objectives)
        self.views = (*((first, other) for other in others), (measure, f"unseen_{measure}"))
        self.sources = self._sources()

    def _metrics(self, chosen: set[str]) -> tuple[Metric, ...]:
        measure, unit = self.task.measure, self.functional_unit
        shown = (
            *(Metric(name) for name in (measure, f"selection_{measure}", f"unseen_{measure}", "gap")),
            *(Metric(name, self._loss_unit) for name in ("loss", "selection_loss")),
            Metric("weight_bits", "bit", "weight"), Metric("activation_bits", "bit", "layer"),
            *(Metric(name, one, per or unit) for name, (one, per) in COSTS.items()),
        )  # fmt: skip
        return tuple(metric for metric in shown if metric.name not in chosen)

    @property
    def _loss_unit(self) -> str:
        return "" if self.task.measure == "mse" else "nat"

    def _objective(self, name: str) -> Objective:
        """Return an objective; ``quality`` is the loss of classes (an error rate is coarse), else the measure."""
        measure = self.task.measure
        if name == "quality":
            name = "loss" if measure == "error" else measure
        if name == "loss":
            return Objective("loss", self._loss_unit)
        if name == measure:
            return Objective(measure)
        unit, per = COSTS[name]
        return Objective(name, unit, per or self.functional_unit)

    def _sources(self) -> tuple[str, ...]:
        measure, original = self.task.measure, self.laboratory.original
        stated = ", ".join(
            f"{original[split].value:.4g} ({name})"
            for split, name in (("search", "search"), ("selection", "selection"), ("report", "unseen"))
        )
        return (
            f"quality: {measure} of simulated quantization; original {stated}; answering with {TRIVIAL[measure]} "
            f"{self.trivial['search']:.4g} (search), {self.trivial['report']:.4g} (unseen)",
            f"latency, energy, memory, carbon: cost model of {self.target.id}, one run of {self.asked.batch} "
            f"{self.functional_unit}{'s' if self.asked.batch > 1 else ''}, kernels as captured",
            *self.task.notes,
        )

    # --- evaluation ---------------------------------------------------------------------------------------------

    def plan(self, point: Points) -> QuantizationPlan:
        """Return the plan of one point."""
        return self.plans.plan(self.space.rows(np.atleast_2d(point))[0])

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of plans: quality by running the simulated module, costs as arrays over plans."""
        plans = [self.plans.plan(values) for values in self.space.rows(points)]
        found = [self.laboratory.qualities(plan) for plan in plans]
        costs = self.pricer.costs(plans)
        value, low, high = dict(costs.value), dict(costs.low), dict(costs.high)
        measure = self.task.measure
        searched = [one["search"] for one in found]
        value[measure] = np.array([one.value for one in searched])
        low[measure] = np.array([one.low for one in searched])
        high[measure] = np.array([one.high for one in searched])
        value["loss"] = np.array([one.loss for one in searched])
        spread = np.array([one.loss_spread for one in searched])
        low["loss"], high["loss"] = np.maximum(value["loss"] - spread, 0.0), value["loss"] + spread
        value[f"selection_{measure}"] = np.array([one["selection"].value for one in found])
        value[f"unseen_{measure}"] = np.array([one["report"].value for one in found])
        value["selection_loss"] = np.array([one["selection"].loss for one in found])
        value["gap"] = value[f"unseen_{measure}"] - value[measure]
        value |= self._widths(plans)
        why = [self._refusal(one, refused) for one, refused in zip(searched, costs.refused, strict=True)]
        return self._results(value, low, high, costs.source, why)

    def _results(
        self, value: dict[str, Array], low: dict[str, Array], high: dict[str, Array],
        source: dict[str, list[str]], why: Sequence[str],
    ) -> Results:  # fmt: skip
        measure, names = self.task.measure, [one.name for one in self.objectives]
        count = len(why)
        judged = f"measured on {len(self.task.splits['search'].y)} held-out samples, quantization simulated"
        texts = {**source, measure: [judged] * count, "loss": [judged] * count}
        table = {text: place for place, text in enumerate(dict.fromkeys(t for name in names for t in texts[name]))}
        reasons = {text: place for place, text in enumerate(dict.fromkeys(text for text in why if text))}
        status = [
            Status.OK if not text else Status.INVALID if text == NOT_A_NUMBER else Status.INFEASIBLE for text in why
        ]
        return Results.make(
            np.stack([value[name] for name in names], axis=1),
            low=np.stack([low[name] for name in names], axis=1),
            high=np.stack([high[name] for name in names], axis=1),
            violations=violations(self.constraints, value, count) if self.constraints else None,
            constraints=self.constraints,
            status=np.array(status, np.uint8),
            reason=np.array([reasons.get(text, -1) for text in why], np.int32),
            reasons=tuple(reasons),
            metrics={metric.name: value[metric.name] for metric in self.metrics},
            source=np.array([[table[texts[name][row]] for name in names] for row in range(count)], np.int16),
            sources=tuple(table) or ("analytical",),
        )

    def _refusal(self, quality: Quality, refused: str) -> str:
        if not np.isfinite([quality.value, quality.loss]).all():
            return NOT_A_NUMBER
        if quality.constant:
            return "it answers every sample the same"
        if quality.value >= self.trivial["search"]:
            return f"no better than answering with {TRIVIAL[self.task.measure]}"
        return refused

    def _widths(self, plans: Sequence[QuantizationPlan]) -> dict[str, Array]:
        """Return mean bits: of weights by their number (without scales), of activations by layer."""
        layers = self.laboratory.layers
        sizes = np.array([self.laboratory.simulator.elements(name) for name in layers], np.float64)
        weights = np.array([[plan.layers[name].weight_bits for name in layers] for plan in plans], np.float64)
        activations = np.array([[plan.layers[name].activation_bits for name in layers] for plan in plans], np.float64)
        return {"weight_bits": weights @ sizes / sizes.sum(), "activation_bits": activations.mean(axis=1)}

    # --- what searches and reports ask --------------------------------------------------------------------------

    def baseline(self) -> Points | None:
        """Return the original: every number at 32 bits."""
        return self.plans.box.encode(**self.plans.original)

    def seeds(self) -> Points | None:
        """Return uniform plans and plans along the path of least sensitivity, each once; none where not asked for."""
        if self.asked.seeding == "none":
            return None
        points = np.concatenate([self.plans.box.encode(**values) for values in self.plans.seeds()])
        keys = self.space.key(points)
        taken = self.space.key(self.plans.box.encode(**self.plans.original))
        _, first = np.unique(keys, return_index=True)
        kept: Points = points[[place for place in sorted(first.tolist()) if keys[place] != taken[0]]]
        return kept

    def describe(self, point: Points) -> Details:
        """Return bits of every layer, where memory and time go, the plan file and the recipe of one plan."""
        from codesign.search.quantization.details import details

        return details(self, self.plan(point))

    def files(self, trials: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Return the sensitivity table, and plan and recipe of the plan that the selection split picks."""
        from codesign.search.quantization.details import run_files

        return run_files(self, trials)

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of question, target, weights and data."""
        inputs = {
            "question": msgspec.to_builtins(self.asked),
            f"target {self.target.id}": msgspec.to_builtins(self.target),
        }
        return digests(inputs) | self._inputs

    def spec(self) -> dict[str, Any]:
        """Return the whole question as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self.asked)
        return built

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> QuantizationProblem:
        """Return the problem of a spec."""
        return cls(**spec)
