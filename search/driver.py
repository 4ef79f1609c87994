"""The search itself: ask, evaluate, tell, record; resume from the journal alone.

Cheap deterministic problems get a journal line a batch and an engine state now and then; what was lost is
recomputed and must come out bit for bit. Dear problems get a line an evaluation; resuming asks the engine
again from the start and answers from the journal, so no finished evaluation is lost.
"""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import CodesignError, DataError, EnvironmentLacks, Interrupted
from codesign.run import Journal, Run, create_run, load_run
from codesign.search.derive import Derived, rebuild
from codesign.search.engine import Engine
from codesign.search.executor import Executor
from codesign.search.outcome import check_feasible, check_fingerprint, fingerprint_of
from codesign.search.problem import Points, Problem, Results
from codesign.search.problems import make_problem
from codesign.search.recorder import Recorder, batch_line, digest, evaluation_line
from codesign.search.replay import Replay, replay
from codesign.search.rows import Rows
from codesign.search.settings import Settings, problem_section

STATE_GROWTH = 1.25
"""A cheap search saves its engine each time the evaluations grew by this factor, and at the end."""
STATE_EVERY_S = 10.0
"""And at least this often while the evaluations grew by a twentieth, s."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands; ``front`` holds the minimised objectives of the front (K, M)."""

    evaluations: int
    budget: int | None
    feasible: int
    front_size: int
    seconds: float
    front: NDArray[np.float64]


def run_search(
    problem: Problem,
    *,
    engine: str = "nsga2",
    options: Mapping[str, Any] | None = None,
    evaluations: int | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    directory: Path | str | None = None,
    keep: str = "sample:2000",
    workers: int = 1,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    force: bool = False,
    reference: Sequence[float] | None = None,
    command: str = "search",
    argv: Sequence[str] = (),
) -> Run:
    """Search ``problem`` and return its run directory, derived files written.

    Args:
        problem: what to search.
        engine: ``exhaustive``, ``random``, ``nsga2``, ``local`` or ``optuna:<sampler>``.
        options: the engine's own options, such as ``{"population": 50}``.
        evaluations: the budget; None means everything for ``exhaustive``, no limit with a time limit, else 10,000.
        time_limit: stop after this many seconds.
        seed: the same seed gives the same front, bit for bit, whatever ``workers`` is (deterministic problems).
        directory: the run directory to make; None for ``runs/<time>-<problem>``. With ``resume``, the one to continue.
        keep: rows kept beside the front: ``front``, ``sample:N`` or ``all``.
        workers: processes that evaluate.
        timeout: longest time of one evaluation, s.
        progress: called after each batch.
        resume: continue the run in ``directory`` with the settings stored there.
        force: replace the run in ``directory``.
        reference: reference point of the hypervolume as shown; chosen from the front where None.
        command: the command as typed after ``codesign``.
        argv: the command line.

    Raises:
        UsageError: bad settings, an existing directory, a second writer, or inputs that changed since the run began.
        LimitCrossed: nothing is feasible; the run is written and its counts are in the message.
        Interrupted: Ctrl-C; everything finished is saved.
        EnvironmentLacks: the disk is full or read-only.
    """
    if resume:
        if directory is None:
            raise DataError("nothing to resume", "name the run directory")
        return resume_search(
            directory,
            problem=problem,
            evaluations=evaluations,
            time_limit=time_limit,
            workers=workers,
            progress=progress,
        )
    asked = Settings.check(
        engine=engine,
        options=dict(options or {}),
        evaluations=evaluations,
        time_limit=time_limit,
        seed=seed,
        keep=keep,
        timeout=timeout,
        reference=reference,
        workers=workers,
        problem=problem,
    )
    asked.make_engine(problem)  # an engine that cannot search this space is refused before anything is written
    run = create_run(
        directory,
        problem.name,
        command=command,
        argv=argv,
        force=force,
        fields={
            "seed": seed,
            "engine": engine,
            "deterministic": problem.deterministic,
            "evaluations": 0,
            "spec": {"problem": problem.name, "spec": problem.spec(), "search": asked.stored()},
            "fingerprint": fingerprint_of(problem, asked),
            "problem": problem_section(problem),
        },
    )
    with run.writer(sync_each=problem.dear) as journal:
        search = _Search(problem, asked, run, journal, workers, progress)
        return search.go(None)


def resume_search(
    directory: Path | str,
    *,
    problem: Problem | None = None,
    evaluations: int | None = None,
    time_limit: float | None = None,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Continue the search in ``directory`` where its journal ends.

    Args:
        directory: the run directory.
        problem: the problem; built from the stored spec where None.
        evaluations: a new total budget; the stored one where None.
        time_limit: a new limit for this sitting, s; the stored one where None.
        workers: processes that evaluate; free to differ from before.
        progress: called after each batch.

    Raises:
        UsageError: inputs changed since the run began (named), or another process writes there.
    """
    run = load_run(directory)
    if "search" not in run.meta.get("spec", {}):
        raise DataError(f"{run.path} is no search", "only a search can be resumed")
    asked = Settings.restore(run.meta["spec"]["search"], evaluations, time_limit)
    if problem is None:
        problem = make_problem(run.meta["spec"]["problem"], run.meta["spec"]["spec"])
    check_fingerprint(run, fingerprint_of(problem, asked))
    with run.writer(sync_each=problem.dear) as journal:
        before = replay(run.journal_path, asked.stored(), until_state=not problem.dear)
        before.torn = journal.dropped
        run.meta["spec"]["search"] = asked.stored()
        run.update(status="running")
        journal.append({"kind": "resume", "seconds": before.seconds, "torn": before.torn})
        return _Search(problem, asked, run, journal, workers, progress).go(before)


@contextmanager
def _unstoppable() -> Iterator[None]:
    """Ignore further Ctrl-C while the run is being saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Search:
    """One sitting of one search."""

    def __init__(
        self,
        problem: Problem,
        asked: Settings,
        run: Run,
        journal: Journal,
        workers: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.problem, self.asked, self.run, self.journal, self.progress = problem, asked, run, journal, progress
        self.workers = workers
        self.engine: Engine = asked.make_engine(problem)
        self.recorder = Recorder(asked.objectives, asked.kept, asked.seed)
        self.batch = 0
        self.began = time.perf_counter()
        self.earlier_s = 0.0
        self.saved_at, self.saved_evaluations = self.began, 0
        self.between_batches = True
        self.asked_for = 0
        self.sizes: dict[int, int] = {}

    @property
    def seconds(self) -> float:
        """Seconds of search so far, over all sittings."""
        return self.earlier_s + time.perf_counter() - self.began

    @property
    def _resume_line(self) -> str:
        """The command that continues this run."""
        return f"codesign search --resume {shlex.quote(str(self.run.path))}"

    def go(self, before: Replay | None) -> Run:
        """Search until the budget, the time or the space ends; then derive the files."""
        digests, known = self._restore(before)
        if before is None:
            points = self.problem.space.sample(np.random.Generator(np.random.Philox(key=0)), 0)
            header = {"kind": "start", "schema_version": 1, "points": points.dtype.str, "dear": self.problem.dear}
            self.journal.append(header)
        status = "interrupted"
        stopped = False
        try:
            with Executor(self.problem, workers=self.workers, timeout=self.asked.timeout) as executor:
                self._loop(executor, digests, known)
            status = "finished"
        except KeyboardInterrupt:
            stopped = True
        except EnvironmentLacks as error:
            self._mark("interrupted")
            raise EnvironmentLacks(error.message, f"{error.hint}; then continue with: {self._resume_line}") from None
        except CodesignError:
            self._mark("interrupted")
            raise
        with _unstoppable() if stopped else nullcontext():
            derived = self._finish(status)
        if stopped:
            raise Interrupted(
                f"interrupted after {derived.evaluations} evaluations, all saved in {self.run.path}",
                f"continue with: {self._resume_line}",
            )
        check_feasible(self.run, derived, self.problem)
        return self.run

    def _restore(self, before: Replay | None) -> tuple[dict[int, str], dict[int, Rows]]:
        """Take over what the journal knows; return digests to reproduce and evaluations to reuse."""
        if before is None:
            return {}, {}
        self.earlier_s, self.sizes = before.seconds, before.sizes
        if before.state is not None:
            self.recorder = before.recorder
            self.engine.restore(before.state["engine"])
            self.batch = before.state["batch"] + 1
            self.saved_evaluations = self.recorder.evaluations
        return before.digests, before.evaluations

    def _loop(self, executor: Executor, digests: dict[int, str], known: dict[int, Rows]) -> None:
        while not self._spent():
            self.between_batches = False
            points = self._next_points()
            if not len(points):
                self.between_batches = True
                return
            ids = np.arange(self.recorder.evaluations, self.recorder.evaluations + len(points), dtype=np.int64)
            if self.problem.dear:
                results = self._dear(executor, points, ids, known)
                if results is None:
                    return  # out of time inside a batch: its finished evaluations are in the journal
            else:
                results = executor.batch(points)
            rows = Rows(ids, points, results)
            self.engine.tell(points, results)
            kept = self.recorder.fold(rows)
            if not self.problem.dear:
                self._journal_batch(rows, kept, digests)
            self.between_batches = True
            self.batch += 1
            self._save_state(force=False)
            self._report()

    def _spent(self) -> bool:
        limit, budget = self.asked.time_limit, self.asked.evaluations
        late = limit is not None and time.perf_counter() - self.began >= limit
        return late or (budget is not None and self.recorder.evaluations >= budget)

    def _next_points(self) -> Points:
        """Return baseline and seeds as batch 0 where there are any, then what the engine asks for."""
        if self.batch == 0:
            given = [points for points in (self.problem.baseline(), self.problem.seeds()) if points is not None]
            if given:
                points = np.concatenate(given)[: self.asked.evaluations]
                self.asked_for = len(points)
                return points
            self.batch = 1
        budget = self.asked.evaluations
        left = self.engine.batch if budget is None else min(self.engine.batch, budget - self.recorder.evaluations)
        self.asked_for = self.sizes.get(self.batch, left)  # a batch that is asked again is asked at its old size
        return self.engine.ask(self.asked_for)

    def _dear(
        self, executor: Executor, points: Points, ids: NDArray[np.int64], known: dict[int, Rows]
    ) -> Results | None:
        """Evaluate what the journal does not know yet, a line each; None when time ran out."""
        found: dict[int, Results] = {}
        for place, number in enumerate(ids.tolist()):
            if number in known:
                if not np.array_equal(known[number].points[0], points[place]):
                    raise DataError(
                        f"{self.run.journal_path}: evaluation {number} is of another point than the engine asks for",
                        "the journal and run.json do not belong together: start a new run",
                    )
                found[place] = known[number].results
        missing = [place for place in range(len(points)) if place not in found]
        if missing:
            for at, result in executor.each(points[missing]):
                place = missing[at]
                found[place] = result
                row = Rows(ids[place : place + 1], points[place : place + 1], result)
                self.journal.append(evaluation_line(self.batch, self.asked_for, row, self.seconds))
                limit = self.asked.time_limit
                if limit is not None and time.perf_counter() - self.began >= limit and len(found) < len(points):
                    return None
        return Results.concatenate([found[place] for place in range(len(points))])

    def _journal_batch(self, rows: Rows, kept: NDArray[np.bool_], digests: dict[int, str]) -> None:
        if self.batch == 0:
            kept = np.ones_like(kept)  # the baseline stays
        if self.batch not in digests:
            front = self.recorder.front_size
            self.journal.append(batch_line(self.batch, self.asked_for, rows, kept, front, self.seconds))
        elif digests[self.batch] != digest(rows.results):
            raise DataError(
                f"{self.run.journal_path}: batch {self.batch} came out differently when recomputed",
                "this machine or its libraries differ from those of the run: start a new one",
            )

    def _save_state(self, *, force: bool) -> None:
        if self.problem.dear:
            return
        count, now = self.recorder.evaluations, time.perf_counter()
        grown = count >= STATE_GROWTH * self.saved_evaluations
        due = now - self.saved_at > STATE_EVERY_S and count >= 1.05 * self.saved_evaluations
        if count > self.saved_evaluations and (grown or due or force):
            line = {"kind": "state", "batch": self.batch - 1, "evaluations": count, "engine": self.engine.state()}
            self.journal.append(line)
            self.saved_at, self.saved_evaluations = now, count

    def _report(self) -> None:
        if self.progress is not None:
            r = self.recorder
            front = (r.archives[False] if len(r.archives[False]) else r.archives[True]).values
            self.progress(
                Progress(r.evaluations, self.asked.evaluations, r.feasible, r.front_size, self.seconds, front)
            )

    def _finish(self, status: str) -> Derived:
        """Save the engine, close the journal's account, write the derived files and ``run.json``."""
        if self.between_batches:
            self._save_state(force=True)
        self.journal.append({"kind": "end", "status": status, "seconds": round(self.seconds, 6)})
        derived = rebuild(self.run, self.problem)
        self.run.update(
            status=status, evaluations=derived.evaluations, feasible=derived.feasible, wall_s=round(self.seconds, 3)
        )
        return derived

    def _mark(self, status: str) -> None:
        with suppress(CodesignError):  # the error on its way out says why
            self.run.update(status=status, evaluations=self.recorder.evaluations, wall_s=round(self.seconds, 3))
