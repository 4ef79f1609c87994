"""The policies: who gives up how much power at a price of carbon.

*Efficient* minimises ``price * total penalty - saved carbon``. *Fair-centralised* saves as much as it can while no
workload's penalty per MW of entitlement exceeds one bound; the bound is the efficient plan's total penalty over the
total entitlement, so both spend from the same budget. *Fair-decentralised* lets every workload alone answer the common
price; nobody looks at the whole fleet until afterwards, so its plan may exceed the capacity, and then is infeasible.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.errors import LimitCrossed
from codesign.search.demand_response.fleet import Fleet
from codesign.search.demand_response.outcome import Outcome, measure
from codesign.search.demand_response.programme import Limits, Programme

Floats = NDArray[np.float64]

PRICED = ("efficient", "fair-centralised", "fair-decentralised")
"""Policies that answer a price."""
CUTTING = ("uniform-made-up", "uniform-shed")
"""Policies that cap every workload by one share in the dirtiest hours."""
NOTHING = "nothing"
"""The policy that leaves everything as it is."""

TIE_PRICE = 1e-6
"""Price in programmes that maximise the saving: it only decides between plans that save the same."""


class Planned(NamedTuple):
    """A plan of a policy.

    Attributes:
        outcome: What the plan does.
        wrong: Why it is no plan of the problem; empty where it is one.
        bound: Largest penalty per MW of entitlement that was allowed; NaN where nothing was.
    """

    outcome: Outcome
    wrong: str = ""
    bound: float = math.nan


class Policies:
    """The policies over one fleet, sharing its programme."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.programme = Programme(fleet)

    def planned(self, policy: str, level: float = math.nan) -> Planned:
        """Return the plan of ``policy``.

        Args:
            policy: ``nothing``, one of ``PRICED`` or one of ``CUTTING``.
            level: The price in t CO2e per unit of penalty, or the share that is cut.

        Raises:
            LimitCrossed: no plan stays below the capacity.
        """
        if policy == NOTHING:
            return self._checked(measure(self.fleet, np.zeros_like(self.fleet.baseline_mw)))
        if policy == "efficient":
            return self._checked(self.efficient(level))
        if policy == "fair-centralised":
            return self.fair_centralised(self.efficient(level).penalty.sum())
        if policy == "fair-decentralised":
            return self._checked(self.fair_decentralised(level))
        return self.uniform_made_up(level) if policy == "uniform-made-up" else self.uniform_shed(level)

    def efficient(self, price: float) -> Outcome:
        """Return the plan of least ``price * total penalty - saved carbon``."""
        return measure(self.fleet, self._feasible(self.programme.solve(price)))

    def efficient_within(self, most_penalty: float) -> Outcome:
        """Return the plan that saves most with a total penalty of at most ``most_penalty``."""
        return measure(self.fleet, self._feasible(self.programme.solve(TIE_PRICE, most_total=most_penalty)))

    def fair_centralised(self, budget: float) -> Planned:
        """Return the plan that saves most when ``budget`` of penalty is shared out by entitlement.

        A workload may use less than its share: the total stays at or below the budget.
        """
        bound = float(budget / self.fleet.entitlement_mw.sum())
        plan = self.programme.solve(TIE_PRICE, most_each=bound * self.fleet.entitlement_mw)
        if plan is None:
            self.check_capacity()
            idle = measure(self.fleet, np.zeros_like(self.fleet.baseline_mw))
            return Planned(idle, "the capacity asks more of a workload than its fair share", bound)
        return Planned(measure(self.fleet, plan), bound=bound)

    def fair_decentralised(self, price: float) -> Outcome:
        """Return the plans that every workload makes alone at a common ``price``; they may exceed the capacity."""
        return measure(self.fleet, self._feasible(self.programme.solve(price, central=False)))

    def uniform_shed(self, share: float) -> Planned:
        """Return the cap of every workload by ``share`` in the dirtiest hours, batch work included, for good.

        Batch work is scored by the online curve of its weight, since it is lost like online work:
        ``sum over hours of k (x + 5 x^3)``. Energy of batch work is not conserved: this is no plan of the problem.
        """
        fleet, hours = self.fleet, self.fleet.dirtiest_hours()
        curtailed = share * fleet.baseline_mw * hours
        used = fleet.baseline_mw[:, hours] > 0.0
        penalty = fleet.weight * (share + 5.0 * share**3) * used.sum(axis=1)
        penalty = np.where(np.isnan(fleet.weight), fleet.chord_penalty(curtailed), penalty)
        wrong = "" if fleet.online.all() else "sheds batch work for good"
        return self._checked(measure(fleet, curtailed, penalty), wrong)

    def uniform_made_up(self, share: float) -> Planned:
        """Return the cap of every workload by ``share`` in the dirtiest hours, batch work made up soon after.

        Batch work is capped as far as it can be made up within its limits, the capacity and the horizon.
        """
        fleet, hours = self.fleet, self.fleet.dirtiest_hours()
        natural = self.programme.natural_limits
        cut = np.where(hours, share * fleet.baseline_mw, 0.0)
        batch = ~fleet.online[:, None]
        lower = np.where(batch, np.where(hours, 0.0, natural.lower), cut)
        worth = np.where(batch & hours, 1.0, 0.0)
        plan = self.programme.solve(TIE_PRICE, worth=worth, limits=Limits(lower, cut))
        if plan is None:
            idle = measure(fleet, np.zeros_like(fleet.baseline_mw))
            return Planned(idle, "a uniform cap cannot keep the fleet below its capacity")
        return self._checked(measure(fleet, plan))

    def check_capacity(self) -> None:
        """Raise ``LimitCrossed``, naming hour and power missing, where no plan at all stays below the capacity."""
        short = self.programme.shortage()
        if short is not None:
            raise LimitCrossed(
                f"no plan stays below the capacity of {self.fleet.capacity_mw:g} MW: "
                f"hour {short.hour} lacks {short.missing_mw:.4g} MW",
                "raise capacity_mw, or let workloads curtail more (max_curtail)",
            )

    def _feasible(self, plan: Floats | None) -> Floats:
        if plan is None:
            self.check_capacity()
            raise LimitCrossed("no plan meets the limits", "raise the bound on the penalty")
        return plan

    def _checked(self, outcome: Outcome, wrong: str = "") -> Planned:
        over = f"exceeds the capacity by {outcome.excess_mw:.4g} MW" if outcome.excess_mw > 0.0 else ""
        return Planned(outcome, "; ".join(filter(None, (wrong, over))))
