"""A training step is judged by the weights that it returns, through a forward pass that no edit can reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.search.mlir.backends.registry import make_backend
from codesign.search.mlir.edits import Constant, Delete, Operand
from codesign.search.mlir.evaluate import Evaluator
from codesign.search.mlir.graph import Argument, Graph, Operation, Output, TensorType, pack
from codesign.search.mlir.programs import AtenProgram
from codesign.search.mlir.store import Store
from codesign.search.mlir.tasks.digits import batches
from codesign.search.mlir.tasks.quality import Judge
from codesign.search.mlir.tasks.samples import Samples, split
from codesign.search.mlir.tasks.task import Task

BATCH, STEPS = 16, 12
SCALE = '[[{"operand":0},{"constant":"float"}],{}]'
BINARY = '[[{"operand":0},{"operand":1}],{}]'
X, W, Y, XT = (TensorType("f32", shape) for shape in ((BATCH, 3), (3, 1), (BATCH, 1), (3, BATCH)))
RATE, UPDATE, RESIDUAL, GRADIENT = 4, 5, 1, 3


def step() -> AtenProgram:
    """Return gradient descent on a line: w - rate X' (X w - y)."""
    x, y, w = -2, -3, -1
    operations = (
        Operation(0, "aten.mm.default", (x, w), (X, W), (Y,), BINARY),
        Operation(RESIDUAL, "aten.sub.Tensor", (pack(0, 0), y), (Y, Y), (Y,), BINARY),
        Operation(2, "aten.t.default", (x,), (X,), (XT,), '[[{"operand":0}],{}]'),
        Operation(GRADIENT, "aten.mm.default", (pack(2, 0), pack(1, 0)), (XT, Y), (W,), BINARY),
        Operation(
            RATE, "aten.mul.Tensor", (pack(3, 0),), (W,), (W,), '[[{"operand":0},{"constant":"float"}],{}]', 0.02
        ),
        Operation(UPDATE, "aten.sub.Tensor", (w, pack(4, 0)), (W, W), (W,), BINARY),
    )
    arguments = (Argument("w", W, "weight"), Argument("x", X, "data"), Argument("y", Y, "data"))
    graph = Graph("aten", arguments, operations, (Output(pack(UPDATE, 0), W, "w"),))
    return AtenProgram(graph, {"w": np.zeros((3, 1), np.float32)}, "step")


def forward() -> AtenProgram:
    operations = (Operation(0, "aten.mm.default", (-2, -1), (X, W), (Y,), BINARY),)
    arguments = (Argument("w", W, "weight"), Argument("x", X, "data"))
    return AtenProgram(Graph("aten", arguments, operations, (Output(0, Y),)), {"w": np.zeros((3, 1), np.float32)})


def line(rows: int, seed: int) -> Samples:
    random = np.random.Generator(np.random.Philox(key=seed))
    x = random.normal(size=(rows, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.01 * random.normal(size=(rows, 1)).astype(np.float32)
    return Samples(x, y.astype(np.float32))


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    judged, rows = line(60, 1), batches(64, STEPS, BATCH, 0)
    task = Task("training", Judge.of(judged), split(judged, 0), BATCH, line(64, 2), rows)
    place: Path = tmp_path_factory.mktemp("store")
    return Evaluator(step(), make_backend("torch"), task, Store(place), forward())


def test_the_error_is_that_of_numpy_training_the_same_line(evaluator: Evaluator) -> None:
    w, task = np.zeros((3, 1), np.float32), evaluator.task
    for number in range(STEPS):
        x, y = task.step_data(number)
        w = w - 0.02 * x.T @ (x @ w - y)
    judged = task.samples("search")
    wanted = np.sqrt(np.mean((judged.x @ w - judged.y) ** 2)) / task.judge.scale
    found = evaluator.judge(())[0]
    assert found.error is not None
    assert found.error.value == pytest.approx(float(wanted), rel=1e-3)
    assert 0.01 < found.error.value < 0.5


def test_a_better_rate_gives_a_smaller_error(evaluator: Evaluator) -> None:
    slow, fast = (evaluator.judge((Constant(RATE, value),))[0].error for value in (0.005, 0.05))
    assert slow is not None
    assert fast is not None
    assert fast.value < slow.value


def test_a_step_that_learns_nothing_is_flagged(evaluator: Evaluator) -> None:
    still = evaluator.judge((Delete(UPDATE, (-1,)),))[0]
    assert still.refused == "it returns the weights that it was given"
    blind = evaluator.judge((Operand(GRADIENT, 1, pack(0, 0)),))[0]  # the guess in place of its residual
    assert blind.refused in ("it returns the weights that it was given", "the weights do not depend on what is right")


def test_a_step_that_diverges_is_no_mutant(evaluator: Evaluator) -> None:
    found = evaluator.judge((Constant(RATE, 1e18),))[0]
    assert "NaN" in found.refused or found.worse
