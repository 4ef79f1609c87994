"""Evaluations that somebody else chooses, one after the other, recorded as a run that can be reported on.

The directory is that of a search with every design kept: one batch a design for cheap problems, one line for dear ones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from codesign.run import create_run
from codesign.search.derive import rebuild
from codesign.search.executor import Executor
from codesign.search.outcome import fingerprint_of
from codesign.search.problem import Points, Problem, Results
from codesign.search.recorder import Recorder, batch_line, evaluation_line
from codesign.search.rows import Rows
from codesign.search.settings import Settings, problem_section

ENGINE = "environment"
"""Named as the engine of such runs: whoever calls ``evaluate`` is."""


class Step(NamedTuple):
    """One evaluated design: its number in the run, the point (1 row) and its results (1 row)."""

    number: int
    point: Points
    results: Results


class StepRecord:
    """A run directory under way; ``close`` it to get the derived files. One process writes at a time."""

    def __init__(
        self,
        problem: Problem,
        *,
        directory: Path | str | None = None,
        seed: int = 0,
        timeout: float | None = None,
        force: bool = False,
        argv: Sequence[str] = (),
    ) -> None:
        """Make the directory.

        Args:
            problem: What is evaluated.
            directory: Where; None for ``runs/<time>-<problem>``.
            seed: Recorded; whoever chooses designs should draw with it.
            timeout: Longest time of one evaluation, s.
            force: Replace the run that is there.
            argv: Command line, recorded.

        Raises:
            UsageError: the directory is taken, or a setting is wrong.
        """
        asked = Settings.check(
            engine="random", options={}, evaluations=None, time_limit=None, seed=seed, keep="all", timeout=timeout,
            reference=None, workers=1, problem=problem,
        )  # fmt: skip
        stored = {**asked.stored(), "engine": ENGINE, "evaluations": None, "sized_for": None}
        self.problem = problem
        self.run = create_run(
            directory, f"{problem.name}-environment", command="environment", argv=argv, force=force,
            fields={
                "seed": seed, "engine": ENGINE, "deterministic": problem.deterministic, "evaluations": 0,
                "spec": {"problem": problem.name, "spec": problem.spec(), "search": stored},
                "fingerprint": fingerprint_of(problem, asked), "problem": problem_section(problem),
            },
        )  # fmt: skip
        self._recorder = Recorder(asked.objectives, asked.kept, seed)
        self._journal = self.run.writer(sync_each=problem.dear)
        self._executor = Executor(problem, timeout=timeout)
        self._executor.__enter__()
        self._began = time.perf_counter()
        self._closed = False
        dtype = problem.space.sample(np.random.Generator(np.random.Philox(key=0)), 0).dtype.str
        self._journal.append({"kind": "start", "schema_version": 1, "points": dtype, "dear": problem.dear})

    @property
    def seconds(self) -> float:
        """Seconds since the record was opened."""
        return time.perf_counter() - self._began

    def evaluate(self, point: Points) -> Step:
        """Evaluate ``point`` (1 row), append it to the journal, and return it.

        A design that raises, crashes its worker or runs out of time has that as its status and reason.
        """
        results = self._executor.batch(point)
        number = self._recorder.evaluations
        rows = Rows(np.array([number], np.int64), point, results)
        kept = self._recorder.fold(rows)
        front = self._recorder.front_size
        line = (
            evaluation_line(number, 1, rows, self.seconds)
            if self.problem.dear
            else batch_line(number, 1, rows, kept, front, self.seconds)
        )
        self._journal.append(line)
        return Step(number, point, results)

    def close(self) -> None:
        """End the run and write its derived files; further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        seconds = self.seconds
        self._executor.__exit__(None, None, None)
        self._journal.append({"kind": "end", "status": "finished", "seconds": round(seconds, 6)})
        self._journal.close()
        derived = rebuild(self.run, self.problem)
        self.run.update(
            status="finished", evaluations=derived.evaluations, feasible=derived.feasible, wall_s=round(seconds, 3)
        )
