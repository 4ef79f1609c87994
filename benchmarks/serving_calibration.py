"""Calibration with a few whole-model measurements: how well the rest of a serving table is then predicted.

python benchmarks/serving_calibration.py --data DIR      # with splitwise/perf_model.parquet in it

The table is of Llama 2 70B on servers of 8 GPUs (Splitwise, arXiv 2311.18677, MIT): prompt and token latency over
prompt length, batch and output length, five repeats each. For each hardware and degree, 4 or 8 designs drawn at
random calibrate the target and the other designs are predicted. Printed are means over the draws: the median of
|predicted - measured| / measured of what was not drawn, the same of the roofline times one scalar, and the share of
measurements inside the 90 % interval. Left out are outputs above 512 tokens, which stopped before their end, and 64
prompts at a degree of 2, measured faster than 8 of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from codesign.costmodels.measurements.designs import completed
from codesign.costmodels.measurements.files import read_file
from codesign.costmodels.measurements.fit import fit, scalar
from codesign.costmodels.measurements.predictor import Predictor
from codesign.models import load_model
from codesign.quantity import Array
from codesign.targets import load_target

TARGETS = {"a100-80gb": "a100-80gb-sxm", "h100-80gb": "h100-sxm"}
# the context is longer than the checkpoint's 4,096: prompts of 8,192 were run
LLAMA_2_70B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 16384,
    "tie_word_embeddings": False, "torch_dtype": "float16", "hidden_act": "silu",
}  # fmt: skip
METRICS = ("ttft", "tpot")
MEASURED_AS = {"dtype": "fp16", "execution": "eager", "mode": "served"}


def table(path: Path) -> pl.DataFrame:
    """Return the repeats as rows of a CSV of measurements, with the hardware."""
    frame = pl.read_parquet(path).select(
        "hardware", pl.col("tensor_parallel").alias("tp"), pl.col("batch_size").alias("batch"),
        pl.col("prompt_size").alias("prompt"), pl.col("token_size").alias("generate"),
        pl.col("prompt_ms").alias("ttft_ms"), pl.col("token_ms").alias("tpot_ms"),
    )  # fmt: skip
    return frame.filter((pl.col("generate") <= 512) & ~((pl.col("tp") == 2) & (pl.col("batch") == 64)))


class Family:
    """The measurements of one hardware and degree, through a CSV as a user gives them."""

    def __init__(self, hardware: str, rows: pl.DataFrame, folder: Path) -> None:
        path = folder / "rows.csv"
        rows.drop("hardware").write_csv(path)
        (folder / "config.json").write_text(json.dumps(LLAMA_2_70B))
        model = load_model(f"hf:{folder / 'config.json'}")
        self.measurements, _ = completed(read_file(str(path)).measurements, model, MEASURED_AS)
        self.predictor = Predictor(model, load_target(TARGETS[hardware]), self.measurements)
        self.metrics = np.array([m.metric for m in self.measurements])
        self.designs = list(dict.fromkeys(m.design for m in self.measurements))

    def scores(self, chosen: Array) -> list[float]:
        """Return for each metric: error before and after, that of the roofline, share inside the interval."""
        p = self.predictor
        inside = np.isin([self.designs.index(m.design) for m in self.measurements], chosen)
        kept = np.flatnonzero(inside)
        posterior = fit(p, kept)
        column = p.column(posterior.scales)
        low, high = column.interval(posterior.sigmas)
        roofline = p.roofline * scalar(p.roofline[kept], p.measured[kept])
        found = []
        for metric in METRICS:
            out = ~inside & (self.metrics == metric)
            found += [
                float(np.median(np.abs(v / p.measured - 1.0)[out])) for v in (p.before.value, column.value, roofline)
            ]
            found.append(float(np.mean((low <= p.measured) & (p.measured <= high), where=out)))
        return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    path = asked.data / "splitwise" / "perf_model.parquet"
    if not path.is_file():
        print(f"skipped: {path} is not there")
        return
    began = time.perf_counter()
    columns = "before | after | roofline x 1 | in 90 %"
    print(f"| target | tp | designs: drawn of | prompt: {columns} | token: {columns} |\n|{'---|' * 11}")
    with tempfile.TemporaryDirectory() as folder:
        for (hardware, degree), rows in table(path).group_by("hardware", "tp", maintain_order=True):
            family = Family(str(hardware), rows, Path(folder))
            for count in (4, 8):
                rng = np.random.Generator(np.random.Philox((asked.seed, count)))
                draws = [family.scores(rng.permutation(len(family.designs))[:count]) for _ in range(asked.draws)]
                cells = " | ".join(f"{value:.1%}" for value in np.mean(draws, axis=0))
                print(
                    f"| {TARGETS[str(hardware)]} | {degree} | {count} of {len(family.designs)} | {cells} |", flush=True
                )
    print(f"{asked.draws} draws, seed {asked.seed}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
