"""The fleet of a demand-response problem as arrays: W workloads over H hours.

Units: MW and MWh (an hour a column), intensity in t CO2e per MWh (g/kWh divided by 1000), penalty in the unit of the
weights. The *entitlement* of a workload is its largest baseline power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.search.demand_response import curves

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAY_H = 24
CUT_HOURS = 6
"""Hours of a day in which the uniform policies cap: the dirtiest quarter."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workloads, grid and limits.

    Attributes:
        names: Of the W workloads.
        online: (W,) true where work that is not done in its hour is lost, false where it can be moved (batch).
        baseline_mw: (W, H) power without demand response.
        knots: (W, S + 1) of the penalty curves: share curtailed (online) or backlog in hours of entitlement (batch).
        penalty: (W, S + 1) penalty an hour at the knots: convex, non-decreasing, 0 at 0.
        weight: (W,) weight of the smooth curve behind the knots; NaN where the curve is a fit of samples.
        most_curtailed: (W,) largest share of the baseline that an hour may lose.
        most_made_up: (W,) largest share of the baseline that an hour may gain; 0 for online work.
        intensity_t_mwh: (H,) carbon intensity of the grid.
        capacity_mw: Most power of the whole fleet in an hour; infinite for no limit.
        advance: Whether batch work may run before its hour.
    """

    names: tuple[str, ...]
    online: Bools
    baseline_mw: Floats
    knots: Floats
    penalty: Floats
    weight: Floats
    most_curtailed: Floats
    most_made_up: Floats
    intensity_t_mwh: Floats
    capacity_mw: float = math.inf
    advance: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(workloads, hours, segments of a penalty curve)."""
        workloads, hours = self.baseline_mw.shape
        return workloads, hours, self.knots.shape[1] - 1

    @property
    def entitlement_mw(self) -> Floats:
        """(W,) largest baseline power of each workload."""
        largest: Floats = self.baseline_mw.max(axis=1)
        return largest

    @property
    def peak_mw(self) -> float:
        """Largest baseline power of the whole fleet."""
        return float(self.baseline_mw.sum(axis=0).max())

    @property
    def baseline_t(self) -> float:
        """Tonnes of CO2e without demand response."""
        return float((self.baseline_mw @ self.intensity_t_mwh).sum())

    def backlog_mwh(self, curtailed_mw: Floats) -> Floats:
        """Return (W, H) work that is late at the end of each hour; 0 for online work, whose lost work stays lost."""
        late = np.maximum(0.0, np.cumsum(curtailed_mw, axis=1))
        return np.where(self.online[:, None], 0.0, late)

    def strain(self, curtailed_mw: Floats) -> Floats:
        """Return (W, H) what the penalty curves take: share curtailed (online), hours of backlog (batch)."""
        ratio = np.zeros_like(self.baseline_mw)
        np.divide(curtailed_mw, self.baseline_mw, out=ratio, where=self.baseline_mw > 0.0)
        backlog = self.backlog_mwh(curtailed_mw) / self.entitlement_mw[:, None]
        return np.where(self.online[:, None], np.maximum(0.0, ratio), backlog)

    def chord_penalty(self, curtailed_mw: Floats) -> Floats:
        """Return (W,) penalty of a plan by the chords: what the linear programme minimises."""
        total: Floats = curves.at(self.knots, self.penalty, self.strain(curtailed_mw)).sum(axis=1)
        return total

    def smooth_penalty(self, curtailed_mw: Floats) -> Floats:
        """Return (W,) penalty of a plan by the smooth curves; by the chords where samples were fitted."""
        x = self.strain(curtailed_mw)
        hourly = np.where(self.online[:, None], curves.smooth("online", x), curves.smooth("batch", x))
        weighed: Floats = self.weight * hourly.sum(axis=1)
        return np.where(np.isnan(self.weight), self.chord_penalty(curtailed_mw), weighed)

    def dirtiest_hours(self) -> Bools:
        """Return (H,) true in the dirtiest quarter of each day (6 of 24 h); the earlier of equal hours counts."""
        chosen = np.zeros(len(self.intensity_t_mwh), np.bool_)
        for start in range(0, len(chosen), DAY_H):
            day = self.intensity_t_mwh[start : start + DAY_H]
            most = math.ceil(len(day) * CUT_HOURS / DAY_H)
            chosen[start + np.argsort(-day, kind="stable")[:most]] = True
        return chosen
