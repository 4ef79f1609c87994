"""Searches end to end: the same front for any worker count, after any interruption, and files that rebuild."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.errors import DataError, EnvironmentLacks, Interrupted, LimitCrossed, UsageError
from codesign.run import load_run
from codesign.run.journal import Journal
from codesign.search.derive import add_verification, rebuild
from codesign.search.driver import resume_search, run_search
from codesign.search.pareto import nondominated
from codesign.search.specs import read_spec, search_from_spec
from codesign.testing.problems import Slow, Tradeoff


def columns(run: Any) -> Any:
    return run.front["columns"]


def exact_front(problem: Any) -> Any:
    points = problem.space.enumerate(0, problem.space.size)
    results = problem.evaluate(points)
    values = np.where(results.ok[:, None], results.objectives, np.inf)
    return values[nondominated(values)]


def values_of(run: Any) -> Any:
    c = columns(run)
    return np.stack([np.array(c["latency"]), -np.array(c["throughput"])], axis=1)


def test_exhaustive_finds_the_exact_front_and_stops(tmp_path: Path) -> None:
    problem = Tradeoff(["latency <= 0.5 s"])
    run = run_search(problem, engine="exhaustive", directory=tmp_path / "run")
    expected = exact_front(problem)
    assert np.array_equal(np.unique(values_of(run), axis=0), np.unique(expected, axis=0))
    assert problem.space.size is not None
    assert run.meta["evaluations"] == problem.space.size + 1  # and the baseline
    assert run.meta["status"] == "finished"
    assert sum(run.front["status_counts"].values()) == run.meta["evaluations"]
    assert run.front["status_counts"]["infeasible"] == sum(run.front["reasons"].values()) > 0


@pytest.mark.parametrize("engine", ["nsga2", "local", "random"])
def test_engines_reach_the_exact_front_when_they_may_try_everything(engine: Any, tmp_path: Path) -> None:
    problem = Tradeoff()
    run = run_search(problem, engine=engine, evaluations=5000, directory=tmp_path / "run")
    assert problem.space.size is not None
    assert run.meta["evaluations"] <= problem.space.size + 1
    assert np.array_equal(np.unique(values_of(run), axis=0), np.unique(exact_front(problem), axis=0))


def test_run_files_agree_with_each_other(tmp_path: Path) -> None:
    run = run_search(Tradeoff(), evaluations=300, seed=4, directory=tmp_path / "run", argv=["codesign", "search"])
    meta, front = json.loads((run.path / "run.json").read_text()), run.front
    assert meta["schema_version"] == 1
    assert meta["problem"]["baseline"] == 0
    assert meta["problem"]["reference_point"] == front["reference_point"]
    c = front["columns"]
    assert len({len(column) for column in c.values()}) == 1
    assert sum(c["knee"]) == 1
    assert c["latency_source"][0] == "analytical"
    assert all(low <= v <= high for low, v, high in zip(c["throughput_low"], c["throughput"], c["throughput_high"]))
    assert min(c["throughput"]) > 0  # negated inside, shown as people read it
    history = front["history"]
    assert all(b["hypervolume"] >= a["hypervolume"] for a, b in itertools.pairwise(history))
    assert history[-1]["evaluations"] == 300
    assert history[-1]["front_size"] == len(c["id"])
    trials = run.trials()
    assert trials.filter(trials["front"])["id"].to_list() == c["id"]
    assert trials["id"].is_sorted()
    assert trials.height == 300  # the default sample is larger
    point = run.point(c["id"][0])
    assert point["target"] == c["target"][0]
    assert (run.path / "front.csv").read_text().splitlines()[0].startswith("id,target,tp,batch,latency")
    assert str(c["id"][0]) in front["details"]
    with pytest.raises(UsageError, match="no such point"):
        run.point(123456)


@pytest.mark.parametrize("keep", ["front", "sample:20", "all"])
def test_keep_and_rebuild(keep: Any, tmp_path: Path) -> None:
    run = run_search(Tradeoff(real=True), evaluations=400, keep=keep, directory=tmp_path / "run")
    trials = run.trials()
    size = len(columns(run)["id"])
    rest = trials.height - size - (0 not in columns(run)["id"])
    assert {"front": rest == 0, "all": trials.height == 400, "sample:20": 5 < rest <= 20}[keep]
    before = (run.path / "front.json").read_bytes()
    for name in ("front.json", "front.csv", "trials.parquet"):
        (run.path / name).unlink()
    rebuild(load_run(run.path), Tradeoff(real=True))
    assert (run.path / "front.json").read_bytes() == before
    assert load_run(run.path).trials().equals(trials)
    rebuild(load_run(run.path))  # without the problem: the same rows, no details
    assert load_run(run.path).front["columns"] == json.loads(before)["columns"]


@pytest.mark.parametrize("problem", [Tradeoff(real=True), Slow()], ids=["cheap", "dear"])
def test_worker_counts_do_not_change_the_front(problem: Any, tmp_path: Path) -> None:
    runs = [
        run_search(problem, evaluations=60, seed=3, workers=workers, directory=tmp_path / str(workers))
        for workers in (1, 2)
    ]
    assert columns(runs[0]) == columns(runs[1])
    other = run_search(problem, evaluations=60, seed=4, directory=tmp_path / "seed")
    assert columns(other) != columns(runs[0])


def kill_when(path: Any, wanted: Any, code: Any, *arguments: Any) -> None:
    """Run ``code`` in a process and kill -9 it once the journal holds ``wanted`` lines with an evaluation."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline and process.poll() is None:
            if (
                path.exists()
                and sum(b'"evaluation"' in s or b'"batch"' in s for s in path.read_bytes().splitlines()) >= wanted
            ):
                break
            time.sleep(0.005)
        assert process.poll() is None, "the search ended before it was killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_kill_9_of_a_dear_search_loses_no_finished_evaluation(tmp_path: Path) -> None:
    place, log = tmp_path / "killed", tmp_path / "log"
    code = (
        "import sys\nfrom codesign.search.driver import run_search\nfrom codesign.testing.problems import Slow\n"
        "run_search(Slow(delay=0.02, log=sys.argv[2]), evaluations=40, seed=5, directory=sys.argv[1])"
    )
    kill_when(place / "journal.jsonl", 20, code, place, log)
    journal = place / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"kind":"evaluation","batch":2,"row":{"id":[3')  # and it was writing when it died
    assert load_run(place).meta["status"] == "running"
    done = sum(1 for r in load_run(place).journal().records if r["kind"] == "evaluation")
    evaluated = len(log.read_text().splitlines())
    run = resume_search(place, problem=Slow(log=str(log)))
    whole = run_search(Slow(), evaluations=40, seed=5, directory=tmp_path / "whole")
    assert columns(run) == columns(whole)
    assert run.front["status_counts"] == whole.front["status_counts"]
    again = len(log.read_text().splitlines())
    measured = whole.front["status_counts"]["ok"]
    assert done >= 20
    assert again <= measured + 1, "a finished evaluation was repeated"  # the one in flight may be
    assert evaluated <= again
    assert any("torn" in r.get("torn", "") for r in run.journal().records)


def test_kill_9_of_a_cheap_search_recomputes_and_agrees(tmp_path: Path) -> None:
    place = tmp_path / "killed"
    code = (
        "import sys\nfrom codesign.search.driver import run_search\nfrom codesign.testing.problems import Tradeoff\n"
        "run_search(Tradeoff(real=True, delay=0.02), evaluations=3000, seed=5, directory=sys.argv[1])"
    )
    kill_when(place / "journal.jsonl", 14, code, place)
    run = resume_search(place, problem=Tradeoff(real=True))
    whole = run_search(Tradeoff(real=True), evaluations=3000, seed=5, directory=tmp_path / "whole")
    assert columns(run) == columns(whole)
    assert run.front["status_counts"] == whole.front["status_counts"]
    assert [h["hypervolume"] for h in run.front["history"]] == [h["hypervolume"] for h in whole.front["history"]]
    assert run.trials().equals(whole.trials())


@pytest.mark.parametrize("cut", [0.15, 0.4, 0.77, 0.93])
@pytest.mark.parametrize("problem", [Tradeoff(real=True), Slow()], ids=["cheap", "dear"])
def test_a_journal_cut_anywhere_resumes_to_the_same_front(problem: Any, cut: Any, tmp_path: Path) -> None:
    run = run_search(problem, engine="nsga2", evaluations=240, seed=1, directory=tmp_path / "run")
    expected, trials = columns(run), run.trials()
    data = run.journal_path.read_bytes()
    run.journal_path.write_bytes(data[: int(len(data) * cut)])
    again = resume_search(run.path, problem=problem)
    assert columns(again) == expected
    assert again.trials().equals(trials)


@pytest.mark.parametrize("problem", [Tradeoff(real=True), Slow()], ids=["cheap", "dear"])
def test_a_finished_search_resumes_with_a_larger_budget(problem: Any, tmp_path: Path) -> None:
    run = run_search(problem, evaluations=195, options={"population": 20}, directory=tmp_path / "run")
    size = len(columns(run)["id"])
    longer = resume_search(run.path, problem=problem, evaluations=400)
    assert longer.meta["evaluations"] == 400
    assert longer.trials().height == 400
    assert len(columns(longer)["id"]) > size


def test_resume_names_what_changed(tmp_path: Path) -> None:
    class Newer(Tradeoff):
        def fingerprint(self) -> Any:
            return {"formulas": "2"}

    run = run_search(Tradeoff(), evaluations=50, directory=tmp_path / "run")
    with pytest.raises(UsageError, match=r"changed since it began: formulas \("):
        resume_search(run.path, problem=Newer())
    with pytest.raises(UsageError, match="constraints"):
        resume_search(run.path, problem=Tradeoff(["latency <= 1 s"]))


def test_a_search_that_is_not_deterministic_is_found_out_on_resume(tmp_path: Path) -> None:
    run = run_search(Tradeoff(), evaluations=200, directory=tmp_path / "run")
    lines = run.journal_path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"kind":"state"' not in line and b'"kind":"end"' not in line]
    kept[3] = kept[3].replace(json.loads(kept[3])["digest"].encode(), b"0" * 16)
    run.journal_path.write_bytes(b"".join(kept))
    with pytest.raises(DataError, match="came out differently"):
        resume_search(run.path, problem=Tradeoff())


@pytest.mark.parametrize("kind", ["Tradeoff(real=True, delay=0.05)", "Slow(delay=0.01)"])
def test_ctrl_c_saves_and_says_how_to_resume(kind: Any, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom codesign.errors import CodesignError\nfrom codesign.search.driver import run_search\n"
        "from codesign.testing.problems import *\n"
        f"try:\n    run_search({kind}, evaluations=2000, seed=5, directory=sys.argv[1],\n"
        "        progress=lambda p: print(p.evaluations, flush=True))\n"
        "except CodesignError as error:\n    print(error, file=sys.stderr)\n    sys.exit(int(error.exit_code))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell may have it ignored
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"codesign search --resume {tmp_path / 'run'}" in said
    run = load_run(tmp_path / "run")
    assert run.meta["status"] == "interrupted"
    assert len(columns(run)["id"]) > 0
    assert run.trials().height > 0


def test_interrupt_in_process_is_saved(tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.evaluations > 100:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="all saved"):
        run_search(Tradeoff(real=True), evaluations=600, seed=2, directory=tmp_path / "run", progress=stop)
    resumed = resume_search(tmp_path / "run", problem=Tradeoff(real=True))
    whole = run_search(Tradeoff(real=True), evaluations=600, seed=2, directory=tmp_path / "whole")
    assert columns(resumed) == columns(whole)


def test_nothing_feasible_writes_the_run_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(LimitCrossed, match=r"none of 101 points is feasible: 101 x violates latency <= 1 us"):
        run_search(Tradeoff(["latency <= 1 us"]), evaluations=101, directory=tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.meta["status"] == "finished"
    assert run.front["columns"]["id"] == []
    assert run.front["reasons"] == {"violates latency <= 1 us": 101}
    assert run.trials()["status"].unique().to_list() == ["infeasible"]


def test_a_full_disk_in_mid_search_keeps_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = itertools.count()
    original = os.write

    def full(file: Any, data: Any) -> Any:
        if next(written) > 12:
            raise OSError(28, "No space left on device")
        return original(file, data)

    monkeypatch.setattr("codesign.run.journal.os.write", full)
    with pytest.raises(EnvironmentLacks, match=r"journal.jsonl: No space left on device.*--resume"):
        run_search(Tradeoff(real=True), evaluations=400, seed=2, directory=tmp_path / "run")
    monkeypatch.undo()
    resumed = resume_search(tmp_path / "run", problem=Tradeoff(real=True))
    whole = run_search(Tradeoff(real=True), evaluations=400, seed=2, directory=tmp_path / "whole")
    assert columns(resumed) == columns(whole)


def test_two_processes_on_one_run(tmp_path: Path) -> None:
    run = run_search(Tradeoff(), evaluations=50, directory=tmp_path / "run")
    with Journal(run.journal_path, sync_each=False), pytest.raises(UsageError, match="another process"):
        resume_search(run.path, problem=Tradeoff())


def test_time_limit_stops_and_resume_goes_on(tmp_path: Path) -> None:
    began = time.perf_counter()
    settings: dict[str, Any] = {"options": {"population": 50}, "evaluations": 1000}
    run = run_search(Slow(delay=0.01), time_limit=0.3, directory=tmp_path / "run", **settings)
    assert time.perf_counter() - began < 5.0
    assert 0 < run.meta["evaluations"] < 1000
    more = resume_search(run.path, problem=Slow(), evaluations=200, time_limit=60)
    assert more.meta["evaluations"] == 200
    whole = run_search(Slow(), directory=tmp_path / "whole", **{**settings, "evaluations": 200})
    assert columns(more) == columns(whole)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"evaluations": 0}, "--evaluations"),
        ({"evaluations": -5}, "--evaluations"),
        ({"time_limit": float("nan")}, "--time"),
        ({"seed": -1}, "--seed"),
        ({"workers": 0}, "--workers"),
        ({"keep": "some"}, "--keep"),
        ({"engine": "nsga3"}, "nsga2"),
        ({"reference": [1.0]}, "--reference"),
        ({"options": {"population": 3, "x": 1}}, "no option 'x'"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(settings: Any, said: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        run_search(Tradeoff(), directory=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_given_reference_point_is_used_as_shown(tmp_path: Path) -> None:
    run = run_search(Tradeoff(), evaluations=200, reference=[1.0, 1.0], directory=tmp_path / "run")
    assert run.front["reference_point"] == [1.0, 1.0]
    values = values_of(run)
    front = values[nondominated(values)]
    front = front[np.argsort(front[:, 0])]
    assert run.front["hypervolume"]["value"] == pytest.approx(
        sum((1.0 - a) * (h - b) for (a, b), h in zip(front, [-1.0, *front[:-1, 1]], strict=True))
    )


def test_spec_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign.search import problems

    monkeypatch.setitem(problems.PROBLEMS, "tradeoff", lambda: Tradeoff)
    first = run_search(Tradeoff(["latency <= 1 s"]), evaluations=80, seed=9, directory=tmp_path / "run")
    again = search_from_spec(first.path / "run.json", directory=tmp_path / "again")
    assert columns(again) == columns(first)
    spec = tmp_path / "spec.yaml"
    spec.write_text("problem: tradeoff\nspec: {where: ['latency <= 1 s']}\nsearch: {evaluations: 80, seed: 9}\n")
    assert columns(search_from_spec(spec, directory=tmp_path / "yaml")) == columns(first)
    assert resume_search(first.path).meta["evaluations"] == 80  # the problem comes from run.json
    spec.write_text("problem: tradeoff\nspec: {}\nsearch: {evaluation: 80}\n")
    with pytest.raises(DataError, match="evaluations"):
        read_spec(spec)
    spec.write_text("problem: nothing\nspec: {}\n")
    with pytest.raises(UsageError, match="unknown problem"):
        search_from_spec(spec)


def test_a_verification_survives_a_rebuild(tmp_path: Path) -> None:
    run = run_search(Tradeoff(), evaluations=50, directory=tmp_path / "run")
    add_verification(run, {"measured": [1, 2]}, Tradeoff())
    (run.path / "front.json").unlink()
    rebuild(run, Tradeoff())
    assert load_run(run.path).front["verification"] == {"measured": [1, 2]}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_optuna_resumes_from_our_journal(sampler: Any, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    run = run_search(Slow(), engine=f"optuna:{sampler}", evaluations=30, seed=2, directory=tmp_path / "run")
    expected = columns(run)
    data = run.journal_path.read_bytes()
    run.journal_path.write_bytes(data[: int(len(data) * 0.6)])
    assert columns(resume_search(run.path, problem=Slow(), workers=2)) == expected


def test_points_of_unknown_quality_get_a_front_of_their_own(tmp_path: Path) -> None:
    class Doubtful(Tradeoff):
        def evaluate(self, points: Any, stage: Any = 0) -> Any:
            results = super().evaluate(points, stage)
            return dataclasses.replace(results, apart=points[:, 0] == 0)  # all of the fastest target

    run = run_search(Doubtful(), engine="exhaustive", directory=tmp_path / "run")
    c = columns(run)
    apart = np.array(c["unknown_quality"])
    assert set(np.array(c["target"])[apart]) == {"h100"}
    assert (~apart).sum() > 0
    values = values_of(run)
    for group in (apart, ~apart):
        assert nondominated(values[group]).all()
    known = values[~apart]
    assert any((known >= v).all(axis=1).any() for v in values[apart]), "the better ones may not hide the known ones"
    assert not np.array(c["knee"])[apart].any()
