"""Serving estimates beside those of a peer, AIConfigurator, on the same measurements.

Both price the odd half of the configurations of ``serving.py``. The peer knows the systems by its own tables of kernels
measured on each, and is told what a row states: degrees of attention and of experts, formats, requests in flight, mean
lengths. What a row leaves open is asked every way (``WAYS``), and of these the one that suits a line of the table and a
metric best counts, chosen by the very half that is scored. Ours is scored twice: as in ``serving.py``, which also knows
how the engines of the recipe gather prompts, and told no more than the peer.

The peer runs in a virtual environment of its own:

    python -m venv PEER && PEER/bin/pip install aiconfigurator==0.12.0
    python benchmarks/serving_against.py --data DIR --peer-python PEER/bin/python

Last, two errors that it publishes, for a dense model of 70 B and DeepSeek-V3: they take its own estimates from tables
of the very shape for truth (``docs/design/hybrid_util_empirical_design.html`` of its repository, section 6).
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from serving import design_in, groups, priced_runs, runs_of
from serving_rows import TARGETS, Design, cache_dtype, newest, settings

from codesign.costmodels.api import estimate
from codesign.costmodels.estimate import Estimate

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


class Way(NamedTuple):
    """How the peer is asked what a row leaves open.

    Attributes:
        budget: Prompt tokens of an iteration: those of a "prompt" (its default), or the "engine"'s.
        formats: Of the "row", or of the "checkpoint".
        cache: Format of keys and values: as ours, fp8 from Blackwell on and 16 bits before ("stated"), or "inferred".
        experts: Where a row both splits and spreads them over the same devices: "spread" or "split".
    """

    budget: str
    formats: str
    cache: str
    experts: str


WAYS = tuple(
    Way(*way)
    for way in itertools.product(
        ("prompt", "engine"), ("row", "checkpoint"), ("stated", "inferred"), ("spread", "split")
    )
)
METRICS = {"ttft_ratio": "first token", "tpot_ratio": "further", "request_ratio": "request"}


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
    asked = [ask(design, newest(runs[design])[0], way) for way in WAYS for design in designs]
    answers = answered(asked, python)
    by_way = [answers[start : start + len(designs)] for start in range(0, len(asked), len(designs))]
    peer = np.array([ratios_of(table, found) for found in by_way])
    told_the_same, seconds = plainly(table, designs)
    table = table.with_columns(
        pl.Series("place", np.arange(len(table))),
        *(pl.Series(f"same_{name}", ratio) for name, ratio in zip(METRICS, told_the_same, strict=True)),
    )
    both = table.filter(pl.Series(~np.isnan(peer).any(axis=(0, 1))))
    why = Counter(found["refused"] for found in answers if "refused" in found)
    print(f"{len(table)} configurations, {len(both)} of which the peer has every way; it refuses for:")
    for reason, count in why.most_common():
        print(f"- {count} times: {reason[:110]}")
    versions = Counter((one["backend_name"], found["tables"]) for one, found in zip(asked, answers, strict=True)
                       if "tables" in found)  # fmt: skip
    print(f"its tables: {', '.join(f'{name} {version}' for (name, version), _ in sorted(versions.items()))}")
    borrowed = {designs[n].model for way in by_way for n, found in enumerate(way) if found.get("mode") == "HYBRID"}
    print(f"some kernels borrowed from neighbours (HYBRID): {', '.join(sorted(borrowed))}")
    by = ["system", "model", "dtype", "backend"]
    heads = (*by, "settings", *(f"{name}: {whose}" for name in METRICS.values()
                                for whose in ("ours %", "told the same %", "peer's %")), "peer's ways")  # fmt: skip
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    best = np.full((len(METRICS), len(table)), np.nan)
    for key, part in groups(both, by):
        at = part["place"].to_numpy()
        chosen = np.argmin(np.median(np.abs(peer[:, :, at] - 1.0), axis=2), axis=0)
        for metric, way in enumerate(chosen.tolist()):
            best[metric, at] = peer[way, metric, at]
        print(
            f"| {' | '.join(map(str, (*key, *cells(part, best))))} | {'; '.join(', '.join(WAYS[w]) for w in chosen)} |"
        )
    for key, part in (*groups(both, ["model", "dtype"]), (("", ""), both)):
        print(f"| all | {' | '.join(map(str, (*key, '', *cells(part, best))))} | |")
    theirs = float(np.median([found["seconds"] for found in answers if "seconds" in found])) * 1e3
    print(f"\na configuration, medians of calls: ours {seconds * 1e3:.1f} ms, peer's {theirs:.1f} ms, tables loaded")
    print(f"one of {MANY} loads of {', '.join(f'{name} {together_us(name):.0f} us' for name in TOGETHER)}")


def cells(part: pl.DataFrame, best: np.ndarray) -> list[str]:
    """Return settings, and for each metric the errors of ours, of ours told the same, and of the peer's."""
    found = [str(len(part))]
    for metric, name in enumerate(METRICS):
        for ratio in (part[name].to_numpy(), part[f"same_{name}"].to_numpy(), best[metric, part["place"].to_numpy()]):
            found.append(f"{float(np.median(np.abs(ratio - 1.0))) * 100.0:.1f}")
    return found


def ask(design: Design, row: dict[str, Any], way: Way) -> dict[str, Any]:
    """Return the peer's arguments for a configuration: its batch is that of one rank of attention."""
    devices = design.tp * design.ep
    asked = {
        "model_path": CHECKPOINTS[design.model, design.dtype],
        "system_name": design.system, "backend_name": design.backend, "mode": "agg",
        "isl": int(design.prompt), "osl": int(design.generate), "tp_size": design.tp, "attention_dp_size": design.ep,
        "batch_size": max(1, round(design.concurrency / design.ep)),
    }  # fmt: skip
    if way.budget == "engine":
        asked["ctx_tokens"] = settings(design)[0]
    if way.cache == "stated":
        asked["kvcache_quant_mode"] = cache_dtype(design.system) or "bfloat16"
    if way.formats == "row" and row["gemm_quant_mode"]:
        asked |= {"gemm_quant_mode": row["gemm_quant_mode"], "moe_quant_mode": row["moe_quant_mode"]}
    elif design.dtype == "nvfp4" and "NVFP4" not in asked["model_path"]:
        asked["gemm_quant_mode"] = "nvfp4"
    if not design.model.startswith("llama"):
        split, spread = int(row["moe_tp_size"]), int(row["moe_ep_size"])
        if split * spread != devices:
            split, spread = (1, devices) if way.experts == "spread" else (devices, 1)
        asked |= {"moe_tp_size": split, "moe_ep_size": spread}
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


def plainly(table: pl.DataFrame, designs: list[Design]) -> tuple[tuple[np.ndarray, ...], float]:
    """Return our ratios where we are told no more than the peer, and the median seconds of a call."""
    found, spent = [], []
    for design in designs:
        began = time.perf_counter()
        priced = steady(design, design.concurrency, design.prompt, design.generate)
        spent.append(time.perf_counter() - began)
        found.append({f"{name}_ms": priced.quantity(name).value * 1e3 for name in ("ttft", "tpot")})
    return ratios_of(table, found), float(np.median(spent))


MANY, TOGETHER = 10_000, ("llama-3.1-70b", "deepseek-v3")


def together_us(model: str) -> float:
    """Return microseconds of one of many loads that are priced in one call, on 8 devices of a B200 system."""
    draw = np.random.default_rng(0)
    loads = [draw.integers(*ends, MANY) for ends in ((1, 64), (100, 4000), (100, 2000))]
    began = time.perf_counter()
    steady(Design("b200_sxm", "vllm", model, "fp8", 8, 1, True, 1.0, 1.0, 1.0), *loads)
    return (time.perf_counter() - began) / MANY * 1e6


def steady(design: Design, *load: Any) -> Estimate:
    """Return full slots (requests in flight, prompt, output) of the structure of ``design``."""
    batch, prompt, generate = load
    return estimate(
        design.model, TARGETS[design.system], dtype=design.dtype, kv_dtype=cache_dtype(design.system), tp=design.tp,
        ep=design.ep, framework=design.backend, mode="continuous", chunk=settings(design)[0], batch=batch,
        prompt=prompt, generate=generate,
    ).estimate  # fmt: skip


# --- what two of its published errors compare

SHAPES = tuple(itertools.product((1, 8, 64), (128, 1024, 4000), (128, 1000)))
"""Batch, prompt and output (ours: the page names model, system and engine alone)."""

PUBLISHED = (
    ("Llama 3.1 70B, fp8, H100, tp 4", 7.0, {
        "model_path": "meta-llama/Meta-Llama-3.1-70B", "system_name": "h100_sxm", "tp_size": 4,
        "gemm_quant_mode": "fp8", "kvcache_quant_mode": "fp8",
    }),
    ("DeepSeek-V3, bf16, H200, tp 8", 3.63, {
        "model_path": "deepseek-ai/DeepSeek-V3", "system_name": "h200_sxm", "tp_size": 8, "moe_tp_size": 8,
        "moe_ep_size": 1, "gemm_quant_mode": "bfloat16", "moe_quant_mode": "bfloat16",
    }),
)  # fmt: skip


def of_its_own(python: Path) -> None:
    """Print how far its mode EMPIRICAL is from its mode SILICON on a static batch of TensorRT-LLM."""
    print("\n| static batch | published, % | first token, mean % | further, mean % |\n|---|---|---|---|")
    for name, published, fixed in PUBLISHED:
        shapes = [
            fixed | {"backend_name": "trtllm", "mode": "static", "batch_size": b, "isl": p, "osl": g}
            for b, p, g in SHAPES
        ]  # fmt: skip
        tables, guesses = (answered([shape | {"database_mode": mode} for shape in shapes], python)
                           for mode in ("SILICON", "EMPIRICAL"))  # fmt: skip
        if refused := [found["refused"] for found in (*tables, *guesses) if "refused" in found]:
            raise SystemExit(f"{name}: the peer refuses: {refused[0]}")
        means = [
            np.mean([abs(guess[metric] / one[metric] - 1.0) for one, guess in zip(tables, guesses, strict=True)])
            * 100.0
            for metric in ("ttft_ms", "tpot_ms")
        ]
        print(f"| {name} | {published} | {means[0]:.1f} | {means[1]:.1f} |")


if __name__ == "__main__":
    main()
