"""What ends a search badly: inputs that changed since it began, or nothing feasible."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from codesign.errors import LimitCrossed, UsageError
from codesign.run import Run, versions
from codesign.search.derive import Derived
from codesign.search.problem import Problem
from codesign.search.settings import Settings


def fingerprint_of(problem: Problem, asked: Settings) -> dict[str, str]:
    """Return name -> digest of everything that decides the result."""
    return {
        "space": _digest(problem.space.to_json()),
        "objectives": _digest(msgspec.to_builtins(problem.objectives)),
        "constraints": _digest(msgspec.to_builtins(problem.constraints)),
        "engine": _digest([asked.engine, asked.options]),
        "seed": str(asked.seed),
        "codesign": versions(())["codesign"],
        **problem.fingerprint(),
    }


def _digest(data: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(data, order="deterministic"), digest_size=8).hexdigest()


def check_fingerprint(run: Run, now: dict[str, str]) -> None:
    """Raise ``UsageError`` naming the inputs that changed since ``run`` began."""
    then = run.meta.get("fingerprint", {})
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if changed:
        raise UsageError(
            f"cannot resume {run.path}: changed since it began: {', '.join(changed)}",
            "restore them, or start a new run",
        )


def check_feasible(run: Run, derived: Derived, problem: Problem) -> None:
    """Raise ``LimitCrossed`` with the counts by reason when no point is feasible."""
    if derived.feasible:
        return
    ordered = sorted(derived.reasons.items(), key=lambda item: (-item[1], item[0]))
    top = [f"{number} x {reason}" for reason, number in ordered[:4]]
    more = len(derived.reasons) - len(top)
    raise LimitCrossed(
        f"none of {derived.evaluations} points is feasible: {'; '.join(top) or 'no point was evaluated'}"
        + (f"; and {more} more reasons" if more > 0 else ""),
        f"{problem.nearest_miss() or 'relax a limit or widen the space'}; the run is in {run.path}",
    )
