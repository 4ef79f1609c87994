"""The search: what it sees and what it does not, where it starts, and how wrong input is told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codesign.errors import DataError, UsageError
from codesign.search.driver import resume_search, run_search
from codesign.search.hypervolume import hypervolume
from codesign.search.problem import Status
from codesign.search.quantization.apply import apply_plan
from codesign.search.quantization.details import selected
from codesign.search.quantization.judge import judge, trivial, wilson
from codesign.search.quantization.measured import disturbed, formats, interval, measure_front, paired, realised
from codesign.search.quantization.problem import QuantizationProblem
from codesign.search.quantization.sensitivity import path
from codesign.search.quantization.task import Split
from codesign.search.quantization.user_task import user_task
from codesign.workload.quantization import LayerScheme, QuantizationPlan
from tests.search.quantization.toy import arrays, net, problem, task, write


def test_the_original_is_the_baseline_and_perfect_here() -> None:
    asked = problem()
    original = asked.baseline()
    assert original is not None
    found = asked.evaluate(original)
    assert found.status[0] == Status.OK
    assert found.objectives[0, 0] == 0.0
    assert found.metrics["unseen_error"][0] == 0.0
    assert found.metrics["weight_bits"][0] == 32.0
    assert "held-out" in found.sources[found.source[0, 0]]


def test_the_search_sees_its_own_split_alone() -> None:
    """Answers to the other splits may be anything: objectives, sensitivity and seeds stay the same."""
    honest, lied = problem(), task()
    for name in ("selection", "report"):
        lied.splits[name].y.add_(1).remainder_(4)
    other = QuantizationProblem(task=lied, model="toy", target="xeon-8480", objectives=("error", "memory"))
    assert honest.plans.rows == other.plans.rows
    seeds = honest.seeds()
    assert seeds is not None
    again = other.seeds()
    assert again is not None
    assert np.array_equal(seeds, again)
    first, second = honest.evaluate(seeds), other.evaluate(seeds)
    assert np.array_equal(first.objectives, second.objectives)
    assert not np.array_equal(first.metrics["unseen_error"], second.metrics["unseen_error"])


def test_sensitivity_is_each_layer_alone_and_its_path_lowers_one_width_at_a_time() -> None:
    asked = problem(weights=(8, 4, 2), activations=(8, 4))
    rows = asked.plans.rows
    assert {(row.layer, row.part, row.bits) for row in rows} == {
        *((layer, "weights", bits) for layer in ("0", "2") for bits in (8, 4, 2)),
        *((layer, "activations", bits) for layer in ("0", "2") for bits in (8, 4)),
    }
    row = next(one for one in rows if (one.layer, one.part, one.bits) == ("2", "weights", 2))
    split = task().splits["search"]
    with torch.inference_mode():
        alone = judge(apply_plan(net(), QuantizationPlan({"2": LayerScheme(2)}))(split.x), split.y, "error")
        whole = judge(net()(split.x), split.y, "error")
    assert row.added == pytest.approx(alone.loss - whole.loss, rel=1e-5)
    steps = path(asked.laboratory, rows, {"weights": (32, 8, 4, 2), "activations": (32, 8, 4)})
    assert len(steps) == 1 + 2 * (3 + 2)
    for before, after in itertools.pairwise(steps):
        changed = [key for key in before if before[key] != after[key]]
        assert len(changed) == 1
        assert after[changed[0]] < before[changed[0]]
    assert set(steps[-1].values()) == {2, 4}


def test_seeds_and_baseline_come_first_and_only_when_asked() -> None:
    seeded = problem()
    seeds = seeded.seeds()
    assert seeds is not None
    assert len(np.unique(seeded.space.key(seeds))) == len(seeds) > 15
    assert problem(seeding="none").seeds() is None


@pytest.mark.parametrize("engine", ["nsga2", "optuna:nsga2", "optuna:tpe", "random"])
def test_every_engine_searches_and_a_seed_gives_one_front(engine: str, tmp_path: Path) -> None:
    fronts = []
    for name in ("first", "second"):
        run = run_search(problem(), engine=engine, evaluations=50, seed=3, directory=tmp_path / name)
        fronts.append(run.front["columns"])
        assert (run.path / "sensitivity.csv").read_text().startswith("layer,part,bits,error,added_loss\n")
    assert fronts[0] == fronts[1]
    assert min(fronts[0]["weight_bits"]) < 8.0


def test_the_front_beats_random_plans_of_the_same_number(tmp_path: Path) -> None:
    volumes = []
    for engine, seeding in (("nsga2", "sensitivity"), ("random", "none")):
        run = run_search(problem(seeding=seeding), engine=engine, evaluations=150, directory=tmp_path / engine)
        front = np.array([run.front["columns"]["error"], run.front["columns"]["memory"]]).T
        volumes.append(hypervolume(front, np.array([1.0, 4000.0])))
    assert volumes[0] > volumes[1]


def test_a_run_resumes_and_refuses_other_weights_or_data(tmp_path: Path) -> None:
    run = run_search(problem(), engine="nsga2", evaluations=40, directory=tmp_path / "run")
    more = resume_search(run.path, problem=problem(), evaluations=60)
    assert more.meta["evaluations"] == 60
    for what in ("weights", "data"):
        changed = task()
        if what == "weights":
            changed.module.get_parameter("0.weight").data.mul_(1.01)
        else:
            changed.splits["report"].y[0] = (changed.splits["report"].y[0] + 1) % 4
        other = QuantizationProblem(task=changed, model="toy", target="xeon-8480", objectives=("error", "memory"))
        with pytest.raises(UsageError, match=what):
            resume_search(run.path, problem=other, evaluations=80)


def test_the_selected_plan_has_the_fewest_bits_of_those_that_both_splits_accept() -> None:
    asked = problem()
    losses = [asked.laboratory.original["selection"].loss] * 5
    trials: dict[str, list[Any]] = {
        "front": [True, True, True, False, True],
        "status": ["ok"] * 5,
        "error": [0.0] * 5,
        "loss": [asked.laboratory.original["search"].loss] * 5,
        "selection_error": [0.0, 0.004, 0.02, 0.0, 0.01],
        "selection_loss": losses,
        "weight_bits": [32.0, 4.0, 2.0, 2.0, 3.0],
        "activation_bits": [8.0] * 5,
    }
    assert selected(asked, trials) == 4
    assert selected(asked, {**trials, "error": [0.0, 0.0, 0.0, 0.0, 0.02]}) == 1
    assert selected(asked, {**trials, "selection_error": [0.5] * 5}) is None
    assert selected(asked, {**trials, "selection_loss": [9.0] * 5}) is None


def test_plans_no_better_than_nothing_are_refused() -> None:
    asked = problem()
    asked.trivial["search"] = 0.0
    found = asked.evaluate(asked.plans.box.encode(**asked.plans.values(2, 2)))
    assert found.status[0] == Status.INFEASIBLE
    assert "no better than answering with the commonest class" in found.reasons[found.reason[0]]


def test_a_plan_whose_answers_are_not_numbers_is_invalid() -> None:
    asked = problem()
    name, scheme = "0", LayerScheme(4)
    asked.laboratory.simulator._rounded[name, scheme] = torch.full((24, 12), float("nan"))
    values = asked.plans.original | {"0.weights": 4}
    found = asked.evaluate(asked.plans.box.encode(**values))
    assert found.status[0] == Status.INVALID
    assert found.reasons[found.reason[0]] == "its answers are not numbers"


def test_an_original_that_answers_nothing_is_refused() -> None:
    broken = task()
    broken.module.get_parameter("0.weight").data.fill_(float("nan"))
    with pytest.raises(DataError, match="not a number before any quantization"):
        QuantizationProblem(task=broken, model="toy", target="xeon-8480")


def test_measures_and_their_intervals() -> None:
    y = torch.tensor([0, 1, 1, 1])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 1]), 2).float()
    error = judge(logits, y, "error")
    assert error.value == 0.25
    assert error.low < 0.25 < error.high
    assert (error.low, error.high) == wilson(0.25, 4)
    low, high = wilson(0.0, 100)
    assert low == 0.0
    assert high == pytest.approx(2.7055 / (100 + 2.7055), rel=1e-3)
    flat = judge(torch.zeros(3, 5, 7), torch.zeros(3, 5, dtype=torch.int64), "perplexity")
    assert flat.value == pytest.approx(7.0)
    assert flat.constant
    squares = judge(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0]]), "mse")
    assert squares.value == 0.5
    split = Split(torch.zeros(4, 1), y)
    assert trivial(split, split, "error") == 0.25
    text = Split(torch.zeros(1, 4), torch.tensor([[0, 1, 1, 1]]))
    assert 1.0 < trivial(text, text, "perplexity") < 2.0


def test_the_original_against_itself_shows_no_gain() -> None:
    module, x = net(), torch.randn(64, 12)
    with torch.inference_mode():
        first, second = paired(lambda: module(x), lambda: module(x))
    low, high = interval(first / second)
    assert low <= 1.05
    assert high >= 0.95
    assert interval(np.full(41, 2.0)) == (2.0, 2.0)


def test_layers_are_timed_in_formats_that_run_here(tmp_path: Path) -> None:
    plan = QuantizationPlan({"0": LayerScheme(4, 8), "2": LayerScheme(16, 16)})
    chosen = formats(plan, dict(net().named_modules()))
    assert chosen == {"0": "int8", "2": "bf16"}
    x = torch.randn(16, 12)
    with torch.inference_mode():
        assert torch.allclose(realised(net(), chosen)(x), net()(x), atol=0.1)
    asked = problem()
    run = run_search(asked, engine="nsga2", evaluations=40, directory=tmp_path / "run")
    (timed,) = measure_front(run, asked, 1)
    assert timed.low <= timed.ratio <= timed.high
    assert timed.verdict.removesuffix("; machine busy") in ("faster", "slower", "no difference shown")
    assert disturbed(np.array([1.0] * 30 + [5.0] * 11))
    assert not disturbed(np.full(41, 1.0))
    assert (run.path / "measured.json").exists()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"x": np.zeros((400, 7), np.float32)}, "does not take x"),
        ({"x": np.array(["a"] * 400)}, "x is of <U1"),
        ({"x": np.full((400, 12), np.nan, np.float32)}, "not finite"),
        ({"y": np.zeros(3, np.int64)}, "x has 400 samples, y 3"),
        ({"y": np.full(400, 9, np.int64)}, "expected classes 0 to 3"),
        ({"y": np.zeros((400, 2), np.int64)}, "expected classes"),
        ({"x": np.zeros((20, 12), np.float32), "y": np.zeros(20, np.int64)}, "samples for the split"),
    ],
)
def test_data_that_does_not_fit_is_told(tmp_path: Path, changed: dict[str, NDArray[Any]], told: str) -> None:
    model, data = write(tmp_path, x=changed.get("x"), y=changed.get("y"))
    with pytest.raises((DataError, UsageError), match=told):
        user_task(model, data, "")


def test_a_report_file_is_the_report_split(tmp_path: Path) -> None:
    model, data = write(tmp_path)
    x, y = arrays(50, seed=9)
    np.savez(tmp_path / "report.npz", x=x, y=y)
    made = user_task(model, data, str(tmp_path / "report.npz"))
    assert made.measure == "error"
    assert np.array_equal(made.splits["report"].x.numpy(), x)
    rows = [tuple(row) for name in ("calibration", "search", "selection") for row in made.splits[name].x.tolist()]
    assert len(set(rows)) == 400
    np.savez(tmp_path / "report.npz", x=x[:, :5], y=y)
    with pytest.raises(DataError, match=r"report\.npz: x has rows"):
        user_task(model, data, str(tmp_path / "report.npz"))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"weights": (5,)}, "weights: 5 bits"),
        ({"granularities": ("row",)}, "granularity 'row'"),
        ({"objectives": ("accuracy",)}, "unknown objective 'accuracy'"),
        ({"seeding": "luck"}, "seeding 'luck'"),
        ({"where": ("bits <= 4",)}, "bits"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_wrong_questions_are_refused(spec: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        problem(**spec)
