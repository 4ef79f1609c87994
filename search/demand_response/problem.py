"""Demand response as a search problem: points are a policy and its level, objectives are carbon and penalty.

The space is small and every point is a linear programme of its own, so it is enumerated: one evaluation a policy and
price. The front then shows what each tonne costs in penalty, whoever's policy it is. Plans that exceed the capacity or
shed batch work are infeasible points, kept with their reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from codesign.errors import DataError
from codesign.search.constraints import Constraint
from codesign.search.demand_response.assembly import assemble
from codesign.search.demand_response.inlined import from_mapping, inlined
from codesign.search.demand_response.outcome import Outcome
from codesign.search.demand_response.policies import CUTTING, NOTHING, PRICED, Planned, Policies
from codesign.search.demand_response.price import HIGHEST, LOWEST, price_of_penalty, price_of_saving
from codesign.search.demand_response.spec import DemandResponseSpec, Goal
from codesign.search.parameters import Categorical, Ordinal, When
from codesign.search.problem import Details, Metric, Objective, Points, Problem, Results, Stage, Status
from codesign.search.space import BoxSpace

GRAMS = 1e6
"""Grams in a tonne."""
GRID_SPREAD = 0.10
"""Half width of the 90 % interval of a grid's mean intensity, relative; one error for all plans of a study."""


class DemandResponse(Problem):
    """Plans of one fleet over some hours; deterministic."""

    name = "demand-response"
    functional_unit = "hours studied"
    stages = (Stage("solve", dear=True),)
    block = 1
    objectives = (Objective("carbon", "gCO2e"), Objective("penalty"))
    metrics = (
        Metric("saved_pct", "%"),
        Metric("saved_by_shedding_pct", "%"),
        Metric("saved_by_moving_pct", "%"),
        Metric("shed_mwh", "MWh"),
        Metric("moved_mwh", "MWh"),
        Metric("worst_burden", "", "MW of entitlement"),
        Metric("jain_index"),
        Metric("peak_mw", "MW"),
        Metric("excess_mw", "MW"),
        Metric("burden_bound", "", "MW of entitlement"),
    )
    constraints = (Constraint("excess_mw <= 0 MW", "excess_mw", "<=", 0.0, "MW"),)
    views = (("penalty", "carbon"),)
    explained = False

    def __init__(self, **spec: Any) -> None:
        self.asked, self.notes, self.policies = prepared(from_mapping(spec, "demand response spec"), Path())
        self.space = self.box = BoxSpace(_parameters(self.asked))
        self._known: dict[tuple[str, float], Planned] = {}
        fleet = self.policies.fleet
        count, hours, _ = fleet.shape
        self.title = f"Demand response of {count} workload{'s' * (count > 1)} over {hours} hours"
        self.question = f"What does it cost the workloads to lower {fleet.baseline_t:.4g} t CO2e, " + (
            "with batch work allowed to run early?" if fleet.advance else "no work running before its hour?"
        )
        self.sources = (
            f"{self.asked.grid.kind} grid intensity: {self.asked.grid.source or 'given in the spec'}, g CO2e/kWh; "
            f"interval: +-{GRID_SPREAD:.0%} of the mean, one error for all plans (assumed)",
            "penalties: weights and samples of the spec, assumed; interval: from the smooth curve to its chords",
            *self.notes,
        )

    # --- evaluation ---------------------------------------------------------------------------------------------

    def plan(self, policy: str, level: float) -> Planned:
        """Return the plan of ``policy`` at a price or cut (any number for ``nothing``), solved once."""
        key = (policy, 0.0 if policy == NOTHING else level)
        if key not in self._known:
            self._known[key] = self.policies.planned(policy, level)
        return self._known[key]

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the results of ``points``; a point is a linear programme, so points are solved one by one."""
        plans = [self.plan(*level_of(row)) for row in self.box.rows(points)]
        wrong = sorted({p.wrong for p in plans if p.wrong})
        reason = np.array([wrong.index(p.wrong) if p.wrong else -1 for p in plans], np.int32)
        outcomes = [p.outcome for p in plans]
        baseline = self.policies.fleet.baseline_t
        carbon = np.array([baseline - float(o.saved_t.sum()) for o in outcomes]) * GRAMS
        penalty = np.array([float(o.penalty.sum()) for o in outcomes])
        smooth = np.minimum(penalty, np.array([float(o.smooth_penalty.sum()) for o in outcomes]))
        columns = self._columns(outcomes) | {"burden_bound": np.array([p.bound for p in plans])}
        return Results.make(
            np.stack([carbon, penalty], axis=1),
            low=np.stack([carbon * (1.0 - GRID_SPREAD), smooth], axis=1),
            high=np.stack([carbon * (1.0 + GRID_SPREAD), penalty], axis=1),
            violations=columns["excess_mw"][:, None],
            constraints=self.constraints,
            status=np.where(reason >= 0, np.uint8(Status.INFEASIBLE), np.uint8(Status.OK)),
            reason=reason,
            reasons=wrong,
            metrics=columns,
        )

    def _columns(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        fleet = self.policies.fleet
        share = 100.0 / fleet.baseline_t if fleet.baseline_t > 0.0 else np.nan

        def column(values: Any) -> Any:
            return np.array([float(v) for v in values])

        return {
            "saved_pct": column(o.saved_t.sum() * share for o in outcomes),
            "saved_by_shedding_pct": column(o.saved_t[fleet.online].sum() * share for o in outcomes),
            "saved_by_moving_pct": column(o.saved_t[~fleet.online].sum() * share for o in outcomes),
            "shed_mwh": column(o.shed_mwh.sum() for o in outcomes),
            "moved_mwh": column(o.moved_mwh.sum() for o in outcomes),
            "worst_burden": column(o.worst_burden for o in outcomes),
            "jain_index": column(np.nan if o.jain is None else o.jain for o in outcomes),
            "peak_mw": column(o.peak_mw for o in outcomes),
            "excess_mw": column(o.excess_mw for o in outcomes),
        }

    # --- what reports ask ---------------------------------------------------------------------------------------

    def baseline(self) -> Points | None:
        """Return the point that changes nothing."""
        return self.space.enumerate(0, 1)

    def files(self, trials: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Return the plans of the points in ``trials`` hour by hour, as CSV."""
        from codesign.search.demand_response.plan_table import plan_csv

        points = [dict(zip(trials, row, strict=True)) for row in zip(*trials.values(), strict=True)]
        return {"plan.csv": plan_csv(self, sorted(points, key=lambda point: int(point["id"])))}

    def describe(self, point: Points) -> Details:
        """Return the plan over the hours and what it costs whom."""
        from codesign.search.demand_response.plan_details import details

        policy, level = level_of(self.box.rows(np.atleast_2d(point))[0])
        return details(self, self.plan(policy, level))

    def fingerprint(self) -> dict[str, str]:
        """Return the digest of the whole question: its series are in the spec."""
        text = msgspec.json.encode(self.spec(), order="deterministic")
        return {"question": hashlib.sha256(text).hexdigest()[:16]}

    def spec(self) -> dict[str, Any]:
        """Return the question as JSON types, series and prices found included."""
        built: dict[str, Any] = msgspec.to_builtins(self.asked)
        return built


def level_of(row: Mapping[str, Any]) -> tuple[str, float]:
    """Return (policy, its price or cut) of a decoded point; NaN for the policy without one."""
    level = row.get("lambda") if row["policy"] in PRICED else row.get("cut")
    return row["policy"], float("nan") if level is None else float(level)


def prepared(
    asked: DemandResponseSpec, folder: Path, name: str = "demand response spec"
) -> tuple[DemandResponseSpec, tuple[str, ...], Policies]:
    """Return a spec with its series written out and the prices of its goals found, notes on the curves, the policies.

    Raises:
        DataError: a field is wrong; names file, field, found and expected.
        LimitCrossed: no plan stays below the capacity, or a goal is out of reach.
    """
    _check_levels(asked, name)
    asked = inlined(asked, folder, name)
    fleet, notes = assemble(asked, name)
    policies = Policies(fleet)
    _check_cuts(asked, policies, name)
    policies.check_capacity()
    goals = tuple(g if g.reached_at is not None else _reached(g, policies) for g in asked.goals)
    return msgspec.structs.replace(asked, goals=goals), notes, policies


def _reached(goal: Goal, policies: Policies) -> Goal:
    if goal.saved_pct is not None:
        price = price_of_saving(policies, goal.saved_pct / 100.0)
    else:
        price = price_of_penalty(policies, goal.penalty or 0.0)
    return msgspec.structs.replace(goal, reached_at=price)


def _parameters(asked: DemandResponseSpec) -> list[Any]:
    priced = tuple(p for p in PRICED if p in asked.policies)
    cutting = tuple(p for p in CUTTING if p in asked.policies)
    prices = sorted({*asked.lambdas, *(g.reached_at for g in asked.goals if g.reached_at is not None)})
    parameters: list[Any] = [Categorical("policy", (NOTHING, *priced, *cutting))]
    if priced:
        parameters.append(Ordinal("lambda", tuple(prices), "t/penalty", When("policy", priced)))
    if cutting:
        parameters.append(Ordinal("cut", tuple(sorted(set(asked.cuts))), "", When("policy", cutting)))
    return parameters


def _check_levels(asked: DemandResponseSpec, name: str) -> None:
    for place, price in enumerate(asked.lambdas):
        _within(price, LOWEST, HIGHEST, f"{name}: lambdas[{place}]", " t CO2e per unit of penalty")
    for place, goal in enumerate(asked.goals):
        where = f"{name}: goals[{place}]"
        if (goal.saved_pct is None) == (goal.penalty is None):
            raise DataError(f"{where}: expected one of saved_pct and penalty")
        if goal.saved_pct is not None:
            _within(goal.saved_pct, 1e-6, 100.0, f"{where}.saved_pct", " %")
        else:
            _within(goal.penalty, 0.0, 1e15, f"{where}.penalty")
        if goal.reached_at is not None:
            _within(goal.reached_at, LOWEST, HIGHEST, f"{where}.reached_at")
    if not asked.policies:
        raise DataError(f"{name}: policies: none given", f"for example [{PRICED[0]}]")
    if set(asked.policies) & set(PRICED) and not (asked.lambdas or asked.goals):
        raise DataError(f"{name}: lambdas: none given", "prices in t CO2e per unit of penalty, such as [0.05, 0.1]")
    if set(asked.policies) & set(CUTTING) and not asked.cuts:
        raise DataError(f"{name}: cuts: none given", "shares by which to cap, such as [0.02, 0.05]")


def _check_cuts(asked: DemandResponseSpec, policies: Policies, name: str) -> None:
    if not set(asked.policies) & set(CUTTING):
        return
    fleet = policies.fleet
    least = int(np.argmin(fleet.most_curtailed))
    for place, cut in enumerate(asked.cuts):
        limit = float(fleet.most_curtailed[least])
        _within(cut, 1e-9, limit, f"{name}: cuts[{place}]", f", what {fleet.names[least]} may curtail (max_curtail)")
    if "uniform-shed" in asked.policies:
        fitted = [n for n, w, o in zip(fleet.names, fleet.weight, fleet.online) if np.isnan(w) and not o]
        if fitted:
            raise DataError(
                f"{name}: policies: uniform-shed scores lost batch work by its weight, and {fitted[0]} has samples",
                "leave uniform-shed out; uniform-made-up scores it by the samples",
            )


def _within(value: float | None, low: float, high: float, where: str, unit: str = "") -> None:
    if value is None or not low <= value <= high:
        raise DataError(f"{where}: found {value!r}, expected {low:g} to {high:g}{unit}")
