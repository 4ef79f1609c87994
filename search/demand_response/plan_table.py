"""The plans of a run as CSV: a row a point, hour and workload."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from codesign.search.demand_response.problem import DemandResponse, level_of

HEADS = (
    "point", "policy", "level", "hour", "intensity_g_per_kwh", "workload", "kind", "baseline_mw", "power_mw",
    "curtailed_mw", "backlog_mwh",
)  # fmt: skip
MOST_ROWS = 2_000_000
"""Rows of the file; points beyond are left out, whole."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plan_csv(problem: DemandResponse, points: Iterable[Mapping[str, Any]]) -> str:
    """Return the plans of ``points`` (rows of a run: ``id``, ``policy``, ``lambda``, ``cut``) as CSV.

    ``level`` is the price (t CO2e per unit of penalty) or the share cut. Names that a spreadsheet would run as a
    formula start with an apostrophe.
    """
    fleet = problem.policies.fleet
    count, hours, _ = fleet.shape
    names = ["'" + name if name.startswith(_FORMULA) else name for name in fleet.names]
    kinds = np.where(fleet.online, "online", "batch").tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADS)
    written = 0
    for point in points:
        written += count * hours
        if written > MOST_ROWS:
            break
        policy, level = level_of(point)
        curtailed = problem.plan(policy, level).outcome.curtailed_mw
        numbers = np.stack(
            [fleet.baseline_mw, fleet.baseline_mw - curtailed, curtailed, fleet.backlog_mwh(curtailed)], axis=-1
        )
        cells = np.round(numbers, 9).transpose(1, 0, 2).reshape(hours * count, 4) + 0.0  # no -0
        head = (point["id"], policy, "" if np.isnan(level) else level)
        intensity = np.repeat(fleet.intensity_t_mwh * 1000.0, count).tolist()
        rows = zip(np.repeat(np.arange(hours), count).tolist(), intensity, names * hours, kinds * hours, cells.tolist())
        writer.writerows((*head, hour, f"{ci:.10g}", name, kind, *row) for hour, ci, name, kind, row in rows)
    return text.getvalue()
