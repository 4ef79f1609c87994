"""``codesign search accelerator`` as a user runs it: a run, its report, resuming, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCodesign

ASK = (
    "search", "accelerator", "bert-base", "--mappings", "100", "--vary", "rows=6,12", "--vary", "columns=14",
    "--vary", "pads=1", "--vary", "buffer=64 KiB,128 KiB", "--vary", "bandwidth=16", "--vary", "cores=1",
)  # fmt: skip


def test_a_run_reports_resumes_and_repeats(run_codesign: RunCodesign, tmp_path: Path) -> None:
    first = run_codesign(*ASK, "--evaluations", "8", "--out", "a", "--where", "area <= 50 mm2")
    assert first.rc == 0, first.stderr
    assert "tcdp" in first.stdout
    front = json.loads((tmp_path / "a" / "front.json").read_text())
    titles = [one["title"] for detail in front["details"].values() for one in detail["breakdowns"]]
    assert "Energy of a run by level" in titles
    assert run_codesign("report", "a").rc == 0
    assert "Roofline of the layers" in (tmp_path / "a" / "report.html").read_text()
    more = run_codesign("search", "--resume", "a", "--evaluations", "12")
    assert more.rc == 0, more.stderr
    whole = run_codesign(*ASK, "--evaluations", "8", "--out", "b", "--workers", "2", "--where", "area <= 50 mm2")
    assert whole.rc == 0, whole.stderr
    again = json.loads((tmp_path / "b" / "front.json").read_text())
    assert again["columns"] == front["columns"]
    assert run_codesign("compare", "a", "b").rc == 0
    hull = run_codesign("carbon", "hull", "a", "--json")
    assert hull.rc == 0, hull.stderr
    rows = json.loads(hull.stdout)["results"]["rows"]
    assert [row["from_years"] for row in rows] == sorted(row["from_years"] for row in rows)


def test_nothing_feasible_says_which_limit_kills_most(run_codesign: RunCodesign) -> None:
    found = run_codesign(*ASK, "--evaluations", "4", "--where", "area <= 0.01 mm2", "--where", "latency <= 1 s")
    assert found.rc == 4
    assert "violates area <= 0.01 mm2" in found.stderr
    assert "the nearest design has" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet-99",), "resnet-99"),
        (("resnet-18", "--template", "eyeris-like"), "eyeriss-like"),
        (("bert-base", "--template", "fusemax", "--vary", "cores=2"), "cores: fusemax has 1 only"),
        (("resnet-18", "--template", "h100-sxm"), "a spatial accelerator is needed"),
        (("resnet-18", "--vary", "row=4"), "did you mean rows"),
        (("resnet-18", "--vary", "rows"), "expected KNOB=VALUES"),
        (("resnet-18", "--vary", "buffer=banana"), "banana"),
        (("resnet-18", "--vary", "volts=2"), "volts"),
        (("resnet-18", "--weights", "1,x"), "--weights"),
        (("resnet-18", "--where", "aera <= 5 mm2"), "area"),
        (("resnet-18", "--where", "area <= 5 s"), "area"),
        (("resnet-18", "--objectives", "speed"), "unknown objective"),
        (("resnet-18", "--mappings", "1"), "mappings"),
        (("resnet-18", "--pue", "0.2"), "pue"),
    ],
)
def test_bad_input_is_one_line(run_codesign: RunCodesign, arguments: tuple[str, ...], message: str) -> None:
    found = run_codesign("search", "accelerator", *arguments, "--evaluations", "2")
    assert found.rc == 2
    assert message in found.stderr
    assert found.stdout == ""


def test_help_and_dry_run(run_codesign: RunCodesign) -> None:
    shown = run_codesign("search", "accelerator", "--help")
    assert shown.rc == 0
    assert shown.stdout.count("codesign search accelerator") >= 2
    dry = run_codesign(*ASK, "--dry-run")
    assert dry.rc == 0
    assert "buffer: (65536.0, 131072.0)" in dry.stderr
