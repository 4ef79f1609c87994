"""Where points are evaluated: in this process, or in worker processes scheduled by resource.

Batches are cut into blocks of a size that the problem fixes, so that a result never depends on how many
workers share them. An evaluation that raises, crashes its process or runs out of time costs one evaluation:
its block is halved until the culprit stands alone.
"""

from __future__ import annotations

import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from codesign import errors
from codesign.errors import CodesignError, EnvironmentLacks
from codesign.search.engine import pack
from codesign.search.problem import Points, Problem, Results, Status
from codesign.search.rows import from_wire, merge_stages, survivors


@dataclass(frozen=True, slots=True)
class Task:
    """Some points to evaluate; ``start`` is the place of the first in its batch.

    ``worker`` is the one that had these points in their last stage: it may still hold what it made of them.
    """

    start: int
    points: Points
    stage: int
    worker: int | None = None


class Executor:
    """Evaluates batches of one problem. Use as a context manager: leaving it ends the workers."""

    def __init__(self, problem: Problem, *, workers: int = 1, timeout: float | None = None) -> None:
        """Set up; nothing starts before the first evaluation.

        Args:
            problem: what to evaluate.
            workers: processes; 1 evaluates inline unless the problem asks for isolation or a timeout is given.
            timeout: longest time for one evaluation, s.
        """
        self.problem, self.timeout = problem, timeout
        self.isolated = workers > 1 or timeout is not None or problem.isolated
        self._workers = [_Worker(problem, number) for number in range(workers)] if self.isolated else []
        self._had: dict[int, int] = {}  # place in the batch -> worker that evaluated it last

    def batch(self, points: Points) -> Results:
        """Return the results of a whole batch after all stages."""
        results = self._stage(points, 0)
        for stage in range(1, len(self.problem.stages)):
            alive = survivors(results)
            if len(alive):
                results = merge_stages(self.problem, results, alive, self._stage(points[alive], stage))
        return results

    def one_stage(self, points: Points, stage: int) -> Results:
        """Return the results of a batch of one stage alone."""
        return self._stage(points, stage)

    def each(self, points: Points) -> Iterator[tuple[int, Results]]:
        """Yield (place in ``points``, results of that one point) as evaluations finish, stage by stage."""
        earlier: dict[int, Results] = {}
        alive = list(range(len(points)))
        self._had.clear()
        for stage in range(len(self.problem.stages)):
            last = stage == len(self.problem.stages) - 1
            tasks = deque(Task(i, points[i : i + 1], stage, self._had.get(i)) for i in alive)
            alive = []
            for start, found in self._run(tasks):
                if start in earlier:
                    found.cost_s[...] = found.cost_s + earlier[start].cost_s
                if last or found.status[0] != Status.OK:
                    yield start, found
                else:
                    earlier[start] = found
                    alive.append(start)
            alive.sort()

    def _stage(self, points: Points, stage: int) -> Results:
        block = self.problem.block
        tasks = deque(Task(s, points[s : s + block], stage) for s in range(0, len(points), block))
        found = dict(self._run(tasks))
        return Results.concatenate([found[start] for start in sorted(found)])

    def _run(self, tasks: deque[Task]) -> Iterator[tuple[int, Results]]:
        return self._run_in_workers(tasks) if self.isolated else self._run_inline(tasks)

    def _run_inline(self, tasks: deque[Task]) -> Iterator[tuple[int, Results]]:
        while tasks:
            task = tasks.popleft()
            began = time.perf_counter()
            try:
                results = self.problem.evaluate(task.points, task.stage)
            except CodesignError:
                raise
            except Exception as error:
                results_or_none = self._failed(task, tasks, Status.CRASHED, f"{type(error).__name__}: {error}", began)
                if results_or_none is None:
                    continue
                results = results_or_none
            yield task.start, results

    def _failed(self, task: Task, tasks: deque[Task], status: Status, reason: str, began: float) -> Results | None:
        """Return the failure of a single point; put the halves of a block in front of the queue instead."""
        if len(task.points) == 1:
            return Results.failed(1, self.problem, status, reason, time.perf_counter() - began)
        half = len(task.points) // 2
        tasks.appendleft(Task(task.start + half, task.points[half:], task.stage))
        tasks.appendleft(Task(task.start, task.points[:half], task.stage))
        return None

    def _run_in_workers(self, tasks: deque[Task]) -> Iterator[tuple[int, Results]]:
        with selectors.DefaultSelector() as selector:
            busy: set[_Worker] = set()
            while tasks or busy:
                limit = 1 if tasks and self.problem.stages[tasks[0].stage].resource != "any" else len(self._workers)
                while tasks and len(busy) < limit:
                    task = tasks.popleft()
                    # free workers, the one that had the points first
                    worker = min(set(self._workers) - busy, key=lambda w: (w.number != task.worker, w.number))
                    worker.send(task, self.timeout)
                    selector.register(worker.answers, selectors.EVENT_READ, worker)
                    busy.add(worker)
                wait = min((w.deadline for w in busy), default=np.inf) - time.perf_counter()
                ready = selector.select(max(0.0, wait) if np.isfinite(wait) else None)
                late = [w for w in busy if time.perf_counter() > w.deadline]
                for worker in dict.fromkeys([key.data for key, _ in ready] + late):
                    descriptor = worker.answers
                    done = self._collect(worker, tasks, late=worker in late)
                    if done is _WAIT:
                        continue
                    selector.unregister(descriptor)
                    busy.discard(worker)
                    if worker.broken:
                        worker.stop()
                    if isinstance(done, Results):
                        self._had[worker.task.start] = worker.number
                        yield worker.task.start, done

    def _collect(self, worker: _Worker, tasks: deque[Task], *, late: bool) -> Results | object:
        answer = worker.receive() if not late else None
        if answer is _WAIT:
            return _WAIT
        task, began = worker.task, worker.began
        if late:
            worker.broken = True
            return self._failed(task, tasks, Status.TIMEOUT, f"took longer than {self.timeout:g} s", began)
        if answer is None:
            worker.broken = True
            return self._failed(task, tasks, Status.CRASHED, f"the evaluation crashed: {worker.death()}", began)
        assert isinstance(answer, dict)
        if "fatal" in answer:
            kind = getattr(errors, answer["fatal"], CodesignError)
            raise kind(answer["message"], answer["hint"])
        if "error" in answer:
            return self._failed(task, tasks, Status.CRASHED, answer["error"], began)
        return from_wire(answer["results"])

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_WAIT = object()
"""Nothing complete has arrived yet."""


class _Worker:
    """One worker process, started when first needed and again after it broke."""

    def __init__(self, problem: Problem, number: int) -> None:
        self.number, self._problem, self._served = number, problem, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()
        self.broken = False
        self.task: Task
        self.began = self.deadline = self._allowed = 0.0

    @property
    def answers(self) -> Any:
        """The pipe to read."""
        assert self._process is not None
        return self._process.stdout

    def send(self, task: Task, timeout: float | None) -> None:
        """Start evaluating ``task``."""
        if self._problem.served and self._served >= self._problem.served and task.stage == 0:
            self.stop()
        fresh = self._process is None
        if self._process is None:
            try:
                # Own session: Ctrl-C reaches the parent only, which then ends the workers in order.
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "codesign.search.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise EnvironmentLacks(f"cannot start a worker: {error}", "use --workers 1") from None
            self._buffer.clear()
            self.broken, self._served = False, 0
        self._served += len(task.points)
        self.task, self.began = task, time.perf_counter()
        self._allowed = np.inf if timeout is None else timeout * len(task.points)
        self.deadline = np.inf if fresh else self.began + self._allowed  # imports of a fresh worker do not count
        with suppress(BrokenPipeError):  # it died: reading finds out
            assert self._process.stdin is not None
            if fresh:
                self._process.stdin.write(msgspec.json.encode(self._hello()) + b"\n")
            self._process.stdin.write(msgspec.json.encode({"stage": task.stage, "points": pack(task.points)}) + b"\n")
            self._process.stdin.flush()

    def _hello(self) -> dict[str, Any]:
        """Return the first line a worker reads: how to build the problem."""
        kind = type(self._problem)
        spec = self._problem.worker_spec()
        return {"module": kind.__module__, "class": kind.__qualname__, "spec": spec, "path": sys.path}

    def receive(self) -> Any:
        """Return the answer, None when the process died, ``_WAIT`` when the answer is not complete."""
        chunk = self.answers.read1(1 << 20)
        if not chunk:
            return None
        self._buffer += chunk
        while (end := self._buffer.find(b"\n")) >= 0:  # readiness and the first answer may arrive together
            answer = msgspec.json.decode(bytes(self._buffer[:end]))
            del self._buffer[: end + 1]
            if "ready" not in answer:
                return answer
            self.began = time.perf_counter()
            self.deadline = self.began + self._allowed
        return _WAIT

    def death(self) -> str:
        """Say how the process ended."""
        assert self._process is not None
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """End the process, if any."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process = None
