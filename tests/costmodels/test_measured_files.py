"""Files of measurements: each kind read for what it is, broken ones refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.api import estimate
from codesign.costmodels.calibrate_from import calibrate_from
from codesign.costmodels.measurements import read_file
from codesign.costmodels.measurements.designs import completed
from codesign.costmodels.measurements.load import arrivals, closed_loop
from codesign.costmodels.measurements.measurement import Design, Measurement, merged
from codesign.costmodels.measurements.names import preset_of
from codesign.errors import DataError, UsageError
from codesign.models import load_model
from codesign.targets import load_target

MODEL = "llama-3.2-1b"
TARGET = load_target("h100-sxm")

VLLM: dict[str, Any] = {
    "date": "20260101-000000", "backend": "vllm", "model_id": "meta-llama/Llama-3.2-1B-Instruct", "num_prompts": 400,
    "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 16, "duration": 60.0, "completed": 400, "failed": 0,
    "total_input_tokens": 204_800, "total_output_tokens": 51_200, "request_throughput": 6.6, "output_throughput": 850.0,
    "mean_ttft_ms": 40.0, "median_ttft_ms": 30.0, "std_ttft_ms": 12.0, "p99_ttft_ms": 90.0,
    "mean_tpot_ms": 5.0, "median_tpot_ms": 4.0, "std_tpot_ms": 0.8, "p99_tpot_ms": 8.0,
}  # fmt: skip

AIPERF: dict[str, Any] = {
    "schema_version": "1.5",
    "time_to_first_token": {"unit": "ms", "avg": 40.0, "p50": 30.0, "std": 12.0, "count": 400},
    "inter_token_latency": {"unit": "us", "avg": 5000.0, "p50": 4000.0, "std": 800.0, "count": 400},
    "request_latency": {"unit": "s", "avg": 0.6, "p50": 0.5, "std": 0.1, "count": 400},
    "input_sequence_length": {"unit": "tokens", "avg": 512.0},
    "output_sequence_length": {"unit": "tokens", "avg": 128.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 850.0},
    "request_count": {"unit": "requests", "avg": 400.0},
    "input_config": {
        "models": {"items": [{"name": "meta-llama/Llama-3.2-1B-Instruct"}]},
        "phases": [{"name": "warmup", "concurrency": 2}, {"name": "profiling", "concurrency": 16}],
    },
}

PROFILE: dict[str, Any] = {
    "schema_version": 1, "model": MODEL, "source": MODEL, "device": "cuda:0", "phase": "prefill", "dtype": "bf16",
    "layers": 4, "prompt": 512, "context": None, "threads": 8, "seed": 0, "torch": "2", "execution": "eager",
    "device_name": "Unheard-of 9000",
    "batches": [
        {"batch": b, "latency": {"median": 3e-3 * b, "low": 2.9e-3 * b, "high": 3.3e-3 * b, "repeats": 20, "threads": 8,
                                 "busy": b == 4, "torch": "2"}} for b in (1, 4)
    ],
}  # fmt: skip


def write_csv(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows as a CSV and return its path."""
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def write_json(path: Path, record: Any) -> str:
    """Write a record as JSON and return its path."""
    path.write_text(json.dumps(record))
    return str(path)


def test_both_serving_benchmarks_of_one_run_read_alike(tmp_path: Path) -> None:
    older = {k: v for k, v in AIPERF.items() if k != "input_config"} | {
        "input_config": {"endpoint": {"model_names": [VLLM["model_id"]]}, "loadgen": {"concurrency": 16}}
    }
    sources = [
        read_file(write_json(tmp_path / name, record))
        for name, record in (("bench.json", VLLM), ("profile_export_aiperf.json", AIPERF), ("older.json", older))
    ]
    assert [s.kind for s in sources] == ["vLLM serving benchmark", "AIPerf profile export", "AIPerf profile export"]
    for source in sources:
        found = {m.metric: m for m in source.measurements}
        assert found.keys() == {"ttft", "tpot"}, "the rest follows from these two"
        assert found["ttft"].value == pytest.approx(0.030)
        assert found["tpot"].value == pytest.approx(0.004)
        assert found["ttft"].noise == pytest.approx(12.0 / 30.0 / 20.0)
        assert found["ttft"].design == Design(mode="continuous", batch=16, prompt=512, generate=128)
        assert found["ttft"].model == VLLM["model_id"]
    assert read_file(str(tmp_path)).kind == "AIPerf profile export", "its directory holds it"


def test_what_metadata_adds_and_appended_results_are_read(tmp_path: Path) -> None:
    records = [{**VLLM, "tp": "4", "dtype": "fp8", "max_concurrency": c} for c in (1, 16)]
    path = tmp_path / "appended.json"
    path.write_text("\n".join(json.dumps(record) for record in records))
    source = read_file(str(path))
    assert [m.where for m in source.measurements] == ["appended.json:1"] * 2 + ["appended.json:2"] * 2
    assert {(m.design.tp, m.design.dtype) for m in source.measurements} == {(4, "fp8")}
    assert [m.design.mode for m in source.measurements] == ["served"] * 2 + ["continuous"] * 2


def test_whoever_measured_knows_whether_a_server_was_between(tmp_path: Path) -> None:
    model = load_model("llama-3.1-8b")
    source = read_file(write_json(tmp_path / "bench.json", {**VLLM, "max_concurrency": 1}))
    options = {"dtype": "bf16", "tp": 1}
    for mode, expected in ((None, "served"), ("served", "served"), ("static", "static")):
        complete, _ = completed(source.measurements, model, {**options, "mode": mode})
        assert {m.design.mode for m in complete} == {expected}
    with pytest.raises(UsageError, match="states mode served, --mode says continuous"):
        completed(source.measurements, model, {**options, "mode": "continuous"})


def test_whoever_measured_knows_whether_requests_stayed_in_step_and_what_served(tmp_path: Path) -> None:
    model = load_model("llama-3.1-8b")
    source = read_file(write_json(tmp_path / "bench.json", VLLM))
    options = {"dtype": "bf16", "tp": 1}
    for mode in ("continuous", "in-step"):
        complete, _ = completed(source.measurements, model, {**options, "mode": mode, "framework": "vllm"})
        assert {(m.design.mode, m.design.framework) for m in complete} == {(mode, "vllm")}
    with pytest.raises(UsageError, match="states mode continuous, --mode says served"):
        completed(source.measurements, model, {**options, "mode": "served"})
    row = {"mode": "continuous", "framework": "sglang", "batch": 8, "prompt": 512, "generate": 64, "tpot_ms": 9}
    stated = read_file(write_csv(tmp_path / "rows.csv", [row]))
    (only,), _ = completed(stated.measurements, model, options)
    assert (only.design.mode, only.design.framework) == ("continuous", "sglang")
    for name, other in (("mode", "in-step"), ("framework", "vllm")):  # a table was told, nothing is guessed
        with pytest.raises(UsageError, match=f"states {name} .*, --{name} says {other}"):
            completed(stated.measurements, model, {**options, name: other})


def test_arrivals_give_their_concurrency_and_no_time_to_first_token(tmp_path: Path) -> None:
    source = read_file(write_json(tmp_path / "bench.json", {**VLLM, "request_rate": 7.0, "max_concurrency": None}))
    assert [m.metric for m in source.measurements] == ["tpot"]
    assert source.measurements[0].design.batch == pytest.approx(6.6 * (0.030 + 127 * 0.004)), "Little's law"
    assert "requests arrive at 6.6/s" in source.notes[0]


@given(concurrency=st.integers(1, 4096), requests=st.integers(1, 100_000))
def test_a_closed_loop_never_has_more_inside_than_it_sends(concurrency: int, requests: int) -> None:
    load = closed_loop(concurrency, requests)
    assert load.batch is not None
    assert 1 <= load.batch <= min(concurrency, requests)
    assert ("ttft" in load.disturbed) == (load.batch > 1 and requests < 3 * load.batch)


@given(rate=st.floats(0.01, 1e3), residence=st.floats(1e-3, 1e3))
def test_littles_law(rate: float, residence: float) -> None:
    assert arrivals(rate, residence).batch == pytest.approx(max(1.0, rate * residence))
    assert arrivals(rate, None).batch is None


def test_profiles_are_read_from_their_run_directory_and_shortened_models_priced_short(tmp_path: Path) -> None:
    write_json(tmp_path / "profile.json", PROFILE)
    source = read_file(str(tmp_path))
    assert (source.kind, len(source.measurements)) == ("codesign profile", 2)
    assert "batch 4 was disturbed" in source.notes[0]
    one = source.measurements[0]
    assert (one.metric, one.value, one.design.layers, one.design.prompt) == ("ttft", 3e-3, 4, 512)
    found = calibrate_from([str(tmp_path)], TARGET, None)
    whole = estimate(MODEL, TARGET, dtype="bf16", execution="eager", batch=1, prompt=512, generate=2).estimate
    assert found.compared[0].before < 0.5 * float(whole.columns["ttft"].value[0])
    assert any("Unheard-of 9000 are taken for h100-sxm" in note for note in found.notes)


def test_a_decode_step_is_priced_at_its_context(tmp_path: Path) -> None:
    decode = {**PROFILE, "phase": "decode", "prompt": None, "context": 4096, "layers": None}
    found = calibrate_from([write_json(tmp_path / "profile.json", decode)], TARGET, None)
    assert {row.metric for row in found.compared} == {"tpot"}
    assert all((row.design.prompt, row.design.generate) == (4096, 2) for row in found.compared)


def test_a_processor_is_no_gpu(tmp_path: Path) -> None:
    on_cpu = {**PROFILE, "device": "cpu", "device_name": ""}
    with pytest.raises(DataError, match="measured on cpu"):
        calibrate_from([write_json(tmp_path / "profile.json", on_cpu)], TARGET, None)


@pytest.mark.parametrize(
    ("spelling", "preset"),
    [
        ("llama-3.1-8b", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("/models/Qwen3-30B-A3B-Instruct-2507/", "qwen3-30b-a3b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("gpt2-xl", None),
        ("RedHatAI/Llama-3.1-8B-Instruct-FP8", None),
        ("py:os:system", None),
        ("", None),
    ],
)
def test_names_of_checkpoints_mean_a_preset_only_when_the_rest_changes_nothing(
    spelling: str, preset: str | None
) -> None:
    assert preset_of(spelling) == preset


def test_repeats_are_merged_into_their_median_with_the_noise_they_show() -> None:
    rows = [Measurement(f"rows:{i}", "ttft", value, 0.05, 1, Design()) for i, value in enumerate((1.0, 1.1, 5.0))]
    (one,) = merged(rows)
    assert one.value == pytest.approx(1.1)
    assert one.noise == pytest.approx(np.std(np.log([1.0, 1.1, 5.0]), ddof=1) / np.sqrt(3))
    assert one.repeats == 3


@given(scale=st.sampled_from(["s", "ms", "us"]), value=st.floats(1e-6, 1e3))
def test_units_of_columns_are_what_they_say(scale: str, value: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    unit = {"s": 1.0, "ms": 1e-3, "us": 1e-6}[scale]
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    (found,) = read_file(write_csv(path, [{"batch": 1, f"tpot_{scale}": repr(value)}])).measurements
    assert found.value == pytest.approx(value * unit, rel=1e-12)


def changed(record: dict[str, Any], **fields: Any) -> str:
    """Return the record as JSON with fields changed."""
    return json.dumps({**record, **fields})


BROKEN: list[tuple[str, str, str]] = [
    ("empty.json", " \n", "empty"),
    ("cut.json", json.dumps(VLLM)[:-20], "not valid JSON"),
    ("nan.json", changed(VLLM, median_ttft_ms=float("nan")), "NaN"),
    ("zero.json", changed(VLLM, completed=0), "completed is 0"),
    ("negative.json", changed(VLLM, median_tpot_ms=-4.0), "median_tpot_ms is -4"),
    ("text.json", changed(VLLM, median_tpot_ms="fast"), "median_tpot_ms is 'fast'"),
    ("speculative.json", changed(VLLM, spec_decode_acceptance_rate=0.8), "speculative"),
    ("other.json", '{"hello": 1}', "of no kind that we know, with keys hello"),
    ("list.json", "[1, 2]", "of no kind that we know"),
    ("deep.json", '{"completed": ' + "[" * 100_000, "not valid JSON"),
    ("unit.json", changed(AIPERF, time_to_first_token={"unit": "fortnights", "avg": 1}), "unit is 'fortnights'"),
    ("count.json", changed(AIPERF, request_count={"avg": 0}), "request_count is 0"),
    ("schema.json", changed(PROFILE, schema_version=99), "schema_version is 99"),
    ("batches.json", changed(PROFILE, batches=[]), "holds no batch"),
    ("phase.json", changed(PROFILE, phase="backward"), "phase is 'backward'"),
    ("typed.json", changed(PROFILE, batches=[{"batch": "many"}]), "batch"),
    ("unitless.csv", "batch,ttft\n1,20\n", "column 'ttft' states no unit"),
    ("unknown.csv", "batch,colour,ttft_ms\n1,red,20\n", "unknown column 'colour'"),
    ("none.csv", "batch,prompt\n1,20\n", "no column of a metric"),
    ("blank.csv", "batch,ttft_ms\n1,\n", "every cell of a metric is empty"),
    ("hole.csv", "batch,ttft_ms\n,20\n", "hole.csv:2: batch is empty"),
    ("minus.csv", "batch,ttft_ms\n1,20\n1,-3\n", "minus.csv:3: ttft_ms is '-3'"),
    ("nan.csv", "batch,ttft_ms\n1,nan\n", "nan.csv:2: ttft_ms is 'nan'"),
    ("inf.csv", "batch,ttft_ms\n1,inf\n", "inf.csv:2: ttft_ms is 'inf'"),
    ("half.csv", "tp,ttft_ms\n1.5,20\n", "tp is '1.5'"),
    ("ragged.csv", "batch,ttft_ms\n1,2,3,4\n", "cannot be read as CSV"),
    ("header.csv", "batch,ttft_ms\n", "0 rows"),
    ("escape.csv", "batch,tt\x1b[31mft_ms\n1,2\n", "unknown column"),
]


@pytest.mark.parametrize(("name", "text", "words"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_broken_files_are_data_errors_that_name_file_and_field(
    name: str, text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_file(str(path))
    assert words in error.value.message
    assert name in error.value.message
    assert str(error.value).isprintable()


def test_places_without_measurements_say_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for name, words in (("absent.json", "no such file"), ("empty", "a directory without"), ("run", "a run without")):
        with pytest.raises(DataError, match=words):
            read_file(str(tmp_path / name))


def test_huge_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(DataError, match="2,147,483,648 bytes"):
        read_file(str(path))
