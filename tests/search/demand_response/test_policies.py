"""Properties that every plan of every policy has, and oracles that solve the same questions otherwise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import LimitCrossed
from codesign.search.demand_response.fleet import Fleet
from codesign.search.demand_response.outcome import Outcome, measure
from codesign.search.demand_response.policies import Policies
from codesign.search.demand_response.price import price_of_penalty, price_of_saving
from tests.search.demand_response.fleets import TIGHT, epigraph_optimum, fleet_of, objective, prices, specs

FEW = settings(max_examples=40)


def tolerance(fleet: Fleet) -> float:
    return TIGHT * max(fleet.baseline_t, 1e-9)


def check_feasible(fleet: Fleet, outcome: Outcome) -> None:
    """Every limit of the problem, checked on the plan itself."""
    d, slack = outcome.curtailed_mw, 1e-6 * fleet.peak_mw
    assert (d <= fleet.most_curtailed[:, None] * fleet.baseline_mw + slack).all()
    assert (d >= -fleet.most_made_up[:, None] * fleet.baseline_mw - slack).all()
    batch = d[~fleet.online]
    assert np.abs(batch.sum(axis=1)).max(initial=0.0) <= 1e-6
    if not fleet.advance:
        assert np.cumsum(batch, axis=1).min(initial=0.0) >= -slack
    assert (fleet.strain(d) <= fleet.knots[:, -1:] + 1e-6).all()
    assert (fleet.baseline_mw - d).sum(axis=0).max() <= fleet.capacity_mw + slack


@FEW
@given(specs(), prices)
def test_efficient_reaches_the_optimum_of_another_formulation(spec: dict[str, Any], price: float) -> None:
    fleet = fleet_of(spec)
    outcome = Policies(fleet).efficient(price)
    check_feasible(fleet, outcome)
    ours, theirs = objective(fleet, price, outcome.curtailed_mw), epigraph_optimum(fleet, price)
    assert ours == pytest.approx(theirs, abs=1e-6 * max(1.0, abs(theirs)))


@FEW
@given(specs(capacity_mw="none", kinds=("online",)), prices)
def test_online_work_alone_stops_at_the_best_knot_of_every_hour(spec: dict[str, Any], price: float) -> None:
    fleet = fleet_of(spec)
    gain = price * fleet.penalty[:, None, :] - (
        fleet.knots[:, None, :] * fleet.baseline_mw[..., None] * fleet.intensity_t_mwh[None, :, None]
    )
    outcome = Policies(fleet).efficient(price)
    assert objective(fleet, price, outcome.curtailed_mw) == pytest.approx(gain.min(axis=2).sum(), abs=tolerance(fleet))


@FEW
@given(specs(kinds=("batch",)), prices, st.floats(10, 900))
def test_a_flat_grid_gives_batch_work_nothing(spec: dict[str, Any], price: float, intensity: float) -> None:
    spec["grid"]["values"] = [intensity] * len(spec["grid"]["values"])
    outcome = Policies(fleet_of(spec)).efficient(price)
    assert np.abs(outcome.saved_t).max() <= 1e-9
    assert outcome.penalty.sum() <= 1e-6
    assert not outcome.shed_mwh.any()


@FEW
@given(specs(advance=False))
def test_a_price_too_high_moves_nothing(spec: dict[str, Any]) -> None:
    assert not Policies(fleet_of(spec)).efficient(1e6).curtailed_mw.any()


@FEW
@given(specs(), prices)
def test_fairness_costs_at_equal_penalty(spec: dict[str, Any], price: float) -> None:
    fleet = fleet_of(spec)
    policies = Policies(fleet)
    efficient = policies.efficient(price)
    fair = policies.fair_centralised(float(efficient.penalty.sum()))
    check_feasible(fleet, fair.outcome)
    assert not fair.wrong
    assert (fair.outcome.burden <= fair.bound + 1e-6).all()
    spent = float(fair.outcome.penalty.sum())
    assert spent <= float(efficient.penalty.sum()) + 1e-6
    assert fair.outcome.saved_t.sum() <= efficient.saved_t.sum() + tolerance(fleet)
    assert policies.efficient_within(spent).saved_t.sum() >= fair.outcome.saved_t.sum() - tolerance(fleet)


@FEW
@given(specs(), prices, st.floats(0.01, 0.5), st.floats(0.0, 1.0))
def test_efficient_beats_every_feasible_plan(spec: dict[str, Any], price: float, cut: float, mix: float) -> None:
    fleet = fleet_of(spec)
    policies = Policies(fleet)
    best = objective(fleet, price, policies.efficient(price).curtailed_mw)
    made_up = policies.uniform_made_up(cut)
    assert not made_up.wrong
    check_feasible(fleet, made_up.outcome)
    fair = policies.fair_centralised(1.0).outcome.curtailed_mw
    for plan in (made_up.outcome.curtailed_mw, fair, mix * fair + (1.0 - mix) * made_up.outcome.curtailed_mw):
        check_feasible(fleet, measure(fleet, plan))  # limits are convex: mixtures are plans too
        assert best <= objective(fleet, price, plan) + 1e-6 * max(1.0, abs(best))


@FEW
@given(specs())
def test_a_bound_of_zero_leaves_only_shifts_without_penalty(spec: dict[str, Any]) -> None:
    fleet = fleet_of(spec)
    outcome = Policies(fleet).fair_centralised(0.0).outcome
    assert outcome.penalty.sum() <= 1e-6
    assert outcome.saved_t.sum() >= -tolerance(fleet)
    if not fleet.advance:
        assert np.abs(outcome.curtailed_mw).max() <= 1e-6


@FEW
@given(specs(), prices, st.floats(1.01, 20.0))
def test_a_lower_price_saves_no_less(spec: dict[str, Any], price: float, ratio: float) -> None:
    fleet = fleet_of(spec)
    policies = Policies(fleet)
    dear, cheap = policies.efficient(price), policies.efficient(price / ratio)
    assert cheap.saved_t.sum() >= dear.saved_t.sum() - tolerance(fleet)
    assert cheap.penalty.sum() >= dear.penalty.sum() - 1e-6 * max(1.0, float(dear.penalty.sum()))


@FEW
@given(specs(), prices, st.floats(1e-3, 1e3))
def test_plans_scale_with_power_and_price(spec: dict[str, Any], price: float, factor: float) -> None:
    fleet = fleet_of(spec)
    large = replace(fleet, baseline_mw=fleet.baseline_mw * factor, capacity_mw=fleet.capacity_mw * factor)
    small, scaled = Policies(fleet).efficient(price), Policies(large).efficient(price * factor)
    expected = objective(fleet, price, small.curtailed_mw) * factor
    found = objective(large, price * factor, scaled.curtailed_mw)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * large.baseline_t)


@FEW
@given(specs(kinds=("batch",)))
def test_batch_work_without_penalty_goes_to_the_cleanest_hours(spec: dict[str, Any]) -> None:
    workload = {**spec["workloads"][0], "penalty": {"weight": 0.0}, "max_backlog_h": 100.0}
    fleet = fleet_of({**spec, "workloads": [workload], "advance": True, "capacity_mw": "none"})
    power, clean = fleet.baseline_mw[0], fleet.intensity_t_mwh
    lowest, room = (1 - 0.8) * power, (0.8 + 0.5) * power
    left, greedy = power.sum() - lowest.sum(), lowest.copy()
    for hour in np.argsort(clean, kind="stable"):  # fill the cleanest hours first
        added = min(left, room[hour])
        greedy[hour] += added
        left -= added
    outcome = Policies(fleet).efficient(1.0)
    assert outcome.saved_t.sum() == pytest.approx(float(((power - greedy) * clean).sum()), abs=tolerance(fleet))


@FEW
@given(specs(), prices)
def test_decentralised_is_every_workload_alone(spec: dict[str, Any], price: float) -> None:
    fleet = fleet_of(spec)
    together = Policies(fleet).fair_decentralised(price)
    for i in range(fleet.shape[0]):
        alone = Policies(
            replace(
                fleet, names=fleet.names[i : i + 1], online=fleet.online[i : i + 1],
                baseline_mw=fleet.baseline_mw[i : i + 1], knots=fleet.knots[i : i + 1],
                penalty=fleet.penalty[i : i + 1], weight=fleet.weight[i : i + 1],
                most_curtailed=fleet.most_curtailed[i : i + 1], most_made_up=fleet.most_made_up[i : i + 1],
                capacity_mw=math.inf,
            )
        ).efficient(price)  # fmt: skip
        ours = price * together.penalty[i] - together.saved_t[i]
        assert ours == pytest.approx(price * alone.penalty[0] - alone.saved_t[0], abs=tolerance(fleet))
    excess = (fleet.baseline_mw - together.curtailed_mw).sum(axis=0).max() - fleet.capacity_mw
    assert together.excess_mw == pytest.approx(max(0.0, excess), abs=1e-6 * fleet.peak_mw)


@FEW
@given(specs(), prices)
def test_measures_add_up(spec: dict[str, Any], price: float) -> None:
    fleet = fleet_of(spec)
    outcome = Policies(fleet).efficient(price)
    lost = fleet.baseline_mw.sum() - (fleet.baseline_mw - outcome.curtailed_mw).sum()
    assert outcome.shed_mwh.sum() == pytest.approx(lost, abs=1e-5 * fleet.peak_mw)
    assert not outcome.moved_mwh[fleet.online].any()
    assert not outcome.shed_mwh[~fleet.online].any()
    assert (outcome.smooth_penalty <= outcome.penalty + 1e-9).all()
    jain = outcome.jain
    assert jain is None or 1.0 / len(fleet.names) - 1e-9 <= jain <= 1.0 + 1e-9


def hand_made(**changes: Any) -> dict[str, Any]:
    """Four hours, the dirtiest the second; 10 MW online, 10 MW batch."""
    workloads = [
        {"name": "web", "kind": "online", "baseline_mw": 10.0, "penalty": {"weight": 1.0}},
        {"name": "train", "kind": "batch", "baseline_mw": 10.0, "penalty": {"weight": 1.0}},
    ]
    return {"grid": {"values": [100.0, 500.0, 300.0, 200.0]}, "workloads": workloads, "capacity_mw": 22.0, **changes}


def test_uniform_that_sheds_is_the_arithmetic_of_its_definition() -> None:
    planned = Policies(fleet_of(hand_made())).uniform_shed(0.1)
    assert planned.wrong == "sheds batch work for good"
    assert planned.outcome.saved_t.sum() == pytest.approx(2 * 0.1 * 10.0 * 0.5)
    assert planned.outcome.penalty.sum() == pytest.approx(2 * (0.1 + 5 * 0.1**3))
    assert planned.outcome.shed_mwh.tolist() == pytest.approx([1.0, 1.0])


def test_uniform_that_makes_up_moves_to_the_next_hour() -> None:
    planned = Policies(fleet_of(hand_made())).uniform_made_up(0.1)
    assert not planned.wrong
    expected = [[0, 1, 0, 0], [0, 1, -1, 0]]
    assert np.allclose(planned.outcome.curtailed_mw, expected, atol=1e-6)


def test_uniform_that_makes_up_cuts_no_more_than_can_be_made_up() -> None:
    spec = hand_made(grid={"values": [100.0, 200.0, 300.0, 500.0]})  # the dirtiest hour is the last
    outcome = Policies(fleet_of(spec)).uniform_made_up(0.1).outcome
    assert np.allclose(outcome.curtailed_mw, [[0, 0, 0, 1], [0, 0, 0, 0]], atol=1e-6)


def test_a_decentralised_plan_may_exceed_the_capacity_and_is_then_infeasible() -> None:
    spec = hand_made(grid={"values": [500.0, 100.0, 100.0, 100.0]}, capacity_mw=20.0)
    planned = Policies(fleet_of(spec)).planned("fair-decentralised", 0.5)
    assert planned.outcome.excess_mw > 1.0
    assert "exceeds the capacity" in planned.wrong


def test_a_capacity_out_of_reach_names_hour_and_power() -> None:
    spec = hand_made(capacity_mw=12.0)
    spec["workloads"][0]["baseline_mw"] = [10.0, 10.0, 16.0, 10.0]
    with pytest.raises(LimitCrossed, match=r"hour \d lacks .* MW"):
        Policies(fleet_of(spec)).efficient(0.1)
    assert Policies(fleet_of(hand_made(capacity_mw=19.0))).efficient(0.1).peak_mw <= 19.0 + 1e-6


@FEW
@given(specs(), st.floats(0.05, 0.95))
def test_bisection_reaches_a_saving_and_a_penalty(spec: dict[str, Any], share: float) -> None:
    fleet = fleet_of(spec)
    policies = Policies(fleet)
    most = policies.efficient(1e-6)
    wanted = share * float(most.saved_t.sum()) / fleet.baseline_t
    price = price_of_saving(policies, wanted)
    assert policies.efficient(price).saved_t.sum() >= wanted * fleet.baseline_t - tolerance(fleet)
    if price < 1e5:
        assert policies.efficient(price * 1.002).saved_t.sum() < wanted * fleet.baseline_t + tolerance(fleet)
    limit = share * float(most.penalty.sum())
    price = price_of_penalty(policies, limit)
    assert policies.efficient(price).penalty.sum() <= limit * (1 + 1e-6) + 1e-9
    with pytest.raises(LimitCrossed, match="the most is"):
        price_of_saving(policies, 1.01 * float(most.saved_t.sum()) / fleet.baseline_t + 1e-6)
