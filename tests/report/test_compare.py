"""``compare`` against fronts whose relation is known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from codesign.report import compare
from codesign.report.compare import covered
from codesign.run import create_run

Make = Callable[..., Path]


def test_a_run_against_itself(make_run: Make) -> None:
    run = make_run()
    found = compare(run, run)
    assert all(row["delta_percent"] == pytest.approx(0.0) for row in found.rows)
    assert found.coverage_by_a == found.coverage_by_b == 1.0


def test_a_run_made_worse_in_everything(make_run: Make) -> None:
    a, b = make_run("a", objectives=3), make_run("b", objectives=3)
    front = json.loads((b / "front.json").read_text())
    columns = front["columns"]
    for name, factor in (("latency", 1.1), ("energy", 1.1), ("throughput", 1 / 1.1)):
        columns[name] = [v * factor for v in columns[name]]
    (b / "front.json").write_text(json.dumps(front))
    found = compare(a, b)
    delta = found.deltas()
    assert delta["latency"] == pytest.approx(10.0)
    assert delta["throughput"] == pytest.approx(-100 / 11)
    assert {row["verdict"] for row in found.rows} == {"worse"}
    assert found.coverage_by_a == 1.0
    assert found.coverage_by_b < 1.0


def test_covered_by_hand() -> None:
    front = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert covered(np.array([[2.0, 2.0]]), front) == pytest.approx(1 / 3)
    assert covered(np.array([[0.0, 0.0]]), front) == 1.0
    assert covered(np.zeros((0, 2)), front) == 0.0


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "codesign", *words], capture_output=True, text=True, check=False)


def test_commands(make_run: Make) -> None:
    a, b = str(make_run("a", objectives=2)), str(make_run("b", objectives=2, trials=20))
    made = run_command("report", a)
    assert made.returncode == 0, made.stderr
    assert Path(made.stdout.strip()).name == "report.html"
    assert run_command("report", a, "--format", "csv", "--output", "-").stdout.startswith("id,")
    crossed = run_command("compare", a, b, "--where", "latency <= -99 %")
    assert crossed.returncode == 4
    assert "latency" in crossed.stderr
    assert run_command("compare", a, a, "--where", "latency <= 1 %").returncode == 0
    wrong = run_command("compare", a, a, "--where", "latncy <= 1 %")
    assert wrong.returncode == 2
    assert "latency" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert run_command("report", a + "nowhere").returncode == 2


def test_profiles_are_reported_one_at_a_time(make_run: Make, tmp_path: Path) -> None:
    search = str(make_run("a"))
    profiles = [str(create_run(tmp_path / name, name, command="profile").path) for name in ("p1", "p2")]
    for runs in (profiles, [search, profiles[0]]):
        done = run_command("report", *runs)
        assert done.returncode == 2
        assert f"{profiles[0]} is a profile, and profiles are reported one at a time" in done.stderr
        assert "codesign compare A B" in done.stderr
    (tmp_path / "p1" / "analysis.json").write_text("{}")
    done = run_command("report", profiles[0], "--format", "csv")
    assert done.returncode == 2
    assert "html, json, md" in done.stderr


def test_what_is_no_run_says_how_to_make_one(make_run: Make, tmp_path: Path) -> None:
    run = str(make_run("a"))
    (tmp_path / "trace.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    for other, says in (
        ("trace.json", "profiled first: codesign profile"),
        ("empty", "or `codesign profile` makes a run directory"),
    ):
        done = run_command("compare", run, str(tmp_path / other))
        assert done.returncode == 2
        assert says in done.stderr
