"""Small fleets for the tests of demand response, and an oracle that solves them by another formulation."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from codesign.search.demand_response.assembly import assemble
from codesign.search.demand_response.fleet import Fleet
from codesign.search.demand_response.inlined import from_mapping

Floats = NDArray[np.float64]
TIGHT = 1e-6
"""Relative to the baseline's carbon: what a linear programme's tolerances leave."""

power = st.floats(0.0, 10.0).map(lambda v: round(v, 3))
intensity = st.floats(10.0, 800.0).map(lambda v: round(v, 2))


def fleet_of(spec: dict[str, Any]) -> Fleet:
    return assemble(from_mapping(spec, "test"), "test").fleet


@st.composite
def specs(draw: st.DrawFn, /, kinds: tuple[str, ...] = ("online", "batch"), **fixed: Any) -> dict[str, Any]:
    """Specs of 1 to 4 workloads over 2 to 10 hours."""
    hours = draw(st.integers(2, 10))

    def hourly(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=hours, max_size=hours))

    workloads = []
    for place in range(draw(st.integers(1, 4))):
        baseline = hourly(power)
        baseline[draw(st.integers(0, hours - 1))] += 1.0
        kind = draw(st.sampled_from(kinds))
        weight = round(draw(st.floats(0.01, 8.0)), 3)
        workloads.append({"name": f"w{place}", "kind": kind, "baseline_mw": baseline, "penalty": {"weight": weight}})
    return {
        "grid": {"values": hourly(intensity)},
        "workloads": workloads,
        "advance": draw(st.booleans()),
        "capacity_mw": draw(st.sampled_from(["peak", "none"])),
        "chords": {"segments": draw(st.integers(1, 8)), "spacing": draw(st.sampled_from(["dense", "uniform"]))},
        **fixed,
    }


prices = st.floats(0.001, 3.0)


def objective(fleet: Fleet, price: float, curtailed_mw: Floats) -> float:
    """Price times penalty minus saved carbon: what an optimum is unique in."""
    return float(price * fleet.chord_penalty(curtailed_mw).sum() - (curtailed_mw @ fleet.intensity_t_mwh).sum())


def epigraph_optimum(fleet: Fleet, price: float) -> float:
    """The optimum of the efficient policy, from tangents above every hour's penalty instead of pieces below it.

    Dense, in MW, variables d, b (backlog) and z (penalty of an hour), solved by the interior-point method.
    """
    from scipy.optimize import linprog

    count, hours, segments = fleet.shape
    size = count * hours

    def at(block: int, i: int, t: int) -> int:
        return block * size + i * hours + t

    cost = np.concatenate([-np.tile(fleet.intensity_t_mwh, count), np.zeros(size), np.full(size, price)])
    rows, most, equal, bounds = [], [], [], np.zeros((3 * size, 2))
    bounds[size:] = [0.0, np.inf]
    for i in range(count):
        low, high = -fleet.most_made_up[i] * fleet.baseline_mw[i], fleet.most_curtailed[i] * fleet.baseline_mw[i]
        for t in range(hours):
            bounds[at(0, i, t)] = [low[t], high[t]]
            scale = fleet.baseline_mw[i, t] if fleet.online[i] else fleet.entitlement_mw[i]
            late = at(0 if fleet.online[i] else 1, i, t)
            for j in range(segments):
                width = fleet.knots[i, j + 1] - fleet.knots[i, j]
                if width <= 0.0 or scale <= 0.0:
                    continue
                slope = (fleet.penalty[i, j + 1] - fleet.penalty[i, j]) / width
                row = np.zeros(3 * size)
                row[late], row[at(2, i, t)] = slope / scale, -1.0
                rows.append(row)
                most.append(slope * fleet.knots[i, j] - fleet.penalty[i, j])
            if fleet.online[i]:
                continue
            bounds[at(1, i, t), 1] = fleet.knots[i, -1] * scale
            done = np.zeros(3 * size)
            done[[at(0, i, s) for s in range(t + 1)]] = 1.0
            if t == hours - 1:
                equal.append(done)
            elif not fleet.advance:
                rows.append(-done)
                most.append(0.0)
            row = done.copy()
            row[at(1, i, t)] = -1.0
            rows.append(row)
            most.append(0.0)
    if np.isfinite(fleet.capacity_mw):
        for t in range(hours):
            row = np.zeros(3 * size)
            row[[at(0, i, t) for i in range(count)]] = -1.0
            rows.append(row)
            most.append(fleet.capacity_mw - fleet.baseline_mw[:, t].sum())
    done = linprog(
        cost, A_ub=np.array(rows) if rows else None, b_ub=most if rows else None,
        A_eq=np.array(equal) if equal else None, b_eq=np.zeros(len(equal)) if equal else None,
        bounds=bounds, method="highs-ipm",
    )  # fmt: skip
    assert done.status == 0, done.message
    return float(done.fun)
