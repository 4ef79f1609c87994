"""What a report shows of one demand-response plan: its course over the hours, and who pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codesign.search.demand_response.policies import Planned
from codesign.search.problem import Breakdown, Course, Details, Item, Timeline

if TYPE_CHECKING:
    from codesign.search.demand_response.problem import DemandResponse

MOST_SHOWN = 9
"""Workloads drawn by themselves; the smallest beyond are drawn together."""


def details(problem: DemandResponse, planned: Planned) -> Details:
    """Return the details of one plan: power by workload over the hours, penalty and saving by workload."""
    fleet, outcome = problem.policies.fleet, planned.outcome

    def by_workload(title: str, unit: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Breakdown:
        pairs = zip(fleet.names, values.tolist(), strict=True)
        return Breakdown(title, unit, tuple(Item(name, value) for name, value in pairs))

    shed, moved = (float(outcome.saved_t[mine].sum()) for mine in (fleet.online, ~fleet.online))
    breakdowns = (
        Breakdown("Carbon saved, by how", "gCO2e", (Item("work shed", shed * 1e6), Item("work moved", moved * 1e6))),
        by_workload("Carbon saved by workload", "gCO2e", outcome.saved_t * 1e6),
        by_workload("Penalty by workload", "", outcome.penalty),
        by_workload("Penalty per MW of entitlement", "", outcome.burden),
    )
    notes = [f"no plan of the problem: {planned.wrong}"] if planned.wrong else []
    if moved < 0.0:
        notes.append(f"moving batch work costs {-moved:.4g} t here")
    return Details(breakdowns, (), (*notes, *problem.notes), (timeline(problem, planned),))


def timeline(problem: DemandResponse, planned: Planned) -> Timeline:
    """Return the power of every workload over the hours beside the baseline, the capacity and the intensity."""
    fleet = problem.policies.fleet
    power = fleet.baseline_mw - planned.outcome.curtailed_mw
    order = np.argsort(-fleet.entitlement_mw, kind="stable")
    alone = order if len(order) <= MOST_SHOWN + 1 else order[:MOST_SHOWN]
    areas = [Course(fleet.names[i], tuple(power[i].tolist()), tuple(fleet.baseline_mw[i].tolist())) for i in alone]
    if len(alone) < len(order):
        rest = order[MOST_SHOWN:]
        sums = (tuple(part[rest].sum(axis=0).tolist()) for part in (power, fleet.baseline_mw))
        areas.append(Course(f"{len(rest)} others", *sums))
    return Timeline(
        title="Power over the hours",
        unit="MW",
        step="h",
        start=problem.asked.grid.start,
        areas=tuple(areas),
        curve=Course("grid intensity", tuple((fleet.intensity_t_mwh * 1000.0).tolist())),
        curve_unit="gCO2e/kWh",
        limit=fleet.capacity_mw if np.isfinite(fleet.capacity_mw) else None,
    )
