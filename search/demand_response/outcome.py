"""What a plan does: carbon, energy shed and energy moved apart, penalty, fairness, capacity.

Curtailed online work is *shed*: its energy and carbon are gone because the work is. Batch work is *moved*: its carbon
falls although its energy stays. The two savings are never added without being named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.search.demand_response.fleet import Fleet

Floats = NDArray[np.float64]

SLACK = 1e-6
"""Share of the fleet's peak below which an excess of power is rounding."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The measures of one plan of W workloads over H hours.

    Attributes:
        curtailed_mw: (W, H) power given up, negative where work is made up.
        penalty: (W,) by the chords that the programme minimises: an upper bound.
        smooth_penalty: (W,) by the smooth curves.
        saved_t: (W,) tonnes of CO2e saved.
        shed_mwh: (W,) energy that is never used: curtailed online work, and batch work that is not made up.
        moved_mwh: (W,) batch energy used in another hour.
        burden: (W,) penalty per MW of entitlement: what the fair policies bound.
        peak_mw: Largest power of the whole fleet under the plan.
        excess_mw: Power above the capacity in the worst hour, 0 where there is none.
    """

    curtailed_mw: Floats
    penalty: Floats
    smooth_penalty: Floats
    saved_t: Floats
    shed_mwh: Floats
    moved_mwh: Floats
    burden: Floats
    peak_mw: float
    excess_mw: float

    @property
    def worst_burden(self) -> float:
        """Largest penalty per MW of entitlement of any workload."""
        return float(self.burden.max())

    @property
    def jain(self) -> float | None:
        """Jain's index of the burdens: 1 where all are equal, 1/W where one bears all; None where none bears any.

        R. Jain, D. Chiu, W. Hawe, A quantitative measure of fairness, DEC TR-301, 1984.
        """
        squares = float((self.burden**2).sum())
        return float(self.burden.sum()) ** 2 / (len(self.burden) * squares) if squares > 0.0 else None


def measure(fleet: Fleet, curtailed_mw: Floats, penalty: Floats | None = None) -> Outcome:
    """Return the measures of a plan.

    Args:
        fleet: Workloads, grid and limits.
        curtailed_mw: (W, H) power given up.
        penalty: (W,) penalty where the plan is not scored by the fleet's curves.
    """
    net = curtailed_mw.sum(axis=1)
    shed = np.where(np.abs(net) > SLACK * fleet.entitlement_mw, net, 0.0)
    given = np.maximum(0.0, curtailed_mw).sum(axis=1)
    chord = fleet.chord_penalty(curtailed_mw) if penalty is None else penalty
    peak = float((fleet.baseline_mw - curtailed_mw).sum(axis=0).max())
    excess = peak - fleet.capacity_mw
    return Outcome(
        curtailed_mw=curtailed_mw,
        penalty=chord,
        smooth_penalty=fleet.smooth_penalty(curtailed_mw) if penalty is None else penalty,
        saved_t=curtailed_mw @ fleet.intensity_t_mwh,
        shed_mwh=shed,
        moved_mwh=np.where(fleet.online, 0.0, np.maximum(0.0, given - np.maximum(0.0, shed))),
        burden=chord / fleet.entitlement_mw,
        peak_mw=peak,
        excess_mw=excess if excess > SLACK * fleet.peak_mw else 0.0,
    )
