"""How much of an objective each parameter explains on its own: the correlation ratio, adjusted for its levels.

The correlation ratio is the variance between the levels of a parameter over the whole variance (Pearson 1905);
the adjustment (Kelley's epsilon squared, 1935) takes off what levels explain by chance. Positive objectives are
taken in logarithms, since parameters act as factors. It sees no interactions, and rows that an engine chose are
no random sample: a first look, said so in the report.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.report.sheet import Sheet

BINS = 8
"""Quantile bins of a parameter with more than ``LEVELS`` values."""
LEVELS = 16


def levels_of(values: list[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return (level of each row, labels), numbers in order and many numbers in quantile bins."""
    present = [v for v in values if v is not None]
    numeric = bool(present) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in present)
    if numeric and len(set(present)) > LEVELS:
        column = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        edges = np.unique(np.nanquantile(column, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
        codes = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))
        bounds = [float(np.nanmin(column)), *edges.tolist(), float(np.nanmax(column))]
        labels = [f"{a:.3g} to {b:.3g}" for a, b in pairwise(bounds)] + ["inactive"]
        return codes.astype(np.int64), labels
    order = sorted(set(present)) if numeric else sorted({str(v) for v in present})
    index = {v: i for i, v in enumerate(order)}
    codes = np.array([len(order) if v is None else index[v if numeric else str(v)] for v in values], dtype=np.int64)
    return codes, [f"{v:g}" if isinstance(v, float) else str(v) for v in order] + ["inactive"]


def explained(codes: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Return the adjusted correlation ratio of ``values`` given ``codes``: 0 (nothing) to 1 (all)."""
    count = np.bincount(codes)
    total = float(((values - values.mean()) ** 2).sum())
    groups, rows = int((count > 0).sum()), len(values)
    if total <= 1e-24 * max(1.0, float((values**2).sum())) or groups < 2 or rows <= groups:
        return 0.0
    mean = np.bincount(codes, weights=values) / np.maximum(count, 1)
    within = float(((values - mean[codes]) ** 2).sum())
    return float(np.clip(1.0 - within / total * (rows - 1) / (rows - groups), 0.0, 1.0))


def importance(sheet: Sheet) -> dict[str, list[dict[str, Any]]]:
    """Return objective -> parameters by share explained, with the mean of the objective at each level."""
    ok = np.array([s == "ok" for s in sheet.columns["status"]], dtype=bool)
    table = {f.name: levels_of(sheet.columns[f.name]) for f in sheet.of_role("parameter")}
    result = {}
    for field in sheet.of_role("objective"):
        column = sheet.numbers(field.name)
        rows = ok & np.isfinite(column)
        if rows.sum() < 8:
            continue
        logarithm = bool((column[rows] > 0.0).all())
        values = np.log(column[rows]) if logarithm else column[rows]
        entries: list[dict[str, Any]] = []
        for name, (codes, labels) in table.items():
            share = explained(codes[rows], values)
            count = np.bincount(codes[rows], minlength=len(labels))
            mean = np.bincount(codes[rows], weights=values, minlength=len(labels)) / np.maximum(count, 1)
            mean = np.exp(mean) if logarithm else mean
            effect = [[labels[i], float(mean[i])] for i in range(len(labels)) if count[i]]
            entries.append({"name": name, "share": round(share, 4), "effect": effect})
        entries.sort(key=lambda e: -float(e["share"]))
        for entry in entries[2:]:
            entry.pop("effect")
        result[field.name] = entries
    return result
