"""Which model predicts what, what that is called, and calibrations of a target as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.api import estimate
from codesign.costmodels.factors import LABELS
from codesign.costmodels.operators.lookup import EXPERT_NAMES, served_by, shipped_model
from codesign.costmodels.operators.model_file import VERSION, OperatorModel
from codesign.errors import DataError
from codesign.quantity import Z90, Method
from codesign.targets import Calibration, OperatorCalibration, Target, load_target, overlay_text


@pytest.fixture(scope="module")
def model() -> OperatorModel:
    return shipped_model(trees=False)


@pytest.mark.parametrize(
    ("target", "family", "form", "name", "method"),
    [
        ("h100-sxm", "gemm", "bf16", "gemm-16", Method.INTERPOLATED),
        ("h200-sxm", "gemm", "bf16", "gemm-16", Method.SAME_FAMILY),
        ("rtx-4090", "gemm", "bf16", "gemm-16", Method.NEW_FAMILY),
        ("mi300x", "prefill", "fp8", "prefill", Method.NEW_FAMILY),
        ("t4", "convolution", "fp32", "convolution-32", Method.INTERPOLATED),
        ("xeon-8480", "gemm", "bf16", "gemm-cpu", Method.ANALYTICAL),
        ("h100-sxm", "decode", "fp32", "decode-analytical", Method.ANALYTICAL),
    ],
)
def test_what_serves(model: OperatorModel, target: str, family: str, form: str, name: str, method: Method) -> None:
    found = served_by(model, family, form, load_target(target))
    assert (found.name, found.method) == (name, method)
    assert found.half > 0.0
    assert found.own**2 + found.shared**2 == pytest.approx((found.half / Z90) ** 2)


def test_the_less_is_known_the_wider_the_interval(model: OperatorModel) -> None:
    known, alike, unknown = (
        served_by(model, "gemm", "bf16", load_target(name)).half for name in ("h100-sxm", "h200-sxm", "rtx-4090")
    )
    assert known < alike <= unknown


def calibrated(*entries: OperatorCalibration, target: str = "h100-sxm") -> Target:
    return msgspec.structs.replace(load_target(target), operators=entries)


def entry(expert: str, count: int, value: float = 0.1) -> OperatorCalibration:
    return OperatorCalibration(expert, (value,) * count, 0.0, 0.2, 5, "a bench (overlay my.yaml)")


@pytest.mark.parametrize(
    ("expert", "count"), [("gemm-16", 6), ("gemm-16", 8), ("gemm-16", 1), ("gemm-16", 0), ("gemm-32", 7)]
)
def test_a_change_of_another_model_is_refused(model: OperatorModel, expert: str, count: int) -> None:
    form = "bf16" if expert == "gemm-16" else "fp32"
    expected = len(model.families[expert].pooled)
    with pytest.raises(DataError, match=rf"{expert}\.change: found {count} numbers, expected {expected}") as caught:
        served_by(model, "gemm", form, calibrated(entry(expert, count)))
    assert "my.yaml" in caught.value.hint


def test_a_model_that_there_is_none_of_is_refused_whatever_is_asked(model: OperatorModel) -> None:
    with pytest.raises(DataError, match=r"h100-sxm: operators\.gemm-17: there is no such model") as caught:
        served_by(model, "prefill", "bf16", calibrated(entry("gemm-17", 7)))
    assert "gemm-16" in caught.value.hint
    assert "my.yaml" in caught.value.hint
    for name in ("gemm-cpu", "vector-analytical", *EXPERT_NAMES):
        served_by(model, "moe", "bf16", calibrated(*([] if name.startswith("moe") else [entry(name, 7)])))


def test_whole_estimates_refuse_such_overlays_too() -> None:
    for wrong in (entry("gemm-16", 8), entry("gemm-17", 7)):
        with pytest.raises(DataError, match="operators"):
            estimate("llama-3.2-1b", calibrated(wrong), dtype="bf16", batch=1, prompt=16, generate=2)


def test_a_calibration_moves_its_own_model_only(model: OperatorModel) -> None:
    target = calibrated(entry("gemm-16", 7, 0.25))
    moved = served_by(model, "gemm", "bf16", target)
    assert (moved.method, moved.half, moved.model.change.tolist()) == (Method.CALIBRATED, 0.2, [0.25] * 7)
    for family, form in (("gemm", "fp8"), ("prefill", "bf16")):
        same, before = (served_by(model, family, form, one) for one in (target, load_target("h100-sxm")))
        assert (same.half, same.method) == (before.half, before.method)
        np.testing.assert_array_equal(same.model.change, before.model.change)


NUMBER = st.floats(-4.0, 4.0)
CHANGE = st.lists(NUMBER, min_size=7, max_size=8).map(tuple)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30)


@given(
    operators=st.lists(
        st.builds(
            OperatorCalibration, st.sampled_from(sorted(EXPERT_NAMES)), CHANGE, NUMBER, st.floats(0.01, 2.0),
            st.integers(1, 999), TEXT, st.floats(0.0, 1.0),
            st.lists(st.sampled_from(["bf16", "fp8"]), max_size=2).map(tuple),
        ), max_size=4, unique_by=lambda one: one.expert,
    ),
    factors=st.lists(
        st.builds(
            Calibration, st.sampled_from(sorted(LABELS.values())), st.floats(0.1, 10.0), st.floats(0.01, 1.0),
            st.just(Method.CALIBRATED), TEXT,
        ), max_size=4, unique_by=lambda one: one.name,
    ),
)  # fmt: skip
@settings(max_examples=40)
def test_an_overlay_comes_back_from_its_file(
    operators: list[OperatorCalibration], factors: list[Calibration], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("overlay") / "my.yaml"
    path.write_text(overlay_text("h100-sxm", factors, operators), encoding="utf-8")
    found = load_target("h100-sxm", overlay=str(path))
    named = " (overlay my.yaml)"

    def expected(entries: Any, by: str) -> list[Any]:
        ordered = sorted(entries, key=lambda one: str(getattr(one, by)))
        return [msgspec.structs.replace(one, source=one.source + named) for one in ordered]

    assert list(found.operators) == expected(operators, "expert")
    assert list(found.calibration) == expected(factors, "name")
    assert load_target("a100-80gb-sxm", overlay=str(path)) == load_target("a100-80gb-sxm")


def test_overlays_of_former_models_are_refused(tmp_path: Path) -> None:
    text = overlay_text("h100-sxm", (), [entry("gemm-32", 8)])
    path = tmp_path / "my.yaml"
    path.write_text(text)
    assert load_target("h100-sxm", overlay=str(path)).operators[0].expert == "gemm-32"
    for former in ("layout: 3\n", ""):
        path.write_text(text.replace(f"layout: {VERSION}\n", former))
        with pytest.raises(DataError, match="layout 3 of the models, expected 4"):
            load_target("h100-sxm", overlay=str(path))
    path.write_text(overlay_text("h100-sxm", ()).replace("factors: {}", "layout: 3\nfactors: {}"))
    assert load_target("h100-sxm", overlay=str(path)).operators == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("change: [.nan, 0, 0, 0, 0, 0, 0]", "my.yaml"), ("change: [99, 0, 0, 0, 0, 0, 0]", "found a change of 99"),
("change: a", "my.yaml"), ("change: [0, 0, 0, 0, 0, 0, 0]\n    code: x", "my.yaml"),
    ],
)  # fmt: skip
def test_overlays_of_nonsense_are_refused(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "my.yaml"
    text = overlay_text("h100-sxm", (), [entry("gemm-16", 7)])
    path.write_text(text.replace(next(row for row in text.splitlines() if "change" in row).strip(), line))
    with pytest.raises(DataError, match=says):
        load_target("h100-sxm", overlay=str(path))
    assert np.isfinite(entry("gemm-16", 7).change).all()


def test_no_shape_term_counts_twice(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(overlay_text("h100-sxm", (), [msgspec.structs.replace(entry("gemm-16", 7), trust=2.0)]))
    with pytest.raises(DataError, match=r"operators.gemm-16.trust: found 2.0"):
        load_target("h100-sxm", overlay=str(path))
