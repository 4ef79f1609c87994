"""Demand response: seconds a plan, assembly included, and SLSQP on the smooth problem as the peer.

Invented loads and intensities, penalty weights drawn from a seed: times and optima, no claim about a fleet. The peer
gets exact gradients of the smooth curves; ours is the linear programme of their chords. Both plans are scored by the
smooth objective, so the gap is what the chords cost.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/demand_response.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from codesign.search.demand_response.assembly import assemble
from codesign.search.demand_response.fleet import Fleet
from codesign.search.demand_response.inlined import from_mapping
from codesign.search.demand_response.policies import PRICED, Policies

Floats = NDArray[np.float64]
PRICE = 0.1


def fleet(workloads: int, days: int, segments: int = 16, seed: int = 0) -> Fleet:
    """Return an invented fleet: half online, half batch, a daily wave each, a noisy daily wave of intensity."""
    draw = np.random.default_rng(seed)
    hours = np.arange(24 * days)

    def wave(depth: float) -> Floats:
        return 1.0 + depth * np.sin(2.0 * np.pi * (hours - draw.integers(0, 24)) / 24.0)

    intensity = 350.0 * wave(0.3) + draw.normal(0.0, 15.0, len(hours))
    kinds = ["online" if place < workloads / 2 else "batch" for place in range(workloads)]
    spec = {
        "grid": {"values": intensity.tolist()},
        "workloads": [
            {"name": f"w{place}", "kind": kind, "baseline_mw": (draw.uniform(0.5, 4.0) * wave(0.25)).tolist(),
             "penalty": {"weight": float(draw.uniform(0.3, 8.0))}}
            for place, kind in enumerate(kinds)
        ],
        "chords": {"segments": segments},
    }  # fmt: skip
    return assemble(from_mapping(spec, "benchmark"), "benchmark").fleet


def smooth_objective(of: Fleet, plan: Floats) -> float:
    """Return price times the smooth penalty minus the carbon saved, t."""
    return float(PRICE * of.smooth_penalty(plan).sum() - (plan @ of.intensity_t_mwh).sum())


def peer(of: Fleet) -> Floats:
    """Return the plan that SLSQP finds for the smooth problem, gradients given."""
    power, k, shape = of.baseline_mw, of.weight[:, None], of.baseline_mw.shape
    batch, entitled = np.flatnonzero(~of.online), of.entitlement_mw[:, None]
    late = np.where(of.online[:, None], 0.0, 1.0)

    def value(x: Floats) -> tuple[float, Floats]:
        d = x.reshape(shape)
        share, backlog = d / power, np.cumsum(d, axis=1) / entitled
        online = k * (share + 5.0 * share**3) * (1.0 - late)
        cost = PRICE * (online + late * k * backlog**2).sum() - (d @ of.intensity_t_mwh).sum()
        slope = PRICE * (1.0 - late) * k * (1.0 + 15.0 * share**2) / power
        slope += PRICE * late * np.cumsum((2.0 * k * backlog / entitled)[:, ::-1], axis=1)[:, ::-1]
        return float(cost), (slope - of.intensity_t_mwh).ravel()

    size, hours = power.size, shape[1]
    place = np.arange(size).reshape(shape)
    done, equal, room = np.zeros((len(batch), hours, size)), np.zeros((len(batch), size)), np.zeros((hours, size))
    for row, i in enumerate(batch):
        for t in range(hours):
            done[row, t, place[i, : t + 1]] = 1.0
        equal[row, place[i]] = 1.0
    for t in range(hours):
        room[t, place[:, t]] = 1.0
    done = done[:, :-1].reshape(-1, size)  # the last hour is the equality: both at once confuse the solver
    spare = of.capacity_mw - power.sum(axis=0)
    low, high = (-of.most_made_up[:, None] * power).ravel(), (of.most_curtailed[:, None] * power).ravel()
    found = minimize(
        value, np.zeros(size), jac=True, method="SLSQP", bounds=np.stack([low, high], axis=1),
        constraints=[
            {"type": "eq", "fun": lambda x: equal @ x, "jac": lambda x: equal},
            {"type": "ineq", "fun": lambda x: done @ x, "jac": lambda x: done},
            {"type": "ineq", "fun": lambda x: room @ x + spare, "jac": lambda x: room},
        ],
        options={"maxiter": 1000, "ftol": 1e-9},
    )  # fmt: skip
    plan: Floats = found.x.reshape(shape)
    return plan


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the median seconds of ``repeats`` calls and what the last one returned."""
    seconds, found = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), found


def main() -> None:
    """Print the table."""
    theirs, plan = timed(lambda: peer(fleet(4, 1)), 3)
    best = smooth_objective(fleet(4, 1), plan)
    for segments in (16, 64):
        small = fleet(4, 1, segments)
        Policies(small).efficient(PRICE)  # imports
        ours, outcome = timed(lambda small=small: Policies(small).efficient(PRICE), 9)
        found = smooth_objective(small, outcome.curtailed_mw)
        gap = (found - best) / abs(best)
        print(f"4 workloads x 24 h, {segments} chords: ours {ours:.4f} s, SLSQP {theirs:.3f} s: {theirs / ours:.0f}x")
        print(f"  smooth objective: ours {found:.4f} t, SLSQP {best:.4f} t, gap {gap:.2%}")
    large = fleet(50, 7)
    for policy in PRICED:
        seconds, _ = timed(lambda policy=policy: Policies(large).planned(policy, PRICE), 1)
        print(f"50 workloads x 168 h, {policy}, assembly included: {seconds:.2f} s")


if __name__ == "__main__":
    main()
