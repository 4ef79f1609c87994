"""Calibration with whole-model measurements: made by machines whose true factors are known, and by broken files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.costmodels.api import estimate
from codesign.costmodels.calibrate_from import FactorsCalibrated, calibrate_from
from codesign.costmodels.factors import COUNT, LABELS, F
from codesign.costmodels.measurements import read_file
from codesign.costmodels.measurements.designs import completed
from codesign.costmodels.measurements.predictor import Predictor, scaled
from codesign.errors import CodesignError, DataError, UsageError
from codesign.models import load_model
from codesign.targets import Target, load_target, overlay_text

MODEL = "llama-3.2-1b"
TARGET = load_target("h100-sxm")
STACK: dict[str, Any] = {"dtype": "bf16", "tp": 1, "mode": "static", "execution": "eager"}
DESIGNS = [(1, 128), (1, 2048), (1, 8192), (16, 512), (64, 1024), (128, 128)]
TRUTH = {F.MATRIX: 1.5, F.HOST: 1.8}


def machine_with(truth: dict[F, float]) -> Target:
    """Return the target as if its factors were ``truth``."""
    scales = np.ones(COUNT)
    for factor, scale in truth.items():
        scales[factor] = scale
    return scaled(TARGET, scales)


def measured(target: Target, metrics: tuple[str, ...] = ("ttft", "tpot")) -> list[dict[str, Any]]:
    """Return rows of a table of measurements made on ``target``, in seconds."""
    batch, prompt = np.array(DESIGNS, dtype=float).T
    columns = estimate(MODEL, target, batch=batch, prompt=prompt, generate=64, **STACK).estimate.columns
    suffix = {"throughput": "per_s"}
    return [
        {"batch": b, "prompt": p, "generate": 64}
        | {f"{m}_{suffix.get(m, 's')}": float(columns[m].value[i]) for m in metrics}
        for i, (b, p) in enumerate(DESIGNS)
    ]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows as a CSV and return its path."""
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> FactorsCalibrated:
    """Return the calibration by a machine with slow products and a slow host."""
    path = write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", measured(machine_with(TRUTH)))
    return calibrate_from([path], TARGET, MODEL, **STACK)


def test_true_factors_are_found_and_the_others_stay(calibrated: FactorsCalibrated) -> None:
    found = {factor.name: factor for factor in calibrated.factors}
    for factor, scale in TRUTH.items():
        assert found[LABELS[factor]].calibrated
        assert found[LABELS[factor]].scale == pytest.approx(scale, rel=0.12)
    link = found[LABELS[F.LINK]]
    assert (link.calibrated, link.scale, link.why) == (False, 1.0, "no measurement depends on it")
    assert {entry.name for entry in calibrated.overlay} == {name for name, f in found.items() if f.calibrated}
    assert all(factor.why for factor in calibrated.factors if not factor.calibrated)


def test_errors_fall_on_designs_that_were_left_out(calibrated: FactorsCalibrated) -> None:
    *metrics, whole = calibrated.scores
    assert [score.metric for score in metrics] == ["ttft", "tpot"]
    assert whole.before.count == 2 * len(DESIGNS)
    assert whole.left_out is not None
    assert whole.roofline_left_out is not None
    assert whole.before.mean > 0.2 > 0.1 > whole.left_out.mean
    assert whole.left_out.mean < whole.roofline_left_out.mean, "the bar that a calibration has to beat"
    assert calibrated.folds == len(DESIGNS)
    assert not any("left out" in note for note in calibrated.notes)


def test_the_overlay_moves_estimates_onto_the_measurements(calibrated: FactorsCalibrated, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(overlay_text(calibrated.target, calibrated.overlay))
    for (batch, prompt), row in zip(DESIGNS, measured(machine_with(TRUTH)), strict=True):
        found = estimate(
            MODEL, "h100-sxm", overlay=str(overlay), batch=batch, prompt=prompt, generate=64, **STACK
        ).estimate.quantity("ttft")
        assert found.value == pytest.approx(row["ttft_s"], rel=0.15)
        assert found.low <= row["ttft_s"] <= found.high


def test_a_second_calibration_builds_on_the_first(calibrated: FactorsCalibrated, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", measured(machine_with(TRUTH)))
    already = msgspec.structs.replace(TARGET, calibration=calibrated.overlay)
    again = calibrate_from([path], already, MODEL, **STACK)
    first, second = ({entry.name: entry.scale for entry in found.overlay} for found in (calibrated, again))
    for factor, scale in TRUTH.items():
        name = LABELS[factor]
        assert abs(second[name] - scale) <= abs(first[name] - scale) + 0.02, "not applied twice"


def test_rates_tell_the_same_as_the_times_they_follow_from(tmp_path: Path) -> None:
    found = {}
    for metric in ("throughput", "request_latency"):
        path = write_csv(tmp_path / f"{metric}.csv", measured(machine_with(TRUTH), (metric,)))
        found[metric] = calibrate_from([path], TARGET, MODEL, **STACK)
    for rate, time in zip(found["throughput"].factors, found["request_latency"].factors, strict=True):
        assert rate.scale == pytest.approx(time.scale, rel=1e-3)
    assert found["throughput"].compared[0].unit == "per s"


def test_one_wrong_row_is_pointed_out_and_moves_little(calibrated: FactorsCalibrated, tmp_path: Path) -> None:
    rows = measured(machine_with(TRUTH))
    rows[1]["ttft_s"] *= 4.0
    found = calibrate_from([write_csv(tmp_path / "rows.csv", rows)], TARGET, MODEL, **STACK)
    before, after = ({f.name: f.scale for f in c.factors}["matrix rate"] for c in (calibrated, found))
    assert after == pytest.approx(before, rel=0.15)
    assert any("rows.csv:3" in note and "far from" in note for note in found.notes)


def test_too_few_designs_leave_nothing_out(tmp_path: Path) -> None:
    found = calibrate_from(
        [write_csv(tmp_path / "rows.csv", measured(machine_with(TRUTH))[:2])], TARGET, MODEL, **STACK
    )
    assert found.folds == 0
    assert found.scores[-1].left_out is None
    assert all(row.left_out is None for row in found.compared)
    assert any("give three designs or more" in note for note in found.notes)


def test_a_calibration_that_is_worth_nothing_says_so(tmp_path: Path) -> None:
    rows = measured(TARGET)[:3]
    for row, factor in zip(rows, (0.4, 1.0, 2.5), strict=True):
        row["tpot_s"] *= factor
    found = calibrate_from([write_csv(tmp_path / "rows.csv", rows)], TARGET, MODEL, **STACK)
    assert any("not predicted better than before" in note for note in found.notes)


@pytest.mark.parametrize("mode", ["static", "served", "continuous"])
def test_the_roofline_is_below_every_estimate(mode: str, tmp_path: Path) -> None:
    source = read_file(write_csv(tmp_path / "rows.csv", measured(TARGET, ("ttft", "tpot", "latency", "throughput"))))
    model = load_model(MODEL)
    complete, _ = completed(source.measurements, model, {**STACK, "mode": mode})
    predictor = Predictor(model, TARGET, complete)
    assert (predictor.roofline < predictor.before.value).all()
    assert (predictor.roofline > 1e-3 * predictor.before.value).all()


def test_a_design_takes_what_the_file_lacks_from_the_options_and_says_its_defaults(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [{"ttft_ms": 20.0}])
    for missing in ("dtype", "tp", "batch", "prompt", "generate"):
        options = {"dtype": "bf16", "tp": 1, "batch": 1, "prompt": 512, "generate": 64}
        options.pop(missing)
        with pytest.raises(UsageError, match=f"does not state {missing}") as error:
            calibrate_from([path], TARGET, MODEL, **options)
        assert error.value.hint == f"give --{missing}"
    found = calibrate_from([path], TARGET, MODEL, dtype="bf16", tp=1, batch=1, prompt=512, generate=64)
    assert any("taken as the defaults: pp 1, ep 1, nodes 1, execution auto, mode static" in n for n in found.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 2}, "states batch 1"),
        ({"colour": 1}, "unknown option 'colour'"),
        ({"dtype": "fp4"}, "fp4"),
    ],
)
def test_wrong_options_are_usage_errors(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", [{"batch": 1, "prompt": 512, "generate": 64, "ttft_ms": 20.0}])
    with pytest.raises(UsageError, match=words):
        calibrate_from([path], TARGET, MODEL, **{**STACK, **options})


def test_models_that_serve_no_tokens_calibrate_too(tmp_path: Path) -> None:
    batch = np.array([1.0, 8.0, 64.0, 256.0])
    slow = machine_with({F.BANDWIDTH: 1.3, F.MATRIX: 1.3, F.VECTOR: 1.3, F.HOST: 1.3, F.FLOOR: 1.3})
    latency = estimate("resnet-50", slow, dtype="fp16", batch=batch).estimate.columns["latency"].value
    rows = [{"model": "resnet-50", "batch": b, "latency_ms": 1e3 * t} for b, t in zip(batch, latency, strict=True)]
    found = calibrate_from([write_csv(tmp_path / "rows.csv", rows)], TARGET, dtype="fp16", tp=1)
    score = found.scores[-1]
    assert score.left_out is not None
    assert score.left_out.mean < 0.5 * score.before.mean


def rows_of(**fields: Any) -> Callable[[Path], str]:
    """Return a writer of two rows, of which ``fields`` make the second another."""
    first = {"model": MODEL, "target": "h100-sxm", "batch": 1, "prompt": 512, "generate": 64, "ttft_ms": 20.0}
    return lambda path: write_csv(path, [first, {**first, **fields}])


@pytest.mark.parametrize(
    ("write", "model", "words"),
    [
        (rows_of(model="llama-3.1-8b"), None, "several models"),
        (rows_of(model="unheard-of"), None, "no preset is known"),
        (rows_of(), "llama-3.1-8b", "not of llama-3.1-8b"),
        (rows_of(target="A100-SXM4-80GB"), None, "measured on a100-80gb-sxm"),
        (rows_of(ttft_ms=20_000.0), None, "times the estimate"),
    ],
)
def test_measurements_of_something_else_are_refused(
    write: Callable[[Path], str], model: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(CodesignError) as error:
        calibrate_from([write(tmp_path / "rows.csv")], TARGET, model, **STACK)
    assert words in str(error.value)


def test_names_from_a_file_cannot_steer_a_terminal(tmp_path: Path) -> None:
    row = {"model": MODEL, "dtype": "b\x1b[31mf16", "tp": 1, "batch": 1, "prompt": 512, "generate": 64, "ttft_ms": 20.0}
    with pytest.raises(DataError, match=r"dtype is b\?\[31mf16") as error:
        calibrate_from([write_csv(tmp_path / "rows.csv", [row])], TARGET)
    assert str(error.value).isprintable()


def test_a_placement_has_to_exist(tmp_path: Path) -> None:
    row = {"batch": 1, "prompt": 512, "generate": 64, "ttft_ms": 20.0}
    with pytest.raises(DataError, match="cannot have run"):
        calibrate_from([write_csv(tmp_path / "rows.csv", [row])], TARGET, MODEL, **{**STACK, "tp": 16})


def test_no_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no file"):
        calibrate_from([], TARGET, MODEL)
