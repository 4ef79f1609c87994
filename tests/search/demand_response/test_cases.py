"""The case files of the demand-response topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from codesign.errors import DataError
from codesign.search.demand_response.cases import respond

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "carbon"


def example(name: str) -> dict[str, Any]:
    file = FOLDER / "worked_examples.yaml"
    if not file.exists():
        pytest.skip("the reference data are not beside this checkout")
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    cases = found if isinstance(found, list) else found["cases"]
    case: dict[str, Any] = next(case for case in cases if case["id"] == name)
    return case


@pytest.mark.parametrize("name", ["E6", "E7"])
def test_worked_examples(name: str) -> None:
    case = example(name)
    found, expected = respond(case["inputs"], FOLDER), case["expected"]
    assert found["baseline_t"] == pytest.approx(expected["baseline_t"], abs=case["abs_tol"])
    for part in ("rows", "uniform"):
        for ours, theirs in zip(found[part], expected[part], strict=True):
            assert ours == pytest.approx(theirs, abs=case["abs_tol"])
    for ours, theirs in zip(found["rows"], expected["rows"], strict=True):
        price, tonnes = ours["lambda"], found["baseline_t"] / 100.0
        best = price * ours["efficient_penalty"] - tonnes * ours["efficient_saved_pct"]
        asked = price * theirs["efficient_penalty"] - tonnes * theirs["efficient_saved_pct"]
        assert best == pytest.approx(asked, rel=1e-4, abs=2e-6)  # the stated values have six decimals


def inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "ci.csv").write_text("hour,ci\n" + "".join(f"{h},{300 + 10 * (h % 24)}\n" for h in range(48)))
    (folder / "load.csv").write_text("hour,cpu_load\n" + "".join(f"{h},{1 + h % 3}\n" for h in range(48)))
    return {
        "series": "ci.csv", "column": "ci", "load": "load.csv", "day": 1, "fleet_mean_mw": 10, "share": [0.5, 0.5],
        "weight": [2, 1], "batch": [False, True], "lambdas": [0.1], **changes,
    }  # fmt: skip


def test_a_case_without_expected_values(tmp_path: Path) -> None:
    found = respond(inputs(tmp_path, fractions=[0.1]), tmp_path)
    hours = range(24)
    load = [1 + h % 3 for h in hours]
    tonnes = sum(10 * 24 * load[h] / sum(load) * (300 + 10 * h) / 1000 for h in hours)
    assert found["baseline_t"] == pytest.approx(tonnes)
    assert [row["fraction"] for row in found["uniform"]] == [0.1]
    assert found["uniform"][0]["penalty"] == pytest.approx(6 * 3 * (0.1 + 5 * 0.1**3))


def test_shares_of_more_than_a_fleet_are_a_larger_fleet(tmp_path: Path) -> None:
    one, two = (respond(inputs(tmp_path, share=[k * 0.5, k * 0.5]), tmp_path)["baseline_t"] for k in (1, 2))
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": [False]}, "batch"),
        ({"batch": [0, 1]}, "true or false"),
        ({"lambdas": [0.0]}, "lambdas"),
        ({"lambdas": 0.1}, "lambdas"),
        ({"day": 2}, "ends after 48 hours"),
        ({"day": -1}, "grid.day"),
        ({"fleet_mean_mw": -1}, "mean_mw"),
        ({"share": [0.5, "much"]}, "share[1]"),
        ({"weight": [2, -1]}, "weight"),
        ({"series": "none.csv"}, "none.csv"),
        ({"sries": 1}, "unknown input 'sries'"),
        ({"segments": 10**9}, "segments"),
    ],
)
def test_bad_inputs(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        respond(inputs(tmp_path, **changes), tmp_path)
    assert said in str(caught.value)
