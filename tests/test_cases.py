"""Case files: reading, dispatch, comparison, and what the command line does with good, bad and hostile ones."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.cases import HOMES, Case, Unknown, compare, file_beside, kinds, leaves, plain, read_cases, run_case
from codesign.costmodels.power_cap import capped
from codesign.costmodels.power_cases import fitted
from codesign.errors import DataError
from codesign.quantity import Quantity
from codesign.validation import Skip, run_topics
from tests.conftest import RunCodesign

SHARED = Path(__file__).parents[2] / "shared" / "data" / "carbon"

YIELDS = "{area_cm2: 1, d0_cm2: 0.1, alpha: 3}"
LOGIC = "node_nm: 7, ci_fab: 583, abatement: 97, yield: 0.875"


def write(folder: Path, *cases: str) -> Path:
    path = folder / "cases.yaml"
    path.write_text("cases:\n" + "".join(f"- {{{case}}}\n" for case in cases), encoding="utf-8")
    return path


def case(kind: str, inputs: dict[str, Any], **more: Any) -> Case:
    return Case(id="x", kind=kind, inputs=inputs, **more)


def test_the_worked_examples_hold_and_what_is_skipped_is_said() -> None:
    checks, skipped = run_topics(["carbon"])
    assert len(checks) > 80
    assert [check for check in checks if not check.passed] == []
    # grids, fleets and jobs need data that is not shipped; the rest is computed
    assert {skip.name for skip in skipped} == {"D15a", "D15b", "D15c", "D15d", "D15e", "D16", "E6", "E7", "E8"}
    assert all(isinstance(skip, Skip) and skip.reason for skip in skipped)
    assert any("sci_g_per_unit is null" in check.name for check in checks)


def test_the_shipped_examples_are_those_of_the_data() -> None:
    path = SHARED / "worked_examples.yaml"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    ours = read_cases(Path(__file__).parents[1] / "costmodels" / "carbon" / "worked_examples.yaml")
    strip = [(c.id, c.kind, c.inputs, c.expected, c.rel_tol, c.abs_tol) for c in ours]
    assert strip == [(c.id, c.kind, c.inputs, c.expected, c.rel_tol, c.abs_tol) for c in read_cases(path)]


def test_a_file_without_expected_values_prints_the_contract(run_codesign: RunCodesign, tmp_path: Path) -> None:
    path = write(
        tmp_path, f"id: a, kind: yields, inputs: {YIELDS}", "id: b, kind: sci, inputs: {carbon_g: 5}",
        "id: c, kind: cpu_fallback, inputs: {tdp_w: 200, utilisation: 0.5}",
    )  # fmt: skip
    done = run_codesign("validate", "--cases", str(path), "--json")
    assert done.rc == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [set(entry) for entry in answer["cases"]] == [{"id", "values"}] * 3
    values = {entry["id"]: entry["values"] for entry in answer["cases"]}
    assert values["a"]["poisson"] == pytest.approx(np.exp(-0.1))
    assert values["b"] == {"operational_g": None, "embodied_g": None, "sci_g_per_unit": None}
    assert {"id": "b", "value": "sci_g_per_unit", "reason": "no functional unit is declared"} in answer["unknown"]
    assert values["c"]["power_w"] == {"value": 100.0, "low": 40.0, "high": 210.0, "source": "estimated"}
    assert answer["summary"]["computed"] == 3


def test_a_miss_exits_4_and_published_values_never_decide(run_codesign: RunCodesign, tmp_path: Path) -> None:
    good = f"id: good, kind: yields, inputs: {YIELDS}, expected: {{exponential: 0.90909}}, rel_tol: 1.0e-4, "
    done = run_codesign("validate", "--cases", str(write(tmp_path, good + "published: {exponential: 7}")))
    assert done.rc == 0, done.stderr
    assert "published" in done.stdout
    done = run_codesign(
        "validate", "--cases",
        str(write(tmp_path, good, f"id: bad, kind: yields, inputs: {YIELDS}, expected: {{poisson: 0.5, pisson: 1}}")),
    )  # fmt: skip
    assert done.rc == 4
    assert "1 of 2 cases missed" in done.stderr
    assert "bad" in done.stderr
    assert done.stdout.count("MISS") == 2
    assert "missing" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_skipped_case_is_reported(run_codesign: RunCodesign, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"id: a, kind: yields, inputs: {YIELDS}",
        "id: b, kind: no_such, inputs: {}, runnable: false, note: why",
    )
    done = run_codesign("validate", "--cases", str(path), "--json")
    assert done.rc == 0
    answer = json.loads(done.stdout)
    assert answer["skipped"] == [{"id": "b", "reason": "why"}]
    assert [entry["id"] for entry in answer["cases"]] == ["a"]
    assert "b skipped: why" in run_codesign("validate", "--cases", str(path)).stderr


BAD = {
    "typo": ("yields, inputs: {area_cm2: 1, d0_cm2: 0.1, alhpa: 3}", ("unknown key 'alhpa'", "alpha")),
    "missing": ("yields, inputs: {area_cm2: 1}", ("missing field 'd0_cm2'",)),
    "nan": ("yields, inputs: {area_cm2: .nan, d0_cm2: 0.1}", ("area_cm2: found nan", "finite")),
    "infinite": ("yields, inputs: {area_cm2: 1, d0_cm2: .inf}", ("d0_cm2: found inf",)),
    "huge": (f"yields, inputs: {{area_cm2: 1{'0' * 400}, d0_cm2: 0.1}}", ("area_cm2", "beyond all floats")),
    "area": (f"act_logic, inputs: {{{LOGIC}, area_mm2: -3}}", ("area_mm2", ">= 0", "found -3")),
    "yield0": (f"act_logic, inputs: {{{LOGIC.replace('0.875', '0')}}}", ("yield", "> 0", "found 0")),
    "yield2": (f"act_logic, inputs: {{{LOGIC.replace('0.875', '1.2')}}}", ("yield", "<= 1", "found 1.2")),
    "abatement": (f"act_logic, inputs: {{{LOGIC.replace('97', '90')}}}", ("abatement", ">= 95", "found 90")),
    "node": (f"act_logic, inputs: {{{LOGIC.replace('7,', '6,', 1)}}}", ("node_nm", "'6'", "nearest is 5")),
    "fab": (f"act_logic, inputs: {{{LOGIC.replace('583', 'taiwn')}}}", ("ci_fab", "taiwn", "taiwan")),
    "text": ("act_memory, inputs: {process: hbm, capacity_gb: 1e2, yield: 1}", ("capacity_gb", "1.0e+9")),
    "process": ("act_memory, inputs: {process: ddr5, capacity_gb: 1, yield: 1}", ("process", "'ddr5'", "ddr3_50nm")),
    "kind": ("act_lgic, inputs: {}", ("kind of case 'act_lgic'", "act_logic")),
    "part": (f"bom, inputs: {{parts: [{{name: a, model: logic, {LOGIC}}}]}}", ("parts[0]", "area_mm2")),
    "model": ("bom, inputs: {parts: [{name: a, model: sdd}]}", ("parts[0]", "sdd", "ssd")),
    "twice": (
        "bom, inputs: {parts: [{name: a, model: dram, process: hbm, capacity_gb: 1, yield: 1}, "
        "{name: a, model: dram, process: hbm, capacity_gb: 1, yield: 1}]}",
        ("parts[1].name", "'a' is taken"),
    ),
    "pue": ("operational, inputs: {energy_kwh: 1, ci: 1, pue: 0.5}", ("pue", ">= 1")),
    "both": ("operational, inputs: {energy_kwh: 1, power_w: 1, ci: 1}", ("energy_kwh beside",)),
    "neither": ("operational, inputs: {ci: 1}", ("'energy_kwh' or 'power_w'",)),
    "time": ("operational, inputs: {power_w: 1, ci: 1}", ("either hours or years",)),
    "no_ci": ("sci, inputs: {energy_kwh: 1}", ("without ci",)),
    "no_life": ("sci, inputs: {te_g: 1}", ("reserved_h and lifetime_h",)),
    "reserved": ("sci, inputs: {te_g: 1, reserved_h: 2, lifetime_h: 1}", ("reserved_h", "carries its carbon once")),
    "shares": ("mix_ci, inputs: {shares: [0.5, 0.6], factors_g_per_kwh: [1, 2]}", ("sum of 1.1",)),
    "factors": ("mix_ci, inputs: {shares: [1], factors_g_per_kwh: [1, 2]}", ("1 shares and 2 factors",)),
    "package": (
        "chiplets, inputs: {power_w: 1, ci: 1, lifetime_h: 1, package: RDK, chiplets: "
        "[{name: a, type: logic, area_mm2_7nm: 1, node_nm: 7}]}",
        ("package", "'RDK'", "rdl"),
    ),
    "chiplet": (
        "chiplets, inputs: {power_w: 1, ci: 1, lifetime_h: 1, chiplets: [{name: a, type: lgic, area_mm2_7nm: 1, "
        "node_nm: 7}]}",
        ("type of chiplet", "'lgic'", "logic"),
    ),
    "active": (
        "llm_power, inputs: {tdp_w: 700, devices: 1, peak_flops: 1.0e+15, bandwidth_b_s: 3.0e+12, total_params: 1, "
        "active_params: 2, bytes_per_param: 2, batch: 1, itl_s: 1, tokens_per_s: 1}",
        ("active_params",),
    ),
    "load": ("cpu_fallback, inputs: {tdp_w: 100, utilisation: 50}", ("utilisation", "<= 1", "found 50")),
    "too_large": (
        "metrics, inputs: {embodied_g: 1.0e+200, delay_s: 1.0e+200, energy_j: 1, ci: 1, runs_in_life: 1}",
        ("values", "tcdp_gs", "too large"),
    ),
    "outside": (
        "power_cap, inputs: {train: ../t.csv, probes: [{group: a, power_limit_w: 1, time_per_epoch_s: 1, "
        "average_power_w: 1}], limits_w: [1]}",
        ("train", "'../t.csv'", "inside the folder"),
    ),
    "absolute": ("grid_mix, inputs: {file: /etc/hostname}", ("file", "'/etc/hostname'", "inside the folder")),
    "gone": ("power_cap, inputs: {train: no.csv, probes: [], limits_w: [1]}", ("probes",)),
}


def test_every_bad_case_says_what_to_do_and_loses_no_other(run_codesign: RunCodesign, tmp_path: Path) -> None:
    good = f"id: good, kind: yields, inputs: {YIELDS}"
    bad = [f"id: {name}, kind: {text}" for name, (text, _) in BAD.items()]
    done = run_codesign("validate", "--cases", str(write(tmp_path, *bad[:9], good, *bad[9:])), "--json")
    assert done.rc == 2
    assert len(done.stderr.strip().splitlines()) <= 3
    answer = json.loads(done.stdout)
    computed = {entry["id"] for entry in answer["cases"]}
    assert computed == {"good"}
    failed = {entry["id"]: f"{entry['error']} {entry['hint']}" for entry in answer["failed"]}
    assert set(failed) == set(BAD)
    for name, (_, told) in BAD.items():
        for words in told:
            assert words in failed[name], (name, failed[name])


FILES = [
    ("", ("empty",)),
    ("cases: []\n", ("0 cases",)),
    ("cases: 3\n", ("cases",)),
    ("casses: []\n", ("unknown key 'casses'", "cases")),
    ("schema: 2\ncases:\n- {id: a, kind: yields, inputs: {}}\n", ("schema: found 2",)),
    ("cases:\n- {id: a, kind: yields, inputs: {}}\n- {id: a, kind: yields, inputs: {}}\n", ("two cases", "'a'")),
    ("cases:\n- {id: a, kind: yields, inputs: {}, expcted: {}}\n", ("'expcted'", "expected")),
    ("cases:\n- {id: a, kind: yields, inputs: {}, rel_tol: -1}\n", ("rel_tol", "-1")),
    ("cases:\n- {id: a, kind: yields, inputs: {}, abs_tol: .nan}\n", ("abs_tol", "nan")),
    ("cases:\n- {id: a, kind: yields, inputs: &x {}}\n", ("anchors",)),
    ("cases:\n- {id: '', kind: yields, inputs: {}}\n", ("id",)),
    ("cases:\n- {id: a, kind: !!python/object:os.system yields, inputs: {}}\n", ("tag",)),
]


@pytest.mark.parametrize(("text", "told"), FILES, ids=range(len(FILES)))
def test_a_bad_file_is_refused(text: str, told: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_cases(path)
    for words in told:
        assert words in str(caught.value)


def test_the_command_refuses_what_does_not_go_together(run_codesign: RunCodesign, tmp_path: Path) -> None:
    for arguments, told in (
        (("models", "--cases", "x.yaml"), "stands alone"),
        (("--cases", "x.yaml", "--target", "l4"), "stands alone"),
        (("--cases", "nowhere.yaml"), "nowhere.yaml"),
    ):
        done = run_codesign("validate", *arguments)
        assert done.rc == 2
        assert done.stdout == ""
        assert told in done.stderr


def test_names_cannot_steer_the_terminal(run_codesign: RunCodesign, tmp_path: Path) -> None:
    part = '{name: "[red]\\e[2J", model: dram, process: hbm, capacity_gb: 1, yield: 1}'
    path = write(tmp_path, f'id: "[bold]\\e[31m", kind: bom, inputs: {{parts: [{part}]}}')
    done = run_codesign("validate", "--cases", str(path))
    assert done.rc == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[bold]" in done.stdout
    assert "[red]" in done.stdout


def test_paths_stay_beside_the_case_file(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out.csv"
    (inside / "sub").mkdir(parents=True)
    for path in (outside, inside / "a.csv", inside / "sub" / "b.csv"):
        path.write_text("x\n1\n", encoding="utf-8")
    os.symlink(outside, inside / "link.csv")
    assert file_beside(inside, "a.csv", "train") == (inside / "a.csv").resolve()
    assert file_beside(inside, "sub/b.csv", "train").name == "b.csv"
    for name, told in (
        (str(outside), "inside the folder"), ("../out.csv", "inside the folder"), ("sub/../../out.csv", "inside"),
        ("link.csv", "leads out"), ("none.csv", "there is no file"), ("sub", "there is no file"), ("a\0b", "inside"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=told):
            file_beside(inside, name, "train")


def test_every_kind_has_a_home() -> None:
    assert set(kinds().names()) == set(HOMES)
    for name in HOMES:
        outcome = run_case(case(name, {"no such key": 1}), Path("."))
        assert outcome.status in ("failed", "skipped")
        if outcome.status == "skipped":
            assert "is not installed" in outcome.error


@given(st.floats(-1e6, 1e6), st.floats(0.0, 0.5), st.floats(0.0, 10.0))
def test_a_number_passes_within_the_larger_tolerance(expected: float, rel: float, absolute: float) -> None:
    allowed = max(rel * abs(expected), absolute)
    for factor, passes in ((0.99, True), (1.01, allowed < 1e-9)):
        (found,) = compare({"a": expected}, {"a": expected + factor * allowed}, rel, absolute)
        if allowed > 1e-9 * max(abs(expected), 1.0):
            assert found.passed is passes


def test_rows_nulls_text_and_intervals_are_compared() -> None:
    ours = {"rows": [{"l": 1.0, "name": "x"}, {"l": 2.0, "name": "y"}], "none": None, "p": {"value": 3.0, "low": 2.0}}

    def passed(expected: Any) -> list[bool]:
        return [one.passed for one in compare(expected, ours)]

    assert passed({"rows": [{"l": 1.0}, {"l": 2.0, "name": "y"}], "none": None, "p": 3.0}) == [True] * 5
    assert passed({"p": {"value": 3.0, "low": 2.5}}) == [True, False]
    assert passed({"rows": [{"l": 1.0}]}) == [False, True]
    assert passed({"rows": [{"l": 1.0, "name": "z"}, {"k": 1}]}) == [True, False, False]
    assert passed({"none": 0.0}) == [False]
    assert passed({"p": None}) == [False]
    assert passed({"other": 1}) == [False]
    assert passed({"rows": 1.0}) == [False]
    assert [name for name, _ in leaves(ours)] == ["rows[0].l", "rows[0].name", "rows[1].l", "rows[1].name", "none", "p"]
    # zero is not unknown, and true is not one
    assert [one.passed for one in compare({"a": 0.0, "b": 1.0}, {"a": None, "b": True})] == [False, False]


def test_values_become_plain_data() -> None:
    assert plain(Quantity(1.0, 0.5, 2.0, "W", "s")) == {"value": 1.0, "low": 0.5, "high": 2.0, "source": "s"}
    assert plain([np.float64(1.5), np.arange(2), Unknown("w"), "t", {"a": (1,)}]) == [
        1.5,
        [0, 1],
        None,
        "t",
        {"a": [1]},
    ]
    with pytest.raises(DataError, match="type object"):
        plain(object())


def train_table(folder: Path, packed: bool) -> str:
    """Write runs that the shipped form of a power limit made, and return the file's name."""
    lines = ["gpu,network,power_limit_w,time_per_epoch_s,average_power_w"]
    for gpu, rated in (("a", 300.0), ("b", 250.0)):
        for number, demand in enumerate((0.5, 0.7, 0.9)):
            power = demand * rated
            for limit in np.linspace(0.4, 1.0, 7) * rated:
                found = capped(power, limit, rated)
                lines.append(f"{gpu},n{number},{limit},{10 * found.slowdown},{found.power}")
    text = "\n".join(lines).encode()
    name = "train.csv.gz" if packed else "train.csv"
    (folder / name).write_bytes(gzip.compress(text) if packed else text)
    return name


@pytest.mark.parametrize("packed", [False, True])
def test_a_power_limit_is_learned_from_a_table(tmp_path: Path, packed: bool) -> None:
    limits = [120.0, 180.0, 240.0, 300.0]
    probe = {"group": "g", "power_limit_w": 300, "time_per_epoch_s": 10, "average_power_w": 240}
    inputs = {"train": train_table(tmp_path, packed), "probes": [probe], "limits_w": limits}
    outcome = run_case(case("power_cap", {**inputs, "max_slowdown": 0.1}), tmp_path)
    assert outcome.status == "computed", outcome.error
    (row,) = outcome.values["groups"]
    assert set(row) == {"group", "limit_w", "time_ratio", "energy_ratio"}
    true = capped(240.0, np.array(limits), 300.0)
    np.testing.assert_allclose(row["time_ratio"], true.slowdown, rtol=0.02)
    np.testing.assert_allclose(row["energy_ratio"], true.energy, rtol=0.02)
    allowed = [limit for limit, t in zip(limits, row["time_ratio"], strict=True) if t <= 1.1]
    energy = dict(zip(limits, row["energy_ratio"], strict=True))
    assert row["limit_w"] == min(allowed, key=energy.__getitem__)
    tight = run_case(case("power_cap", {**inputs, "limits_w": [60], "max_slowdown": 0.0}), tmp_path)
    assert tight.values["groups"][0]["limit_w"] == 300.0  # nothing lower is allowed
    (tmp_path / "probes.csv").write_text("group,power_limit_w,time_per_epoch_s,average_power_w\ng,300,10,240\n")
    assert run_case(case("power_cap", {**inputs, "probes": "probes.csv"}), tmp_path).values == outcome.values


TABLES = [
    (b"gpu,power_limit_w\na,1\n", "no column 'time_per_epoch_s'"),
    (b"gpu,power_limit_w,time_per_epoch_s,average_power_w\na,100,1,-5\n", "row 2: average_power_w"),
    (b"gpu,power_limit_w,time_per_epoch_s,average_power_w\na,100,1,nan\n", "row 2: average_power_w"),
    (b"gpu,power_limit_w,time_per_epoch_s,average_power_w\na,100,1,50\n", "at least 8"),
    (b"gpu,power_limit_w,time_per_epoch_s,average_power_w\n", "0 rows"),
    (b"", "CSV"),
    (b"\x1f\x8bnonsense", "gzip"),
    (gzip.compress(b"gpu,power_limit_w\n" * 100)[:-20], "ends early"),
    (gzip.compress(b"0" * 70_000_000), "unpacks to more"),
]


@pytest.mark.parametrize(("data", "told"), TABLES, ids=range(len(TABLES)))
def test_a_damaged_table_is_refused(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    probe = {"group": "g", "power_limit_w": 300, "time_per_epoch_s": 10, "average_power_w": 240}
    outcome = run_case(case("power_cap", {"train": "t.csv", "probes": [probe], "limits_w": [100]}), tmp_path)
    assert outcome.status == "failed"
    assert told in outcome.error + outcome.hint
    assert "t.csv" in outcome.error


def test_the_fit_of_the_public_traces_is_the_shipped_one() -> None:
    import polars as pl

    from codesign.costmodels.efficiency import table

    path = SHARED / "power_cap.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    form = fitted(pl.read_csv(path), path.name)
    assert form.slack == pytest.approx(table().power.cap.slack, rel=0.005)
    assert form.clocked_share == pytest.approx(table().power.cap.clocked_share, rel=0.005)
