"""``codesign estimate --problem`` as a user runs it: our files and Timeloop's, the table, the JSON, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.costmodels.accelerator.timeloop.written import MAPPING, PROBLEM, TABLES, TAGGED

OURS = """
schema: 1
nest:
  - {level: DRAM, loops: [P8, Q2, K4]}
  - {level: shared_glb, loops: [P14, Q4]}
  - {array: PE_column, x: [Q14]}
  - {array: PE, y: [C3, S3]}
  - {level: weights_spad, loops: [R3]}
  - {level: psum_spad, loops: [K8]}
"""
CONV = ("--target", "eyeriss-like", "--problem", "conv:K32C3P112Q112R3S3,stride=2", "--mapping", "ours.yaml")
FILES = {"arch.yaml": TAGGED, "prob.yaml": PROBLEM, "map.yaml": MAPPING, "tables.yaml": TABLES, "ours.yaml": OURS}
THEIRS = ("--target", "arch.yaml", "--problem", "prob.yaml", "--mapping", "map.yaml", "--tables", "tables.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_published_mapping_of_the_catalogue(run_codesign: Any, folder: Path) -> None:
    done = run_codesign("estimate", *CONV, cwd=folder, env={"COLUMNS": "80"})
    assert done.rc == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    for shown in (
        "86,016",
        "75.00 %",
        "59.28 uJ [",
        "1,354,752",
        "157,296",
        "for Q in 0..14  (spatial X of PE_column)",
    ):
        assert shown in done.stdout


def test_the_output_in_the_docs_is_real(run_codesign: Any, tmp_path: Path, repository: Path) -> None:
    page = (repository / "docs" / "accelerators.md").read_text(encoding="utf-8")
    mapping = page.partition("```yaml\n")[2].partition("```")[0]
    command, _, shown = page.partition("```\n$ codesign ")[2].partition("```")[0].partition("\n")
    (tmp_path / "map.yaml").write_text(mapping, encoding="utf-8")
    done = run_codesign(*command.split(), env={"COLUMNS": "80"})
    assert [line.rstrip() for line in done.stdout.splitlines()] == shown.splitlines()


def test_json_has_every_count_with_units(run_codesign: Any, folder: Path) -> None:
    done = run_codesign("estimate", *CONV, "--json", cwd=folder)
    answer = json.loads(done.stdout)
    results = answer["results"]
    assert answer["units"]["reads"] == "words"
    assert results["cycles"] == 86_016
    assert results["energy"]["low"] < results["energy"]["value"] < results["energy"]["high"]
    assert results["energy"]["unit"] == "J"
    assert results["energy"]["value"] == pytest.approx(5469.65e-15 * 10_838_016, rel=1e-5)
    (row,) = [one for one in results["accesses"] if (one["level"], one["tensor"]) == ("weights_spad", "Weights")]
    assert (row["tile"], row["reads"], row["fills"], row["instances"]) == (24, 86_016, 1_536, 126)
    assert sum(one["energy"] for one in results["levels"]) == pytest.approx(results["energy"]["value"])
    assert results["nest"][0].startswith("[DRAM:")
    assert results["reasons"] == {}


def test_timeloop_files_price_as_they_are(run_codesign: Any, folder: Path) -> None:
    done = run_codesign("estimate", *THEIRS, "--json", cwd=folder)
    assert done.rc == 0
    results = json.loads(done.stdout)["results"]
    assert results["operations"] == 8 * 16 * 4
    assert results["limited_by"] in (None, "Buffer")
    assert results["energy"] is not None
    without = run_codesign("estimate", *THEIRS[:6], cwd=folder)
    assert without.rc == 0
    assert "no energy known for Main, Buffer, Pad, Sum, Mac" in without.stderr
    told = json.loads(run_codesign("estimate", *THEIRS[:6], "--json", cwd=folder).stdout)["results"]
    assert told["energy"] is None
    assert "no energy known" in told["reasons"]["energy"]
    assert told["cycles"] == results["cycles"]


def test_fill_and_drain_of_the_array_count_where_asked(run_codesign: Any, folder: Path) -> None:
    done = run_codesign("estimate", *CONV, "--latency", "systolic", "--json", cwd=folder)
    results = json.loads(done.stdout)["results"]
    # every element holds its own inputs (Q14 x C3 S3); they change 8 2 4 14 4 3 times, K8 streams
    assert results["cycles"] == 86_016 + 8 * 2 * 4 * 14 * 4 * 3 * (2 * 12 + 14 - 2)
    assert results["latency_mode"] == "systolic"
    wrong = run_codesign("estimate", *CONV, "--latency", "systolik", cwd=folder)
    assert wrong.rc == 2
    assert "did you mean systolic" in wrong.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("ours.yaml", "Q14", "Q7", "rank Q is not covered: factors 2 x 4 x 7 = 56 of 112, 56 missing"),
        ("ours.yaml", "K8", "K32", "runs empty"),
        ("ours.yaml", "[P8, Q2, K4]", "[P8, Q2, K4, C2]", "runs empty"),
        ("ours.yaml", "loops: [P14, Q4]", "loops: []", "not covered"),
        ("ours.yaml", "{level: weights_spad, loops: [R3]}", "{level: weights_spad, loops: [R3, K8]}", "runs empty"),
        ("ours.yaml", "array: PE,", "array: PEs,", "did you mean PE"),
        ("ours.yaml", "schema: 1", "schema: 1\nschema: 1", "duplicate key"),
    ],
)
def test_a_mapping_that_cannot_run_says_why(
    run_codesign: Any, folder: Path, file: str, old: str, new: str, said: str
) -> None:
    assert old in FILES[file]
    (folder / file).write_text(FILES[file].replace(old, new), encoding="utf-8")
    done = run_codesign("estimate", *CONV, cwd=folder)
    assert done.rc == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_an_array_that_is_too_small_says_how_small(run_codesign: Any, folder: Path) -> None:
    moved = OURS.replace("[P8, Q2, K4]", "[P8, K4]").replace("x: [Q14]", "x: [Q28]")
    (folder / "ours.yaml").write_text(moved, encoding="utf-8")
    done = run_codesign("estimate", *CONV, cwd=folder)
    assert done.rc == 2
    assert "PE_column spreads over 28 copies along x, there are 14" in done.stderr


def test_a_tile_that_overflows_names_level_and_words(run_codesign: Any, folder: Path) -> None:
    moved = OURS.replace("[P8, Q2, K4]", "[P8, Q2]").replace("[K8]", "[K32]")
    (folder / "ours.yaml").write_text(moved, encoding="utf-8")
    done = run_codesign("estimate", *CONV, cwd=folder)
    assert done.rc == 2
    assert "tiles overflow psum_spad by 16 words (Outputs 32; 200 % of its capacity)" in done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("arch.yaml", "class: SRAM", "class: SRAMM", "unknown component class 'SRAMM'"),
        ("arch.yaml", "read_bandwidth: 4", "read_bandwidth: 0", "zero bandwidth"),
        ("arch.yaml", "class: intmac", "class: regfile", "missing datawidth"),
        ("arch.yaml", "depth: 1024", "dept: 1024", "architecture.nodes[2].attributes: unsupported key 'dept'"),
        ("prob.yaml", ", N: 4}", "}", "rank 'N' has no extent"),
        ("map.yaml", "M=2 K=2", "M=2 K=1", "rank K is not covered: factors 4 x 2 = 8 of 16, 8 missing"),
        ("tables.yaml", "energy: 5}", "energy: -5}", "not negative"),
        ("tables.yaml", "energy: 5}", "energy: .inf}", "expected a number"),
        ("tables.yaml", "ERT:", "ERTS:", "unsupported key 'ERTS'"),
    ],
)
def test_a_timeloop_file_that_is_wrong_says_where(
    run_codesign: Any, folder: Path, file: str, old: str, new: str, said: str
) -> None:
    assert old in FILES[file]
    (folder / file).write_text(FILES[file].replace(old, new, 1), encoding="utf-8")
    done = run_codesign("estimate", *THEIRS, cwd=folder)
    assert done.rc == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "eyeriss-like", "--problem", "gemm:8x8x8"), "no mapping given"),
        (("--target", "eyeriss-like", "--mapping", "ours.yaml"), "need a --problem"),
        (("--target", "h100-sxm", "--problem", "gemm:8x8x8", "--mapping", "ours.yaml"), "is a device"),
        (("--target", "eyeris", "--problem", "gemm:8x8x8", "--mapping", "ours.yaml"), "did you mean eyeriss"),
        (("--problem", "gemm:8x8x8", "--mapping", "ours.yaml"), "no target given"),
        (("gpt2", *CONV), "takes no model"),
        ((*CONV, "--batch", "1"), "--batch does not go with --problem"),
        ((*CONV, "--where", "energy <= 1 J"), "--where does not go with --problem"),
        ((*CONV, "--reuse", "keep"), "unknown reuse 'keep'"),
        ((*CONV, "--tables", "tables.yaml"), "holds its own energies"),
        ((*CONV[:3], "nowhere.yaml", *CONV[4:]), "nowhere.yaml: No such file"),
        ((*CONV[:5], "nowhere.yaml"), "nowhere.yaml: No such file"),
        (("llama-3.1-8b", "--target", "eyeriss-like"), "is a spatial accelerator"),
    ],
)
def test_a_request_that_does_not_fit_says_what_to_do(
    run_codesign: Any, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run_codesign("estimate", *arguments, cwd=folder)
    assert done.rc == 2
    assert said in done.stderr


def test_targets_knows_accelerators(run_codesign: Any, folder: Path) -> None:
    listed = json.loads(run_codesign("targets", "list", "--json").stdout)
    assert {"eyeriss-like", "tpu-like", "gemmini-like", "fusemax"} <= {one["id"] for one in listed["accelerators"]}
    shown = run_codesign("targets", "show", "fusemax", env={"COLUMNS": "80"})
    assert shown.rc == 0
    assert "485 pJ" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    checked = run_codesign("targets", "validate", "tpu-like", "h100-sxm")
    assert checked.rc == 0
    assert "spatial: mac" in checked.stdout


def test_the_topic_accelerators_passes(run_codesign: Any) -> None:
    done = run_codesign("validate", "accelerators", "--json")
    assert done.rc == 0
    assert len(json.loads(done.stdout)["results"]) == 33


FUSED = """
schema: 1
shared: [P8]
stay: {A: shared_glb}
einsums:
  up: {nest: [{level: shared_glb, loops: [M8, D8, P8]}, {array: PE_column, x: [M14]}, {array: PE, y: [D8]}]}
  down: {nest: [{level: shared_glb, loops: [M14, N8, P8]}, {array: PE_column, x: [N8]}, {array: PE, y: [M8]}]}
"""


def test_a_cascade_shows_what_stays_and_what_moves(run_codesign: Any, tmp_path: Path) -> None:
    (tmp_path / "fused.yaml").write_text(FUSED, encoding="utf-8")
    command = ("estimate", "--target", "eyeriss-like", "--problem", "mlp:P64D64M112N64", "--mapping", "fused.yaml")
    done = run_codesign(*command, cwd=tmp_path, env={"COLUMNS": "80"})
    assert done.rc == 0
    for shown in ("917,504", "shared_glb", "[shared_glb: A 896", "down:"):
        assert shown in done.stdout
    results = json.loads(run_codesign(*command, "--json", cwd=tmp_path).stdout)["results"]
    rows = {row["tensor"]: row for row in results["traffic_by_tensor"]}
    assert rows["A"] == {"tensor": "A", "bits": 0.0, "least_bits": None, "stays_at": "shared_glb"}
    assert results["traffic"] == sum(row["bits"] for row in rows.values()) / 8
    assert results["energy"]["low"] < results["energy"]["value"] < results["energy"]["high"]
    assert [row["group"] for row in results["einsums"]] == [1, 1]
    assert sum(row["energy"] for row in results["levels"]) == pytest.approx(results["energy"]["value"])
    slower = json.loads(run_codesign(*command, "--latency", "systolic", "--json", cwd=tmp_path).stdout)["results"]
    assert slower["cycles"] > results["cycles"]
    wrong = run_codesign(*command, "--reuse", "retain", cwd=tmp_path)
    assert wrong.rc == 2
    assert "does not go with a cascade" in wrong.stderr
