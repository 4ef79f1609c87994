"""Profiles against each other: by hand, by properties, and through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.profilers.compare import Recorded, compare_profiles, percent, read_recorded
from codesign.profilers.measure import Measurement
from codesign.profilers.results import BatchProfile, Profile
from codesign.profilers.split import SelfTime, Split
from codesign.testing.synthetic_run import HOSTILE, synthetic_run

CALLS = st.dictionaries(
    st.text(max_size=8), st.tuples(st.integers(1, 9).map(float), st.integers(0, 10**9).map(float)), max_size=8
)
METRICS = st.dictionaries(st.sampled_from("abcdef"), st.none() | st.floats(-1e6, 1e6), max_size=6)
SIDES = st.builds(Recorded, metrics=METRICS, operators=CALLS, kernels=CALLS)


def profile_run(path: Path, latencies: dict[int, float], addmm: int = 4000, dtype: str = "fp32") -> Path:
    """Write the run directory of a profile of made-up times."""
    path.mkdir()
    batches = tuple(
        BatchProfile(
            batch=batch,
            latency=Measurement(latency, 0.99 * latency, 1.01 * latency, 9, 1, False, "2.0"),
            profiled=latency,
            split=Split(2, 20_000, 6_000, 2_000, 12_000, (
                SelfTime("aten::addmm", "compute", 8, addmm), SelfTime("aten::t", "dispatch", 4, 2_000),
            )),
            flops=1e9,
        )
        for batch, latency in latencies.items()
    )  # fmt: skip
    found = Profile(
        model="gpt2", source="preset", device="cpu", phase="decode", dtype=dtype, layers=1, prompt=None, context=8,
        threads=1, seed=0, torch="2.0", batches=batches,
    )  # fmt: skip
    (path / "profile.json").write_bytes(found.to_json())
    write_meta(path, {"kind": "profile", "dtype": dtype})
    return path


def trace_run(path: Path, metrics: dict[str, Any], kernels: list[dict[str, Any]]) -> Path:
    """Write the run directory of an analysed trace."""
    path.mkdir()
    (path / "analysis.json").write_text(json.dumps({"metrics": metrics, "kernels": kernels, "operators": []}))
    write_meta(path, {"kind": "profile"})
    return path


def write_meta(path: Path, spec: dict[str, Any]) -> None:
    (path / "run.json").write_text(json.dumps({"schema_version": 1, "command": "profile", "spec": spec}))


def test_by_hand() -> None:
    before = Recorded(
        metrics={"wall": 2.0, "samples_per_second": 4.0, "share": 0.5, "queue": None},
        units={"wall": "s"},
        kernels={"gemm": (2, 100), "copy": (1, 40), "gone": (3, 7)},
    )
    after = Recorded(
        metrics={"wall": 1.0, "samples_per_second": 3.0, "share": 0.25, "queue": None},
        units={"wall": "s"},
        kernels={"gemm": (1, 110), "copy": (1, 20), "new": (1, 7)},
    )
    found = compare_profiles(before, after)
    assert [(m.quantity, m.delta_percent, m.verdict) for m in found.metrics] == [
        ("wall", -50.0, "better"),
        ("samples_per_second", -25.0, "worse"),
        ("share", -50.0, ""),
        ("queue", None, ""),
    ]
    assert [(k.name, k.delta_ns, k.status) for k in found.kernels] == [
        ("copy", -20, ""), ("gemm", 10, ""), ("gone", -7, "vanished"), ("new", 7, "appeared"),
    ]  # fmt: skip
    assert [k.delta_percent for k in found.kernels] == pytest.approx([-50.0, 10.0, None, None])


def test_a_change_within_the_repeats_is_not_called_better_or_worse() -> None:
    def side(latency: float) -> Recorded:
        return Recorded(
            metrics={"latency": latency}, units={"latency": "s"}, scatter={"latency": (latency - 1, latency + 1)}
        )

    assert compare_profiles(side(10.0), side(11.5)).metrics[0].verdict == "unclear"
    assert compare_profiles(side(10.0), side(12.5)).metrics[0].verdict == "worse"


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [(2.0, 3.0, 50.0), (0.0, 0.0, 0.0), (0.0, 1.0, None), (None, 1.0, None), (-13.0, -26.0, -100.0)],
)
def test_percent(before: float | None, after: float | None, change: float | None) -> None:
    assert percent(before, after) == change


@given(SIDES)
def test_a_profile_against_itself_does_not_change(side: Recorded) -> None:
    found = compare_profiles(side, side)
    assert all(m.delta_percent == 0.0 or m.before is None for m in found.metrics)
    assert all(t.delta_ns == 0 and not t.status for t in (*found.operators, *found.kernels))


@given(SIDES, SIDES)
def test_changes_add_up_and_mirror(before: Recorded, after: Recorded) -> None:
    there, back = compare_profiles(before, after), compare_profiles(after, before)
    whole = sum(t for _, t in after.kernels.values()) - sum(t for _, t in before.kernels.values())
    assert sum(t.delta_ns for t in there.kernels) == whole
    assert [(t.name, -t.delta_ns) for t in there.kernels] == [(t.name, t.delta_ns) for t in back.kernels]
    sizes = [abs(t.delta_ns) for t in there.operators]
    assert sizes == sorted(sizes, reverse=True)
    assert {t.name for t in there.operators} == {*before.operators, *after.operators}


def test_live_profiles_are_per_pass(tmp_path: Path) -> None:
    side = read_recorded(profile_run(tmp_path / "a", {4: 0.010}))[4]
    assert side.metrics["latency"] == 0.010
    assert side.metrics["samples_per_second"] == pytest.approx(400.0)
    assert side.metrics["dispatch"] == pytest.approx(1e-6)
    assert side.operators["aten::addmm"] == (4.0, 2000.0)


def test_traces_are_read_in_seconds_and_without_text(tmp_path: Path) -> None:
    kernels = [{"name": "k", "count": 2, "time_us": 1.5}, {"name": "k", "count": 1, "time_us": 0.001}]
    metrics = {"tklqt_us": 12.5, "kernel_count": 3, "queue_us": None, "chains": {"2": 1}, "host": "secret", "ok": True}
    side = read_recorded(trace_run(tmp_path / "a", metrics, kernels))[None]
    assert side.metrics == {"tklqt": pytest.approx(12.5e-6), "kernel_count": 3, "queue": None}
    assert side.units == {"tklqt": "s", "queue": "s"}
    assert side.kernels == {"k": (3.0, 1501.0)}


def test_two_runs_through_the_command_line(run_codesign: Any, tmp_path: Path) -> None:
    profile_run(tmp_path / "a", {1: 0.010, 4: 0.020})
    profile_run(tmp_path / "b", {4: 0.022, 8: 0.05}, addmm=6000, dtype="bf16")
    done = run_codesign("compare", "a", "b", env={"COLUMNS": "80"})
    assert done.rc == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "latency" in done.stdout
    assert "+10.00 %" in done.stdout
    assert "1 of 2 changed" in done.stdout
    assert "+50.0 %" in done.stdout
    assert "batch 8" not in done.stdout
    assert "dtype: fp32 against bf16" in done.stderr
    printed = json.loads(run_codesign("compare", "a", "b", "--json").stdout)
    assert printed["units"]["latency"] == "s"
    (only,) = printed["results"]["profiles"]
    assert only["batch"] == 4
    assert only["operators"][0]["name"] == "aten::addmm"
    assert only["operators"][0]["delta_ns"] == 1000.0


def test_limits_on_changes(run_codesign: Any, tmp_path: Path) -> None:
    trace_run(tmp_path / "a", {"tklqt_us": 100.0, "queue_us": 0.0, "launch_count": 4}, [])
    trace_run(tmp_path / "b", {"tklqt_us": 104.0, "queue_us": 1.0, "launch_count": 4}, [])
    for name in ("tklqt", "tklqt_us"):
        assert run_codesign("compare", "a", "b", "--where", f"{name} <= 5 %").rc == 0
        crossed = run_codesign("compare", "a", "b", "--where", f"{name} <= 3 %")
        assert crossed.rc == 4
        assert f"the change of {name} is +4.00 %" in crossed.stderr
    unknown = run_codesign("compare", "a", "b", "--where", "queue <= 5 %")
    assert unknown.rc == 4
    assert "the change of queue is unknown" in unknown.stderr
    wrong = run_codesign("compare", "a", "b", "--where", "tklq <= 5 %")
    assert wrong.rc == 2
    assert "did you mean" in wrong.stderr


def test_a_limit_holds_at_every_batch(run_codesign: Any, tmp_path: Path) -> None:
    profile_run(tmp_path / "a", {1: 0.010, 4: 0.020})
    profile_run(tmp_path / "b", {1: 0.010, 4: 0.022})
    done = run_codesign("compare", "a", "b", "--where", "latency <= 5 %")
    assert done.rc == 4
    assert "crossed at batch 4: the change of latency is +10.00 %" in done.stderr
    assert "batch 1" not in done.stderr


def test_what_cannot_be_compared_is_refused(run_codesign: Any, tmp_path: Path) -> None:
    profile_run(tmp_path / "live", {1: 0.010})
    profile_run(tmp_path / "other", {2: 0.010})
    trace_run(tmp_path / "trace", {}, [])
    synthetic_run(tmp_path / "search", trials=20)
    for words, says in (
        (("live", "search"), "live is a profile, search is of `search deployment`"),
        (("search", "live"), "live is a profile, search is of `search deployment`"),
        (("live", "trace"), "A is batch 1, B is a trace"),
        (("live", "other"), "A is batch 1, B is batch 2"),
    ):
        done = run_codesign("compare", *words)
        assert done.rc == 2
        assert says in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"metrics": {}, "kernels": [{"name": 1}]}'])
def test_damaged_profiles_end_in_one_line(run_codesign: Any, tmp_path: Path, content: str | None) -> None:
    trace_run(tmp_path / "a", {}, [])
    path = tmp_path / "a" / "analysis.json"
    path.unlink() if content is None else path.write_text(content)
    done = run_codesign("compare", "a", "a")
    assert done.rc == 2
    assert "analysis.json" in done.stderr


def test_names_are_text(run_codesign: Any, tmp_path: Path) -> None:
    hostile = [f"\x1b[31m{HOSTILE}", "[bold]x[/bold]", "void " + "k" * 200 + "<float>"]
    for run, factor in (("a", 1), ("b", 2)):
        rows = [{"name": name, "count": 1, "time_us": factor * (i + 1)} for i, name in enumerate(hostile)]
        trace_run(tmp_path / run, {}, rows)
    done = run_codesign("compare", "a", "b", env={"COLUMNS": "80", "FORCE_COLOR": "1"})
    assert done.rc == 0, done.stderr
    assert "\x1b[31m" not in done.stdout
    assert "[bold]x[/bold]" in done.stdout
    assert "kkkkkk<float>" in done.stdout
    printed = json.loads(run_codesign("compare", "a", "b", "--json").stdout)
    assert [k["name"] for k in printed["results"]["profiles"][0]["kernels"]] == hostile[::-1]


def test_differences_are_plain_json() -> None:
    found = compare_profiles(Recorded(metrics={"a": 1.0}), Recorded(metrics={"a": 2.0}))
    assert msgspec.json.decode(msgspec.json.encode(found))["metrics"][0]["delta_percent"] == 100.0


def test_other_devices_and_dtypes_are_said(run_codesign: Any, tmp_path: Path) -> None:
    profile_run(tmp_path / "a", {1: 1.0})
    profile_run(tmp_path / "b", {1: 1.0}, dtype="bf16")
    assert "dtype: fp32 against bf16" in run_codesign("compare", "a", "b").stderr
    for name, device in (("h100", "NVIDIA H100"), ("mi300x", "AMD MI300X")):
        trace_run(tmp_path / name, {"wall_us": 1.0}, [])
        path = tmp_path / name / "analysis.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "devices": [device]}))
    assert "devices: NVIDIA H100 against AMD MI300X" in run_codesign("compare", "h100", "mi300x").stderr


def test_processor_traces_show_their_split_and_know_no_launches(run_codesign: Any, tmp_path: Path) -> None:
    for name, dispatch in (("a", 100.0), ("b", 50.0)):
        figures = {"dispatch_self_us": dispatch, "compute_self_us": 10.0, "tklqt_us": None}
        trace_run(tmp_path / name, figures, [])
    done = run_codesign("compare", "a", "b")
    assert done.rc == 0, done.stderr
    assert "dispatch_self" in done.stdout
    limited = run_codesign("compare", "a", "b", "--where", "tklqt <= 5 %")
    assert limited.rc == 2
    assert "tklqt" in limited.stderr


def test_few_passes_do_not_call_a_small_change_better(tmp_path: Path) -> None:
    for name, addmm in (("a", 4_000), ("b", 4_000)):
        profile_run(tmp_path / name, {1: 1.0}, addmm)
    sides = [read_recorded(tmp_path / name)[1] for name in "ab"]
    moved = msgspec.structs.replace(
        sides[1], metrics={**sides[1].metrics, "dispatch": 1.03 * (sides[1].metrics["dispatch"] or 0.0)}
    )
    rows = {row.quantity: row for row in compare_profiles(sides[0], moved).metrics}
    assert rows["dispatch"].verdict == "unclear"
