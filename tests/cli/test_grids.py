"""``--grid`` and the grids command, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codesign.targets.grids import load_grid
from tests.conftest import Outcome, RunCodesign
from tests.targets.grid_files import BAD, HOURS, write

ESTIMATE = ("estimate", "llama-3.1-8b", "--target", "h100-sxm")
GRIDS = "import sys; sys.argv[0] = 'codesign'; from codesign.cli.carbon_grids import app; app()"


def grids(*arguments: str, cwd: Path, encoding: str = "utf-8") -> Outcome:
    done = subprocess.run(
        [sys.executable, "-c", GRIDS, *arguments], capture_output=True, text=True, check=False, cwd=cwd,
        encoding=encoding, env={**os.environ, "TERM": "dumb", "COLUMNS": "80", "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_the_note_under_an_estimate(run_codesign: RunCodesign) -> None:
    done = run_codesign(*ESTIMATE, "--grid", "france")
    assert done.rc == 0
    assert "grid: France 2023 average, 56.0 gCO2e/kWh" in done.stderr
    done = run_codesign("explain", "llama-3.1-8b", "--target", "l4", "--grid", "ERCO")
    assert "grid: Texas (ERCOT) 2022 average, mean over hours, 347.2 gCO2e/kWh" in done.stderr


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("frnace", "France"),
        ("korea", "KOR, PRK"),
        ("0.369", "kg/kWh"),
        ("369 g", "unknown unit"),
        ("no.csv", "No such"),
    ],
)
def test_wrong_grids(grid: str, words: str, run_codesign: RunCodesign) -> None:
    done = run_codesign(*ESTIMATE, "--grid", grid)
    assert (done.rc, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize("wrong", ["daylight saving", "step changes", "kilograms", "doubled", "nan"])
def test_wrong_series(wrong: str, run_codesign: RunCodesign, tmp_path: Path) -> None:
    writer, *words = BAD[wrong]
    writer(tmp_path / "mine.csv")
    done = run_codesign(*ESTIMATE, "--grid", "mine.csv")
    assert (done.rc, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words)


def test_queries_take_numbers_and_names(run_codesign: RunCodesign, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("model,target,batch,grid\nllama-3.1-8b,l4,1,FRA\nllama-3.1-8b,l4,1,56.039\n")
    done = run_codesign("estimate", "--queries", "q.csv")
    assert done.rc == 0, done.stderr
    head, first, second = (line.split(",") for line in done.stdout.splitlines())
    place = head.index("carbon_per_million_tokens")
    assert first[place : place + 3] == second[place : place + 3]
    assert "grid: France 2023" in done.stderr
    (tmp_path / "q.csv").write_text("model,target,batch,grid\nllama-3.1-8b,l4,1,FRA\nllama-3.1-8b,l4,1,FRN\n")
    done = run_codesign("estimate", "--queries", "q.csv")
    assert done.rc == 2
    assert "q.csv:3: unknown grid 'FRN'" in done.stderr


def test_the_default_grid_of_queries_counts(run_codesign: RunCodesign, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("model,target,batch\nllama-3.1-8b,l4,1\n")
    found = []
    for grid in ("FRA", "POL"):
        lines = run_codesign("estimate", "--queries", "q.csv", "--grid", grid).stdout.splitlines()
        found.append(float(lines[1].split(",")[lines[0].split(",").index("carbon_per_million_tokens")]))
    assert found[0] < found[1]


def test_a_search_names_its_grid(run_codesign: RunCodesign, tmp_path: Path) -> None:
    search = (
        "search",
        "deployment",
        "llama-3.1-8b",
        "--target",
        "l4",
        "--batch",
        "1,8",
        "--grid",
        "texas",
        "--out",
        "r",
    )
    done = run_codesign(*search)
    assert done.rc == 0, done.stderr
    assert "grid: Texas (ERCOT) 2022 average" in done.stderr
    site = json.loads((tmp_path / "r" / "run.json").read_text())["spec"]["spec"]["site"]
    assert (site["grid_named"], site["grid"]) == ("texas", load_grid("texas").intensity.value)
    assert "--grid texas" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_the_list(tmp_path: Path) -> None:
    done = grids(cwd=tmp_path)
    assert done.rc == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = json.loads(grids("--json", cwd=tmp_path).stdout)
    assert len(found["results"]) == 258
    assert found["units"]["intensity"] == "gCO2e/kWh"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_one_grid_with_its_profile(encoding: str, tmp_path: Path) -> None:
    done = grids("ERCO", "--hours", cwd=tmp_path, encoding=encoding)
    assert done.rc == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for word in ("347.20", "353.05", "110.75 to 516.69", "0.373", "average", "2022", "public domain", "UTC-6"):
        assert word in done.stdout
    assert ("█" if encoding == "utf-8" else "##") in done.stdout


def test_a_series_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path / "mine.csv", HOURS, ["1,1"] * 24 + ["1,3"] * 23 + [","], "timestamp,WND,NG")
    done = grids("mine.csv", "--factors", "act", "--json", "--hours", cwd=tmp_path)
    (found,) = json.loads(done.stdout)["results"]
    assert found["series"]["missing_hours"] == 1.0
    assert found["series"]["values"][-1] is None
    assert found["series"]["mean_over_hours"] == pytest.approx((24 * 250.5 + 23 * 370.25) / 47)
    assert any("act" in note for note in found["notes"])
    done = grids("FRA", "mine.csv", cwd=tmp_path)
    assert done.rc == 0
    assert "mine.csv: computed from generation by fuel" in done.stderr
