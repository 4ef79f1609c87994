"""Program searches as a command asks for them: search, the same by random edits, and what of it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from codesign.errors import LimitCrossed, UsageError
from codesign.run import Run, load_run
from codesign.search import driver
from codesign.search.mlir.believe import believe
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.remeasure import SECONDS

EVALUATIONS = 400
TIMEOUT_S = 30.0
"""Longest evaluation of one mutant."""
RANDOM = "random"
"""Directory of the search by random edits, in a run's directory."""
ENGINES = ("gevo", "nsga2", "random", "local")


def search_programs(
    spec: Mapping[str, Any],
    *,
    engine: str = "gevo",
    evaluations: int | None = None,
    workers: int = 2,
    timeout: float | None = None,
    lost: float = 0.02,
    seconds: float = SECONDS,
    baseline: bool = True,
    problem: ProgramSearch | None = None,
    progress: Callable[[Any], None] | None = None,
    **effort: Any,
) -> Run:
    """Search edits of a program and return the run, its front measured again.

    Args:
        spec: The fields of ``ProgramSpec``.
        engine: ``gevo``, ``nsga2``, ``random`` or ``local``.
        evaluations: Mutants to evaluate; 400 where None and no time is given.
        workers: Processes that compile; each gets a processor of its own where there are enough.
        timeout: Longest evaluation of one mutant, s; 30 where None.
        lost: Error that a faster program may lose, where the spec does not say.
        seconds: Of timing for each member of the front, at the end.
        baseline: Whether to search by random edits too, with as many evaluations, where the spec does not say.
        problem: The problem, instead of the one that ``spec`` names.
        progress: Called after each batch.
        **effort: As of ``run_search``: time_limit, seed, directory, force, resume, keep, argv.

    Raises:
        UsageError: unknown names, or an engine that cannot search edits.
        DataError: a file is wrong, or data do not fit the program.
        EnvironmentLacks: a package or device is missing.
        LimitCrossed: no mutant is within the limits.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r} does not search edits", f"choose {', '.join(ENGINES)}")
    searched = ProgramSearch(**{"lost": lost, "random": baseline, **spec}) if problem is None else problem
    if evaluations is None and effort.get("time_limit") is None:
        evaluations = EVALUATIONS
    longest = TIMEOUT_S if timeout is None else timeout
    shared: dict[str, Any] = {"workers": workers, "progress": progress}
    run = driver.run_search(searched, engine=engine, evaluations=evaluations, timeout=longest, **shared, **effort)
    conclude(run, searched, seconds=seconds, **shared)
    return load_run(run.path)


def conclude(
    run: Run,
    problem: ProgramSearch,
    *,
    workers: int = 1,
    seconds: float = SECONDS,
    progress: Callable[[Any], None] | None = None,
) -> None:
    """Search by random edits as often as ``run`` did, where the spec asks for it, and measure its front again.

    Args:
        run: A finished search of ``problem``.
        problem: What was searched.
        workers: Processes that compile.
        seconds: Of timing for each member of the front.
        progress: Called after each batch of random edits.
    """
    other = None
    if problem.asked.random and run.meta["engine"] != "random":
        same: dict[str, Any] = {"seed": run.meta["seed"], "argv": run.meta.get("argv") or ()}
        same |= {"evaluations": run.meta["evaluations"], "timeout": run.meta["spec"]["search"]["timeout"]}
        same |= {"directory": run.path / RANDOM, "force": True}
        with suppress(LimitCrossed):  # random edits found nothing within the limits: there is nothing to compare with
            other = driver.run_search(problem, engine="random", workers=workers, progress=progress, **same)
    believe(run, problem, lost=problem.asked.lost, seconds=seconds, random=other)
