"""Two runs against each other.

Of searches: best points and knees, a common hypervolume, and how much of one front the other covers; of profiles:
metrics, operators and kernels, batch size by batch size.

Coverage is the C-metric of Zitzler and Thiele (1999): the share of one front that some point of the other
dominates or equals. Hypervolumes use one reference point, from both fronts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.profilers.compare import Difference, compare_profiles, conditions, paired, read_recorded
from codesign.report import standing
from codesign.report.sheet import Sheet, load_sheet
from codesign.run import Run, load_run
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
        """Return quantity -> change from A to B in per cent, where there is one."""
        return {row["quantity"]: row["delta_percent"] for row in self.rows if row["delta_percent"] is not None}

    def changes(self) -> list[tuple[str, str, float | None]]:
        """Return what limits such as ``latency <= 5 %`` are about: quantity, empty, change in per cent."""
        return [(row["quantity"], "", row["delta_percent"]) for row in self.rows]


@dataclass(frozen=True, slots=True)
class ProfileComparison:
    """What changed from profile A to profile B; ``parts`` by batch size, of a trace under None."""

    parts: dict[int | None, Difference]
    notes: tuple[str, ...] = ()

    def changes(self) -> list[tuple[str, str, float | None]]:
        """Return quantity, where, change in per cent; a metric in s also under the name with ``_us`` of a trace.

        Metrics that apply to neither side are left out.
        """
        found = []
        for batch, part in self.parts.items():
            where = "" if batch is None else f" at batch {batch}"
            for row in part.metrics:
                if row.before is None and row.after is None:
                    continue
                names = [row.quantity, *([f"{row.quantity}_us"] if batch is None and row.unit == "s" else [])]
                found += [(name, where, row.delta_percent) for name in names]
        return found


class Changed(Protocol):
    """A comparison on whose changes limits can be stated."""

    def changes(self) -> list[tuple[str, str, float | None]]:
        """Return quantity, where (empty, or such as `` at batch 4``), change from A to B in per cent."""
        ...


def compare_any(first: Path | str, second: Path | str) -> Comparison | ProfileComparison:
    """Compare two searches or two profiles.

    Raises:
        DataError: a run is damaged, or two searches differ in their objectives.
        UsageError: one is a profile and the other is not, or the profiles share no batch size.
    """
    runs = load_run(first), load_run(second)
    kinds = ["a profile" if run.meta.get("command") == "profile" else "none" for run in runs]
    if kinds[0] != kinds[1]:
        profile, other = (runs[0], runs[1]) if kinds[0] != "none" else (runs[1], runs[0])
        raise UsageError(
            f"{profile.path} is a profile, {other.path} is of `{other.meta.get('command')}`",
            "compare two profiles, or two searches of the same objectives",
        )
    return compare(*runs) if kinds[0] == "none" else profile_difference(*runs)


def profile_difference(first: Run, second: Run) -> ProfileComparison:
    """Compare two runs of ``codesign profile``, at every batch size that both have.

    Raises:
        DataError: a run holds no profile, or one that cannot be read.
        UsageError: they share no batch size.
    """
    sides = read_recorded(first.path), read_recorded(second.path)
    parts = {batch: compare_profiles(a, b) for batch, (a, b) in paired(*sides).items()}
    seen = [conditions(run.path) for run in (first, second)]
    a, b = (
        {**dict(run.meta.get("spec") or {}), "host": run.meta.get("host"), **found}
        for run, found in zip((first, second), seen, strict=True)
    )
    notes = [
        f"{key}: {a.get(key)} against {b.get(key)}"
        for key in sorted({*a, *b} - {"kind", "host"})
        if a.get(key) != b.get(key)
    ]
    notes += ["the profiles are from different machines"] if a["host"] != b["host"] else []
    return ProfileComparison(parts, tuple(notes))


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


def limits(texts: Sequence[str], found: Changed) -> list[Constraint]:
    """Return ``texts`` as constraints on changes in per cent; a bare number is a per cent too.

    Raises:
        UsageError: unreadable, or a quantity the comparison does not have (nearest names follow).
    """
    known = {quantity: "" for quantity, _, _ in found.changes()}
    parsed = [parse_where(text, known) for text in texts]
    return [
        msgspec.structs.replace(c, limit=c.limit * (100.0 if c.text.rstrip().endswith("%") else 1.0)) for c in parsed
    ]


def crossed(stated: Sequence[Constraint], found: Changed) -> list[str]:
    """Return what to say of each limit that a change crosses; an unknown change crosses."""
    said = []
    for limit in stated:
        for quantity, where, value in found.changes():
            if quantity == limit.metric and (value is None or limit.violation(np.array([value]))[0] > 0.0):
                change = "is unknown" if value is None else f"is {value:+.2f} %"
                said.append(f"limit '{limit.text}' crossed{where}: the change of {limit.metric} {change}")
    return said
