"""Any search problem as a Gymnasium environment: an agent chooses a design, its costs come back as a reward.

An episode is one step. Everything evaluated is in a run directory, like that of any search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import EnvironmentLacks, LimitCrossed
from codesign.search.problem import Problem
from codesign.search.reward import PENALTY, Reward, Scorer
from codesign.search.step_record import Step, StepRecord

if TYPE_CHECKING:
    from codesign.search.gym_environment import SearchEnvironment

TRIES = 64
"""Random designs tried for a reference where the problem has no baseline."""


def make_env(
    problem: Problem,
    *,
    reward: Reward = "mean",
    penalty: float = PENALTY,
    directory: Path | str | None = None,
    seed: int = 0,
    details: bool = True,
    timeout: float | None = None,
    force: bool = False,
    argv: Sequence[str] = (),
) -> SearchEnvironment:
    """Return ``problem`` as an environment; ``close`` it to have its run written out.

    The design that rewards compare with, and that ``reset`` observes, is the problem's baseline, or else the first of
    64 random ones that has values.

    Args:
        problem: What to search.
        reward: ``mean`` gain over the reference (see ``codesign.search.reward``), ``vector`` of gains, weights by
            objective, or a function of the values of a feasible design.
        penalty: Taken from the reward of designs that are not feasible, once or twice.
        directory: Run directory; None for ``runs/<time>-<problem>-environment``.
        seed: Of the random reference; recorded.
        details: Put the problem's breakdown of every design into ``info``.
        timeout: Longest time of one evaluation, s.
        force: Replace the run that is there.
        argv: Command line, recorded.

    Raises:
        EnvironmentLacks: Gymnasium is not installed.
        UsageError: the space has no knobs, the directory is taken, or the reward makes no sense.
        LimitCrossed: no design with values was found to compare with.
    """
    try:
        from codesign.search.gym_environment import SearchEnvironment, spaces_of
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "gymnasium":
            raise
        raise EnvironmentLacks("environments need gymnasium", "pip install 'codesign[gym]'") from None
    spaces = spaces_of(problem)
    Scorer(problem, reward, np.ones(len(problem.objectives)), penalty)  # a wrong reward is refused before any work
    record = StepRecord(problem, directory=directory, seed=seed, timeout=timeout, force=force, argv=argv)
    try:
        reference = _reference(record, seed)
        scorer = Scorer(problem, reward, reference.results.objectives[0], penalty)
    except BaseException:
        record.close()
        raise
    return SearchEnvironment(record, spaces, scorer, reference, details)


def _reference(record: StepRecord, seed: int) -> Step:
    """Return the first design with values: the baseline, or a random one."""
    baseline = record.problem.baseline()
    if baseline is not None:
        step = record.evaluate(np.atleast_2d(baseline))
        if np.isfinite(step.results.objectives).all():
            return step
    for point in record.problem.space.sample(np.random.Generator(np.random.Philox(key=seed)), TRIES):
        step = record.evaluate(point[None])
        if np.isfinite(step.results.objectives).all():
            return step
    reason = step.results.reasons[int(step.results.reason[0])] if step.results.reason[0] >= 0 else "no values"
    raise LimitCrossed(
        f"none of {TRIES} random designs has values to compare with; the last: {reason}",
        f"widen the space, or give the problem a baseline; the run is in {record.run.path}",
    )
