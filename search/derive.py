"""The derived files of a search: front.json, front.csv, trials.parquet, made from journal and ``run.json``.

Nothing in them is new: deleting them and calling ``rebuild`` gives the same rows again. Values are shown the
way people read them: an objective that is better when higher is negated back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError
from codesign.run import Run, write_file
from codesign.search.hypervolume import Measure, history, reference_point
from codesign.search.knee import depth, knee
from codesign.search.problem import Problem, Status
from codesign.search.problems import PROBLEMS, make_problem
from codesign.search.replay import Replay, replay
from codesign.search.rows import Rows
from codesign.search.space import BoxSpace, Space

if TYPE_CHECKING:
    import polars

SCHEMA_VERSION = 1
DETAILED = 100
"""Front points that get breakdowns and commands."""
HISTORY_POINTS = 60
"""Longest hypervolume curve."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What deriving found out."""

    evaluations: int
    feasible: int
    front_size: int
    hypervolume: Measure
    reasons: dict[str, int]


def rebuild(run: Run, problem: Problem | None = None) -> Derived:
    """Write the derived files of ``run`` from its journal.

    Args:
        run: a run directory of a search.
        problem: the problem searched; built from the stored spec where None (and where that fails, breakdowns
            and commands are left out).
    """
    header = run.meta["spec"]["search"]
    found = replay(run.journal_path, header)
    problem = problem if problem is not None else _stored_problem(run)
    space = problem.space if problem is not None else _stored_space(run)
    rows = found.rows()
    meta = run.meta["problem"]
    signs = np.array([-1.0 if o["better"] == "higher" else 1.0 for o in meta["objectives"]])
    known, apart = (found.recorder.archives[flag] for flag in (False, True))
    main = known if len(known) else apart
    reference = _reference(header, main.values, signs)
    series, volume = _history(found, rows, reference)
    recorder = found.recorder
    columns = _empty_columns(meta)
    details: dict[str, Any] = {}
    if rows is not None:
        front = rows.take(np.isin(rows.ids, np.concatenate([known.ids, apart.ids])))
        columns = _columns(front, meta, signs, space)
        best = int(main.ids[knee(main.values)]) if len(main) else -1
        columns["knee"] = [i == best for i in columns["id"]]
        details = _details(front, main.values, main.ids, best, meta, problem)
        trials = _write_trials(run, found, rows, front, meta, signs, space)
        for name, text in (problem.files(trials) if problem is not None else {}).items():
            write_file(run.path / name, text)
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "columns": columns,
        "history": series,
        "hypervolume": {"value": volume.value, "method": volume.method, "error": volume.error},
        "reference_point": None if reference is None else (reference * signs).tolist(),
        "details": details,
        "status_counts": {s.name.lower(): int(n) for s, n in zip(Status, recorder.counts, strict=True)},
        "reasons": dict(sorted(recorder.reasons.items(), key=lambda item: (-item[1], item[0]))),
        "verification": found.verification,
    }
    write_file(run.path / "front.json", msgspec.json.encode(document))
    _write_csv(run, columns)
    run.__dict__.pop("front", None)
    meta["reference_point"] = document["reference_point"]
    return Derived(recorder.evaluations, recorder.feasible, recorder.front_size, volume, recorder.reasons)


def derive_missing(run: Run) -> None:
    """Write the derived files of a search that ended before it could: killed, or an environment left open."""
    if not (run.path / "front.json").exists() and run.journal_path.exists() and "search" in run.meta.get("spec", {}):
        rebuild(run)


def add_verification(run: Run, document: dict[str, Any], problem: Problem | None = None) -> Derived:
    """Record what measuring front points showed: ``document`` becomes ``front.json``'s ``verification``."""
    with run.writer(sync_each=True) as journal:
        journal.append({"kind": "verification", "document": document})
        return rebuild(run, problem)


def _stored_problem(run: Run) -> Problem | None:
    name = run.meta["spec"]["problem"]
    try:
        return make_problem(name, run.meta["spec"]["spec"]) if name in PROBLEMS else None
    except CodesignError:
        return None


def _stored_space(run: Run) -> Space | None:
    """Return the box that ``run.json`` lists the parameters of; None for other spaces."""
    try:
        return BoxSpace.from_json(run.meta["problem"])
    except (CodesignError, msgspec.ValidationError):
        return None


def _reference(header: dict[str, Any], front: NDArray[np.float64], signs: NDArray[np.float64]) -> Any:
    if header.get("reference") is not None:
        return np.asarray(header["reference"], np.float64) * signs
    return reference_point(front) if len(front) else None


def _history(found: Replay, rows: Rows | None, reference: Any) -> tuple[list[dict[str, Any]], Measure]:
    """Return the curve against one reference, from every row that ever was kept: it never falls."""
    if rows is None or reference is None or not found.batches:
        return [], Measure(0.0, "exact")
    apart = not len(found.recorder.archives[False])
    ever = np.isin(rows.ids, np.concatenate(found.recorder.entered))
    mine = rows.take(ever & (rows.results.apart == apart))
    last = len(found.batches) - 1
    picks = sorted({round(last * i / (HISTORY_POINTS - 1)) for i in range(HISTORY_POINTS)})
    points = [found.batches[i] for i in picks]
    series, volume = history(mine.results.objectives, mine.ids, [p.stop for p in points], reference)
    return [
        {"evaluations": p.evaluations, "hypervolume": v, "front_size": p.front, "seconds": p.seconds}
        for p, v in zip(points, series, strict=True)
    ], volume


def _columns(rows: Rows, meta: dict[str, Any], signs: NDArray[np.float64], space: Space | None) -> dict[str, list[Any]]:
    """Return ``rows`` as named columns."""
    r = rows.results
    columns: dict[str, list[Any]] = {"id": rows.ids.tolist()}
    names = [p["name"] for p in meta["parameters"]]
    if space is not None:
        decoded = space.rows(rows.points)
        columns |= {name: [row.get(name) for row in decoded] for name in names}
    for index, objective in enumerate(meta["objectives"]):
        name, sign = objective["name"], signs[index]
        ends = (r.low, r.high) if sign > 0.0 else (r.high, r.low)
        columns[name] = (r.objectives[:, index] * sign).tolist()
        columns[f"{name}_low"] = (ends[0][:, index] * sign).tolist()
        columns[f"{name}_high"] = (ends[1][:, index] * sign).tolist()
        columns[f"{name}_source"] = [r.sources[i] if r.sources else "" for i in r.source[:, index].tolist()]
    for metric in meta["metrics"]:
        if metric["name"] in r.metrics and metric["name"] not in columns:
            columns[metric["name"]] = r.metrics[metric["name"]].tolist()
    columns["baseline"] = [i == meta["baseline"] for i in columns["id"]]
    columns["unknown_quality"] = r.apart.tolist()
    return columns


def _empty_columns(meta: dict[str, Any]) -> dict[str, list[Any]]:
    names = ["id", *(p["name"] for p in meta["parameters"])]
    for objective in meta["objectives"]:
        names += [objective["name"] + end for end in ("", "_low", "_high", "_source")]
    names += [m["name"] for m in meta["metrics"]] + ["baseline", "unknown_quality", "knee"]
    return {name: [] for name in dict.fromkeys(names)}


def _details(
    front: Rows,
    values: NDArray[np.float64],
    ids: NDArray[np.int64],
    best: int,
    meta: dict[str, Any],
    problem: Problem | None,
) -> dict[str, Any]:
    """Return breakdowns and commands of the points a reader looks at first: knee, champions, baseline, deepest."""
    if problem is None or not len(front):
        return {}
    wanted: list[int] = [best]
    if len(values):
        wanted += ids[np.argmin(values, axis=0)].tolist()
        wanted += ids[np.argsort(-depth(values), kind="stable")].tolist()
    wanted += front.ids.tolist()
    place = {int(i): row for row, i in enumerate(front.ids.tolist())}
    chosen = [i for i in dict.fromkeys(wanted) if i in place][:DETAILED]
    if meta["baseline"] in place and meta["baseline"] not in chosen:
        chosen.append(meta["baseline"])
    return {
        str(i): msgspec.to_builtins(problem.describe(front.points[place[i] : place[i] + 1])) for i in sorted(chosen)
    }


def _write_csv(run: Run, columns: dict[str, list[Any]]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        ["" if cell is None or cell != cell else cell for cell in row] for row in zip(*columns.values(), strict=True)
    )
    write_file(run.path / "front.csv", text.getvalue())


def _write_trials(
    run: Run,
    found: Replay,
    rows: Rows,
    front: Rows,
    meta: dict[str, Any],
    signs: NDArray[np.float64],
    space: Space | None,
) -> dict[str, list[Any]]:
    """Write, and return as columns, the rows that ``--keep`` asks for: the front, the baseline and the sample."""
    import io

    keep = np.isin(rows.ids, front.ids) | found.recorder.sampler.members(rows.ids)
    keep |= rows.ids == (-1 if meta["baseline"] is None else meta["baseline"])
    chosen = rows.take(keep)
    columns = _columns(chosen, meta, signs, space)
    reasons = chosen.results.reasons
    ends = np.array([b.stop for b in found.batches], np.int64)
    batch = np.array([b.number for b in found.batches])[np.searchsorted(ends, chosen.ids, side="right")]
    columns["status"] = [Status(s).name.lower() for s in chosen.results.status.tolist()]
    columns["reason"] = [reasons[i] if i >= 0 else None for i in chosen.results.reason.tolist()]
    columns["front"] = np.isin(chosen.ids, front.ids).tolist()
    columns["search_batch"] = batch.tolist()  # not "batch": parameters have that name
    sink = io.BytesIO()
    _frame(columns).write_parquet(sink)
    write_file(run.path / "trials.parquet", sink.getvalue())
    return columns


def _frame(columns: dict[str, list[Any]]) -> polars.DataFrame:
    """Return a data frame; a column of mixed types becomes text."""
    import polars

    series = []
    for name, values in columns.items():
        kinds = {type(v) for v in values if v is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:
            values = [None if v is None else str(v) for v in values]
        elif kinds == {int, float}:
            values = [None if v is None else float(v) for v in values]
        series.append(polars.Series(name, values, strict=False))
    return polars.DataFrame(series)
