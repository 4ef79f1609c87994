"""Accidents cost one evaluation: an exception, a dead process, a hang; inline and in workers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.search.driver import run_search
from codesign.search.executor import Executor
from codesign.search.problem import Results, Status
from codesign.testing.problems import Slow, Tradeoff


def points_of(problem: Any, batches: Any) -> Any:
    return np.concatenate([problem.space.encode(target="l4", tp=1, batch=b) for b in batches])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("accident", "status"), [("raise", Status.CRASHED), ("exit", Status.CRASHED)])
def test_a_crash_costs_one_evaluation(accident: Any, status: Any, workers: Any) -> None:
    problem = Slow(accidents={"7": accident})
    with Executor(problem, workers=workers) as executor:
        found = dict(executor.each(points_of(problem, [5, 6, 7, 8, 9])))
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [int(found[i].status[0]) for i in range(5)] == [0, 0, status, 0, 0]
    said = next(iter(found[2].reason_counts()))
    assert ("went wrong" in said) if accident == "raise" else ("exit code 3" in said)


def test_a_hang_costs_one_evaluation() -> None:
    problem = Slow(accidents={"7": "hang"})
    began = time.perf_counter()
    with Executor(problem, timeout=0.5) as executor:
        found = dict(executor.each(points_of(problem, [6, 7, 8])))
    assert time.perf_counter() - began < 20
    assert [int(found[i].status[0]) for i in range(3)] == [0, Status.TIMEOUT, 0]


def test_one_bad_point_in_a_block_leaves_the_others() -> None:
    class Fragile(Tradeoff):
        def evaluate(self, points: Any, stage: Any = 0) -> Any:
            if (points[:, 2] == 6).any():
                raise ZeroDivisionError("batch 7")
            return super().evaluate(points, stage)

    problem = Fragile()
    points = points_of(problem, range(1, 33))
    with Executor(problem) as executor:
        results = executor.batch(points)
    assert np.flatnonzero(results.status != Status.OK).tolist() == [6]
    assert results.reason_counts() == {"ZeroDivisionError: batch 7": 1}
    good = results.ok
    assert np.array_equal(results.objectives[good], Tradeoff().evaluate(points[good]).objectives)


def test_blocks_of_workers_are_joined_in_order() -> None:
    problem = Tradeoff()
    problem.block = 10
    points = problem.space.enumerate(0, 95)
    with Executor(problem, workers=2) as executor:
        results = executor.batch(points)
    assert np.array_equal(results.objectives, problem.evaluate(points).objectives)


def test_a_search_survives_its_accidents(tmp_path: Path) -> None:
    problem = Slow(accidents={"7": "raise", "9": "exit"})
    run = run_search(problem, engine="exhaustive", evaluations=30, directory=tmp_path / "run")
    assert run.front["status_counts"]["crashed"] == 2


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    marker = tmp_path / "log"
    code = (
        "import sys, os\nfrom codesign.search.executor import Executor\nfrom codesign.testing.problems import Slow\n"
        "p = Slow(delay=30.0, log=sys.argv[1])\ne = Executor(p, workers=2)\n"
        "import numpy as np\nrun = e.each(p.space.enumerate(0, 2))\n"
        "import threading, time\nthreading.Thread(target=lambda: next(run), daemon=True).start()\n"
        "while not any(w._process for w in e._workers): time.sleep(0.01)\n"
        "time.sleep(0.5)\nprint([w._process.pid for w in e._workers if w._process], flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(marker)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(p) for p in process.stdout.readline().strip("[]\n").split(",")]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(alive(p) for p in pids):
        time.sleep(0.05)
    assert not any(alive(p) for p in pids)


def alive(pid: Any) -> Any:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_failed_rows_have_no_values() -> None:
    rows = Results.failed(3, Tradeoff(), Status.TIMEOUT, "late", 1.5)
    assert np.isinf(rows.objectives).all()
    assert rows.reason_counts() == {"late": 3}
    assert np.isinf(rows.violation).all()
