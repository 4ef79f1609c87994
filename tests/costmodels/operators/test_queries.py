"""Tables of operators: every spelling, every error, intervals in order, and rows that do not see each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from codesign.costmodels.operators import queries
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.model_file import OperatorModel, model_of
from codesign.costmodels.operators.queries import RESULTS, predict_file, predict_frame
from codesign.errors import DataError

ROWS = [
    {"op": "gemm", "device": "H100-SXM5-80GB", "dtype": "bfloat16", "m": 256, "n": 4096, "k": 4096},
    {"op": "linear", "device": "Tesla T4", "dtype": "float32", "B": 1, "M": 256, "N": 1024, "K": 768},
    {"op": "bmm", "device": "v100-pcie", "dtype": "fp32", "B": 12, "M": 128, "N": 64, "K": 128},
    {"op": "softmax", "device": "p4", "dtype": "fp32", "B": 4096, "H": 512},
    {"op": "ln", "device": "a100-40gb-pcie", "dtype": "fp32", "B": 4096, "H": 1024},
    {"op": "context_attention", "device": "b200_sxm", "dtype": "fp8", "batch_size": 2, "isl": 2048, "num_heads": 32,
     "num_key_value_heads": 8, "head_dim": 128, "kv_cache_dtype": "fp8"},
    {"op": "generation_attention", "device": "h100_sxm", "dtype": "bf16", "batch_size": 32, "isl": 4096, "step": 1,
     "num_heads": 32, "num_key_value_heads": 0, "head_dim": 128},
    {"op": "moe", "device": "h200", "dtype": "bf16", "num_tokens": 512, "hidden_size": 4096, "inter_size": 14336,
     "topk": 2, "num_experts": 8, "moe_tp_size": 1, "moe_ep_size": 1, "distribution": "power_law_1.01"},
    {"op": "conv", "device": "t4", "dtype": "fp32", "B": 8, "Input_Channel": 64, "Output_Channel": 128,
     "Input_Size": 56, "Kernel_Size": 3, "Stride": 1, "Padding": 1},
    {"op": "gemm", "device": "rtx-4090", "dtype": "fp16", "m": 16, "n": 4096, "k": 4096},
]  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    texts = {name: [None if name not in row else str(row[name]) for row in rows] for name in columns}
    return pl.DataFrame(texts, schema=dict.fromkeys(columns, pl.Utf8))


@pytest.fixture(scope="module")
def model() -> OperatorModel:
    return shipped_model()


def test_every_operator_has_a_latency_within_its_interval(model: OperatorModel) -> None:
    found = predict_frame(frame(*ROWS), model)
    assert found.columns[-len(RESULTS) :] == list(RESULTS)
    middle, low, high, power = (found[name].to_numpy() for name in RESULTS[:4])
    assert np.isfinite([low, middle, high, power]).all()
    assert ((low > 0) & (low <= middle) & (middle <= high)).all()
    assert (middle < 100.0).all()
    assert ((power > 10.0) & (power <= 1000.0)).all()
    sources = dict(zip([row["device"] for row in ROWS], found["source"].to_list(), strict=True))
    assert sources["H100-SXM5-80GB"] == sources["Tesla T4"] == "interpolated"
    assert sources["h200"] == "same-family"
    assert sources["rtx-4090"] == "new-family"


def test_rows_do_not_see_each_other(model: OperatorModel) -> None:
    together = predict_frame(frame(*ROWS), model)
    for number, row in enumerate(ROWS):
        alone = predict_frame(frame(row), model)
        one, among = (table.select(RESULTS).row(at) for table, at in ((alone, 0), (together, number)))
        assert one[:-1] == pytest.approx(among[:-1], rel=1e-12)
        assert one[-1] == among[-1]
    backwards = predict_frame(frame(*ROWS[::-1]), model)
    assert backwards.select(RESULTS).rows() == together.select(RESULTS).rows()[::-1]


def test_what_was_never_measured_is_analytical_and_wide() -> None:
    found = predict_frame(frame(ROWS[0]), model_of({}, 0, {}))
    assert found["source"].to_list() == ["analytical"]
    assert found["high_ms"][0] / found["latency_ms"][0] == pytest.approx(3.0)


def test_columns_of_the_user_stay(model: OperatorModel) -> None:
    found = predict_frame(frame({**ROWS[0], "id": 'a,"b', "note": "x"}), model)
    assert found.row(0)[: len(ROWS[0]) + 2] == (*(str(v) for v in ROWS[0].values()), 'a,"b', "x")


GEMM = ROWS[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"op": "gem"}, "row 2, op is 'gem'"),
        ({"op": ""}, "row 2, op is ''"),
        ({"device": "H1000"}, "row 2, device is 'H1000'"),
        ({"dtype": "fp17"}, "row 2, dtype is 'fp17'"),
        ({"device": "a100-80gb-sxm", "dtype": "fp8"}, "row 2, dtype is 'fp8'"),
        ({"m": 0}, "row 2, m is '0'"),
        ({"m": -3}, "row 2, m is '-3'"),
        ({"m": 2**31}, "row 2, m is '2147483648'"),
        ({"m": 1.5}, "row 2, m is '1.5'"),
        ({"m": "nan"}, "row 2, m is 'nan'"),
        ({"m": "many"}, "row 2, m is 'many'"),
        ({"op": "softmax"}, "column 'B' is missing"),
        ({"device": "x\x1b[31m"}, r"row 2, device is 'x?\[31m'"),
    ],
)
def test_a_wrong_row_is_named(model: OperatorModel, change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says.replace("?", r"\?")):
        predict_frame(frame(GEMM, {**GEMM, **change}), model, "ops.csv")


def test_files_come_back_in_chunks(tmp_path: Path, model: OperatorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ops.csv"
    many = frame(*[{**GEMM, "m": n} for n in range(1, 24)])
    many.write_csv(path)
    monkeypatch.setattr(queries, "CHUNK", 7)
    parts = list(predict_file(path, model))
    assert [len(part) for part in parts] == [7, 7, 7, 2]
    assert pl.concat(parts)["latency_ms"].to_list() == predict_frame(many, model)["latency_ms"].to_list()
    path.write_text(path.read_text().replace(",20,", ",zero,", 1))
    with pytest.raises(DataError, match=r"ops\.csv: row 20, m is 'zero'"):
        list(predict_file(path, model))


def test_the_command_predicts_a_file(run_codesign: Any, tmp_path: Path) -> None:
    frame(*ROWS).write_csv(tmp_path / "ops.csv")
    done = run_codesign("estimate", "--ops", "ops.csv", "--out", "found.csv")
    assert done.rc == 0, done.stderr
    assert f"{len(ROWS)} operators predicted into found.csv" in done.stderr
    assert pl.read_csv(tmp_path / "found.csv")["source"].len() == len(ROWS)
    for content, says in (("op,device\nx,y\n", "column 'dtype' is missing"), ("", "cannot be read as CSV")):
        (tmp_path / "bad.csv").write_text(content)
        wrong = run_codesign("estimate", "--ops", "bad.csv")
        assert (wrong.rc, says in wrong.stderr) == (2, True), wrong.stderr
    assert run_codesign("estimate", "--ops", "none.csv").rc == 2
    assert run_codesign("estimate", "gpt2", "--ops", "ops.csv").rc == 2
