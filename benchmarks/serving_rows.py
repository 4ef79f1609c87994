"""What rows of public serving measurements stand for: designs, settings of engines, runs that draft tokens."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

BUDGET, ROUNDS, MEAN_LENGTH = 8192, 10, 0.9
"""Facts of the public recipe behind most rows: tokens of an iteration, requests of each client (all clients start at
once), and lengths drawn uniformly between 0.8 and 1.0 of the stated ones."""

POLL, POLL_OF_MANY, MANY = 10.0, 30.0, 16
"""Iterations after which SGLang's scheduler looks for new requests in that recipe, with few in flight and with many."""

WAIT, SHORT = 20.0, 1024
"""Iterations that TensorRT-LLM lets a prompt of Llama 3.1 70B wait for others in that recipe, where prompt and output
are this short and there are fewer than 8 devices."""

PRESETS = {
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
    "deepseek-ai/DeepSeek-R1": "deepseek-v3",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-v3",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-v3",
    "Qwen/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "moonshotai/Kimi-K2.5": "kimi-k2",
}

INEXPRESSIBLE = {
    "openai/gpt-oss-120b": "sliding windows in every other layer",
    "Qwen/Qwen3.5-397B-A17B": "linear attention in three of four layers",
    "zhipuai/GLM-5": "sparse attention with an indexer",
}

ONE_WAITS = ("llama-3.1-8b",)
"""Rows whose first token is late by latency / concurrency at every length: one request more than slots in flight."""

DRAFTING = (("trtllm", "1.2.0rc6.post3", "2026-02"), ("trtllm", "1.1.0rc2.post2", "2026-01-14"))
"""Engine, version and date of runs of DeepSeek that draft tokens, which is not modelled: the public log of changes of
the recipe names the versions of each configuration; those that draft had a version, or first date, of their own."""

TARGETS = {"b200_sxm": "b200-sxm", "b300_sxm": "b300-sxm", "gb200": "gb200", "gb300": "gb300", "h100_sxm": "h100-sxm"}
DTYPES = {"fp4": "nvfp4", "fp8": "fp8", "bf16": "bf16", "int4": "int4", None: "bf16"}
NODE = 8
"""Devices that the aggregated rows use at most."""


class Design(NamedTuple):
    """What a row measured: one configuration."""

    system: str
    backend: str
    model: str
    dtype: str
    tp: int
    ep: int
    recipe: bool
    concurrency: float
    prompt: float
    generate: float


def design_of(row: dict[str, Any]) -> tuple[Design | None, str]:
    """Return what a row measured, or None and why it is left out."""
    if row["model_path"] in INEXPRESSIBLE:
        return None, f"{row['model_path']}: {INEXPRESSIBLE[row['model_path']]}"
    stated = re.search(r"_c(\d+)_", row["id"])
    concurrency = float(stated[1]) if stated else row["batch_size"]
    devices = devices_of(row)
    copies = row["attention_dp_size"] or concurrency / row["batch_size"]
    if devices is None or copies not in (1, devices, devices**2):
        return None, "the recorded parallel sizes contradict each other"
    recipe = "epnone" not in row["id"]
    share = MEAN_LENGTH if recipe else 1.0
    tp, ep = (1, devices) if copies > 1 else (devices, 1)
    return Design(
        row["system"], row["backend"], PRESETS[row["model_path"]], DTYPES[row["precision"]], tp, ep, recipe,
        concurrency, float(round(row["isl"] * share)), float(round(row["osl"] * share)),
    ), ""  # fmt: skip


def drafts(row: dict[str, Any], alike: list[dict[str, Any]]) -> bool:
    """Return whether a run of ``alike`` ones, of one configuration, drafted tokens.

    Of SGLang both kinds of runs have one version and date: the one that drafts is quicker, and goes beyond 64 requests.
    """
    if PRESETS[row["model_path"]] != "deepseek-v3":
        return False
    run = (row["backend"], row["backend_version"], row["measured"])
    if run == ("sglang", "0.5.9", "2026-03-25") and row["precision"] == "fp8" and row["tp_size"] == 8:
        others = [one["silicon_tpot_ms"] for one in alike if (one["backend_version"], one["measured"]) == run[1:]]
        return row["batch_size"] > 64 or row["silicon_tpot_ms"] < max(others)
    return any(run[:2] == one[:2] and (run[2] or "").startswith(one[2]) for one in DRAFTING)


def newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs of the last date: engines get faster from version to version."""
    last = max((row["measured"] or "" for row in rows), default="")
    return [row for row in rows if (row["measured"] or "") == last]


def medians(rows: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Return milliseconds to the first token and between further ones, None where nothing is left."""
    if not rows:
        return None, None
    return tuple(float(np.median([row[name] for row in rows])) for name in ("silicon_ttft_ms", "silicon_tpot_ms"))


def devices_of(row: dict[str, Any]) -> int | None:
    """Return the devices of a row, None where its sizes contradict each other.

    Where experts are both split and spread, the table multiplies the two degrees of the same devices.
    """
    world = int(row["tp_size"] * (row["attention_dp_size"] or 1))
    split, spread = int(row["moe_tp_size"]), int(row["moe_ep_size"])
    if world == split * spread and split == spread and world > 4:
        world = split
    elif row["attention_dp_size"] is None:
        world = int(row["tp_size"])
    elif world != split * spread:
        return None
    return world if world <= NODE else None


def settings(design: Design) -> tuple[int, float]:
    """Return the token budget of an iteration, and the iterations that a prompt waits on average to be looked at.

    Where the recipe is not the source of a row, what is usual.
    """
    if not design.recipe:
        return BUDGET, 0.0
    if design.backend == "sglang":
        poll = POLL if design.concurrency < MANY else POLL_OF_MANY
        return {"fp8": 32768 if design.tp == NODE else BUDGET}.get(design.dtype, 16384), (poll - 1.0) / 2.0
    if design.backend == "trtllm" and design.model == "llama-3.1-70b":
        waits = design.tp < NODE and max(design.prompt, design.generate) <= SHORT
        return 16384, WAIT if waits else 0.0
    return BUDGET, 0.0


def cache_dtype(system: str) -> str | None:
    """Return what keys and values are stored in: the recipe has fp8 from Blackwell on."""
    return None if system == "h100_sxm" else "fp8"
