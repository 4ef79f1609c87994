"""Measured operators of one device: what was planted is found, what cannot be right is counted, errors have a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from codesign.costmodels.operators import physics
from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.calibration import calibrate_rows
from codesign.costmodels.operators.chosen_shapes import candidates, work_of
from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.fit import predict
from codesign.costmodels.operators.lookup import served_by, shipped_model
from codesign.costmodels.operators.measured_here import as_frame
from codesign.costmodels.operators.measured_rows import calibrate_files, holds_operators
from codesign.costmodels.operators.processors import PRIORS
from codesign.costmodels.operators.tables import Rows
from codesign.errors import DataError
from codesign.profilers.operators import Operator, Timing
from codesign.quantity import Array, Method
from codesign.targets import OperatorCalibration, Target, load_target
from codesign.testing.synthetic_machine import processor

PLANTED = np.array([0.5, 0.3, -0.2, 0.0, 0.0, 0.0, 0.0])
"""Of a card with a longer floor, faster matrix units and slower memory than others."""

H100 = load_target("h100-sxm")


def shapes(count: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    sizes = {name: np.rint(2.0 ** rng.uniform(low, 13, count)).astype(int) for name, low in
             (("m", 0), ("n", 7), ("k", 7))}  # fmt: skip
    return pl.DataFrame({"op": "gemm", "dtype": "bf16", **sizes}).cast(pl.Utf8)


def rows_of(frame: pl.DataFrame, target: Target) -> Rows:
    (group,) = Asked(frame, "test", target=target).groups()
    return group.rows


CARD = OperatorCalibration("gemm-16", tuple(PLANTED), 0.0, 0.1, 1, "planted")


def planted(
    frame: pl.DataFrame, target: Target, noise: float = 0.0, card: OperatorCalibration = CARD
) -> tuple[pl.DataFrame, Array]:
    """Return ``frame``, of one format, with the latencies of the planted card, and those latencies, s."""
    card_target = msgspec.structs.replace(target, operators=(card,))
    model = served_by(shipped_model(), "gemm", frame["dtype"][0], card_target).model
    seconds = predict(model, rows_of(frame, target))
    read = seconds * np.exp(noise * np.random.default_rng(1).standard_normal(len(seconds)))
    return frame.with_columns(latency_ms=pl.Series(read * 1e3).cast(pl.Utf8)), seconds


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_planted_card_is_found(noise: float) -> None:
    target = load_target("rtx-4090")
    measured, _ = planted(shapes(64), target, noise)
    found = calibrate_rows(measured, target, "a test")
    assert found.left_out == {}
    (expert,) = found.experts
    assert expert.calibration.expert == "gemm-16"
    assert (expert.calibration.rows, expert.calibration.source) == (64, "a test")
    assert expert.after is not None
    assert expert.roofline is not None
    assert expert.before.mean > 0.15
    assert expert.after.mean < max(0.03, 2.0 * noise), "of rows left out"
    assert expert.after.mean < 0.5 * expert.roofline.mean
    np.testing.assert_allclose(expert.calibration.change[:3], PLANTED[:3], atol=0.15)
    assert 0.9 <= (expert.coverage or 0.0) <= 1.0
    new, truth = planted(shapes(200, seed=9), target)
    moved = msgspec.structs.replace(target, operators=found.overlay)
    served = served_by(shipped_model(), "gemm", "bf16", moved)
    assert served.method is Method.CALIBRATED
    off = np.abs(np.log(predict(served.model, rows_of(new, target)) / truth))
    assert off.mean() < 0.05
    assert np.quantile(off, 0.9) < served.half


@pytest.mark.parametrize("trust", [0.0, 1.0])
def test_a_card_that_follows_no_others_keeps_its_physical_form(trust: float) -> None:
    target = load_target("rtx-4090")
    card = OperatorCalibration("gemm-16", tuple(PLANTED), 0.0, 0.1, 1, "planted", trust)
    measured, _ = planted(shapes(64), target, 0.02, card)
    (expert,) = calibrate_rows(measured, target, "a test").experts
    assert abs(expert.calibration.trust - trust) < 0.25
    assert expert.after is not None
    assert expert.after.mean < 0.06


def test_formats_of_one_model_are_calibrated_apart() -> None:
    """Kernels of one format tell what the others share, and a format of its own what it differs by."""
    target = load_target("rtx-4090")
    level = {"fp8": 0.3, "fp8_block": -0.2}
    frames = []
    for form, own in level.items():
        card = OperatorCalibration("gemm-8", (*PLANTED, 0.0), own, 0.1, 1, "planted")
        frames.append(planted(shapes(24, seed=len(form)).with_columns(dtype=pl.lit(form)), target, 0.02, card)[0])
    found = calibrate_rows(pl.concat(frames), target, "a test")
    experts = {one.calibration.expert: one for one in found.experts}
    assert [(name, one.calibration.rows) for name, one in experts.items()] == [
        ("gemm-8", 48), ("gemm-8-fp8", 24), ("gemm-8-fp8_block", 24)
    ]  # fmt: skip
    shared, *own_errors = (one.after.mean for one in experts.values() if one.after)
    assert max(own_errors) < 0.1 < shared
    moved = msgspec.structs.replace(target, operators=found.overlay)
    served = {form: served_by(shipped_model(), "gemm", form, moved) for form in level}
    assert served["fp8"].half < experts["gemm-8"].calibration.half
    assert served["fp8"].model.level > served["fp8_block"].model.level + 0.1
    # without an entry of its own a format has what all share
    least = msgspec.structs.replace(target, operators=found.overlay[:1])
    assert served_by(shipped_model(), "gemm", "fp8", least).model.level == found.overlay[0].level


def test_formats_known_of_a_device_start_from_what_is_known_of_each() -> None:
    frames = []
    for form in ("fp8", "fp8_block"):
        known = served_by(shipped_model(), "gemm", form, H100).model
        frame = shapes(24, seed=len(form)).with_columns(dtype=pl.lit(form))
        seconds = predict(known, rows_of(frame, H100))
        frames.append(frame.with_columns(latency_ms=pl.Series(seconds * 1e3).cast(pl.Utf8)))
    found = calibrate_rows(pl.concat(frames), H100, "a test")
    assert [one.calibration.expert for one in found.experts] == ["gemm-8-fp8", "gemm-8-fp8_block"]
    for one in found.experts:
        assert one.before.mean < 1e-9
        assert one.after is not None
        assert one.after.mean < 0.01


def test_formats_of_a_physical_form_are_calibrated_apart_too() -> None:
    """Nothing was measured of decode attention in these formats: each keeps an entry of its own, and none is lost."""
    sizes = {"batch_size": 8, "step": 512, "num_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    frames = []
    for form, times in (("fp32", 1.0), ("tf32", 4.0)):
        rows = pl.DataFrame({"isl": [512 + 64 * row for row in range(12)]})
        named = {name: pl.lit(size) for name, size in sizes.items()}
        frame = rows.with_columns(op=pl.lit("decode"), dtype=pl.lit(form), window_size=pl.lit(0), **named).cast(pl.Utf8)
        plain = served_by(shipped_model(), "decode", form, H100).model
        seconds = predict(plain, rows_of(frame, H100)) * times
        frames.append(frame.with_columns(latency_ms=pl.Series(seconds * 1e3).cast(pl.Utf8)))
    found = calibrate_rows(pl.concat(frames), H100, "a test")
    names = [one.calibration.expert for one in found.experts]
    assert names == ["decode-analytical", "decode-fp32-analytical", "decode-tf32-analytical"]
    moved = msgspec.structs.replace(H100, operators=found.overlay)
    low, high = (served_by(shipped_model(), "decode", form, moved).model.level for form in ("fp32", "tf32"))
    assert high > low
    # a format without an entry keeps the interval that it had
    other = served_by(shipped_model(), "decode", "int8", moved)
    assert other.half == served_by(shipped_model(), "decode", "int8", H100).half
    assert other.model.level == found.overlay[0].level


def test_a_format_that_was_not_measured_keeps_its_interval() -> None:
    target = load_target("rtx-4090")
    card = OperatorCalibration("gemm-8", (*PLANTED, 0.0), 0.0, 0.1, 1, "planted")
    measured, _ = planted(shapes(24).with_columns(dtype=pl.lit("fp8")), target, 0.02, card)
    (one,) = calibrate_rows(measured, target, "a test").overlay
    assert one.formats == ("fp8",)
    moved = msgspec.structs.replace(target, operators=(one,))
    before, after = (served_by(shipped_model(), "gemm", "fp8_block", where) for where in (target, moved))
    assert after.half == before.half
    assert after.model.level == one.level != before.model.level
    assert served_by(shipped_model(), "gemm", "fp8", moved).half == one.half < before.half


def test_more_rows_tell_more() -> None:
    target = load_target("rtx-4090")
    halves = []
    for count in (1, 4, 16, 64):
        measured, _ = planted(shapes(count), target, 0.03)
        (expert,) = calibrate_rows(measured, target, "a test").experts
        halves.append(expert.calibration.half)
        assert (expert.after is None) == (count == 1)
    assert halves == sorted(halves, reverse=True)
    assert halves[-1] < 0.5 * halves[0]


def test_an_earlier_calibration_is_not_looked_at() -> None:
    measured, _ = planted(shapes(12), H100, 0.03)
    entry = OperatorCalibration("gemm-16", (1.0,) * 7, 1.0, 0.1, 1, "before")
    again = calibrate_rows(measured, msgspec.structs.replace(H100, operators=(entry,)), "a test")
    assert again.overlay == calibrate_rows(measured, H100, "a test").overlay


WRONG = ["nan", "-1.0", "0", "", "soon", "1e-9", "inf"]


def test_what_cannot_be_right_is_counted_and_moves_nothing() -> None:
    measured, _ = planted(shapes(30), H100)
    bad = shapes(len(WRONG), 3).with_columns(m=pl.lit("4096"), latency_ms=pl.Series(WRONG))
    found = calibrate_rows(pl.concat([measured, bad]), H100, "a test")
    assert found.left_out == {"without a positive latency": 6, "faster than the device can be": 1}
    assert found.overlay == calibrate_rows(measured, H100, "a test").overlay
    with pytest.raises(DataError, match="no measured operator can be used") as caught:
        calibrate_rows(bad, H100, "a test")
    assert "6 without a positive latency" in caught.value.hint


@pytest.mark.parametrize("name", ["op", "dtype", "latency_ms", "n"])
def test_a_missing_column_is_named(name: str) -> None:
    measured, _ = planted(shapes(3), H100)
    with pytest.raises(DataError, match=f"column '{name}' is missing"):
        calibrate_rows(measured.drop(name), H100, "a test")


CSV = "op,device,dtype,m,n,k,latency_ms\n"
GOOD = "gemm,h100-sxm,bf16,{m},4096,4096,{ms}\n"


def file(path: Path, *lines: str) -> Path:
    path.write_text(CSV + "".join(lines))
    return path


def good(count: int, device: str = "h100-sxm") -> list[str]:
    return [GOOD.format(m=m, ms=0.03 + m * 4e-5).replace("h100-sxm", device) for m in range(1, count + 1)]


def test_rows_of_other_devices_are_left_out_and_counted(tmp_path: Path) -> None:
    both = file(tmp_path / "both.csv", *good(4, "a100-80gb-sxm"), *good(3, "H100-SXM5-80GB"), *good(2, "no such card"))
    found = calibrate_files([both], H100)
    assert found.left_out == {"of other devices": 6}
    assert found.experts[0].calibration.rows == 3
    assert "both.csv" in found.experts[0].calibration.source
    with pytest.raises(DataError, match=r"other\.csv: no row is of h100-sxm") as caught:
        calibrate_files([file(tmp_path / "other.csv", *good(2, "t4"))], H100)
    assert "t4" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("gemm,h100-sxm,bf16,0,4096,4096,1\n", r"second\.csv: row 6, m is '0'"),
        ("gem,h100-sxm,bf16,1,4096,4096,1\n", r"second\.csv: row 6, op is 'gem'"),
        ("gemm,h100-sxm,fp17,1,4096,4096,1\n", r"second\.csv: row 6, dtype is 'fp17'"),
        ("gemm,h100-sxm,nvfp4,1,4096,4096,1\n", r"second\.csv: row 6, dtype is 'nvfp4'"),
        ("gemm,h100-sxm,bf16,1,,4096,1\n", r"second\.csv: row 6, n is ''"),
    ],
)
def test_a_wrong_row_is_named_by_its_file_and_place(tmp_path: Path, line: str, says: str) -> None:
    first = file(tmp_path / "first.csv", *good(3))
    second = file(tmp_path / "second.csv", *good(3, "t4"), *good(2), line)
    with pytest.raises(DataError, match=says):
        calibrate_files([first, second], H100)


def test_files_of_operators_are_told_from_others(tmp_path: Path) -> None:
    assert holds_operators(file(tmp_path / "rows.csv"))
    quoted: Any = tmp_path / "quoted.csv"
    quoted.write_text('\ufeff"op","dtype"\n')
    assert holds_operators(quoted)
    for name, text in (("models.csv", "model,ttft\n"), ("rows.json", CSV), ("top.csv", "topology\n")):
        (tmp_path / name).write_text(text)
        assert not holds_operators(tmp_path / name)
    assert not holds_operators(tmp_path / "none.csv")


def test_a_narrow_format_without_a_kernel_is_known_from_two_rows() -> None:
    """Number by number, bf16 is two orders slower than its peak says; fp32 does as processors are assumed to."""
    target = processor()
    asked = [Operator("generation_attention", dtype, dict(shape)) for dtype in ("fp32", "bf16")
             for shape in candidates("generation_attention")]  # fmt: skip
    hidden = {"fp32": np.log(PRIORS["decode"]), "bf16": np.log([1e-5, 0.003, 0.75, 0.45])}
    frame = as_frame(
        [Timing(one, median=float(physics.seconds(hidden[one.dtype], *of)[0])) for one in asked
         for of in [work_of(one.op, [one.shape], device_of(target), one.dtype)]]
    )  # fmt: skip
    narrow = frame.filter(pl.col("dtype") == "bf16")
    measured = pl.concat([frame.filter(pl.col("dtype") == "fp32")[::24], narrow[[10, 40]]])
    moved = msgspec.structs.replace(target, operators=calibrate_rows(measured, target, "a test").overlay)
    (group,) = Asked(narrow.drop("latency_ms", "spread"), "a test", target=moved).groups()
    served = served_by(shipped_model(), "decode", "bf16", moved)
    ratio = predict(served.model, group.rows) / (narrow["latency_ms"].cast(pl.Float64).to_numpy() * 1e-3)[group.at]
    assert np.median(np.abs(ratio - 1.0)) < 0.05
    assert np.all(np.abs(np.log(ratio)) < served.half)
