"""``codesign validate --cases FILE``: the values of a case file beside those it expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.output import Table, note, show
from codesign.errors import DataError, LimitCrossed, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codesign.cases import Outcome

HEADS = ("case", "value", ">ours", ">expected", ">published", ">error", "")
DIGITS = 6


def validate_cases(ctx: typer.Context, file: str, json: bool) -> None:
    """Evaluate every case of a file, show all of them, then exit 2 on one that failed and 4 on one that missed."""
    from codesign.cases import run_cases

    outcomes = run_cases(file)
    by_status = {s: [o for o in outcomes if o.status == s] for s in ("ok", "missed", "computed", "skipped", "failed")}
    counts = {status: len(some) for status, some in by_status.items()}
    top = {
        "cases": [{"id": o.id, "values": o.values} for o in outcomes if o.status in ("ok", "missed", "computed")],
        "skipped": [{"id": o.id, "reason": o.error} for o in by_status["skipped"]],
        "failed": [{"id": o.id, "error": o.error, "hint": o.hint} for o in by_status["failed"]],
        "unknown": [{"id": o.id, "value": name, "reason": why} for o in outcomes for name, why in o.reasons.items()],
        "summary": counts,
    }
    results = [_result(o) for o in outcomes]
    rows = [row for o in outcomes for row in _rows(o)]
    heads = _used(HEADS, rows)
    table = Table("", tuple(HEADS[place] for place in heads), [[row[place] for place in heads] for row in rows])
    summary = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    notes = [f"{o.id}: {name} is not known: {why}" for o in outcomes for name, why in o.reasons.items()]
    notes += [f"{o.id} skipped: {o.error}" for o in by_status["skipped"]]
    show(ctx, results, [table] if rows else [], as_json=json, notes=notes, top=top)
    note(ctx, f"{len(outcomes)} cases: {summary}")
    if by_status["failed"]:
        raise _failed(file, by_status["failed"])
    if by_status["missed"]:
        names = ", ".join(o.id for o in by_status["missed"][:10])
        raise LimitCrossed(f"{counts['missed']} of {len(outcomes)} cases missed", f"outside their tolerance: {names}")


def _result(outcome: Outcome) -> dict[str, Any]:
    """Return what ``--json`` tells of the comparison; the values stand under ``cases``."""
    return {
        "id": outcome.id, "kind": outcome.kind, "source": outcome.source, "status": outcome.status,
        "comparisons": outcome.comparisons, "published": outcome.published,
    }  # fmt: skip


def _rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """Yield a row a value: those compared first, as they were expected."""
    from codesign.cases import leaves

    published = {name: _shown(value) for name, value in outcome.published.items()}
    compared = {c.name: c for c in outcome.comparisons}
    for c in outcome.comparisons:
        error = "" if c.error is None else _difference(c.error)
        verdict = "ok" if c.passed else "MISS"
        yield outcome.id, c.name, _shown(c.found), _shown(c.expected), published.get(c.name, ""), error, verdict
    for name, value in leaves(outcome.values):
        if name not in compared:
            yield outcome.id, name, _shown(value), "", published.get(name, ""), "", ""


def _difference(error: float) -> str:
    """Return a relative difference: in percent where that shows it, 0 where it is rounding."""
    if abs(error) < 1e-12:
        return "0"
    return f"{error:+.1e}" if abs(error) < 1e-4 else f"{error:+.2%}"


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "value" in value:
        ends = f" [{_shown(value['low'])} to {_shown(value['high'])}]" if "low" in value and "high" in value else ""
        return _shown(value["value"]) + ends
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.{DIGITS}g}"
    return "null" if value is None else printable(str(value), 60)


def _used(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns that hold anything."""
    return [place for place in range(len(heads)) if place < 3 or any(row[place] for row in rows)]


def _failed(file: str, failed: Sequence[Outcome]) -> DataError:
    first = failed[0]
    more = f", and {len(failed) - 1} more: {', '.join(o.id for o in failed[1:6])}" if len(failed) > 1 else ""
    return DataError(f"{file}: {first.id} ({first.kind}): {first.error}{more}", first.hint)
