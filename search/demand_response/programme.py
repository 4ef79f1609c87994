"""The linear programme of demand response: sparse matrices once a fleet, a cost vector a question.

Variables, hours t of workload i, powers in units of the fleet's peak so that tolerances mean the same at any size:

    d    curtailed power, negative where work is made up        lower <= d <= upper
    s_j  piece of the penalty curve in use                      0 <= s_j <= width of piece j
    c    batch: work that is late, negative where it ran early  c >= 0 unless ``advance``, c = 0 at the end
    e    batch: work that ran early                             e >= 0, only with ``advance``

    online   d = U sum_j s_j                batch   c_t = c_(t-1) + d_t,   c = E sum_j s_j - e
    capacity sum_i (U - d) <= cap           objective   price * sum slope_j s_j - sum intensity * d

Slopes grow along a curve, so the pieces fill in order by themselves. Solved by the dual simplex of HiGHS: one vertex,
the same one on every run.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.search.demand_response import curves
from codesign.search.demand_response.fleet import Fleet

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_INFEASIBLE = 2
"""Status of scipy's ``linprog`` where no plan exists."""


class Limits(NamedTuple):
    """Bounds on the curtailed power of every workload and hour, MW, each (W, H)."""

    lower: Floats
    upper: Floats


class Short(NamedTuple):
    """The hour in which the fleet cannot stay below its capacity, and the power missing there, MW."""

    hour: int
    missing_mw: float


class Programme:
    """The programme of one fleet; everything but the cost is shared by all prices and policies."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        workloads, hours, segments = fleet.shape
        self._batch = np.flatnonzero(~fleet.online)
        pieces = workloads * hours * segments
        states = len(self._batch) * hours
        self._d: Places = np.arange(workloads * hours).reshape(workloads, hours)
        self._s: Places = workloads * hours + np.arange(pieces).reshape(workloads, hours, segments)
        self._c: Places = workloads * hours + pieces + np.arange(states).reshape(len(self._batch), hours)
        self._e: Places = self._c + states
        self.variables = workloads * hours + pieces + states * (2 if fleet.advance else 1)
        self._scale = fleet.peak_mw

    @property
    def natural_limits(self) -> Limits:
        """The limits that the fleet itself states."""
        fleet = self.fleet
        return Limits(
            -fleet.most_made_up[:, None] * fleet.baseline_mw, fleet.most_curtailed[:, None] * fleet.baseline_mw
        )

    @cached_property
    def _slopes(self) -> Floats:
        """(W, S) penalty per unit of strain of every piece."""
        return curves.slopes(self.fleet.knots, self.fleet.penalty)

    @cached_property
    def _equalities(self) -> Any:
        """The sparse matrix whose product with the variables is 0: online pieces, batch state, batch pieces."""
        from scipy import sparse

        fleet, online, batch = self.fleet, np.flatnonzero(self.fleet.online), self._batch
        hours = fleet.shape[1]
        power, largest = fleet.baseline_mw / self._scale, fleet.entitlement_mw / self._scale
        first: Places = np.arange(len(online) * hours).reshape(len(online), hours)
        second: Places = first.size + np.arange(len(batch) * hours).reshape(len(batch), hours)
        third = second + second.size
        entries: list[tuple[Places, Places, float | Floats]] = [
            (first, self._d[online], 1.0),
            (first[..., None], self._s[online], -power[online][..., None]),
            (second, self._c, 1.0),
            (second[:, 1:], self._c[:, :-1], -1.0),
            (second, self._d[batch], -1.0),
            (third, self._c, 1.0),
            (third[..., None], self._s[batch], -largest[batch][:, None, None]),
        ]
        if fleet.advance:
            entries.append((third, self._e, 1.0))
        rows, columns, values = _joined(entries)
        size = first.size + 2 * second.size
        return sparse.csr_array((values, (rows, columns)), shape=(size, self.variables))

    @cached_property
    def _capacity(self) -> Any:
        """The sparse matrix of minus the curtailed power of the fleet, one row an hour."""
        from scipy import sparse

        workloads, hours, _ = self.fleet.shape
        rows = np.tile(np.arange(hours), workloads)
        return sparse.csr_array((-np.ones(self._d.size), (rows, self._d.ravel())), shape=(hours, self.variables))

    @cached_property
    def _headroom(self) -> Floats:
        """(H,) capacity minus baseline, in units of the peak."""
        room: Floats = (self.fleet.capacity_mw - self.fleet.baseline_mw.sum(axis=0)) / self._scale
        return room

    @cached_property
    def _penalties(self) -> Any:
        """The sparse matrix of the penalty of each workload, one row each."""
        from scipy import sparse

        workloads, hours, segments = self.fleet.shape
        values = np.broadcast_to(self._slopes[:, None, :], self._s.shape).ravel()
        rows = np.repeat(np.arange(workloads), hours * segments)
        return sparse.csr_array((values, (rows, self._s.ravel())), shape=(workloads, self.variables))

    def _bounds(self, limits: Limits) -> Floats:
        lower, upper = np.zeros(self.variables), np.full(self.variables, np.inf)
        lower[self._d], upper[self._d] = limits.lower / self._scale, limits.upper / self._scale
        upper[self._s] = np.diff(self.fleet.knots, axis=1)[:, None, :]
        if self.fleet.advance:
            lower[self._c] = -np.inf
        lower[self._c[:, -1]] = upper[self._c[:, -1]] = 0.0
        return np.stack([lower, upper], axis=1)

    def solve(
        self,
        price: float,
        *,
        worth: Floats | None = None,
        most_each: Floats | None = None,
        most_total: float | None = None,
        central: bool = True,
        limits: Limits | None = None,
    ) -> Floats | None:
        """Return the plan that minimises ``price * penalty - worth . curtailed``.

        Args:
            price: Tonnes of CO2e that a unit of penalty is worth (lambda).
            worth: (W, H) or (H,) value of a MWh curtailed; the grid's intensity where None.
            most_each: (W,) largest penalty of each workload.
            most_total: Largest penalty of all together.
            central: Whether the capacity limit holds. Without it workloads do not touch: each is solved alone.
            limits: Bounds on the curtailed power; those of the fleet where None.

        Returns:
            (W, H) curtailed power, MW, or None where no plan exists.

        Raises:
            CodesignError: the solver gave up.
        """
        cost = np.zeros(self.variables)
        # saving and curtailed power are in units of the peak, so the price is too: the optimum is the same
        cost[self._s] = price / self._scale * self._slopes[:, None, :]
        cost[self._d] = -np.broadcast_to(self.fleet.intensity_t_mwh if worth is None else worth, self._d.shape)
        found = self._linprog(cost, self._inequalities(most_each, most_total, central), limits or self.natural_limits)
        return None if found is None else self._plan(found)

    def _inequalities(
        self, most_each: Floats | None, most_total: float | None, central: bool
    ) -> tuple[list[Any], list[Floats]]:
        matrices, most = [], []
        if central and math.isfinite(self.fleet.capacity_mw):
            matrices.append(self._capacity)
            most.append(self._headroom)
        if most_each is not None:
            matrices.append(self._penalties)
            most.append(most_each)
        if most_total is not None:
            from scipy import sparse

            matrices.append(sparse.csr_array(self._penalties.sum(axis=0)[None, :]))
            most.append(np.array([most_total]))
        return matrices, most

    def _linprog(self, cost: Floats, rows: tuple[list[Any], list[Floats]], limits: Limits) -> Floats | None:
        from scipy import sparse
        from scipy.optimize import linprog

        matrices, most = rows
        equal = self._equalities
        done = linprog(
            cost,
            A_ub=sparse.vstack(matrices, format="csr") if matrices else None,
            b_ub=np.concatenate(most) if most else None,
            A_eq=equal,
            b_eq=np.zeros(equal.shape[0]),
            bounds=self._bounds(limits),
            method="highs-ds",
        )
        if done.status == _INFEASIBLE:
            return None
        if done.status != 0:
            raise CodesignError(f"the linear programme was not solved: {done.message}", "widen a limit, or fewer hours")
        variables: Floats = done.x
        return variables

    def _plan(self, variables: Floats) -> Floats:
        """Return the curtailed power of a solution; batch power from the late work, so that energy is conserved."""
        plan = variables[self._d]
        plan[self._batch] = np.diff(variables[self._c], axis=1, prepend=0.0)
        online = self.fleet.online
        plan[online] = np.where(plan[online] > 1e-12, plan[online], 0.0)
        return plan * self._scale

    def shortage(self) -> Short | None:
        """Return the hour that lacks most power, where no plan stays below the capacity; None where one does.

        The missing power is the least total excess over the hours that any plan can have.
        """
        if self.fleet.capacity_mw >= self.fleet.peak_mw:
            return None  # the baseline is a plan
        from scipy import sparse
        from scipy.optimize import linprog

        hours = self.fleet.shape[1]
        wide = sparse.hstack([self._equalities, sparse.csr_array((self._equalities.shape[0], hours))], format="csr")
        bounds = np.concatenate([self._bounds(self.natural_limits), np.tile([0.0, np.inf], (hours, 1))])
        done = linprog(
            np.concatenate([np.zeros(self.variables), np.ones(hours)]),
            A_ub=sparse.hstack([self._capacity, -sparse.eye_array(hours)], format="csr"),
            b_ub=self._headroom, A_eq=wide, b_eq=np.zeros(wide.shape[0]), bounds=bounds, method="highs-ds",
        )  # fmt: skip
        missing = done.x[self.variables :] * self._scale
        hour = int(np.argmax(missing))
        return Short(hour, float(missing[hour])) if missing[hour] > 1e-6 * self._scale else None


def _joined(entries: list[tuple[Places, Places, float | Floats]]) -> tuple[Places, Places, Floats]:
    """Return the rows, columns and values of all entries, each broadcast to one shape."""
    wide = [np.broadcast_arrays(*entry) for entry in entries]
    rows, columns, values = (np.concatenate([part[place].ravel() for part in wide]) for place in range(3))
    return rows, columns, values
