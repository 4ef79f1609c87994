"""Systolic arrays: against a walk over every processing element, SCALE-Sim's own output, and conservation."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.systolic import (
    CONVENTIONS,
    DATAFLOWS,
    Convention,
    Dataflow,
    Gemm,
    first_fold_words,
    im2col,
    memory_words,
    output_extent,
    run_seconds,
    systolic,
)
from codesign.errors import UsageError

CASES = json.loads(Path(__file__).with_name("scalesim_cases.json").read_text(encoding="utf-8"))
SIDES = st.integers(1, 6)


def walked(rows: int, columns: int, m: int, n: int, k: int, dataflow: Dataflow) -> int:
    """Return the cycles by the time of every multiply-add: each fold uses the whole array, idle parts included."""
    held, across, streamed = {"ws": (k, n, m), "os": (m, n, k), "is": (k, m, n)}[dataflow]
    total = 0
    for _ in range(0, held, rows):
        for _ in range(0, across, columns):
            loaded = 0 if dataflow == "os" else rows  # what stays moves down one row a cycle
            times = [loaded + i + j + s for i, j, s in product(range(rows), range(columns), range(streamed))]
            drained = rows if dataflow == "os" else 0  # results move down one row a cycle
            total += max(times) + 1 + drained
    return total


@given(SIDES, SIDES, *[st.integers(1, 9)] * 3, st.sampled_from(DATAFLOWS))
def test_cycles_are_those_of_a_walk(r: int, c: int, m: int, n: int, k: int, dataflow: Dataflow) -> None:
    assert systolic(r, c, Gemm(m, n, k), dataflow).cycles == walked(r, c, m, n, k, dataflow)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['workload']}-{c['dataflow']}")
def test_scalesim_prints_the_same(case: dict[str, Any]) -> None:
    gemm = Gemm(case["M"], case["N"], case["K"])
    if "conv" in case:
        conv = case["conv"]
        height, width = (output_extent(conv[f"ifmap_{a}"], conv[f"filter_{a}"], conv["stride"]) for a in "hw")
        assert im2col(height, width, conv["filters"], conv["channels"], conv["filter_h"], conv["filter_w"]) == (*gemm,)
    run = systolic(case["array_rows"], case["array_cols"], gemm, case["dataflow"], "scalesim-compat")
    assert run.cycles == case["total_cycles"]
    assert 100 * run.utilisation == pytest.approx(case["overall_util_percent"], rel=1e-12)


@given(
    st.lists(st.tuples(SIDES, SIDES, *[st.integers(1, 2000)] * 4), min_size=1, max_size=5),
    st.sampled_from(DATAFLOWS),
    st.sampled_from(CONVENTIONS),
)
def test_arrays_equal_scalars(points: list[tuple[int, ...]], dataflow: Dataflow, convention: Convention) -> None:
    r, c, m, n, k, count = np.array(points).T
    together = systolic(r, c, Gemm(m, n, k, count), dataflow, convention)
    for i, (rows, columns, *gemm) in enumerate(points):
        alone = systolic(rows, columns, Gemm(*gemm), dataflow, convention)
        assert [float(field) for field in alone] == [float(field[i]) for field in together]
        assert np.isfinite(alone.utilisation)
        assert alone.utilisation > 0
        assert alone.utilisation <= 1 or convention == "scalesim-compat"
        assert 0 < alone.mapping_efficiency <= 1


@given(SIDES, SIDES, *[st.integers(1, 40)] * 3, st.sampled_from(DATAFLOWS), *[st.integers(0, 500)] * 3)
def test_traffic_is_never_below_compulsory(
    r: int, c: int, m: int, n: int, k: int, dataflow: Dataflow, a: int, b: int, p: int
) -> None:
    gemm = Gemm(m, n, k)
    least, moved = memory_words(r, c, gemm, dataflow), memory_words(r, c, gemm, dataflow, (a, b, p))
    larger = memory_words(r, c, gemm, dataflow, (a + 7, b + 7, p + 7))
    assert least.total == m * k + k * n + m * n
    assert least.total <= larger.total <= moved.total
    assert first_fold_words(r, c, gemm, dataflow) <= m * k + k * n


def test_rereads_by_hand() -> None:
    gemm = Gemm(8, 6, 4)  # on 2 x 3: two column folds, and row folds: K/R = 2 (ws), M/R = 4 (os)
    assert tuple(map(float, memory_words(2, 3, gemm, "ws", (0, 0, 0)))) == (2 * 32, 24, 48, 2 * 48)
    assert tuple(map(float, memory_words(2, 3, gemm, "os", (0, 0, 0)))) == (2 * 32, 4 * 24, 48, 0)
    assert tuple(map(float, memory_words(2, 3, gemm, "ws", (32, 0, 24)))) == (32, 24, 48, 0)
    # inputs stay: ceil(M/C) = 3 column folds ask for the weights, ceil(K/R) = 2 row folds for the sums
    assert tuple(map(float, memory_words(2, 3, gemm, "is", (0, 0, 0)))) == (32, 3 * 24, 48, 2 * 48)


def test_time_hides_the_shorter_and_ramps_up() -> None:
    run = systolic(32, 32, Gemm(1024, 1024, 1024))
    compute = 1_144_832 / 1e9
    assert run_seconds(run, 1e9, 1e6, 1e9) == pytest.approx(compute)
    assert run_seconds(run, 1e9, 1e9, 1e9) == pytest.approx(1.0)
    assert run_seconds(run, 1e9, 1e6, 1e9, double_buffered=False) == pytest.approx(compute + 1e-3)
    assert run_seconds(run, 1e9, 1e6, 1e9, first_bytes=1e5) == pytest.approx(compute + 1e-4)


def test_the_compatible_count_of_one_element_is_zero_and_its_utilisation_finite() -> None:
    run = systolic(1, 1, Gemm(1, 1, 1), "os", "scalesim-compat")
    assert run.cycles == 0
    assert run.utilisation == 1


def test_a_grouped_convolution_is_its_groups() -> None:
    assert im2col(7, 7, 64, 32, 3, 3, batch=2, groups=32) == (98, 2, 9, 32)
    assert output_extent(224, 7, 2, padding=3) == 112
    assert output_extent(10, 3, 1, dilation=2) == 6


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: systolic(0, 4, Gemm(1, 1, 1)), "rows: found 0"),
        (lambda: systolic(4, 4, Gemm(1.5, 1, 1)), "M: found 1.5"),
        (lambda: systolic(4, 4, Gemm(float("nan"), 1, 1)), "M: found nan"),
        (lambda: systolic(4, 4, Gemm("many", 1, 1)), "M: found 'many'"),
        (lambda: systolic(4, 4, Gemm(1, 1, 1), "rs"), "dataflow 'rs' is unknown"),  # type: ignore[arg-type]
        (lambda: im2col(7, 7, 64, 30, 3, 3, groups=4), "channels: found 30"),
        (lambda: output_extent(2, 5), "larger than the padded input"),
        (lambda: run_seconds(systolic(2, 2, Gemm(2, 2, 2)), 1e9, 10, 0.0), "bandwidth: found 0"),
        (lambda: run_seconds(systolic(2, 2, Gemm(2, 2, 2)), 1e9, 10, 1.0, first_bytes=11), "more than bytes_moved"),
    ],
)
def test_bad_input_is_named(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
