"""Operators of this machine that its calibration has not seen: measured, predicted, and the calibrated roofline beside.

    codesign calibrate --rows rows.csv
    python benchmarks/operators_here.py --target this-cpu.yaml --overlay this-cpu.overlay.yaml --rows rows.csv

The others are drawn from the pools of shapes that calibration takes its own from. The roofline's scalar is the median
of ln(measured / roofline) over the rows that calibrated, by family and format.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from codesign.costmodels.operators.chosen_shapes import chosen_shapes, pool_bytes, pools
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.measured_here import as_frame
from codesign.costmodels.operators.queries import predict_frame
from codesign.costmodels.operators.spellings import OPERATORS
from codesign.profilers.operators import Operator, Request, measure_operators
from codesign.targets import Target, load_target


def main() -> None:
    """Print errors by family and format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--overlay", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--others", type=int, default=24, help="operators drawn of each kind and format")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, help="a CSV for what was measured")
    given = parser.parse_args()
    target = load_target(str(given.target))
    asked = tuple(drawn(target, given.others))
    kind = "cpu" if target.kind == "cpu" else "cuda"
    answer = measure_operators(Request(asked, kind, given.seconds, pool_bytes(target)))
    found = as_frame([timing for timing in answer.timings if not timing.reason])
    if given.out is not None:
        found.write_csv(given.out)
    print(f"{target.name}: {len(found)} of {len(asked)} operators measured\n")
    report(found, pl.read_csv(given.rows, infer_schema=False), given.target, given.overlay)


def drawn(target: Target, count: int) -> Iterator[Operator]:
    """Yield up to ``count`` operators of each kind and format that calibration measures, none of which it takes."""
    draw = np.random.default_rng(0)
    taken = {(one.op, one.dtype, tuple(one.shape.items())) for one in chosen_shapes(target)}
    for pool in pools(target):
        others = [shape for shape in pool.shapes if (pool.op, pool.dtype, tuple(shape.items())) not in taken]
        for place in sorted(draw.choice(len(others), min(count, len(others)), replace=False).tolist()):
            yield Operator(pool.op, pool.dtype, dict(others[place]))


def report(others: pl.DataFrame, rows: pl.DataFrame, target: Path, overlay: Path) -> None:
    """Print the table of ``others``, with the roofline as ``rows`` calibrate it."""
    found, known = (predicted(frame, target, overlay) for frame in (others, rows))
    names = "operators", "mean error", "median", "roofline x 1, mean", "within 90 %"
    print(f"| family | format | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
    for (family, dtype), part in found.group_by(["family", "dtype"], maintain_order=True):
        alike = known.filter((pl.col("family") == family) & (pl.col("dtype") == dtype))
        scalar = float(np.exp(np.median(np.log((alike["measured"] / alike["roofline_ms"]).to_numpy()))))
        error, roofline = (
            np.abs((part[name] * times / part["measured"]).to_numpy() - 1.0) * 100.0
            for name, times in (("latency_ms", 1.0), ("roofline_ms", scalar))
        )
        inside = part.select(pl.col("measured").is_between("low_ms", "high_ms").mean()).item() * 100.0
        print(f"| {family} | {dtype} | {len(part)} | {error.mean():.1f} % | {np.median(error):.1f} % "
              f"| {roofline.mean():.1f} % | {inside:.0f} % |")  # fmt: skip
    inside = found.select(pl.col("measured").is_between("low_ms", "high_ms").mean()).item() * 100.0
    print(f"\n{inside:.0f} % of all {len(found)} within their 90 % interval")


def predicted(frame: pl.DataFrame, target: Path, overlay: Path) -> pl.DataFrame:
    """Return ``frame`` with what is predicted of it, ``measured`` (ms) and ``family``."""
    names = [name for name in frame.columns if name not in ("latency_ms", "spread")]
    found = predict_frame(frame.select(names, device=pl.lit(str(target))), shipped_model(), overlay=str(overlay))
    families = {name: operator.family for name, operator in OPERATORS.items()}
    return found.with_columns(
        measured=frame["latency_ms"].cast(pl.Float64), family=pl.col("op").replace_strict(families)
    )


if __name__ == "__main__":
    main()
