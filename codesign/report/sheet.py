"""One or several run directories as one table: what every output format is made of.

Rows are points: first those of the fronts, then the other kept trials. Values are as shown (an objective that is
better when higher is positive), in SI units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import DataError, UsageError
from codesign.run import Run, load_run
from codesign.search.derive import derive_missing

SUFFIXES = ("_low", "_high", "_source")
STATUSES = ("ok", "infeasible", "invalid", "crashed", "timeout")
FLAGS = ("knee", "baseline", "unknown_quality")


@dataclass(frozen=True, slots=True)
class Field:
    """One column as people read it; ``role`` is parameter, objective, metric or code (for exports only)."""

    name: str
    role: str
    unit: str = ""
    per: str = ""
    better: str = ""

    @property
    def title(self) -> str:
        """Name and unit for a header."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    @property
    def sign(self) -> float:
        """+1 where lower is better, -1 where higher is."""
        return -1.0 if self.better == "higher" else 1.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """The joined rows; ``columns`` has those of the front files plus ``run`` and ``status``, all of one length."""

    runs: tuple[Run, ...]
    fields: tuple[Field, ...]
    columns: dict[str, list[Any]]
    front_rows: int
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Row -> breakdowns, commands, notes."""

    @property
    def problem(self) -> dict[str, Any]:
        """The problem of the first run."""
        found: dict[str, Any] = self.runs[0].meta.get("problem", {})
        return found

    def of_role(self, role: str) -> list[Field]:
        """Return the fields of one role."""
        return [f for f in self.fields if f.role == role]

    def numbers(self, name: str, rows: int | None = None) -> NDArray[np.float64]:
        """Return a column as floats, NaN where there is no number."""
        values = self.columns[name][:rows]
        return np.array([v if isinstance(v, int | float) else np.nan for v in values], dtype=np.float64)

    def minimised(self, rows: int | None = None) -> NDArray[np.float64]:
        """Return the objectives of the first ``rows`` rows as a search sees them: (N, M), lower is better."""
        columns = [self.numbers(f.name, rows) * f.sign for f in self.of_role("objective")]
        return np.stack(columns, axis=1) if columns else np.zeros((rows or 0, 0))

    def ref(self, row: int) -> str:
        """Return ``RUN#id`` of a row, as every command accepts it."""
        return f"{self.runs[self.columns['run'][row]].path}#{self.columns['id'][row]}"

    def rows_with(self, flag: str) -> list[int]:
        """Return the rows where a boolean column is true."""
        return [i for i, v in enumerate(self.columns.get(flag, ())) if v is True]

    def varying(self, role: str) -> list[Field]:
        """Return the fields of a role that take more than one value on the front."""
        return [f for f in self.of_role(role) if len(set(map(str, self.columns[f.name][: self.front_rows]))) > 1]


def newest_run(root: Path | str = "runs") -> Path:
    """Return the newest run directory under ``root``.

    Raises:
        UsageError: there is none.
    """
    found = [p.parent for p in Path(root).glob("*/run.json")]
    if not found:
        raise UsageError(f"no run directory under {root}/", "make one with `codesign search`, or name a run directory")
    return max(found, key=lambda p: (p / "run.json").stat().st_mtime_ns)


def load_sheet(runs: Iterable[Run | Path | str]) -> Sheet:
    """Join the fronts and kept trials of one or more runs of the same objectives.

    Raises:
        DataError: a run is damaged, or the runs differ in their objectives.
    """
    loaded = tuple(r if isinstance(r, Run) else load_run(r) for r in runs)
    if not loaded:
        raise UsageError("no run given", "name a run directory")
    for run in loaded:
        derive_missing(run)
    fields = _fields(loaded)
    names = [f.name for f in fields]
    names += [o.name + s for o in fields if o.role == "objective" for s in SUFFIXES]
    names += ["id", "status", "reason", *FLAGS]
    front: dict[str, list[Any]] = {name: [] for name in ["run", *names]}
    rest: dict[str, list[Any]] = {name: [] for name in ["run", *names]}
    details: dict[int, dict[str, Any]] = {}
    for number, run in enumerate(loaded):
        columns = _front_columns(run)
        ids = columns["id"]
        known = {str(k): v for k, v in (run.front.get("details") or {}).items()}
        details |= {len(front["id"]) + i: known[str(key)] for i, key in enumerate(ids) if str(key) in known}
        _append(front, columns, number, len(ids), names)
        other = _other_trials(run, set(ids))
        _append(rest, other, number, len(other["id"]), names)
    count = len(front["id"])
    columns = {name: front[name] + rest[name] for name in front}
    _mark_baselines(loaded, columns)
    return Sheet(loaded, fields, columns, count, details)


def _fields(runs: Sequence[Run]) -> tuple[Field, ...]:
    found: dict[str, Field] = {}
    wanted: list[tuple[str, str]] | None = None
    for run in runs:
        problem = run.meta.get("problem")
        if not isinstance(problem, dict) or not problem.get("objectives"):
            raise DataError(f"{run.path / 'run.json'}: field problem.objectives is missing", "no search wrote this run")
        objectives = [(o["name"], o.get("unit", "")) for o in problem["objectives"]]
        if wanted is not None and objectives != wanted:
            raise DataError(
                f"{run.path}: objectives are {', '.join(n for n, _ in objectives)}; "
                f"{runs[0].path} has {', '.join(n for n, _ in wanted)}",
                "only runs of the same objectives in the same units and order can share a report",
            )
        wanted = objectives
        for role in ("parameter", "objective", "metric"):
            for entry in problem.get(role + "s") or ():
                better = entry.get("better", "lower" if role == "objective" else "") or ""
                part = "code" if entry.get("kind") == "code" else role
                made = Field(entry["name"], part, entry.get("unit") or "", entry.get("functional_unit") or "", better)
                found.setdefault(made.name, made)
    order = {"parameter": 0, "objective": 1, "metric": 2, "code": 3}
    return tuple(sorted(found.values(), key=lambda f: order[f.role]))


def _front_columns(run: Run) -> dict[str, list[Any]]:
    columns = run.front.get("columns")
    if not isinstance(columns, dict) or "id" not in columns:
        raise DataError(f"{run.path / 'front.json'}: field columns.id is missing", "resume the run to derive it again")
    count = len(columns["id"])
    for name, values in columns.items():
        if len(values) != count:
            raise DataError(
                f"{run.path / 'front.json'}: columns.{name} has {len(values)} rows, expected {count}", "restore it"
            )
    return {**columns, "status": ["ok"] * count}


def _other_trials(run: Run, front: set[Any]) -> dict[str, list[Any]]:
    if not (run.path / "trials.parquet").exists():
        return {"id": []}
    frame = run.trials()
    frame = frame.filter(~frame["id"].is_in(list(front)))
    columns: dict[str, list[Any]] = frame.to_dict(as_series=False)
    columns["status"] = [STATUSES[s] if isinstance(s, int) else s for s in columns.get("status", ["ok"] * frame.height)]
    return columns


def _append(
    table: dict[str, list[Any]], columns: dict[str, list[Any]], number: int, count: int, names: list[str]
) -> None:
    table["run"] += [number] * count
    for name in names:
        values = columns.get(name)
        table[name] += [_finite(v) for v in values] if values is not None else [None] * count


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _mark_baselines(runs: Sequence[Run], columns: dict[str, list[Any]]) -> None:
    for number, run in enumerate(runs):
        wanted = (run.meta.get("problem") or {}).get("baseline")
        if wanted is None:
            continue
        for row, (owner, key) in enumerate(zip(columns["run"], columns["id"], strict=True)):
            if owner == number and key == wanted:
                columns["baseline"][row] = True
