"""``codesign profile`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codesign.profilers.results import Profile

SMALL = ("gpt2", "--layers", "1", "--prompt", "8", "--dtype", "fp32", "--repeats", "3", "--threads", "1")


def test_a_profile_prints_tables_and_writes_its_run(run_codesign: Any, tmp_path: Path) -> None:
    done = run_codesign("profile", *SMALL, "--batch", "2,1", "--out", "first", env={"COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "gpt2 on cpu: prefill, fp32, 1 thread, layers 1, prompt 8" in done.stdout
    assert "addmm" in done.stdout
    assert "framework gap" in done.stdout
    assert "dispatch-bound below 50%" in done.stderr
    assert "first/report.html" in done.stderr
    assert sorted(p.name for p in (tmp_path / "first").iterdir()) == [
        "batch-1.trace", "batch-2.trace", "profile.json", "report.html", "run.json"
    ]  # fmt: skip
    found = msgspec.json.decode((tmp_path / "first" / "profile.json").read_bytes(), type=Profile)
    assert [b.batch for b in found.batches] == [1, 2]
    assert json.loads((tmp_path / "first" / "run.json").read_text())["status"] == "finished"
    again = run_codesign("profile", *SMALL, "--out", "first")
    assert again.rc == 2
    assert "exists already" in again.stderr
    forced = run_codesign("profile", *SMALL, "--out", "first", "--force", "--json")
    assert forced.rc == 0, forced.stderr
    batch = json.loads(forced.stdout)["results"]["batches"][0]
    assert batch["framework_gap"] + batch["dispatch"] + batch["compute"] == pytest.approx(batch["iteration"])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("gpt2", "--batch", "0"), 2, "--batch holds 0"),
        (("gpt2", "--batch", "-1"), 2, "--batch holds -1"),
        (("gpt2", "--batch", "abc"), 2, "--batch is 'abc'"),
        (("gpt2", "--batch", ""), 2, "--batch is ''"),
        (("gpt3",), 2, "did you mean gpt2"),
        (("gpt2", "--layers", "100"), 2, "gpt2 has 12 layers, --layers asks for 100"),
        (("gpt2", "--dtype", "fp31"), 2, "did you mean fp32"),
        (("gpt2", "--phase", "prefil"), 2, "did you mean prefill"),
        (("gpt2", "--time", "10"), 2, "has no unit"),
        (("gpt2", "--time", "0 s"), 2, "more than 0 s"),
        (("gpt2", "--threads", "0"), 2, "threads is 0"),
        (("gpt2", "--device", "gpu"), 2, "device 'gpu' is unknown"),
    ],
)
def test_bad_values_end_in_one_line(run_codesign: Any, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = run_codesign("profile", *arguments)
    assert done.rc == code, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--energy", "rapl"), 3, "no energy: "),
        (("--class-limits", "4,10,0.5"), 2, "--class-limits are of launches on a GPU"),
    ],
)
def test_what_does_not_apply_here_is_said_before_measuring(
    run_codesign: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    none = {"CODESIGN_POWERCAP_ROOT": str(tmp_path)}
    done = run_codesign("profile", *SMALL, *arguments, env=none)
    assert (done.rc, done.stdout) == (code, "")
    assert says in done.stderr
    assert "timing" not in done.stderr


def test_why_there_is_no_energy_is_in_the_json_and_on_the_page(run_codesign: Any, tmp_path: Path) -> None:
    done = run_codesign("profile", *SMALL, "--energy", "auto", "--json", "--out", "run",
                        env={"CODESIGN_POWERCAP_ROOT": str(tmp_path)})  # fmt: skip
    assert done.rc == 0, done.stderr
    found = json.loads(done.stdout)["results"]
    if found["batches"][0]["energy"] is None:
        assert any(note.startswith("no energy: ") for note in found["notes"])
        assert "no energy: " in (tmp_path / "run" / "report.html").read_text()


def test_a_device_that_is_not_here_is_never_replaced(run_codesign: Any) -> None:
    done = run_codesign("profile", *SMALL, "--device", "cuda", env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.rc == 3
    assert "no GPU" in done.stderr
