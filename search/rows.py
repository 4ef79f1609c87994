"""Rows of results as JSON: columns of plain numbers for the journal, packed arrays between processes.

In the journal a value that is not finite is null: +inf for objectives, intervals and violations, NaN for
metrics. Columns that hold nothing but their default are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.search.engine import pack, unpack
from codesign.search.problem import Points, Problem, Results, Status


@dataclass(frozen=True, slots=True)
class Rows:
    """Evaluated points with their ids (evaluation numbers)."""

    ids: NDArray[np.int64]
    points: Points
    results: Results

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Any) -> Rows:
        """Return the rows that ``index`` selects."""
        return Rows(self.ids[index], self.points[index], self.results.take(index))

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        """Return all rows of ``parts`` (at least one) in order."""
        return Rows(
            np.concatenate([p.ids for p in parts]),
            np.concatenate([p.points for p in parts]),
            Results.concatenate([p.results for p in parts]),
        )


def encode(rows: Rows) -> dict[str, Any]:
    """Return ``rows`` as JSON types for the journal."""
    r = rows.results
    record: dict[str, Any] = {
        "id": rows.ids.tolist(),
        "point": rows.points.tolist(),
        "objectives": r.objectives.tolist(),
    }
    if r.low is not r.objectives and not np.array_equal(r.low, r.objectives):
        record["low"] = r.low.tolist()
    if r.high is not r.objectives and not np.array_equal(r.high, r.objectives):
        record["high"] = r.high.tolist()
    if r.violations.size and (r.violations > 0.0).any():
        record["violations"] = np.maximum(r.violations, 0.0).tolist()
    if r.status.any():
        record["status"] = r.status.tolist()
    if (r.reason >= 0).any():
        used, index = np.unique(r.reason, return_inverse=True)
        table = [r.reasons[i] if i >= 0 else None for i in used.tolist()]
        record["reason"], record["reasons"] = index.tolist(), table
    if r.cost_s.any():
        record["cost_s"] = r.cost_s.tolist()
    if (r.repeats != 1).any():
        record["repeats"] = r.repeats.tolist()
    if r.metrics:
        record["metrics"] = {name: column.tolist() for name, column in r.metrics.items()}
    record["sources"] = list(r.sources)
    if r.source.any():
        record["source"] = r.source.tolist()
    if r.apart.any():
        record["apart"] = r.apart.tolist()
    return record


def decode(record: dict[str, Any], problem_objectives: int, constraints: int, dtype: str) -> Rows:
    """Return the rows of a journal record; ``dtype`` is that of the points."""
    count = len(record["id"])

    def numbers(name: str, missing: float) -> NDArray[np.float64]:
        column = np.array(record[name], dtype=np.float64).reshape(count, -1)
        return np.where(np.isnan(column), missing, column)

    objectives = numbers("objectives", np.inf).reshape(count, problem_objectives)
    reason = np.array(record.get("reason", [-1] * count), dtype=np.int32)
    table = record.get("reasons", [])
    if table and table[0] is None:  # np.unique put -1 first
        reason, table = reason - 1, table[1:]
    return Rows(
        np.array(record["id"], dtype=np.int64),
        np.array(record["point"], dtype=np.dtype(dtype)),
        Results(
            status=np.array(record.get("status", [0] * count), dtype=np.uint8),
            objectives=objectives,
            low=numbers("low", np.inf) if "low" in record else objectives,
            high=numbers("high", np.inf) if "high" in record else objectives,
            violations=numbers("violations", np.inf) if "violations" in record else np.zeros((count, constraints)),
            cost_s=np.array(record.get("cost_s", [0.0] * count), dtype=np.float64),
            repeats=np.array(record.get("repeats", [1] * count), dtype=np.int64),
            reason=reason,
            reasons=tuple(table),
            metrics={k: np.array(v, dtype=np.float64) for k, v in record.get("metrics", {}).items()},
            source=np.array(record.get("source", np.zeros((count, problem_objectives))), dtype=np.int16),
            sources=tuple(record["sources"]),
            apart=np.array(record.get("apart", [False] * count), dtype=np.bool_),
        ),
    )


_ARRAYS = ("status", "objectives", "low", "high", "violations", "cost_s", "repeats", "reason", "source", "apart")


def to_wire(results: Results) -> dict[str, Any]:
    """Return results exactly, for another process."""
    wire: dict[str, Any] = {name: pack(getattr(results, name)) for name in _ARRAYS}
    wire["metrics"] = {name: pack(column) for name, column in results.metrics.items()}
    return wire | {"reasons": list(results.reasons), "sources": list(results.sources)}


def from_wire(wire: dict[str, Any]) -> Results:
    """Return what ``to_wire`` took."""
    return Results(
        **{name: unpack(wire[name]) for name in _ARRAYS},
        metrics={name: unpack(column) for name, column in wire["metrics"].items()},
        reasons=tuple(wire["reasons"]),
        sources=tuple(wire["sources"]),
    )


def merge_stages(problem: Problem, first: Results, again: NDArray[np.intp], later: Results) -> Results:
    """Return ``first`` with the rows ``again`` replaced by ``later``, costs added up."""
    order = np.argsort(np.concatenate([np.setdiff1d(np.arange(len(first)), again), again]), kind="stable")
    kept = first.take(np.setdiff1d(np.arange(len(first)), again))
    later.cost_s[...] = later.cost_s + first.cost_s[again]
    return Results.concatenate([kept, later]).take(order) if len(kept) else later


def survivors(results: Results) -> NDArray[np.intp]:
    """Return the rows that go on to the next stage."""
    return np.flatnonzero(results.status == Status.OK)
