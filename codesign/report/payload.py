"""What the HTML page is given: columns packed as small as JSON allows without loss that shows.

A column is ``{"l": levels, "c": text}`` (one character of ``text`` a row, an index into ``levels``) where it has
few different values, else ``{"v": [...]}`` with floats at five significant digits.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from codesign.report import standing
from codesign.report.importance import importance
from codesign.report.sheet import Field, Sheet

ALPHABET = "".join(chr(c) for c in range(35, 127) if chr(c) not in "\\<&")
"""Characters that stand for a level: printable, never escaped in JSON."""
MOST_OTHERS = 20_000
"""Most points beside the front that a page carries; more are thinned evenly, and the page says so."""


def payload(sheet: Sheet) -> dict[str, Any]:
    """Return everything the page shows, as JSON types."""
    rows = _thinned(sheet)
    front = sheet.front_rows
    knee, base = standing.knee_row(sheet), standing.baseline_row(sheet)
    position = {row: i for i, row in enumerate(rows.tolist())}
    objectives = sheet.of_role("objective")
    intervals = {f.name: [pack(sheet.columns[f.name + s][:front]) for s in ("_low", "_high")] for f in objectives}
    return {
        "title": title(sheet),
        "explained": sheet.problem.get("explained", True),
        "question": sheet.problem.get("question") or "",
        "header": header(sheet),
        "rows": len(rows),
        "front": front,
        "omitted": len(sheet.columns["id"]) - len(rows),
        "runs": [place(run.path) for run in sheet.runs],
        "run": pack([sheet.columns["run"][i] for i in rows]),
        "id": pack([sheet.columns["id"][i] for i in rows]),
        "status": pack([sheet.columns["status"][i] for i in rows]),
        "reason": pack([sheet.columns["reason"][i] for i in rows]),
        "unknown": [position[r] for r in sheet.rows_with("unknown_quality") if r in position],
        "columns": [_column(sheet, f, rows) for f in sheet.fields if f.role != "code"],
        "intervals": intervals,
        "source": {f.name: pack(sheet.columns[f.name + "_source"][:front]) for f in objectives},
        "knee": knee,
        "baseline": position.get(base) if base is not None else None,
        "champions": standing.champions(sheet),
        "kneeRank": standing.knee_rank(sheet).tolist(),
        "ideal": pack([float(v) for v in standing.distance_to_ideal(sheet)]),
        "leader": standing.near_duplicates(sheet).tolist(),
        "near": standing.NEAR,
        "views": views(sheet),
        "constraints": sheet.problem.get("constraints") or [],
        "histories": [history(run.front.get("history") or []) for run in sheet.runs],
        "reference": [run.meta.get("problem", {}).get("reference_point") for run in sheet.runs],
        "importance": importance(sheet),
        **details(sheet),
        "counts": _summed(run.front.get("status_counts") or {} for run in sheet.runs),
        "reasons": _summed(run.front.get("reasons") or {} for run in sheet.runs),
        "verification": [run.front.get("verification") for run in sheet.runs],
        "sources": list(
            dict.fromkeys(s for run in sheet.runs for s in run.meta.get("problem", {}).get("sources") or ())
        ),
        "quality": quality(sheet),
    }


def encode(content: dict[str, Any]) -> str:
    """Return JSON that is safe inside a script element: no ``<`` in it, so no tag can end it."""
    text = msgspec.json.encode(rounded(content)).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def rounded(value: Any) -> Any:
    """Return ``value`` with every float at five significant digits, and none that JSON cannot hold."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.4e}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    if isinstance(value, dict):
        return {str(k): rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def pack(values: list[Any]) -> dict[str, Any]:
    """Return a column packed: one character a row where it has few different values."""
    short = [rounded(v) for v in values]
    levels = list(dict.fromkeys(map(_typed, short)))
    if len(levels) <= min(len(ALPHABET), max(2, len(values) // 2)):
        index = {level: ALPHABET[i] for i, level in enumerate(levels)}
        return {"l": [level[1] for level in levels], "c": "".join(index[_typed(v)] for v in short)}
    if any(isinstance(v, str) for v in short):
        table = {level: i for i, level in enumerate(levels)}
        return {"l": [level[1] for level in levels], "i": [table[_typed(v)] for v in short]}
    return _shifted(short)


def _shifted(values: list[Any]) -> dict[str, Any]:
    """Return numbers as mantissas of a common power of ten where that is shorter: ``{"v": [...], "e": -3}``."""
    sizes = sorted(abs(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v)
    power = math.floor(math.log10(sizes[len(sizes) // 2])) if sizes else 0
    if -2 < power < 6 or all(isinstance(v, int) and abs(v) < 1e6 for v in values if v is not None):
        return {"v": values}
    return {"v": [None if v is None else rounded(float(f"{v:.4e}") / 10.0**power) for v in values], "e": power}


def place(path: Path) -> str:
    """Return a run directory as a report names it: relative to the working directory, else its name alone."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return path.name


def details(sheet: Sheet) -> dict[str, Any]:
    """Return the details of points with every text once, in ``words``; commands are split into lines for that."""
    words: dict[str, int] = {}

    def word(text: Any) -> int:
        return words.setdefault(str(text or ""), len(words))

    packed = {}
    for row, known in sheet.details.items():
        breakdowns = [
            [
                word(b["title"]),
                word(b["unit"]),
                [word(i["label"]) for i in b["items"]],
                [i["value"] for i in b["items"]],
            ]
            for b in known.get("breakdowns") or ()
        ]
        commands = [
            [word(c["title"]), [word(line) for line in c["text"].split("\n")], [word(n) for n in c.get("notes") or ()]]
            for c in known.get("commands") or ()
        ]
        packed[str(row)] = [breakdowns, commands, [word(n) for n in known.get("notes") or ()]]
        more = (("timelines", _timeline), ("rooflines", _roofline), ("grids", _grid), ("listings", _listing))
        extra = [[pack(one, word) for one in known.get(name) or ()] for name, pack in more]
        while extra and not extra[-1]:
            extra.pop()
        packed[str(row)] += extra
    return {"details": packed, "words": list(words)}


def _grid(grid: dict[str, Any], word: Callable[[Any], int]) -> list[Any]:
    """Return a grid whose texts, and numbers as one text, are in the table of words: points share whole grids."""
    names = [[word(name) for name in grid[key]] for key in ("rows", "columns")]
    return [word(grid["title"]), word(grid["unit"]), *names, word(msgspec.json.encode(grid["values"]).decode())]


def _listing(listing: dict[str, Any], word: Callable[[Any], int]) -> list[Any]:
    """Return a listing whose texts are in the table of words."""
    rows = [[word(cell) for cell in row] for row in listing["rows"]]
    return [word(listing["title"]), [word(name) for name in listing["columns"]], rows]


def _timeline(timeline: dict[str, Any], word: Callable[[Any], int]) -> dict[str, Any]:
    """Return a timeline whose texts are in the table of words; what points share is packed once, as words too."""

    def shared(values: Any) -> int:
        return word(msgspec.json.encode(rounded(values)).decode())

    return {
        **{key: word(timeline[key]) for key in ("title", "unit", "step", "start", "curve_unit")},
        "limit": timeline["limit"],
        "curve": [word(timeline["curve"]["label"]), shared(timeline["curve"]["values"])],
        "areas": [[word(a["label"]), shared(a["baseline"]), rounded(a["values"])] for a in timeline["areas"]],
    }


def _roofline(roofline: dict[str, Any], word: Callable[[Any], int]) -> dict[str, Any]:
    """Return a roofline whose texts are in the table of words."""
    spots = [
        [word(s["label"]), s["x"], s["y"], s["share"], word(s["bound"]), s.get("before")] for s in roofline["spots"]
    ]
    texts = {key: word(roofline[key]) for key in ("title", "x_unit", "y_unit", "slope_unit")}
    return {**texts, "peak": roofline["peak"], "slope": roofline["slope"], "spots": spots}


def _typed(value: Any) -> tuple[str, Any]:
    return type(value).__name__, value


def _column(sheet: Sheet, field: Field, rows: Any) -> dict[str, Any]:
    values = sheet.columns[field.name]
    head = {"name": field.name, "role": field.role, "unit": field.unit, "per": field.per, "better": field.better}
    return head | pack([values[i] for i in rows])


def _thinned(sheet: Sheet) -> np.ndarray[Any, np.dtype[np.int64]]:
    total, front = len(sheet.columns["id"]), sheet.front_rows
    if total - front <= MOST_OTHERS:
        return np.arange(total)
    others = np.unique(np.linspace(front, total - 1, MOST_OTHERS).astype(np.int64))
    kept = [r for r in sheet.rows_with("baseline") if r >= front]
    return np.concatenate([np.arange(front), np.union1d(others, np.array(kept, np.int64))])


def _summed(tables: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in tables:
        total.update(table)
    return dict(total.most_common())


def title(sheet: Sheet) -> str:
    """Return the heading of a report."""
    return str(sheet.problem.get("title") or sheet.problem.get("name") or sheet.runs[0].name)


def header(sheet: Sheet) -> list[list[str]]:
    """Return what a reader must know before believing a number: label, text."""
    meta, problem = sheet.runs[0].meta, sheet.problem
    objectives = "; ".join(
        f"{f.name}: {f.better} is better" + (f", in {f.unit}" if f.unit else "") + (f" per {f.per}" if f.per else "")
        for f in sheet.of_role("objective")
    )
    spec = _mapping(meta.get("spec"))
    inner = _mapping(spec.get("spec")) or spec
    rows: list[tuple[str, Any]] = [("Problem", problem.get("name")), ("Model", inner.get("model"))]
    rows += [("Targets", _listed(inner.get("targets") or _levels(problem, "target"))), ("Objectives", objectives)]
    rows += [("Functional unit", problem.get("functional_unit"))]
    rows += [("Limits", "; ".join(str(c.get("text")) for c in problem.get("constraints") or ()) or "none")]
    for number, run in enumerate(sheet.runs):
        of = f" of run {number + 1}" if len(sheet.runs) > 1 else ""
        rows += [(label + of, text) for label, text in _provenance(run.meta, run.path.name)]
    return [[label, str(text)] for label, text in rows if text not in (None, "", "None")]


def _provenance(meta: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    host = meta.get("host") or {}
    machine = ", ".join(str(v) for v in (host.get("processor"), host.get("gpu")) if v)
    machine += f", {host['cores']} cores" if host.get("cores") else ""
    effort = (
        f"{meta.get('evaluations', 0):,} evaluations, engine {meta.get('engine', 'unknown')}, seed {meta.get('seed')}"
    )
    replay = (
        "deterministic: the same seed gives the same front"
        if meta.get("deterministic")
        else "measured: replayed from the journal"
    )
    return [
        ("Run", f"{name} ({meta.get('status', 'unknown')})"),
        ("Effort", effort),
        ("Repeatability", replay),
        ("Run time", f"{meta.get('wall_s', 0.0):.3g} s, started {meta.get('created', 'unknown')}"),
        ("Command", shlex.join(map(str, meta.get("argv") or ())) or meta.get("command")),
        ("Versions", ", ".join(f"{k} {v}" for k, v in (meta.get("versions") or {}).items())),
        ("Machine", machine),
    ]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _levels(problem: dict[str, Any], name: str) -> list[Any]:
    for parameter in problem.get("parameters") or ():
        if parameter.get("name") == name:
            return list(parameter.get("values") or ())
    return []


def _listed(values: Any) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values or "")


def quality(sheet: Sheet) -> list[list[Any]]:
    """Return how the front's objective values came about: source, count of values."""
    count: Counter[str] = Counter()
    for field in sheet.of_role("objective"):
        count.update(str(v) for v in sheet.columns[field.name + "_source"][: sheet.front_rows] if v)
    return [[name, number] for name, number in count.most_common()]


def views(sheet: Sheet) -> list[list[str]]:
    """Return the pairs to plot: those the problem asks for first, then every pair of objectives."""
    known = {f.name for f in sheet.fields if f.role != "parameter"}
    names = [f.name for f in sheet.of_role("objective")]
    asked = [list(v) for v in sheet.problem.get("views") or () if set(v) <= known]
    pairs = [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]]
    found = {tuple(sorted(v)): v for v in reversed(asked + pairs)}
    return list(reversed(found.values())) or [[names[0], names[0]]]


def history(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return hypervolume over evaluations as columns, thinned to 400 steps, with the marks at 95 and 99 %."""
    known = [e for e in entries if isinstance(e.get("hypervolume"), int | float)]
    last = known[-1]["hypervolume"] if known else 0.0
    marks = {
        str(share): next((e["evaluations"] for e in known if e["hypervolume"] >= last * share / 100.0), None)
        for share in ((95, 99) if last > 0.0 else ())
    }
    if len(known) > 400:
        known = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, 400).astype(int))]
    return {
        "evaluations": [e["evaluations"] for e in known],
        "hypervolume": [float(e["hypervolume"]) for e in known],
        "marks": marks,
    }
