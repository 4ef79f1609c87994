"""Operators predicted a second: by trees, by the network, from file to file; and one estimate of a large model.

python benchmarks/operators.py --rows 200000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl

from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.fit import predict_quickly
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.queries import predict_frame
from codesign.costmodels.operators.tables import Rows
from codesign.targets import load_target

WORKERS = 2


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


def by_network(count: int) -> float:
    """Return rows a second that the network predicts, inputs and physical form included."""
    rng = np.random.default_rng(0)
    shapes = {"batch": np.ones(count), **{name: np.rint(2.0 ** rng.uniform(5, 14, count)) for name in ("m", "n", "k")}}
    zero = np.zeros(count, np.int64)
    device, form = device_of(load_target("h100-sxm")), format_of("bf16")
    rows = Rows("gemm", shapes, (device,), zero, (form,), zero, ("",), zero, np.ones(count), np.zeros(count, bool), {})
    model = shipped_model().families["gemm-16"]
    halves = [rows.take(np.arange(count) % WORKERS == part) for part in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda part: predict_quickly(model, part.take(np.arange(1000))), halves))
        began = time.perf_counter()
        list(pool.map(lambda part: predict_quickly(model, part), halves))
        return count / (time.perf_counter() - began)


def one_estimate() -> tuple[float, ...]:
    """Return seconds of an estimate of a 70B model in a fresh process, imports aside: first, again, another batch."""
    code = (
        "import time; from codesign.costmodels.api import estimate\n"
        "def one(batch):\n"
        "    began = time.perf_counter()\n"
        "    estimate('llama-3.1-70b', 'h100-sxm', tp=8, batch=batch, prompt=2048, generate=256)\n"
        "    return time.perf_counter() - began\n"
        "print(one(8), min(one(8) for _ in range(10)), min(one(batch) for batch in range(9, 19)))"
    )
    times = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(5)]
    return tuple(np.median([[float(one) for one in text.split()] for text in times], axis=0).tolist())


def main() -> None:
    """Print rows a second in memory and from file to file, and the time of an estimate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    first, again, other = (seconds * 1e3 for seconds in one_estimate())
    print(
        f"estimate of llama-3.1-70b: {first:.0f} ms the first time, {again:.1f} ms again, {other:.1f} ms another batch"
    )
    frame = table(rows)
    predict_frame(frame.head(10), shipped_model())
    began = time.perf_counter()
    predict_frame(frame, shipped_model())
    print(f"{rows / (time.perf_counter() - began):,.0f} rows/s in memory, by the trees")
    print(f"{by_network(10 * rows):,.0f} rows/s by the network, on {WORKERS} threads")
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
