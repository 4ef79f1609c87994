"""Search problems as environments: what agents see and get, and the run that stays behind."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import EnvironmentLacks, LimitCrossed, UsageError
from codesign.run import load_run
from codesign.search.constraints import parse_where, violations
from codesign.search.environment import make_env
from codesign.search.problem import Metric, Objective, Points, Problem, Results, Status
from codesign.search.reward import Scorer
from codesign.search.step_record import StepRecord
from codesign.testing.problems import Slow, Tradeoff

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def gymnasium() -> Any:
    return pytest.importorskip("gymnasium", reason="gymnasium is not installed (codesign[gym])")


# --- rewards ----------------------------------------------------------------------------------------------------------


def scorer(reward: Any = "mean", reference: Any = (2.0, -8.0), penalty: float = 10.0) -> Scorer:
    return Scorer(Tradeoff(), reward, np.array(reference), penalty)


def results(latency: float, throughput: float, **given_: Any) -> Results:
    return Results.make([[latency, -throughput]], **given_)


def test_a_reward_is_the_mean_gain_over_the_reference() -> None:
    assert scorer()(results(2.0, 8.0)) == 0.0
    assert scorer()(results(1.0, 8.0)) == pytest.approx(math.log(2) / 2)
    assert scorer()(results(2.0, 16.0)) == pytest.approx(math.log(2) / 2)
    assert scorer()(results(4.0, 4.0)) == pytest.approx(-math.log(2))
    assert scorer({"latency": 3.0})(results(1.0, 1.0)) == pytest.approx(math.log(2))
    assert scorer({"latency": 3.0, "throughput": 1.0})(results(1.0, 4.0)) == pytest.approx(math.log(2) / 2)
    assert scorer("vector")(results(1.0, 4.0)) == pytest.approx([math.log(2), -math.log(2)])
    assert scorer(lambda values: values["throughput"] - values["latency"])(results(1.0, 4.0)) == 3.0


@given(
    st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.sampled_from([-1.0, 1.0]), st.booleans()
)  # fmt: skip
def test_a_better_value_is_never_a_smaller_gain(a: float, b: float, size: float, side: float, first: bool) -> None:
    """Whatever the sign of the reference and of the values, in both directions."""
    told = scorer("vector", (side * size, side * size))
    pairs = [(a, 0.0), (b, 0.0)] if first else [(0.0, a), (0.0, b)]
    gains = [told(results(*pair))[0 if first else 1] for pair in pairs]  # type: ignore[index]
    assert all(math.isfinite(gain) for gain in gains)
    if a != b:
        assert (gains[0] >= gains[1]) == ((a < b) == first) or gains[0] == gains[1]


def test_designs_that_are_not_feasible_are_penalised_by_how_far_they_are() -> None:
    barely, far = (results(1.0, 1.0, violations=[[v]]) for v in (0.1, 5.0))
    gone = Results.make([[np.inf, np.inf]], status=[Status.CRASHED])
    assert [scorer()(one) for one in (barely, far, gone)] == [pytest.approx(-11.0), -20.0, -20.0]
    assert scorer("vector")(gone) == pytest.approx([-20.0, -20.0])
    assert scorer(lambda values: 1.0, penalty=1.0)(gone) == -2.0


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        ("best", "unknown reward 'best'"),
        ({"latncy": 1.0}, "weighs 'latncy', which is no objective"),
        ({"latency": -1.0}, "the weight of 'latency' is -1"),
        ({"latency": math.nan}, "the weight of 'latency' is nan"),
        ({"latency": 0.0}, "no objective has a weight above 0"),
    ],
)
def test_a_reward_that_makes_no_sense_is_refused(reward: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        scorer(reward)


def test_a_penalty_and_a_function_have_to_be_numbers() -> None:
    with pytest.raises(UsageError, match="the penalty is -1"):
        scorer(penalty=-1.0)
    with pytest.raises(UsageError, match="has to return a finite number"):
        scorer(lambda values: math.nan)(results(1.0, 1.0))


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [Tradeoff(["latency <= 0.5 s"], real=True), Slow()], ids=["cheap", "dear"])
def test_every_step_is_in_the_run(problem: Problem, tmp_path: Path, run_codesign: Any) -> None:
    points = problem.space.sample(np.random.Generator(np.random.Philox(key=1)), 40)
    record = StepRecord(problem, directory=tmp_path / "run", seed=3)
    steps = [record.evaluate(point[None]) for point in points]
    record.close()
    record.close()
    assert [step.number for step in steps] == list(range(40))
    run = load_run(tmp_path / "run")
    assert (run.meta["status"], run.meta["evaluations"], run.meta["engine"]) == ("finished", 40, "environment")
    trials = run.trials()
    assert trials["id"].to_list() == list(range(40))
    good = [step.results.ok[0] for step in steps]
    assert [status == "ok" for status in trials["status"]] == good
    assert trials["latency"].to_list()[:5] == [step.results.objectives[0, 0] for step in steps[:5]]
    done = run_codesign("report", "run", "--format", "csv", "--output", "-")
    assert done.rc == 0, done.stderr
    assert run_codesign("report", "run").rc == 0


def test_a_run_that_was_not_closed_can_be_reported(tmp_path: Path, run_codesign: Any) -> None:
    problem = Tradeoff()
    record = StepRecord(problem, directory=tmp_path / "run")
    for point in problem.space.sample(np.random.Generator(np.random.Philox(key=1)), 10):
        record.evaluate(point[None])
    done = run_codesign("report", "run", "--json")  # while it is being written
    assert done.rc == 0, done.stderr
    assert json.loads(done.stdout)["status_counts"][0]["ok"] == 10
    record.close()
    assert load_run(tmp_path / "run").meta["evaluations"] == 10


def test_a_taken_directory_and_a_second_writer_are_refused(tmp_path: Path) -> None:
    record = StepRecord(Tradeoff(), directory=tmp_path / "run")
    with pytest.raises(UsageError, match="exists already"):
        StepRecord(Tradeoff(), directory=tmp_path / "run")
    with pytest.raises(UsageError, match="another process is writing"):
        StepRecord(Tradeoff(), directory=tmp_path / "run", force=True)
    record.close()


# --- the environment --------------------------------------------------------------------------------------------------


class Words(Problem):
    """A finite space that is no box, and a limit that half of it breaks."""

    name = "words"
    objectives = (Objective("length", "s"),)
    metrics = (Metric("width", "s"),)
    constraints = (parse_where("length <= 5 s", {"length": "s"}),)

    class Numbers:
        """Ten numbers."""

        kind = "numbers"
        size = 10

        def sample(self, generator: np.random.Generator, count: int) -> Points:
            return generator.integers(0, 10, (count, 1))

        def at(self, numbers: Any) -> Points:
            return np.asarray(numbers)[:, None]

        def rows(self, points: Points) -> list[dict[str, Any]]:
            return [{"number": int(p)} for p in points[:, 0]]

        def describe(self) -> list[dict[str, Any]]:
            return [{"name": "number", "kind": "number"}]

        def to_json(self) -> dict[str, Any]:
            return {"kind": self.kind}

    space: Any = Numbers()

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        length = points[:, 0] + 1.0
        over = violations(self.constraints, {"length": length}, len(points))
        wide = np.where(length > 2.0, np.nan, length)
        return Results.make(length[:, None], violations=over, constraints=self.constraints, metrics={"width": wide})


class Hopeless(Words):
    """Nothing has a value."""

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        return Results.failed(len(points), self, Status.INVALID, "no machine fits")


@pytest.fixture
def env(gymnasium: Any, tmp_path: Path) -> Iterator[Any]:
    made = make_env(Tradeoff(["latency <= 0.5 s"], real=True), directory=tmp_path / "run")
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("problem", [Tradeoff(["latency <= 0.5 s"], real=True), Slow(), Words()], ids=lambda p: p.name)
def test_gymnasium_accepts_it(gymnasium: Any, problem: Problem, tmp_path: Path) -> None:
    from gymnasium.utils.env_checker import check_env

    made = make_env(problem, directory=tmp_path / "run")
    check_env(made, skip_render_check=True)
    made.close()


def test_knobs_and_metrics_have_their_names(env: Any, gymnasium: Any) -> None:
    spaces = gymnasium.spaces
    assert dict(env.action_space.spaces) == {
        "batch": spaces.Discrete(64), "clock": spaces.Box(0.5, 1.0, (1,), np.float64), "target": spaces.Discrete(3),
        "tp": spaces.Discrete(4),
    }  # fmt: skip
    assert set(env.observation_space.spaces) == {"latency", "throughput", "memory", "devices", "known"}


def test_a_step_is_an_evaluation(env: Any, tmp_path: Path) -> None:
    action = {"target": 2, "tp": 3, "batch": 15, "clock": np.array([0.75])}
    seen, reward, terminated, truncated, info = env.step(action)
    assert (terminated, truncated) == (True, False)
    assert info["design"] == {"target": "mi300x", "tp": 8, "batch": 16, "clock": 0.75}
    problem = Tradeoff(real=True)
    exact = problem.evaluate(problem.space.encode(**info["design"]))
    assert seen["latency"][0] == exact.objectives[0, 0]
    assert seen["throughput"][0] == -exact.objectives[0, 1] > 0.0
    start, first = env.reset()
    assert first["design"] == {"target": "l4", "tp": 1, "batch": 1, "clock": 1.0}
    gains = [
        math.log(start["latency"][0] / seen["latency"][0]),
        math.log(seen["throughput"][0] / start["throughput"][0]),
    ]
    assert reward == pytest.approx(sum(gains) / 2)
    assert (info["status"], info["reason"], info["violations"]) == ("ok", None, {"latency <= 0.5 s": 0.0})
    assert info["low"]["throughput"] < info["values"]["throughput"] < info["high"]["throughput"]
    assert info["units"] == {"latency": "s", "throughput": "1/s", "memory": "B", "devices": ""}
    assert info["details"]["breakdowns"][0]["title"] == "latency"
    assert env.number == 1
    env.close()
    run = load_run(tmp_path / "run")
    assert run.meta["evaluations"] == 2
    assert run.front["columns"]["baseline"].count(True) == 1


def test_reset_is_the_same_whatever_the_seed(env: Any) -> None:
    (first, told), *others = [env.reset(seed=seed) for seed in (0, 1, None)]
    for seen, info in others:
        np.testing.assert_equal(seen, first)
        assert info == told


def test_an_infeasible_design_says_why(env: Any) -> None:
    action = {"target": 1, "tp": 0, "batch": 63, "clock": np.array([0.5])}
    seen, reward, _, _, info = env.step(action)
    assert (info["status"], info["reason"]) == ("infeasible", "violates latency <= 0.5 s")
    assert info["violations"]["latency <= 0.5 s"] > 1.0
    assert reward == -20.0
    assert seen["known"].all()


def test_what_is_unknown_is_masked(gymnasium: Any, tmp_path: Path) -> None:
    made = make_env(Words(), directory=tmp_path / "run")
    seen, _, _, _, info = made.step({"point": 4})
    assert dict(zip(("length", "width"), seen["known"].tolist(), strict=True)) == {"length": 1, "width": 0}
    assert info["values"] == {"length": 5.0, "width": None}
    made.close()


def test_a_vector_reward_has_a_space(gymnasium: Any, tmp_path: Path) -> None:
    made = make_env(Tradeoff(), reward="vector", directory=tmp_path / "run")
    _, reward, _, _, _ = made.step({"target": 0, "tp": 0, "batch": 0})
    assert made.reward_space.contains(reward)
    made.close()


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({"target": 0, "tp": 9, "batch": 0, "clock": np.array([0.5])}, "the action sets 'tp' to 9"),
        ({"target": 0, "tp": 0, "batch": 0, "clock": np.array([np.nan])}, "the action sets 'clock'"),
        ({"target": 0}, "no dict of the knobs"),
        (3, "no dict of the knobs"),
    ],
)
def test_an_action_outside_the_space_is_refused(env: Any, action: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        env.step(action)


def test_nothing_to_compare_with_is_said(gymnasium: Any, tmp_path: Path) -> None:
    with pytest.raises(
        LimitCrossed, match="none of 64 random designs has values to compare with; the last: no machine"
    ):
        make_env(Hopeless(), directory=tmp_path / "run")
    assert load_run(tmp_path / "run").meta["evaluations"] == 64


def test_a_space_without_knobs_or_end_is_refused(gymnasium: Any, tmp_path: Path) -> None:
    endless = Words()
    endless.space = Words.Numbers()
    endless.space.size = None
    with pytest.raises(UsageError, match="no named knobs and no end"):
        make_env(endless, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_gymnasium_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "codesign.search.gym_environment", raising=False)
    with pytest.raises(EnvironmentLacks, match=r"codesign\[gym\]"):
        make_env(Tradeoff(), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_random_agent_of_the_page_runs(
    gymnasium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "proxies.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```py\n(.*?)```", page, re.DOTALL) if "make_env" in b)
    exec(compile(block, "proxies.md", "exec"), {})
    assert load_run("runs/random-agent").meta["evaluations"] == 501
    assert capsys.readouterr().out in page
