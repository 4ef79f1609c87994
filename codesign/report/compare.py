"""Two fronts against each other: best points and knees, a common hypervolume, and how much of one the other covers.

Coverage is the C-metric of Zitzler and Thiele (1999): the share of one front that some point of the other
dominates or equals. Hypervolumes use one reference point, from both fronts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.report import standing
from codesign.report.sheet import Sheet, load_sheet
from codesign.run import Run
from codesign.search.constraints import Constraint, parse_where
from codesign.search.hypervolume import measure, reference_point


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from run A to run B. ``rows`` has one entry a quantity, in the units of the objectives."""

    rows: tuple[dict[str, Any], ...]
    reference: tuple[float, ...]
    coverage_by_a: float
    """Share of B's front that A dominates or equals, 0 to 1."""
    coverage_by_b: float
    notes: tuple[str, ...] = ()

    def deltas(self) -> dict[str, float]:
        """Return quantity -> change from A to B in per cent, for limits such as ``latency <= 5 %``."""
        return {row["quantity"]: row["delta_percent"] for row in self.rows if row["delta_percent"] is not None}


def compare(first: Run | Path | str, second: Run | Path | str) -> Comparison:
    """Compare two runs of the same objectives.

    Returns:
        Per objective the best value and the value at the knee, and the hypervolume; A, B, change in per cent.
        A quantity is named as its objective for the best value, ``knee_<objective>`` at the knee, ``hypervolume``.

    Raises:
        DataError: a run is damaged or the runs differ in their objectives.
    """
    sheets = load_sheet([first]), load_sheet([second])
    load_sheet([sheets[0].runs[0], sheets[1].runs[0]])  # refuses runs of other objectives
    fronts = tuple(_known(sheet) for sheet in sheets)
    rows = []
    for field in sheets[0].of_role("objective"):
        for prefix, pick in (("", _best), ("knee_", _knee)):
            values = [pick(sheet, field.name) for sheet in sheets]
            rows.append(_row(prefix + field.name, field.unit, field.better, *values))
    reference: NDArray[np.float64] = np.zeros(0)
    if all(len(front) for front in fronts):
        reference = reference_point(np.concatenate(fronts))
        volumes = [measure(front, reference).value for front in fronts]
        rows.append(_row("hypervolume", "", "higher", *volumes))
    signs = [field.sign for field in sheets[0].of_role("objective")]
    shown = tuple(float(v * s) for v, s in zip(reference, signs, strict=False))
    return Comparison(
        tuple(rows), shown, covered(fronts[0], fronts[1]), covered(fronts[1], fronts[0]), _differences(sheets)
    )


def covered(by: NDArray[np.float64], front: NDArray[np.float64]) -> float:
    """Return the share of ``front`` (K, M) that some row of ``by`` is at least as good as in every objective."""
    if not len(front) or not len(by):
        return 0.0
    hit = np.array([bool((by <= row).all(axis=1).any()) for row in front])  # rows of a front, not design points
    return float(hit.mean())


def _known(sheet: Sheet) -> NDArray[np.float64]:
    """Return the front's minimised objectives, without points of unknown quality or unknown values."""
    values = sheet.minimised(sheet.front_rows)
    apart = np.array([v is True for v in sheet.columns["unknown_quality"][: sheet.front_rows]], dtype=bool)
    return values[np.isfinite(values).all(axis=1) & ~apart]


def _best(sheet: Sheet, name: str) -> float | None:
    row = standing.champions(sheet).get(name)
    return None if row is None else float(sheet.columns[name][row])


def _knee(sheet: Sheet, name: str) -> float | None:
    row = standing.knee_row(sheet)
    value = None if row is None else sheet.columns[name][row]
    return float(value) if isinstance(value, int | float) else None


def _row(quantity: str, unit: str, better: str, a: float | None, b: float | None) -> dict[str, Any]:
    delta = None if a is None or b is None else standing.change(b, a)
    verdict = ""
    if delta is not None:
        verdict = "same" if abs(delta) < 1e-9 else "better" if (delta < 0) == (better == "lower") else "worse"
    return {"quantity": quantity, "unit": unit, "a": a, "b": b, "delta_percent": delta, "verdict": verdict}


def _differences(sheets: tuple[Sheet, Sheet]) -> tuple[str, ...]:
    """Return what else differs between the two runs: a comparison must not hide it."""
    a, b = (sheet.runs[0].meta for sheet in sheets)
    notes = [
        f"{key}: {a.get(key)} against {b.get(key)}"
        for key in ("engine", "seed", "evaluations")
        if a.get(key) != b.get(key)
    ]
    prints: list[dict[str, Any]] = [dict(m.get("fingerprint") or {}) for m in (a, b)]
    names = sorted(set(prints[0]) | set(prints[1]))
    changed = [name for name in names if prints[0].get(name) != prints[1].get(name)]
    return (*notes, *([f"inputs that differ: {', '.join(changed)}"] if changed else []))


def limits(texts: Sequence[str], found: Comparison) -> list[Constraint]:
    """Return ``texts`` as constraints on changes in per cent; a bare number is a per cent too.

    Raises:
        UsageError: unreadable, or a quantity the comparison does not have (nearest names follow).
    """
    known = {row["quantity"]: "" for row in found.rows}
    parsed = [parse_where(text, known) for text in texts]
    return [
        msgspec.structs.replace(c, limit=c.limit * (100.0 if c.text.rstrip().endswith("%") else 1.0)) for c in parsed
    ]


def crossed(stated: Sequence[Constraint], found: Comparison) -> list[str]:
    """Return what to say of each limit that the changes cross; an unknown change crosses."""
    deltas = found.deltas()
    said = []
    for limit in stated:
        value = deltas.get(limit.metric)
        if value is None or limit.violation(np.array([value]))[0] > 0.0:
            change = "is unknown" if value is None else f"is {value:+.2f} %"
            said.append(f"limit '{limit.text}' crossed: the change of {limit.metric} {change}")
    return said
