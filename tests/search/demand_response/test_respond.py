"""``codesign carbon respond`` as a user runs it: results, run directory, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

HOURS = [260, 250, 240, 240, 250, 280, 330, 380, 400, 390, 350, 300, 260, 240, 230, 240, 280, 350, 430, 470, 460, 420,
         360, 300]  # fmt: skip
LOAD = [7, 6, 6, 6, 6, 7, 8, 9, 10, 11, 11, 12, 12, 12, 11, 11, 11, 12, 12, 12, 11, 10, 9, 8]


def study(**changes: Any) -> dict[str, Any]:
    return {
        "grid": {"values": HOURS, "source": "invented"},
        "fleet": {"mean_mw": 10, "shape": LOAD},
        "workloads": [
            {"name": "web", "kind": "online", "share": 0.5, "penalty": {"weight": 4}},
            {"name": "train", "kind": "batch", "share": 0.5, "penalty": {"weight": 0.5}},
        ],
        "lambdas": [0.1, 0.3],
        "cuts": [0.05],
        **changes,
    }


def write(folder: Path, **changes: Any) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(study(**changes)))))
    return "study.yaml"


def test_json_states_everything(tmp_path: Path, run_codesign: Any) -> None:
    done = run_codesign("carbon", "respond", write(tmp_path), "--out", "run", "--json")
    assert done.rc == 0, done.stderr
    said = json.loads(done.stdout)["results"]
    base, plans = said["baseline"], said["plans"]
    tonnes = sum(10 * 24 * load / sum(LOAD) * ci / 1000 for load, ci in zip(LOAD, HOURS, strict=True))
    assert base["carbon_t"] == pytest.approx(tonnes)
    assert base["carbon_t_low"] < base["carbon_t"] < base["carbon_t_high"]
    assert base["load_weighted_g_per_kwh"] != pytest.approx(base["mean_g_per_kwh"])
    policies = {p["policy"] for p in plans}
    assert policies == {"nothing", "efficient", "fair-centralised", "fair-decentralised", "uniform-made-up",
                        "uniform-shed"}  # fmt: skip
    for p in plans:
        assert p["saved_t_low"] <= p["saved_t"] <= p["saved_t_high"]
        assert p["saved_t"] == pytest.approx(base["carbon_t"] - p["carbon_t"])
        assert p["saved_pct"] == pytest.approx(p["saved_by_shedding_pct"] + p["saved_by_moving_pct"])
        assert p["penalty"] == pytest.approx(sum(p["penalty_by_workload"].values()))
        assert p["smooth_penalty"] <= p["penalty"] + 1e-9
    nothing = next(p for p in plans if p["policy"] == "nothing")
    assert nothing["jain_index"] is None
    assert nothing["saved_t"] == 0
    shed = [p for p in plans if p["policy"] == "uniform-shed"]
    assert all(p["wrong"] == "sheds batch work for good" and not p["front"] for p in shed)


def test_tables_fit_eighty_columns(tmp_path: Path, run_codesign: Any) -> None:
    done = run_codesign("carbon", "respond", write(tmp_path), "--out", "run", env={"COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for said in ("baseline", "efficient", "fair-decentralised", "worst burden", "Jain"):
        assert said in done.stdout
    assert "no evidence about a real fleet" in done.stderr
    assert "sheds batch work for good" in done.stderr


def test_the_run_directory_is_a_run_like_any_other(tmp_path: Path, run_codesign: Any) -> None:
    assert run_codesign("carbon", "respond", write(tmp_path), "--out", "run", "-q").rc == 0

    def front() -> Any:
        found = json.loads((tmp_path / "run" / "front.json").read_bytes())
        return found["columns"], found["details"]  # the history has seconds

    before = front()
    rows = list(csv.DictReader((tmp_path / "run" / "plan.csv").open()))
    assert len(rows) == 24 * 2 * (2 + 3 * 2 + 2)
    made = [r for r in rows if r["workload"] == "train" and r["policy"] == "efficient" and r["level"] == "0.1"]
    assert sum(float(r["curtailed_mw"]) for r in made) == pytest.approx(0.0, abs=1e-6)
    assert all(float(r["power_mw"]) == pytest.approx(float(r["baseline_mw"]) - float(r["curtailed_mw"])) for r in rows)
    again = run_codesign("carbon", "respond", "study.yaml", "--out", "run")
    assert again.rc == 2
    assert "--force" in again.stderr
    for name in ("front.json", "plan.csv", "trials.parquet"):
        (tmp_path / "run" / name).unlink()
    assert run_codesign("search", "--resume", "run").rc == 0
    assert front() == before
    assert len(list(csv.DictReader((tmp_path / "run" / "plan.csv").open()))) == len(rows)
    assert run_codesign("report", "run", "--format", "md", "-o", "-").rc == 0
    assert run_codesign("compare", "run", "run").rc == 0
    assert run_codesign("search", "run/run.json", "--out", "run", "--force", "--workers", "2").rc == 0
    assert front() == before
    assert not [f for f in (tmp_path / "run").iterdir() if str(tmp_path) in f.read_bytes().decode("utf-8", "ignore")]


def test_all_values_count_where_no_days_are_stated(tmp_path: Path, run_codesign: Any) -> None:
    def hours(**grid: Any) -> int:
        spec = write(tmp_path, grid={"values": HOURS * 3, **grid}, policies=["efficient"])
        done = run_codesign("carbon", "respond", spec, "--out", "run", "--force", "--json")
        return int(json.loads(done.stdout)["results"]["baseline"]["hours"])

    assert hours() == 72
    assert hours(day=1) == 48
    assert hours(day=1, days=1) == 24


def test_goals_are_reached_by_bisection(tmp_path: Path, run_codesign: Any) -> None:
    goals = [{"saved_pct": 4.0}, {"penalty": 3.0}]
    spec = write(tmp_path, goals=goals, lambdas=[], policies=["efficient"])
    done = run_codesign("carbon", "respond", spec, "--out", "run", "--json")
    assert done.rc == 0, done.stderr
    said = json.loads(done.stdout)["results"]
    by_price = {p["lambda"]: p for p in said["plans"]}
    saving, penalty = (by_price[goal["reached_at"]] for goal in said["goals"])
    assert saving["saved_pct"] >= 4.0
    assert penalty["penalty"] <= 3.0 + 1e-6
    lost = run_codesign("carbon", "respond", write(tmp_path, goals=[{"saved_pct": 99}]), "--out", "lost")
    assert (lost.rc, lost.stdout) == (4, "")
    assert "the most is" in lost.stderr
    assert not (tmp_path / "lost").exists()


def test_earliness_is_a_choice_that_shows(tmp_path: Path, run_codesign: Any) -> None:
    def moved(**changes: Any) -> float:
        spec = write(tmp_path, policies=["efficient"], lambdas=[1000], **changes)
        done = run_codesign("carbon", "respond", spec, "--out", "run", "--force", "--json")
        return float(json.loads(done.stdout)["results"]["plans"][-1]["saved_by_moving_pct"])

    assert moved() == 0.0
    assert moved(advance=True) > 1.0


WEB, TRAIN = study()["workloads"]
FITTED = {**WEB, "penalty": {"samples": [[0.1, 1.0], [0.2, 1.1], [0.3, 1.2]]}}
BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"workloads": []}, 2, "workloads: found 0"),
    ({"workloads": [{**WEB, "share": None, "baseline_mw": [-1.0] * 24}]}, 2, "baseline_mw[0]: found -1.0"),
    ({"workloads": [{**WEB, "share": -0.5}]}, 2, "workloads[0].share"),
    ({"workloads": [{**WEB, "share": None, "baseline_mw": [1.0, 2.0, 3.0, 4.0, 5.0]}]}, 2, "found 5 values"),
    ({"workloads": [{**WEB, "baseline_mw": 3.0}]}, 2, "one of baseline_mw and share"),
    ({"workloads": [{**WEB, "share": None, "baseline_mw": 0.0}]}, 2, "0 MW in every hour"),
    ({"workloads": [{**WEB, "share": 0.7}, {**TRAIN, "share": 0.7}]}, 2, "shares sum to 1.4"),
    ({"workloads": [WEB, WEB]}, 2, "'web' is taken"),
    ({"workloads": [{**WEB, "kind": "onlin"}]}, 2, "online"),
    ({"workloads": [{**WEB, "max_make_up": 0.5}]}, 2, "online work is not made up"),
    ({"workloads": [{**WEB, "penalty": {}}]}, 2, "one of weight and samples"),
    ({"workloads": [{**WEB, "penalty": {"weight": -1}}]}, 2, "weight"),
    ({"workloads": [{**WEB, "max_curtail": 0.5, "penalty": {"samples": [[0.1, 1]]}}]}, 2, "nothing is extrapolated"),
    ({"workloads": [{**WEB, "penalty": {"samples": [[0, 1]]}}]}, 2, "all are at x = 0"),
    ({"workloads": [{**WEB, "name": "\x1b[31mred"}]}, 2, "printable"),
    ({"workloads": [{**WEB, "name": f"w{i}", "share": 0.001} for i in range(201)]}, 2, "expected 1 to 200"),
    ({"policies": ["efficent"]}, 2, "efficient"),
    ({"policies": []}, 2, "policies: none given"),
    ({"lambdas": [0.1, 0.0]}, 2, "lambdas[1]: found 0.0"),
    ({"lambdas": [-0.1]}, 2, "lambdas[0]"),
    ({"lambdas": [float("nan")]}, 2, "lambdas[0]"),
    ({"lambdas": [0.1] * 201}, 2, "lambdas"),
    ({"cuts": [0.9]}, 2, "what web may curtail"),
    ({"goals": [{}]}, 2, "one of saved_pct and penalty"),
    ({"capacity_mw": 2.0}, 4, "hour "),
    ({"capacity_mw": -1.0}, 2, "capacity_mw"),
    ({"capacity_mw": float("inf")}, 2, "capacity_mw"),
    ({"grid": {"values": [*HOURS[:23], float("nan")]}}, 2, "grid.values[23]: found nan"),
    ({"grid": {"values": HOURS[:23], "days": 1}}, 2, "the series ends after 23 hours"),
    ({"grid": {"values": HOURS, "days": 1000}}, 2, "grid.days"),
    ({"grid": {"values": HOURS * 400}}, 2, "grid.values: found 9,600 values"),
    ({"grid": {"values": HOURS[:23]}}, 2, "fleet.shape: found 24 values, expected 23"),
    ({"grid": {"series": "ERCO", "kind": "marginal"}}, 2, "grid.kind"),
    ({"grid": {}}, 2, "found 0 sources"),
    ({"grid": {"csv": "nowhere.csv"}}, 2, "nowhere.csv: cannot be read"),
    ({"grid": {"csv": "gap.csv", "column": "ci"}}, 2, "gap.csv:4"),
    (
        {"grid": {"values": HOURS * 366}, "workloads": [{**WEB, "name": f"w{i}", "share": 0.1} for i in range(10)]},
        2,
        "1,405,440 pieces",
    ),
    ({"chords": {"segments": 1_000_000}}, 2, "chords.segments"),
    ({"fleet": None}, 2, "no fleet to share"),
    ({"advanced": True}, 2, "advance"),
    ({"workloads": [WEB, {**FITTED, "name": "b", "kind": "batch"}]}, 2, "uniform-shed"),
]


@pytest.mark.parametrize(("changes", "code", "said"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_input_is_one_line(
    changes: dict[str, Any], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from codesign.cli.app import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "gap.csv").write_text("hour,ci\n0,300\n1,300\n3,300\n")
    assert run(["carbon", "respond", write(tmp_path, **changes), "--out", "run"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) <= 2
    assert said in shown.err
    assert "\x1b" not in shown.err
    assert not (tmp_path / "run").exists()


def test_bad_input_through_the_program(tmp_path: Path, run_codesign: Any) -> None:
    done = run_codesign("carbon", "respond", write(tmp_path, capacity_mw=2.0))
    assert (done.rc, done.stdout) == (4, "")
    assert " lacks " in done.stderr
    for arguments in (("carbon", "respond", "none.yaml"), ("carbon", "respond", "."), ("carbon", "respnd", "x")):
        assert run_codesign(*arguments).rc == 2


def test_samples_that_are_not_convex_are_reported(tmp_path: Path, run_codesign: Any) -> None:
    done = run_codesign("carbon", "respond", write(tmp_path, workloads=[FITTED]), "--out", "run")
    assert done.rc == 0, done.stderr
    assert "web: penalty fitted to 3 samples" in done.stderr
    assert "not convex" in done.stderr


def test_names_are_text_everywhere(tmp_path: Path, run_codesign: Any) -> None:
    name = "=cmd|<script>alert(1)</script>"
    done = run_codesign("carbon", "respond", write(tmp_path, workloads=[{**WEB, "name": name}]), "--out", "run")
    assert done.rc == 0, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script>alert" not in page
    assert ",'=cmd|" in (tmp_path / "run" / "plan.csv").read_text()
