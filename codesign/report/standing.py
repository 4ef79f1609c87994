"""How front points stand: distance to the ideal, rank as knee, champions, near-duplicates, change to the baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.report.sheet import Sheet
from codesign.search.knee import depth, scaled

NEAR = 0.01
"""Front points closer than this share of the front's range in every objective are near-duplicates."""


def filled(sheet: Sheet) -> NDArray[np.float64]:
    """Return the front's objectives, minimised, an unknown value as the worst known one."""
    values = sheet.minimised(sheet.front_rows)
    if not len(values):
        return values
    worst = np.array([np.max(c[np.isfinite(c)], initial=-np.inf) for c in values.T])
    return np.where(np.isfinite(values), values, np.where(np.isfinite(worst), worst, 0.0))


def distance_to_ideal(sheet: Sheet) -> NDArray[np.float64]:
    """Return (K,) Euclidean distance to the best value of every objective, each scaled to the front's range."""
    values = filled(sheet)
    if not len(values):
        return np.zeros(0)
    distance: NDArray[np.float64] = np.sqrt((scaled(values) ** 2).sum(axis=1) / max(1, values.shape[1]))
    return distance


def knee_rank(sheet: Sheet) -> NDArray[np.int64]:
    """Return (K,) rank as knee: 1 is the deepest below the plane through the extremes."""
    order = np.argsort(-depth(filled(sheet)), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def knee_row(sheet: Sheet) -> int | None:
    """Return the row marked as knee by the run, or the deepest one of the joined front; None without a front."""
    if not sheet.front_rows:
        return None
    marked = [row for row in sheet.rows_with("knee") if row < sheet.front_rows]
    if len(marked) == 1:
        return marked[0]
    return int(np.argmin(knee_rank(sheet)))


def champions(sheet: Sheet) -> dict[str, int]:
    """Return objective -> row of its best point on the front, points of unknown quality left out if others exist."""
    known = np.array([v is not True for v in sheet.columns["unknown_quality"][: sheet.front_rows]], dtype=bool)
    best = {}
    for index, field in enumerate(sheet.of_role("objective")):
        column = sheet.minimised(sheet.front_rows)[:, index]
        column = np.where(np.isfinite(column) & (known | ~known.any()), column, np.inf)
        if np.isfinite(column).any():
            best[field.name] = int(np.argmin(column))
    return best


def near_duplicates(sheet: Sheet) -> NDArray[np.int64]:
    """Return (K,) the row each front row is represented by; a representative is the better knee of its group."""
    unit = scaled(filled(sheet)) if sheet.front_rows else np.zeros((0, 1))
    order = np.argsort(knee_rank(sheet), kind="stable") if len(unit) else np.zeros(0, np.int64)
    leader = np.full(len(unit), -1, np.int64)
    for row in order.tolist():  # one pass a group, each over all rows at once
        if leader[row] < 0:
            near = (np.abs(unit - unit[row]) <= NEAR).all(axis=1) & (leader < 0)
            leader[near] = row
    return leader


def baseline_row(sheet: Sheet) -> int | None:
    """Return the row of the (first) baseline, None without one."""
    rows = sheet.rows_with("baseline")
    return rows[0] if rows else None


def change(value: float, base: float) -> float | None:
    """Return the change from ``base`` in per cent, None where it has no meaning."""
    if not (np.isfinite(value) and np.isfinite(base)) or base == 0.0:
        return None
    return (value / base - 1.0) * 100.0
