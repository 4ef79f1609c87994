"""Serving estimates beside those of a peer, AIConfigurator, on the same measurements.

Both price the odd half of the configurations of ``serving.py``. The peer knows the systems by its own tables of kernels
measured on each, and is told what a row states: degrees of attention and of experts, formats, requests in flight, mean
lengths. Its budget of prompt tokens is left at the prompt or set to the engine's, its formats are the row's or those of
the checkpoint: of these four ways the one that fits a row of the table best counts, chosen by the very half that is
scored. The peer runs in a virtual environment of its own:

    python -m venv PEER && PEER/bin/pip install aiconfigurator==0.12.0
    python benchmarks/serving_against.py --data DIR --peer-python PEER/bin/python

Last, what it publishes: its errors for a dense model of 70 B and DeepSeek-V3 take its own estimates from tables of the
very shape for truth (``docs/design/hybrid_util_empirical_design.html`` of its repository, section 6).
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from serving import design_in, groups, priced_runs, runs_of
from serving_rows import TARGETS, Design, cache_dtype, newest, settings

from codesign.costmodels.api import estimate

PEER = Path(__file__).with_name("serving_peer.py")
CHECKPOINTS = {
    ("llama-3.1-70b", "fp8"): "nvidia/Llama-3.1-70B-Instruct-FP8",
    ("llama-3.1-70b", "nvfp4"): "meta-llama/Meta-Llama-3.1-70B",
    ("llama-3.1-8b", "bf16"): "meta-llama/Meta-Llama-3.1-8B",
    ("qwen3-235b-a22b", "fp8"): "Qwen/Qwen3-235B-A22B-FP8",
    ("deepseek-v3", "fp8"): "deepseek-ai/DeepSeek-V3",
    ("deepseek-v3", "nvfp4"): "nvidia/DeepSeek-V3.1-NVFP4",
    ("kimi-k2", "int4"): "moonshotai/Kimi-K2.5",
    ("kimi-k2", "nvfp4"): "nvidia/Kimi-K2.5-NVFP4",
}
"""Names under which the peer knows the models."""

WAYS = tuple(itertools.product(("prompt", "budget"), ("row", "checkpoint")))
"""Where its budget of prompt tokens and its formats come from."""

RATIOS = ("ttft_ratio", "tpot_ratio", "request_ratio")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer-python", type=Path, required=True)
    given = parser.parse_args()
    rows = pl.read_parquet(given.data / "aiconfigurator" / "silicon_sample.parquet")
    runs, _ = runs_of(rows.filter(pl.col("mode") == "agg"))
    table = priced_runs(runs).filter(pl.col("feasible") & (pl.col("order") % 2 == 1))
    compared(table, runs, given.peer_python)
    of_its_own(given.peer_python)


def compared(table: pl.DataFrame, runs: dict[Design, list[dict[str, Any]]], python: Path) -> None:
    """Print the errors of both by engine, where both have an estimate."""
    designs = [design_in(row) for row in table.iter_rows(named=True)]
    asked = [ask(design, newest(runs[design])[0], *way) for way in WAYS for design in designs]
    answers = answered(asked, python)
    by_way = [answers[start : start + len(designs)] for start in range(0, len(asked), len(designs))]
    peer = [ratios_of(table, found) for found in by_way]
    both = table.with_columns(
        pl.Series("answered", np.all([~np.isnan(way[0]) for way in peer], axis=0)),
        *(pl.Series(f"peer_{name}_{number}", way[column])
          for number, way in enumerate(peer) for column, name in enumerate(RATIOS)),
    )  # fmt: skip
    refused = both.filter(~pl.col("answered"))
    print(f"{len(both)} configurations, {len(refused)} of which the peer refuses: {reasons(by_way)}")
    by = ["system", "model", "dtype", "backend"]
    heads = (*by, "settings", *(f"{name}: {whose}" for name in ("first token", "further", "request")
                                for whose in ("ours %", "peer's %")), "peer's way")  # fmt: skip
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for key, part in groups(both.filter(pl.col("answered")), by):
        print(f"| {' | '.join(map(str, (*key, *cells(part))))} |")
    for key, part in groups(both.filter(pl.col("answered")), ["model", "dtype"]):
        print(f"| all | {' | '.join(map(str, (*key, '', *cells(part))))} |")
    print(f"| all | | | | {' | '.join(map(str, cells(both.filter(pl.col('answered')))))} |")
    theirs = float(np.median([found["seconds"] for found in answers if "seconds" in found])) * 1e3
    print(f"\na configuration, medians of calls: ours {ours_ms(table):.1f} ms, peer's {theirs:.1f} ms, tables loaded")
    print(f"one of {MANY} loads of {', '.join(f'{name} {together_us(name):.0f} us' for name in TOGETHER)}")


def cells(part: pl.DataFrame) -> list[str]:
    """Return settings, errors of first and further tokens and requests, ours and the peer's by its best way."""

    def error(name: str) -> float:
        return float(np.median(np.abs(part[name].to_numpy() - 1.0))) * 100.0

    best = min(range(len(WAYS)), key=lambda number: error(f"peer_request_ratio_{number}"))
    pairs = ((error(name), error(f"peer_{name}_{best}")) for name in RATIOS)
    return [str(len(part)), *(f"{one:.1f}" for pair in pairs for one in pair), ", ".join(WAYS[best])]


def ask(design: Design, row: dict[str, Any], budget: str, formats: str) -> dict[str, Any]:
    """Return the peer's arguments for a configuration: its batch is that of one rank of attention."""
    devices = design.tp * design.ep
    asked = {
        "model_path": CHECKPOINTS[design.model, design.dtype],
        "system_name": design.system, "backend_name": design.backend, "mode": "agg",
        "isl": int(design.prompt), "osl": int(design.generate), "tp_size": design.tp, "attention_dp_size": design.ep,
        "batch_size": max(1, round(design.concurrency / design.ep)),
    }  # fmt: skip
    if budget == "budget":
        asked["ctx_tokens"] = settings(design)[0]
    if cache_dtype(design.system):
        asked["kvcache_quant_mode"] = cache_dtype(design.system)
    if formats == "row" and row["gemm_quant_mode"]:
        asked |= {"gemm_quant_mode": row["gemm_quant_mode"], "moe_quant_mode": row["moe_quant_mode"]}
    elif design.dtype == "nvfp4" and "NVFP4" not in asked["model_path"]:
        asked["gemm_quant_mode"] = "nvfp4"
    if not design.model.startswith("llama"):
        spread = int(row["moe_ep_size"]) if devices % int(row["moe_ep_size"]) == 0 else devices
        asked |= {"moe_ep_size": spread, "moe_tp_size": devices // spread}
    return asked


def answered(asked: list[dict[str, Any]], python: Path) -> list[dict[str, Any]]:
    """Return what the peer says to each."""
    ran = subprocess.run([python, PEER], input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


def ratios_of(table: pl.DataFrame, found: list[dict[str, Any]]) -> tuple[np.ndarray, ...]:
    """Return estimate over measurement of first tokens, further tokens and requests, NaN where refused."""
    ttft, tpot = (np.array([one.get(name, np.nan) for one in found]) for name in ("ttft_ms", "tpot_ms"))
    measured = table["ttft_ms"].to_numpy(), table["tpot_ms"].to_numpy()
    further = table["generate"].to_numpy() - 1.0
    request = (ttft + tpot * further) / (measured[0] + measured[1] * further)
    return ttft / measured[0], tpot / measured[1], request


def reasons(by_way: list[list[dict[str, Any]]]) -> str:
    """Return the first words of why the peer refuses."""
    said = {found["refused"].split(":")[1].strip() for way in by_way for found in way if "refused" in found}
    return ", ".join(sorted(said))


def ours_ms(table: pl.DataFrame) -> float:
    """Return the median milliseconds of one configuration, each a call of its own and none the first of its kind."""
    spent = []
    for row in table.iter_rows(named=True):
        design = design_in(row)
        began = time.perf_counter()
        priced(design, design.concurrency, design.prompt, design.generate)
        spent.append(time.perf_counter() - began)
    return float(np.median(spent)) * 1e3


MANY, TOGETHER = 10_000, ("llama-3.1-70b", "deepseek-v3")


def together_us(model: str) -> float:
    """Return microseconds of one of many loads that are priced in one call, on 8 devices of a B200 system."""
    draw = np.random.default_rng(0)
    loads = [draw.integers(*ends, MANY) for ends in ((1, 64), (100, 4000), (100, 2000))]
    began = time.perf_counter()
    priced(Design("b200_sxm", "vllm", model, "fp8", 8, 1, True, 1.0, 1.0, 1.0), *loads)
    return (time.perf_counter() - began) / MANY * 1e6


def priced(design: Design, *load: Any) -> None:
    """Price loads (requests in flight, prompt, output) of the structure of ``design``."""
    batch, prompt, generate = load
    estimate(
        design.model, TARGETS[design.system], dtype=design.dtype, kv_dtype=cache_dtype(design.system), tp=design.tp,
        ep=design.ep, framework=design.backend, mode="continuous", chunk=settings(design)[0], batch=batch,
        prompt=prompt, generate=generate,
    )  # fmt: skip


# --- what its published errors compare

SHAPES = tuple(itertools.product((1, 8, 64), (128, 1024, 4000), (128, 1000)))
"""Batch, prompt and output."""

PUBLISHED = (
    ("Llama 3.1 70B, fp8, tp 4", 7.0, {
        "model_path": "meta-llama/Meta-Llama-3.1-70B", "system_name": "h100_sxm", "tp_size": 4,
        "gemm_quant_mode": "fp8", "kvcache_quant_mode": "fp8",
    }),
    ("DeepSeek-V3, bf16, tp 8", 3.63, {
        "model_path": "deepseek-ai/DeepSeek-V3", "system_name": "h200_sxm", "tp_size": 8, "moe_tp_size": 8,
        "moe_ep_size": 1, "gemm_quant_mode": "bfloat16", "moe_quant_mode": "bfloat16",
    }),
)  # fmt: skip


def of_its_own(python: Path) -> None:
    """Print how far its mode EMPIRICAL is from its mode SILICON, a static batch, as its published errors are made."""
    print(
        "\n| TensorRT-LLM, its static batch | published, % | first token, mean % | further, mean % |\n|---|---|---|---|"
    )
    for name, published, fixed in PUBLISHED:
        shapes = [
            fixed | {"backend_name": "trtllm", "mode": "static", "batch_size": b, "isl": p, "osl": g}
            for b, p, g in SHAPES
        ]  # fmt: skip
        modes = [answered([shape | {"database_mode": mode} for shape in shapes], python)
                 for mode in ("SILICON", "EMPIRICAL")]  # fmt: skip
        means = [
            np.mean([abs(guess[metric] / table[metric] - 1.0) for table, guess in zip(*modes, strict=True)]) * 100.0
            for metric in ("ttft_ms", "tpot_ms")
        ]
        print(f"| {name} | {published} | {means[0]:.1f} | {means[1]:.1f} |")


if __name__ == "__main__":
    main()
