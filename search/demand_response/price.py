"""The price that reaches a target: bisection, as saving and penalty of the efficient plan never rise with the price."""

from __future__ import annotations

import math

from codesign.errors import LimitCrossed
from codesign.search.demand_response.outcome import Outcome
from codesign.search.demand_response.policies import Policies

LOWEST, HIGHEST = 1e-6, 1e6
"""Prices that are tried and accepted, t CO2e per unit of penalty."""
CLOSE = 1.001
"""Ratio of the two prices between which the bisection stops."""


def price_of_saving(policies: Policies, share: float) -> float:
    """Return the highest price, to 0.1 %, at which the efficient plan saves at least ``share`` of the carbon.

    Raises:
        LimitCrossed: no price saves as much.
    """
    wanted = share * policies.fleet.baseline_t

    def enough(outcome: Outcome) -> bool:
        return float(outcome.saved_t.sum()) >= wanted - 1e-9 * policies.fleet.baseline_t

    most = policies.efficient(LOWEST)
    if not enough(most):
        reached = float(most.saved_t.sum()) / policies.fleet.baseline_t
        raise LimitCrossed(
            f"no plan saves {share:.3%}: the most is {reached:.3%}", "lower saved_pct, or let workloads curtail more"
        )
    good, bad = LOWEST, HIGHEST
    if enough(policies.efficient(bad)):
        return bad
    while bad / good > CLOSE:
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if enough(policies.efficient(middle)) else (good, middle)
    return good


def price_of_penalty(policies: Policies, most: float) -> float:
    """Return the lowest price, to 0.1 %, at which the efficient plan's total penalty is at most ``most``.

    Raises:
        LimitCrossed: even the highest price leaves a larger penalty: the capacity asks for it.
    """

    def within(price: float) -> bool:
        return float(policies.efficient(price).penalty.sum()) <= most * (1.0 + 1e-9)

    if within(LOWEST):
        return LOWEST
    bad, good = LOWEST, HIGHEST
    if not within(good):
        least = float(policies.efficient(good).penalty.sum())
        raise LimitCrossed(f"no plan has a penalty of {most:g}: the least is {least:.4g}", "raise the capacity")
    while good / bad > CLOSE:
        middle = math.sqrt(good * bad)
        bad, good = (bad, middle) if within(middle) else (middle, good)
    return good
