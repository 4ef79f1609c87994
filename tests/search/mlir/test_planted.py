"""The planted waste: what it is, and that the search puts the edits together that remove it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from codesign.search.engines import make_engine
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.propose import freeing_pairs, neutral_deletions
from codesign.search.mlir.space import EditSpace
from codesign.search.mlir.store import Store
from codesign.search.mlir.tasks.digits import digits, trained
from codesign.search.mlir.worker import Worker
from codesign.search.problem import Results

MODEL = "digits-mlp-planted"
ROWS = 128
USEFUL = 2.0 * ROWS * (64 * 128 + 128 * 64 + 64 * 10)
"""FLOPs of the three layers."""
KINDS = ("delete", "operand", "constant")
EVALUATIONS = 400


@pytest.fixture
def problem(tmp_path: Path) -> Iterator[ProgramSearch]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    made = ProgramSearch(model=MODEL, backend="torch", objectives=("flops", "error"))
    made._worker = Worker(made.asked, made.prepared, Store(tmp_path))
    yield made
    torch.set_num_threads(threads)


def test_the_waste_changes_no_answer() -> None:
    x = torch.from_numpy(digits().x)
    nets = trained("digits-mlp"), trained(MODEL)
    with torch.no_grad():
        plain, wasteful = (net(x) for net in nets)
    assert not torch.equal(plain, wasteful)
    assert torch.allclose(plain, wasteful, atol=2e-2)
    assert torch.equal(plain.argmax(1), wasteful.argmax(1))


def test_no_single_way_round_removes_the_detour(problem: ProgramSearch) -> None:
    """Passing by any one operation saves one branch's product, or loses answers."""
    original = problem.evaluate(problem.baseline()).objectives[0]
    edits = neutral_deletions(problem.prepared.program.graph)
    found = problem.evaluate(problem.edits.rows_of([(one,) for one in edits])).objectives
    right = found[found[:, 1] <= original[1] + 0.01, 0]
    assert original[0] - right.min() == 2.0 * ROWS * 64 * 128


def test_the_halves_of_the_detour_free_together_what_neither_does_alone(problem: ProgramSearch) -> None:
    pairs = freeing_pairs(problem.prepared.program.graph)
    assert 0 < len(pairs) < 10
    original = problem.evaluate(problem.baseline()).objectives[0]
    found = problem.evaluate(problem.edits.rows_of(pairs)).objectives
    right = found[found[:, 1] <= original[1] + 0.01, 0]
    assert original[0] - right.min() >= 2.0 * 2.0 * ROWS * 64 * 128, "two products"
    assert not freeing_pairs(ProgramSearch(model="digits-mlp", backend="torch").prepared.program.graph)


@pytest.mark.parametrize("seed", range(4))
def test_the_search_removes_the_waste(problem: ProgramSearch, seed: int) -> None:
    """Three separate branches and the two halves of the detour: every product that serves nothing is gone."""
    original = problem.evaluate(problem.baseline())
    space = EditSpace(problem.prepared.program.graph, kinds=KINDS)
    search = make_engine("gevo", space, seed=seed, evaluations=EVALUATIONS, objectives=2)
    search.tell(problem.baseline(), original)
    right = float(original.objectives[0, 1]) + 0.01
    fewest, spent = np.inf, 1
    while spent < EVALUATIONS and fewest > USEFUL:
        points = search.ask(min(search.batch, EVALUATIONS - spent))
        results = Results.concatenate([problem.evaluate(point[None]) for point in points])
        values = results.objectives[results.ok]
        fewest = min([fewest, *values[values[:, 1] <= right, 0].tolist()])
        search.tell(points, results)
        spent += len(points)
    assert original.objectives[0, 0] > 2.9 * USEFUL
    assert fewest <= USEFUL
