"""The deployment problem: its table is the cost model, its commands are its numbers."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from codesign.costmodels.deployment import METRICS, price
from codesign.costmodels.structure import Load
from codesign.report.sheet import load_sheet
from codesign.report.terminal import front_table
from codesign.search.deployment import Deployment
from codesign.search.deployment_spec import ALIASES
from codesign.search.driver import run_search
from codesign.search.problem import Status
from codesign.search.quality import table
from tests.conftest import RunCodesign

SMALL: dict[str, Any] = {
    "model": "llama-3.2-1b", "targets": ["l4", "h100-sxm"], "batches": [1, 4, 16, 64], "degrees": [1, 2],
    "stages": [1, 2], "nodes": [1], "replicas": [1, 2], "prompt": 200, "generate": 30,
}  # fmt: skip


@pytest.mark.parametrize("limits", [[100], [100, 70, 50]])
@pytest.mark.parametrize("mode", ["static", "served", "continuous", "in-step"])
def test_every_number_is_the_cost_models(mode: str, limits: list[int]) -> None:
    problem = Deployment(**SMALL, mode=mode, dtypes=["bf16", "fp8"], power_limits=limits)
    points = problem.box.sample(np.random.Generator(np.random.Philox(7)), 60)
    results = problem.evaluate(points)
    for row, values in enumerate(problem.box.rows(points)):
        target = problem.targets[values["target"]]
        watts = values["power_limit"] / 100.0 * target.power.tdp.value if len(limits) > 1 else None
        load = Load(values["batch"], 200, 30, values["replicas"], power_limit=watts)
        estimate = price(problem.model, target, problem.structure(values), load, problem.asked.site).estimate
        assert (results.status[row] == Status.OK) == bool(estimate.feasible[0])
        for place, objective in enumerate(problem.objectives):
            name = ALIASES.get(objective.name, objective.name)
            if name == "quality":
                continue
            low, high = estimate.interval(name)
            expected = [x.reshape(-1)[0] for x in (estimate.columns[name].value, low, high)]
            found = [x[row, place] for x in (results.objectives, results.low, results.high)]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        for name in set(results.metrics) & set(METRICS):
            np.testing.assert_allclose(
                results.metrics[name][row], estimate.columns[name].value.reshape(-1)[0], rtol=1e-12
            )


def test_an_answer_depends_neither_on_order_nor_on_company() -> None:
    points = Deployment(**SMALL).box.sample(np.random.Generator(np.random.Philox(8)), 100)
    whole = Deployment(**SMALL).evaluate(points)
    order = np.random.Generator(np.random.Philox(9)).permutation(len(points))
    shuffled = Deployment(**SMALL).evaluate(points[order])
    single = Deployment(**SMALL)
    alone = np.concatenate([single.evaluate(point[None]).objectives for point in points])
    np.testing.assert_array_equal(shuffled.objectives, whole.objectives[order])
    np.testing.assert_array_equal(alone, whole.objectives)


def front(run: Any, problem: Deployment) -> set[tuple[Any, ...]]:
    """Return the objectives on the front of a run; of designs that tie exactly, a front keeps any."""
    columns = run.front["columns"]
    return set(zip(*(columns[o.name] for o in problem.objectives), strict=True))


def test_the_front_of_a_seed_whatever_the_workers_and_the_engine(tmp_path: Path) -> None:
    problem = Deployment(**SMALL, objectives=["latency", "cost"])
    whole = front(run_search(problem, engine="exhaustive", directory=tmp_path / "all"), problem)
    runs = [
        run_search(problem, engine="nsga2", evaluations=600, seed=3, workers=n, directory=tmp_path / f"w{n}")
        for n in (1, 2)
    ]
    assert runs[0].front["columns"] == runs[1].front["columns"]
    assert front(runs[0], problem) == whole
    assert len(whole) > 3


def test_unknown_quality_is_drawn_apart_and_known_quality_has_a_source() -> None:
    problem = Deployment(**{**SMALL, "model": "llama-3.1-8b", "targets": ["h100-sxm"]}, dtypes=["bf16", "fp8", "nvfp4"])
    points = problem.box.enumerate(0, problem.box.size or 0)
    results, dtype = problem.evaluate(points), problem.box.decode(points)["dtype"]
    assert results.apart is not None
    np.testing.assert_array_equal(results.apart, dtype == "nvfp4")
    place = [o.name for o in problem.objectives].index("quality")
    known = table()["llama-3.1-8b", "fp8"]
    np.testing.assert_allclose(results.objectives[dtype == "fp8", place], 1.0 - known.recovery)
    np.testing.assert_array_equal(results.objectives[dtype == "bf16", place], 0.0)
    assert all(entry.source and entry.benchmark and 0.5 < entry.recovery < 1.1 for entry in table().values())


def test_a_target_without_a_price_has_no_cost() -> None:
    for objectives, status in ((["latency", "cost"], Status.INVALID), (["latency"], Status.OK)):
        problem = Deployment(**{**SMALL, "targets": ["l4"]}, objectives=objectives)
        problem.targets["l4"] = msgspec.structs.replace(problem.targets["l4"], price_per_hour=None)
        results = problem.evaluate(problem.box.enumerate(0, 1))
        assert results.status[0] == status
    results = Deployment(**SMALL, objectives=["latency", "cost"]).evaluate(problem.box.enumerate(0, 1))
    assert results.status[0] == Status.OK


def test_a_point_without_a_price_says_so() -> None:
    problem = Deployment(**{**SMALL, "targets": ["l4"]}, objectives=["latency", "cost"])
    problem.targets["l4"] = msgspec.structs.replace(problem.targets["l4"], price_per_hour=None)
    results = problem.evaluate(problem.box.enumerate(0, 1))
    assert "price" in results.reasons[results.reason[0]]


def test_degrees_that_do_not_divide_the_heads_are_refused() -> None:
    problem = Deployment(**{**SMALL, "model": "gpt2", "targets": ["h100-sxm"], "stages": [1], "degrees": [4, 8]})
    points = problem.box.enumerate(0, problem.box.size or 0)
    results, degree = problem.evaluate(points), problem.box.decode(points)["tp"]
    assert (results.status[degree == 4] == Status.OK).all()
    reasons = {results.reasons[code] for code in results.reason[degree == 8].tolist()}
    assert reasons == {"placement: tp 8 does not divide the 12 heads of gpt2"}


def test_kept_rows_have_their_own_parameters(tmp_path: Path) -> None:
    problem = Deployment(**SMALL)
    run = run_search(problem, engine="exhaustive", directory=tmp_path / "run", keep="all")
    trials = run.trials()
    decoded = problem.box.rows(problem.box.enumerate(0, problem.box.size or 0))
    assert len(trials) == 1 + len(decoded), "the baseline is evaluated first"
    for name in problem.box.names:
        assert [decoded[max(i - 1, 0)][name] for i in trials["id"].to_list()] == trials[name].to_list(), name


def test_a_target_named_twice_is_one(tmp_path: Path) -> None:
    problem = Deployment(**{**SMALL, "targets": ["l4", "L4"]})
    assert list(problem.targets) == ["l4"]
    assert "--target L4" in problem.describe(problem.box.enumerate(0, 1)).commands[0].text


@pytest.mark.parametrize("text", ["energy <= 0.5 J", "cost <= 1 $", "carbon <= 40 gCO2e", "tp <= 1", "batch >= 16"])
def test_limits_on_short_names_and_parameters(text: str) -> None:
    free, limited = Deployment(**SMALL), Deployment(**SMALL, where=[text])
    points = free.box.enumerate(0, free.box.size or 0)
    one, two = free.evaluate(points), limited.evaluate(points)
    limit = limited.constraints[0]
    names = [o.name for o in free.objectives]
    values = (
        one.objectives[:, names.index(limit.metric)] if limit.metric in names else free.box.decode(points)[limit.metric]
    )
    within = values >= limit.limit if limit.op == ">=" else values <= limit.limit
    ok = one.status == Status.OK
    assert 0 < (within & ok).sum() < ok.sum(), "the limit cuts the space"
    np.testing.assert_array_equal(two.status[ok] == Status.OK, within[ok])


def test_serving_commands_say_what_they_set_and_what_they_cannot() -> None:
    problem = Deployment(**SMALL, mode="static", execution="eager", dtypes=["bf16", "int4"])
    point = problem.box.encode(target="h100-sxm", dtype="bf16", tp=2, pp=2, ep=1, nodes=1, replicas=2, batch=16)
    vllm, sglang = [c for c in problem.describe(point).commands if c.title.startswith(("vLLM", "SGLang"))]
    assert {"--tensor-parallel-size", "--pipeline-parallel-size", "--max-num-seqs", "--enforce-eager"} <= set(
        vllm.text.split()
    )
    assert "--max-model-len 230" in vllm.text
    assert "--dtype bfloat16" in vllm.text
    assert {"--tp-size", "--pp-size", "--max-running-requests", "--disable-cuda-graph"} <= set(sglang.text.split())
    for command in (vllm, sglang):
        assert any("2 copies" in note for note in command.notes)
        assert any("static" in note for note in command.notes)
    quantised = problem.box.encode(target="l4", dtype="int4", tp=1, pp=1, ep=1, nodes=1, replicas=1, batch=4)
    bare = problem.describe(quantised).commands[1]
    assert "parallel-size" not in bare.text
    assert any("int4 needs a checkpoint" in note for note in bare.notes)


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "static", "dtypes": ["fp8"], "site": {"grid": 123.4, "pue": 1.3, "lifetime_years": 3.0}},
        {"mode": "served"},
        {"mode": "continuous", "chunk": 300, "rate": 0.123456789},
        {"mode": "continuous", "power_limits": [100, 60]},
        {"mode": "in-step", "framework": "vllm", "dtypes": ["fp8"]},
    ],
    ids=["static", "served", "continuous", "power limit", "in step by vLLM"],
)
def test_the_reproduce_command_prints_the_row(run_codesign: RunCodesign, tmp_path: Path, asked: dict[str, Any]) -> None:
    problem = Deployment(**SMALL, **asked)
    run = run_search(problem, engine="exhaustive", directory=tmp_path / "run")
    columns = run.front["columns"]
    row = len(columns["id"]) - 1
    point = run.point(columns["id"][row])
    encoded = problem.box.encode(**{name: point[name] for name in problem.box.names})
    text = problem.describe(encoded).commands[0].text
    done = run_codesign(*shlex.split(text)[1:], "--json")
    assert done.rc == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    for name in ("latency", "energy", "carbon", "cost"):
        told = results[ALIASES.get(name, name)]
        found = [told["value"], told["low"], told["high"]]
        np.testing.assert_allclose(found, [columns[f"{name}{end}"][row] for end in ("", "_low", "_high")], rtol=1e-9)
    for name in ("ttft", "tpot", "memory", "throughput"):
        np.testing.assert_allclose(results[name]["value"], columns[name][row], rtol=1e-9)


def test_designs_that_are_long_to_spell_leave_out_ones_before_they_are_cut(tmp_path: Path) -> None:
    problem = Deployment(
        model="mixtral-8x7b", targets=["h100-sxm"], dtypes=["bf16", "fp8"], batches=[8, 32], replicas=[1]
    )
    run_search(problem, engine="exhaustive", directory=tmp_path / "run")
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(front_table(load_sheet([tmp_path / "run"]), 80))
    rows = [line for line in out.getvalue().splitlines() if line.startswith("#")]
    assert len(rows) > 5
    assert "1 is not said" in out.getvalue()
    for row in rows:
        assert re.search(r" batch (8|32) ", row), row
        assert not re.search(r" (tp|pp|ep|nodes) 1 ", row), row
