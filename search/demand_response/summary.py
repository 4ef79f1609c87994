"""A demand-response run in a few numbers: the baseline, and a row a plan."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from codesign.run import Run
from codesign.search.demand_response.problem import GRID_SPREAD, DemandResponse, level_of

UNITS = {
    "carbon_t": "t CO2e", "carbon_t_low": "t CO2e", "carbon_t_high": "t CO2e", "saved_t": "t CO2e",
    "saved_t_low": "t CO2e", "saved_t_high": "t CO2e", "saved_pct": "%", "saved_by_shedding_pct": "%",
    "saved_by_moving_pct": "%", "lambda": "t CO2e per unit of penalty", "cut": "share of the baseline",
    "penalty": "as the weights", "smooth_penalty": "as the weights", "shed_mwh": "MWh", "moved_mwh": "MWh",
    "worst_burden": "penalty per MW of entitlement", "burden_bound": "penalty per MW of entitlement",
    "peak_mw": "MW", "excess_mw": "MW", "energy_mwh": "MWh", "capacity_mw": "MW", "entitlement_mw": "MW",
    "mean_g_per_kwh": "g CO2e/kWh", "min_g_per_kwh": "g CO2e/kWh", "max_g_per_kwh": "g CO2e/kWh",
}  # fmt: skip


class Baseline(msgspec.Struct, frozen=True):
    """The fleet without demand response.

    Attributes:
        carbon_t: t CO2e, with the 90 % interval of the grid's mean: low, high.
        load_weighted_g_per_kwh: Mean intensity weighted by the fleet's load; ``mean_g_per_kwh`` is over the hours.
        capacity_mw: None where there is no limit.
    """

    carbon_t: float
    carbon_t_low: float
    carbon_t_high: float
    hours: int
    energy_mwh: float
    peak_mw: float
    capacity_mw: float | None
    mean_g_per_kwh: float
    load_weighted_g_per_kwh: float | None
    min_g_per_kwh: float
    max_g_per_kwh: float
    grid: str
    advance: bool


class PlanRow(msgspec.Struct, frozen=True, rename={"price": "lambda"}):
    """One plan; its tonnes have the interval of the grid's mean, one error for all plans of a study.

    Attributes:
        wrong: Why it is no plan of the problem, empty where it is one.
        smooth_penalty: By the smooth curves: the lower end of the penalty, whose chords are the upper.
        jain_index: None where no workload bears a penalty.
        worst_workload: The workload of the largest burden; empty where none bears any.
    """

    point: int
    policy: str
    price: float | None
    cut: float | None
    wrong: str
    carbon_t: float
    saved_t: float
    saved_t_low: float
    saved_t_high: float
    saved_pct: float | None
    saved_by_shedding_pct: float | None
    saved_by_moving_pct: float | None
    penalty: float
    smooth_penalty: float
    penalty_by_workload: dict[str, float]
    saved_t_by_workload: dict[str, float]
    shed_mwh: float
    moved_mwh: float
    worst_burden: float
    worst_workload: str
    jain_index: float | None
    burden_bound: float | None
    peak_mw: float
    excess_mw: float
    front: bool


class Summary(msgspec.Struct, frozen=True):
    """The whole study: what every number is in, and where its inputs come from."""

    baseline: Baseline
    plans: tuple[PlanRow, ...]
    goals: tuple[dict[str, float], ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]
    units: dict[str, str]


def summarise(run: Run, problem: DemandResponse | None = None) -> Summary:
    """Return the numbers of a finished run; without its ``problem``, plans are solved again from its spec."""
    problem = problem if problem is not None else DemandResponse(**run.meta["spec"]["spec"])
    rows = [row for row in run.trials().sort("id").to_dicts() if row["id"] != run.meta["problem"]["baseline"]]
    goals: tuple[dict[str, float], ...] = tuple(msgspec.to_builtins(g) for g in problem.asked.goals)
    return Summary(
        _baseline(problem), tuple(_row(problem, row) for row in rows), goals, problem.notes, problem.sources, UNITS
    )


def _baseline(problem: DemandResponse) -> Baseline:
    fleet = problem.policies.fleet
    intensity = fleet.intensity_t_mwh * 1000.0
    energy = float(fleet.baseline_mw.sum())
    return Baseline(
        carbon_t=fleet.baseline_t,
        carbon_t_low=fleet.baseline_t * (1.0 - GRID_SPREAD),
        carbon_t_high=fleet.baseline_t * (1.0 + GRID_SPREAD),
        hours=len(intensity),
        energy_mwh=energy,
        peak_mw=fleet.peak_mw,
        capacity_mw=fleet.capacity_mw if math.isfinite(fleet.capacity_mw) else None,
        mean_g_per_kwh=float(intensity.mean()),
        load_weighted_g_per_kwh=fleet.baseline_t * 1000.0 / energy if energy else None,
        min_g_per_kwh=float(intensity.min()),
        max_g_per_kwh=float(intensity.max()),
        grid=f"{problem.asked.grid.source or 'given in the spec'}, {problem.asked.grid.kind} intensity",
        advance=fleet.advance,
    )


def _row(problem: DemandResponse, row: dict[str, Any]) -> PlanRow:
    fleet = problem.policies.fleet
    planned = problem.plan(*level_of(row))
    outcome = planned.outcome
    saved = float(outcome.saved_t.sum())
    worst = int(np.argmax(outcome.burden))

    def known(name: str) -> float | None:
        value = row.get(name)
        return None if value is None or math.isnan(value) else float(value)

    return PlanRow(
        point=row["id"],
        policy=row["policy"],
        price=known("lambda"),
        cut=known("cut"),
        wrong=planned.wrong,
        carbon_t=fleet.baseline_t - saved,
        saved_t=saved,
        saved_t_low=min(saved * (1.0 - GRID_SPREAD), saved * (1.0 + GRID_SPREAD)),
        saved_t_high=max(saved * (1.0 - GRID_SPREAD), saved * (1.0 + GRID_SPREAD)),
        saved_pct=known("saved_pct"),
        saved_by_shedding_pct=known("saved_by_shedding_pct"),
        saved_by_moving_pct=known("saved_by_moving_pct"),
        penalty=float(outcome.penalty.sum()),
        smooth_penalty=float(outcome.smooth_penalty.sum()),
        penalty_by_workload=dict(zip(fleet.names, outcome.penalty.tolist(), strict=True)),
        saved_t_by_workload=dict(zip(fleet.names, outcome.saved_t.tolist(), strict=True)),
        shed_mwh=float(outcome.shed_mwh.sum()),
        moved_mwh=float(outcome.moved_mwh.sum()),
        worst_burden=outcome.worst_burden,
        worst_workload=fleet.names[worst] if outcome.worst_burden > 0.0 else "",
        jain_index=outcome.jain,
        burden_bound=known("burden_bound"),
        peak_mw=outcome.peak_mw,
        excess_mw=outcome.excess_mw,
        front=bool(row["front"]),
    )
