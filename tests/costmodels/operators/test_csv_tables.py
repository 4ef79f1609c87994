"""Own measurements as training tables: read by operator, joined with what is there, quarantined and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.costmodels.operators.tables import joined, read_tables
from codesign.errors import DataError

HEAD = "op,device,dtype,m,n,k,B,H,latency_ms,note\n"
ROWS = (
    "gemm,h100-sxm,bf16,64,4096,4096,,,0.02,kept\n"
    "gemm,a100-80gb-sxm,fp8,64,4096,4096,,,0.02,no fp8 there\n"
    "gemm,h100-sxm,bf16,64,4096,4096,,,nan,no label\n"
    "gemm,h100-sxm,bf16,8192,8192,8192,,,0.001,faster than it can be\n"
    "gemm,t4,fp32,64,4096,4096,,,1.5,single precision\n"
    "add,t4,fp32,,,,1024,1024,0.06,vector\n"
)


def test_rows_are_sorted_by_table_and_quarantined(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEAD + ROWS.replace("gemm,a100-80gb-sxm,fp8", "gemm,h100-sxm,fp8"))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    tables = read_tables(tmp_path)
    assert {name: len(rows) for name, rows in tables.items()} == {"gemm": 2, "gemm-fp32": 1, "vector-fp32": 1}
    left_out = [rows.quarantined for rows in tables.values() if rows.quarantined]
    assert left_out == [{"without a positive latency": 1, "faster than the device can be": 1}], "counted once"
    assert tables["gemm"].seconds.tolist() == [2e-5, 2e-5]
    single = tables["gemm-fp32"]
    assert single.formats[single.form[0]].name == "fp32"


def test_a_table_without_dtype_is_fp32(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("op,device,B,M,N,K,latency_ms\nlinear,t4,1,256,1024,768,0.4\n")
    rows = read_tables(tmp_path)["gemm-fp32"]
    assert rows.formats[rows.form[0]].name == "fp32"
    assert (rows.shapes["m"][0], rows.shapes["n"][0], rows.shapes["k"][0]) == (256, 768, 1024)


def test_a_dtype_that_the_device_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEAD + ROWS)
    with pytest.raises(DataError, match="row 2, dtype is 'fp8'"):
        read_tables(tmp_path)


def test_a_folder_without_tables_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no table of measured kernels"):
        read_tables(tmp_path)


def test_joined_rows_keep_their_devices_formats_and_counts(tmp_path: Path) -> None:
    parts = []
    for number, text in enumerate(("gemm,h100-sxm,bf16,64,4096,4096,,,0.02,\n", "gemm,l4,fp16,32,512,512,,,0.01,\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "mine.csv").write_text(HEAD + text + "gemm,l4,fp16,32,512,512,,,-1,\n")
        parts.append(read_tables(folder)["gemm"])
    whole = joined(parts)
    assert len(whole) == 2
    assert [whole.devices[at].id for at in whole.device] == ["h100-sxm", "l4"]
    assert [whole.formats[at].name for at in whole.form] == ["bf16", "fp16"]
    np.testing.assert_array_equal(whole.shapes["m"], [64, 32])
    assert whole.quarantined == {"without a positive latency": 2}
