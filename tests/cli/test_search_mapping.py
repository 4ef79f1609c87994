"""``codesign search mapping`` as a user runs it: one Einsum into a run, a model into a table, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCodesign

PRODUCT = ("search", "mapping", "--problem", "gemm:64x64x64", "--target", "eyeriss-like", "--evaluations", "1500")


def test_one_einsum_makes_a_run_with_front_report_and_nest(run_codesign: RunCodesign, tmp_path: Path) -> None:
    done = run_codesign(*PRODUCT, "--out", "run")
    assert done.rc == 0, done.stderr
    assert "energy" in done.stdout
    assert "Loop nest of #" in done.stderr
    assert "at least" in done.stderr
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    titles = [one["title"] for detail in front["details"].values() for one in detail["commands"]]
    assert {"Loop nest", "Accesses", "Timeloop mapping"} <= set(titles)
    assert "Energy by level" in (tmp_path / "run" / "report.html").read_text()
    compared = run_codesign("compare", "run", "run")
    assert compared.rc == 0, compared.stderr
    more = run_codesign("search", "--resume", "run", "--evaluations", "2500")
    assert more.rc == 0, more.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["evaluations"] == 2500


def test_a_seed_gives_one_front_whatever_the_workers(run_codesign: RunCodesign, tmp_path: Path) -> None:
    fronts = []
    for name, workers in (("one", "1"), ("two", "2")):
        assert run_codesign(*PRODUCT, "--out", name, "--workers", workers).rc == 0
        fronts.append(json.loads((tmp_path / name / "front.json").read_text())["columns"])
    assert fronts[0] == fronts[1]


def test_an_exported_mapping_costs_the_same_when_read_back(run_codesign: RunCodesign, tmp_path: Path) -> None:
    assert run_codesign(*PRODUCT, "--objectives", "energy", "--out", "run").rc == 0
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    (key, detail), *_ = front["details"].items()
    text = next(one["text"] for one in detail["commands"] if one["title"] == "Timeloop mapping")
    (tmp_path / "map.yaml").write_text(text)
    done = run_codesign(
        "estimate", "--target", "eyeriss-like", "--problem", "gemm:64x64x64", "--mapping", "map.yaml", "--json"
    )
    assert done.rc == 0, done.stderr
    energy = front["columns"]["energy"][front["columns"]["id"].index(int(key))]
    assert json.loads(done.stdout)["results"]["energy"]["value"] == pytest.approx(energy, rel=1e-9)


NETWORK = ("search", "mapping", "resnet-18", "--target", "tpu-like", "--evaluations", "300")


def test_a_model_is_a_table_of_shapes_and_a_run(run_codesign: RunCodesign, tmp_path: Path) -> None:
    done = run_codesign(*NETWORK, "--out", "run")
    assert done.rc == 0, done.stderr
    assert "stage1.first.conv1 +3" in done.stdout
    assert "Whole model, 1.814B MACs" in done.stdout
    assert "21 layers of 12 shapes" in done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(text in page for text in ("Roofline of the layers", "Mapping of each layer", "Timeloop mappings"))
    front = json.loads((tmp_path / "run" / "front.json").read_text())["columns"]
    explained = run_codesign("explain", f"run#{front['id'][0]}")
    assert explained.rc == 0, explained.stderr
    assert "What binds" in explained.stdout
    assert "over the baseline" in explained.stderr
    assert run_codesign("compare", "run", "run", "--where", "energy <= 0.1 %").rc == 0
    assert run_codesign("report", "run", "--format", "md").rc == 0
    assert run_codesign("search", "--resume", "run").rc == 0
    assert json.loads((tmp_path / "run" / "front.json").read_text())["columns"] == front


def test_a_model_as_json(run_codesign: RunCodesign) -> None:
    found = json.loads(run_codesign(*NETWORK, "--out", "run", "--json").stdout)
    results = found["results"]
    assert found["units"]["latency"] == "cycle"
    assert results["macs"] == 1_814_073_344
    for layer in results["layers"]:
        assert layer["best"]["latency"]["value"] >= layer["bounds"]["cycles"] * (1 - 1e-12)
        assert layer["best"]["energy"]["value"] >= layer["bounds"]["energy"]
    assert min(results["front"]["columns"]["energy"]) == pytest.approx(results["totals"]["energy"]["energy"])


def test_a_point_that_the_front_does_not_hold_is_explained_too(run_codesign: RunCodesign) -> None:
    assert run_codesign(*PRODUCT, "--out", "run", "--keep", "all").rc == 0
    done = run_codesign("explain", "run#7")
    assert done.rc == 0, done.stderr
    assert "Energy by level" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (("--problem", "gemm:4x4x4", "--target", "tpu-lik"), 2, "did you mean tpu-like"),
        (("--problem", "gem:4x4x4", "--target", "tpu-like"), 2, "did you mean gemm"),
        (("--problem", "gemm:0x4x4", "--target", "tpu-like"), 2, "found '0', expected a positive integer"),
        (("--problem", "nothing.yaml", "--target", "tpu-like"), 2, "nothing.yaml"),
        (("--problem", "gemm:4x4x4", "--target", "tpu-like", "--objectives", "energi"), 2, "did you mean energy"),
        (("--problem", "gemm:4x4x4", "--target", "tpu-like", "--objectives", ","), 2, "no objective"),
        (("--problem", "gemm:4x4x4", "--target", "h100-sxm"), 2, "h100-sxm"),
        (("--problem", "gemm:4x4x4"), 2, "no target given"),
        (("--target", "tpu-like"), 2, "no problem given"),
        (("--problem", "gemm:4x4x4", "--target", "tpu-like", "--engine", "island"), 2, "did you mean islands"),
        (("--problem", "gemm:4x4x4", "--target", "tpu-like", "--where", "power <= 1 W"), 2, "unknown metric 'power'"),
        (("--problem", "gemm:4x4x4", "--target", "tpu-like", "--evaluations", "0"), 2, "must be above 0"),
        (
            ("--problem", "gemm:64x64x64", "--target", "tpu-like", "--evaluations", "500",
             "--where", "utilisation >= 50 %", "--where", "cycles >= 1"),
            4, "x violates utilisation >= 50 %",
        ),
        (("resnet-19", "--target", "tpu-like"), 2, "did you mean resnet-18"),
        (("resnet-18", "--target", "tpu-like", "--engine", "nsga2"), 2, "--engine does not go with a model"),
        (("resnet-18", "--target", "tpu-like", "--workers", "2"), 2, "--workers does not go with a model"),
        (("resnet-18",), 2, "no target given"),
        (("resnet-18", "--target", "tpu-like", "--bits", "8/8"), 2, "--bits"),
        (("resnet-18", "--target", "tpu-like", "--evaluations", "100", "--where", "utilisation >= 200 %"), 4,
         "violates utilisation >= 200 %"),
    ],
)  # fmt: skip
def test_bad_input_says_what_and_what_to_do(
    run_codesign: RunCodesign, arguments: tuple[str, ...], rc: int, said: str
) -> None:
    done = run_codesign("search", "mapping", *arguments)
    assert done.rc == rc, done.stderr
    assert said in done.stderr


def test_nothing_feasible_says_how_near_random_mappings_come(run_codesign: RunCodesign) -> None:
    done = run_codesign(
        "search", "mapping", "--problem", "gemm:64x64x64", "--target", "tpu-like", "--evaluations", "500",
        "--where", "utilisation >= 50 %",
    )  # fmt: skip
    assert done.rc == 4
    assert "the best of 1,000 random mappings reaches 12.5 %" in done.stderr


CASCADE = ("search", "mapping", "--problem", "mlp:P4D4M4N4", "--target", "eyeriss-like", "--evaluations", "20")


def test_a_cascade_is_a_run_of_fused_and_unfused(run_codesign: RunCodesign, tmp_path: Path) -> None:
    done = run_codesign(*CASCADE, "--out", "run", env={"COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert "shared_glb" in done.stdout
    assert "fusions tried" in done.stderr
    assert "pruned enumeration to begin with" in done.stderr
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    for number in front["columns"]["id"]:
        commands = {one["title"]: one["text"] for one in front["details"][str(number)]["commands"]}
        assert {"up", "down"} == {line[2:] for line in commands["Loop nests"].splitlines() if line.startswith("# ")}
        assert "stays at" in commands["What stays on the chip"]
    assert "Energy by Einsum" in (tmp_path / "run" / "report.html").read_text()
    assert run_codesign("report", "run").rc == 0
    assert run_codesign("compare", "run", "run").rc == 0
    told = run_codesign("explain", f"run#{number}")
    assert told.rc == 0, told.stderr
    assert "over the baseline (the best mapping of which nothing stays)" in told.stderr
    taken = run_codesign(*CASCADE, "--out", "run")
    assert taken.rc == 2
    assert "--force" in taken.stderr
    forced = run_codesign(*CASCADE, "--out", "run", "--force", "--json")
    found = json.loads(forced.stdout)["results"]
    assert min(found["front"]["columns"]["energy"]) <= found["unfused"]["energy"]
    assert found["front"]["columns"] == front["columns"], "the same seed"


def test_an_exported_fusion_costs_the_same_when_read_back(run_codesign: RunCodesign, tmp_path: Path) -> None:
    assert run_codesign(*CASCADE, "--out", "run").rc == 0
    columns = json.loads((tmp_path / "run" / "front.json").read_text())["columns"]
    for place, number in enumerate(columns["id"]):
        done = run_codesign(
            "estimate", "--target", "eyeriss-like", "--problem", "mlp:P4D4M4N4", "--mapping",
            f"run/mapping-{number}.yaml", "--json",
        )  # fmt: skip
        assert done.rc == 0, done.stderr
        priced = json.loads(done.stdout)["results"]
        assert priced["energy"]["value"] == pytest.approx(columns["energy"][place], rel=1e-12)
        assert priced["latency"] == pytest.approx(columns["latency"][place], rel=1e-12)
        assert priced["traffic"] == columns["traffic"][place]


@pytest.mark.parametrize("option", [("--uneven",), ("--where", "energy <= 1 J"), ("--workers", "2"), ("--bits", "4")])
def test_options_of_other_searches_do_not_go_with_a_cascade(run_codesign: RunCodesign, option: tuple[str, ...]) -> None:
    refused = run_codesign(*CASCADE, *option)
    assert refused.rc == 2
    assert f"{option[0]} does not go with a cascade" in refused.stderr


def test_a_search_says_whether_its_enumeration_was_complete(run_codesign: RunCodesign) -> None:
    small = run_codesign("search", "mapping", "--problem", "gemm:2x2x2", "--target", "eyeriss-like")
    assert small.rc == 0, small.stderr
    assert "pruned enumeration" not in small.stderr, "all mappings were priced"
    large = run_codesign(*PRODUCT)
    assert "pruned enumeration to begin with: " in large.stderr
    assert large.stderr.count("pruned enumeration") == 1
