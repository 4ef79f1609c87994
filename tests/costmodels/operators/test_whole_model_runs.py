"""Operators of whole models, as the benchmark of runs reads them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from codesign.costmodels.operators.vector_kinds import BINARY, NORMALISATION, UNARY


@pytest.fixture(scope="module")
def runs() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "whole_model_runs.py"
    spec = importlib.util.spec_from_file_location("whole_model_runs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("operator", "name", "extents", "family", "expected"),
    [
        ("Linear", "Linear", (512, 1024, 4), "gemm", {"batch": 1.0, "m": 512.0, "n": 4.0, "k": 1024.0}),
        ("BMM", "BMM", (32, 512, 128, 256), "gemm", {"batch": 32.0, "m": 512.0, "n": 256.0, "k": 128.0}),
        ("VECln", "VECln", (64, 256), "vector", {"rows": 64.0, "length": 256.0, "kind": NORMALISATION}),
        ("where", "MEM", ((1, 1, 8, 8), (4, 2, 8, 8), (1,), (4, 2, 8, 8)), "vector",
         {"rows": 64.0, "length": 8.0, "kind": UNARY}),
        ("where", "MEM", ((8, 8), (8, 8), (8, 8)), "vector", {"rows": 8.0, "length": 8.0, "kind": BINARY}),
        ("setitem", "MEM", ((64, 16), (1,), (0, 16), (1,)), "vector", {"rows": 64.0, "length": 16.0, "kind": UNARY}),
    ],
)  # fmt: skip
def test_operators_become_kernels(
    runs: ModuleType, operator: str, name: str, extents: tuple[object, ...], family: str, expected: dict[str, float]
) -> None:
    assert runs.kernel(operator, name, extents) == (family, expected)


def test_a_view_takes_no_kernel(runs: ModuleType) -> None:
    assert runs.kernel("getitem", "MEM", ((1,), (4, 8))) is None


def test_runs_keep_devices_repeats_and_measured_seconds(runs: ModuleType, tmp_path: Path) -> None:
    rows = [("Tesla T4", "a", "Linear", "[['Linear', (512, 64, 32)]]", 3.0, 20.0),
            ("Tesla T4", "a", "getitem", "[['MEM', ((1,), (1,))]]", 1.0, 20.0),
            ("Tesla P4", "a", "VECadd", "[['VECadd', (16, 32)]]", 2.0, 50.0)]  # fmt: skip
    names = ("device", "run", "OpName", "FwOps", "mult", "run_fw_ms")
    table = pl.DataFrame(rows, schema=names, orient="row")
    peers = {f"{peer}_ms": pl.lit(2.0) for peer in runs.PEERS}
    table.with_columns(**peers).write_parquet(tmp_path / "runs.parquet")
    found = runs.read_runs(tmp_path / "runs.parquet")
    assert (found.devices, found.seconds.tolist()) == (["t4", "p4"], [0.02, 0.05])
    assert found.peers["roofline"].tolist() == [0.008, 0.004]
    assert {family: (part.repeats.tolist(), part.run.tolist()) for family, part in found.parts.items()} == {
        "gemm": ([3.0], [0]), "vector": ([2.0], [1]),
    }  # fmt: skip
    product = found.parts["gemm"].rows
    assert product.devices[product.device[0]].id == "t4"
    np.testing.assert_array_equal(product.shapes["m"], [512.0])
