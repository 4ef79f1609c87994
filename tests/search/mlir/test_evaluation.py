"""Mutants are judged outside themselves, and an accident costs one mutant, never the search."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.search.driver import resume_search, run_search
from codesign.search.executor import Executor
from codesign.search.mlir.backends.registry import make_backend
from codesign.search.mlir.edits import Constant, Operand
from codesign.search.mlir.evaluate import Evaluator
from codesign.search.mlir.isolation import lock_directory
from codesign.search.mlir.prepare import Prepared
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.programs import AtenProgram, StableHloProgram
from codesign.search.mlir.remeasure import Bench
from codesign.search.mlir.store import Store
from codesign.search.problem import Results, Status
from codesign.testing.program_accidents import ABORT, HANG, MEMORY, Accidents, tiny

COSTS: dict[str, Any] = {"model": "tiny", "backend": "torch", "objectives": ("flops", "error"), "memory_gib": 1.0}


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tiny()


def constants(prepared: Prepared) -> list[int]:
    return [one.uid for one in prepared.program.graph.operations if one.constant is not None]


def evaluated(problem: Accidents, points: Any, *, workers: int = 2, timeout: float = 5.0) -> dict[int, Results]:
    with Executor(problem, workers=workers, timeout=timeout) as executor:
        return dict(executor.each(points))


def test_accidents_cost_one_mutant_each(prepared: Prepared) -> None:
    problem = Accidents(prepared=prepared, **COSTS)
    scale = constants(prepared)[0]
    values = [1.25, ABORT, 1.75, HANG, MEMORY, 3e38, 2.5]
    points = problem.edits.rows_of([(Constant(scale, value),) for value in values])
    found = evaluated(problem, points)
    wanted = [Status.OK, Status.CRASHED, Status.OK, Status.TIMEOUT, Status.CRASHED, Status.INVALID, Status.OK]
    for place, status in enumerate(wanted):
        assert found[place].status[0] == status, (place, found[place].reasons)
    assert "allocate" in found[4].reasons[0]  # the request failed; the process lives on
    assert "SIGABRT" in found[1].reasons[0]
    assert "NaN" in found[5].reasons[0]
    assert "5 s" in found[3].reasons[0]


def test_degenerate_mutants_are_flagged_and_never_ranked(prepared: Prepared, tmp_path: Path) -> None:
    graph = prepared.program.graph
    evaluator = Evaluator(prepared.program, make_backend("torch"), prepared.task, Store(tmp_path))
    product = next(one for one in graph.operations if len(one.operands) == 2)
    weight = next(-1 - i for i, one in enumerate(graph.arguments) if one.role == "weight")
    same = evaluator.judge((Operand(product.uid, 0, weight),))[0]  # the weight in place of the input
    assert "input" in same.refused or "constant" in same.refused
    scale = constants(prepared)[0]
    nothing = evaluator.judge((Constant(scale, 0.0),))[0]
    assert nothing.refused == "the output is constant"
    flipped = evaluator.judge((Constant(scale, -1.0),))[0]
    assert flipped.worse.startswith("no better than answering without the input")
    good = evaluator.judge(())[0]
    assert good.error is not None
    assert good.error.value == 0.0


def test_a_mutant_that_answers_alike_is_judged_once(prepared: Prepared, tmp_path: Path) -> None:
    evaluator = Evaluator(prepared.program, make_backend("torch"), prepared.task, Store(tmp_path))
    first, executable = evaluator.judge(())
    assert executable is not None
    assert not first.known
    again_, compiled = evaluator.judge(())
    assert compiled is None  # the same program: not even compiled
    assert again_.known
    assert again_.error == first.error


def test_outputs_equal_to_the_bit_need_no_second_judgement(prepared: Prepared, tmp_path: Path) -> None:
    evaluator = Evaluator(prepared.program, make_backend("torch"), prepared.task, Store(tmp_path))
    evaluator.judge(())
    first, second = constants(prepared)[:2]
    # 1.5 * 2 and 3 * 1: other programs, powers of two apart, so the same bits
    found, executable = evaluator.judge((Constant(first, 3.0), Constant(second, 1.0)))
    assert executable is not None
    assert found.known
    assert found.error is not None
    assert found.error.value == 0.0


def test_the_search_itself_never_compiles(prepared: Prepared) -> None:
    problem = Accidents(prepared=prepared, **COSTS)
    with pytest.raises(UsageError, match="worker processes"):
        problem.evaluate(problem.baseline())


@pytest.fixture(scope="module")
def run(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Any:
    problem = Accidents(prepared=prepared, **{**COSTS, "objectives": ("runtime", "error"), "timing_s": 0.01})
    directory = tmp_path_factory.mktemp("mlir") / "run"
    effort: dict[str, Any] = {"evaluations": 40, "workers": 2, "timeout": 20.0, "seed": 1}
    return run_search(problem, engine="nsga2", directory=directory, **effort), problem


def test_a_search_has_the_original_as_its_baseline(run: Any) -> None:
    found, _ = run
    trials = found.front["status_counts"]
    assert sum(trials.values()) == 40
    assert trials["ok"] >= 1
    assert found.meta["problem"]["baseline"] == 0
    assert not found.meta["deterministic"]


def test_nothing_to_gain_is_reported_as_nothing(run: Any, prepared: Prepared) -> None:
    _, problem = run
    scale = constants(prepared)[0]
    rows = problem.edits.rows_of([(), (Constant(scale, 1.25),)])  # the original, and another number in its place
    with Bench(problem, seconds=0.1) as bench:
        members = bench.points(rows)
    for member in members:
        assert not member.reason
        assert not member.faster, member


def test_a_changed_model_is_not_resumed(run: Any) -> None:
    found, _ = run
    other = AtenProgram(tiny().program.graph, {"weight": 2.0 * np.eye(2, dtype=np.float32)})
    changed = Accidents(
        prepared=Prepared(other, tiny().task), **{**COSTS, "objectives": ("runtime", "error"), "timing_s": 0.01}
    )
    with pytest.raises(UsageError, match="program and weights"):
        resume_search(found.path, problem=changed, evaluations=60)
    data = Accidents(prepared=tiny(seed=1), **{**COSTS, "objectives": ("runtime", "error"), "timing_s": 0.01})
    with pytest.raises(UsageError, match="data"):
        resume_search(found.path, problem=data, evaluations=60)


CLAIM = """
import os
import sys
from pathlib import Path
from codesign.search.mlir.isolation import claim_processor
os.sched_setaffinity(0, map(int, os.environ["FREE"].split(",")))
print(claim_processor(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_workers_have_processors_of_their_own(tmp_path: Path) -> None:
    free = sorted(os.sched_getaffinity(0))[:2]
    children = []
    try:
        for _ in range(len(free) + 1):
            child = subprocess.Popen(
                [sys.executable, "-c", CLAIM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "FREE": ",".join(map(str, free))},
            )  # fmt: skip
            children.append(child)
        claims = [child.stdout.readline().strip() for child in children if child.stdout]
        assert sorted(claims) == sorted([*map(str, free), "None"])
    finally:
        for child in children:
            child.communicate("")


def test_interval_of_the_error_is_that_of_so_few_rows(run: Any) -> None:
    found, _ = run
    columns = found.front["columns"]
    assert all(low <= value <= high for low, value, high in
               zip(columns["error_low"], columns["error"], columns["error_high"], strict=True))  # fmt: skip
    assert all(np.isfinite(columns["runtime"]))


TEXT = """
module { func.func @main(%x: tensor<16x2xf32>, %w: tensor<2x2xf32>) -> tensor<16x2xf32> {
  %c = stablehlo.constant dense<1.5> : tensor<16x2xf32>
  %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
    : (tensor<16x2xf32>, tensor<2x2xf32>) -> tensor<16x2xf32>
  %1 = stablehlo.multiply %0, %c : tensor<16x2xf32>
  return %1 : tensor<16x2xf32>
} }
"""


def test_stablehlo_on_xla_passes_the_same_cascade(prepared: Prepared, tmp_path: Path) -> None:
    pytest.importorskip("jaxlib", reason="needs codesign[mlir]")
    pytest.importorskip("torch_mlir", reason="needs codesign[mlir]")
    weights = {"arg1": np.eye(2, dtype=np.float32)}
    program = StableHloProgram.from_source(TEXT, "text", weights, "weights")
    evaluator = Evaluator(program, make_backend("xla"), prepared.task, Store(tmp_path))
    original, executable = evaluator.judge(())
    assert executable is not None
    assert original.error is not None
    assert original.error.value == 0.0
    assert original.costs.flops is not None
    assert original.costs.flops >= 2 * 16 * 2 * 2
    scale = constants(Prepared(program, prepared.task))[0]
    assert evaluator.judge((Constant(scale, -1.0),))[0].worse
    assert evaluator.judge((Constant(scale, 0.0),))[0].refused == "the output is constant"
    again = evaluator.judge((Constant(scale, 3.0),))[0]
    assert again.error == original.error
    assert not again.known  # other bits, so judged by itself


START = """
import fcntl
import os
import sys
from pathlib import Path
from codesign.search.mlir.isolation import claim_processor, lock_directory
from codesign.search.mlir.worker import claimed
place = lock_directory(Path("."))
held = [os.open(place / f"processor-{p}.lock", os.O_CREAT | os.O_RDWR) for p in os.sched_getaffinity(0)]
for lock in held:
    fcntl.flock(lock, fcntl.LOCK_EX)
claimed(Path(sys.argv[1]))
print(len(os.sched_getaffinity(0)))
"""


def test_a_worker_beside_another_search_keeps_to_one_processor(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", START, str(tmp_path)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "1"


def test_searches_of_one_user_lock_processors_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = lock_directory(tmp_path / "mine")
    assert shared == lock_directory(tmp_path / "other")
    assert shared.stat().st_mode & 0o777 == 0o700
    shared.rmdir()
    shared.write_text("")
    assert lock_directory(tmp_path / "mine") == tmp_path / "mine"


PAIR = """
import torch

class Pair(torch.nn.Module):
    def forward(self, x):
        return x, x
"""


def test_a_module_of_several_answers_is_told_to_give_one(tmp_path: Path) -> None:
    (tmp_path / "pair.py").write_text(PAIR)
    with pytest.raises(UsageError, match="answers with a tuple, expected one tensor"):
        ProgramSearch(model=f"py:{tmp_path / 'pair.py'}:Pair", backend="torch", data="digits")
