"""Operators predicted a second: features, trees, and a CSV of many rows from file to file.

python benchmarks/operators.py --rows 200000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.queries import predict_frame


def table(rows: int) -> pl.DataFrame:
    """Return random products on three devices."""
    rng = np.random.default_rng(0)
    sizes = {
        name: np.rint(2.0 ** rng.uniform(low, 14, rows)).astype(np.int64)
        for name, low in (("m", 0), ("n", 6), ("k", 6))
    }
    devices = np.array(["h100-sxm", "b200-sxm", "a100-80gb-sxm"])[rng.integers(0, 3, rows)]
    frame = pl.DataFrame(
        {"id": np.arange(rows), "op": ["gemm"] * rows, "device": devices, "dtype": ["bf16"] * rows, **sizes}
    )
    return frame.with_columns(pl.all().cast(pl.Utf8))


def main() -> None:
    """Print rows a second in memory and from file to file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    frame = table(rows)
    predict_frame(frame.head(10), shipped_model())
    began = time.perf_counter()
    predict_frame(frame, shipped_model())
    print(f"{rows / (time.perf_counter() - began):,.0f} rows/s in memory")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ops.csv"
        frame.write_csv(path)
        command = [
            sys.executable,
            "-m",
            "codesign",
            "estimate",
            "--ops",
            str(path),
            "--out",
            str(path.with_name("out.csv")),
        ]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        print(f"{rows / (time.perf_counter() - began):,.0f} rows/s from file to file")


if __name__ == "__main__":
    main()
