"""``codesign targets``, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_list_names_every_target(run_codesign: Any) -> None:
    outcome = run_codesign("targets", "list", "--json")
    assert (outcome.rc, outcome.stderr) == (0, "")
    rows = {row["id"]: row for row in json.loads(outcome.stdout)["results"]}
    assert {"h100-sxm", "a100-80gb-sxm", "h200-sxm", "l4", "mi300x"} <= rows.keys()
    assert rows["h100-sxm"]["memory_bandwidth"] == pytest.approx(3.35e12)
    table = run_codesign("targets", "list", env={"COLUMNS": "80"}).stdout
    assert all(any(line.split()[:1] == [name] for line in table.splitlines()) for name in rows)


def test_show_gives_every_number_a_source(run_codesign: Any) -> None:
    outcome = run_codesign("targets", "show", "h100")  # an alias
    assert (outcome.rc, outcome.stderr) == (0, "")
    numbers, sources = outcome.stdout.split("Sources")
    for name in ("matrix.peak.bf16", "memory.bandwidth", "links.node.latency", "power.tdp"):
        assert name in numbers
        assert name in sources


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "h1000-sxm"), "h100-sxm"),
        (("show", "./absent.yaml"), "absent.yaml"),
        (("validate",), "files"),
        (("validate", "./absent.yaml"), "absent.yaml"),
        (("detect", "--device", "npu"), "npu"),
        (("detect", "--seconds", "-1"), "seconds"),
        (("detect", "--seconds", "soon"), "--seconds"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], said: str, run_codesign: Any) -> None:
    outcome = run_codesign("targets", *arguments)
    assert (outcome.rc, outcome.stdout) == (2, "")
    error = next(line for line in outcome.stderr.splitlines() if line.startswith("error: "))
    assert said.lower() in outcome.stderr.lower(), error


def test_detect_writes_a_target_that_validates_and_is_not_overwritten(run_codesign: Any, tmp_path: Path) -> None:
    measured = run_codesign("targets", "detect", "--device", "cpu", "--seconds", "1", "--json")
    assert measured.rc == 0, measured.stderr
    (row,) = json.loads(measured.stdout)["results"]
    assert (tmp_path / row["file"]).is_file()
    assert run_codesign("targets", "validate", "./this-cpu.yaml").rc == 0
    again = run_codesign("targets", "detect", "--device", "cpu", "--seconds", "1")
    assert (again.rc, again.stdout) == (2, "")
    assert "--force" in again.stderr


def test_a_wrong_file_is_named_with_its_field(run_codesign: Any, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("schema: 1\nid: x\ncolour: red\n")
    outcome = run_codesign("targets", "validate", "wrong.yaml")
    assert (outcome.rc, outcome.stdout) == (2, "")
    assert "wrong.yaml" in outcome.stderr
    assert "colour" in outcome.stderr
