"""The public call of the searches: a kind, a question, effort; out comes a run directory."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from codesign.errors import UsageError
from codesign.run import Run
from codesign.search import driver
from codesign.search.problem import Problem
from codesign.search.problems import make_problem


def run_search(
    kind: str | Problem,
    spec: Mapping[str, Any] | None = None,
    *,
    verify: int = 0,
    rounds: int = 1,
    dry_run: bool = False,
    argv: Sequence[str] = (),
    **effort: Any,
) -> Run | None:
    """Search a problem and return its run.

    Args:
        kind: the name of a problem (``deployment``), or a problem.
        spec: the question, as the problem's spec.
        verify: measure this many front points on this machine, recalibrate and re-rank.
        rounds: rounds of that.
        dry_run: describe the space on stderr and return None.
        argv: the command line, recorded in the run.
        **effort: as ``run_search``: engine, evaluations, time_limit, seed, workers, keep, directory, force, resume.

    Raises:
        UsageError: unknown names or absurd values.
        LimitCrossed: nothing is feasible under the stated limits.
    """
    problem = make_problem(kind, dict(spec or {})) if isinstance(kind, str) else kind
    if verify < 0 or rounds < 1:
        raise UsageError(f"verify is {verify}, rounds is {rounds}", "expected verify >= 0 and rounds >= 1")
    if dry_run:
        size = "endless" if problem.space.size is None else f"{problem.space.size:,} designs"
        sys.stderr.write(f"{problem.question}\nspace: {size}\n")
        for parameter in problem.space.describe():
            values = parameter.get("values") or f"{parameter.get('low')} to {parameter.get('high')}"
            sys.stderr.write(f"  {parameter['name']}: {values}\n")
        return None
    run = driver.run_search(problem, argv=tuple(argv), **effort)
    if verify:
        from codesign.search.verify import verify_run

        verify_run(run, problem, count=verify, rounds=rounds)
    return run
