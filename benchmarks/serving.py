"""Serving estimates against measurements: `estimate` as shipped, no device tuned.

python benchmarks/serving.py --data DIR

DIR holds ``splitwise/perf_model.parquet``, ``aiconfigurator/silicon_sample.parquet`` and ``serving/``. Errors are
``|estimated - measured| / measured``; a setting that was measured several times counts once, by the median, that of
several versions of an engine by its newest.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from serving_rows import (
    DTYPES,
    MEAN_LENGTH,
    ONE_WAITS,
    PRESETS,
    ROUNDS,
    TARGETS,
    Design,
    cache_dtype,
    design_of,
    drafts,
    medians,
    newest,
    settings,
)

from codesign.costmodels.api import estimate
from codesign.costmodels.deployment import Priced
from codesign.costmodels.disaggregation import Pool, price_pools
from codesign.costmodels.estimate import Estimate
from codesign.costmodels.factors import LABELS, TIME_FACTORS
from codesign.costmodels.measurements.fit import fit
from codesign.costmodels.measurements.measurement import UNKNOWN_NOISE, Measurement
from codesign.costmodels.measurements.measurement import Design as Measured
from codesign.costmodels.measurements.predictor import Predictor, scaled
from codesign.costmodels.structure import Load, Structure
from codesign.models import Model, load_model
from codesign.targets import Target, load_target

SHOWN = {"ttft": "first token", "tpot": "further", "request": "request"}


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    began = time.perf_counter()
    splitwise(folder / "splitwise" / "perf_model.parquet")
    silicon(folder / "aiconfigurator" / "silicon_sample.parquet")
    full_engine(folder / "serving")
    print(f"\n{time.perf_counter() - began:.1f} s")


# --- one engine, few settings: Llama 2 70B, whose scales can be calibrated


def splitwise(path: Path) -> None:
    """Print errors of first and further tokens by server and tensor parallelism, as shipped and calibrated."""
    keys = ["hardware", "tensor_parallel", "prompt_size", "batch_size", "token_size"]
    # longer runs stopped early, so their context is unknown
    rows = pl.read_parquet(path).filter(pl.col("token_size") <= 512).group_by(keys)
    table = rows.agg(pl.col("prompt_ms", "token_ms").median()).sort(keys)
    targets = {
        name: load_target(target) for name, target in (("a100-80gb", "a100-80gb-sxm"), ("h100-80gb", "h100-sxm"))
    }
    model = longer(load_model("llama-2-70b"), 16384)
    peak = pl.col("hardware").replace_strict({name: target.peak("fp16").value for name, target in targets.items()})
    flops = 2.0 * model.active_parameters * pl.col("prompt_size") * pl.col("batch_size")
    possible = table.filter(pl.col("prompt_ms") * 1e-3 * peak * pl.col("tensor_parallel") >= flops)
    print(f"{len(table)} settings of Llama 2 70B; {len(table) - len(possible)} left out: faster than peak FLOP/s")
    found = pl.concat(
        priced_servers(model, targets[str(name)], part) for (name,), part in groups(possible, ["hardware"])
    )
    show("Llama 2 70B, fp16, eager, as shipped", found, ["hardware", "tensor_parallel"])
    halves = possible.with_row_index("order")
    even, odd = (halves.filter(pl.col("order") % 2 == half) for half in (0, 1))
    found = []
    for name, target in targets.items():
        scaled = calibrated(model, target, even.filter(pl.col("hardware") == name))
        found.append(priced_servers(model, scaled, odd.filter(pl.col("hardware") == name)))
    show("the same, factors of each server calibrated on the even half, odd half", pl.concat(found), ["hardware"])


def priced_servers(model: Model, target: Target, part: pl.DataFrame) -> pl.DataFrame:
    """Return ``part`` with ratios of estimate to measurement."""
    found = []
    for (degree,), rows in groups(part, ["tensor_parallel"]):
        loads = (("batch", "batch_size"), ("prompt", "prompt_size"), ("generate", "token_size"))
        columns = estimate(
            model,
            target,
            dtype="fp16",
            tp=degree,
            execution="eager",
            mode="served",
            **{k: rows[c].to_numpy() for k, c in loads},
        ).estimate.columns
        found.append(rows.with_columns(
            ttft_ratio=pl.Series(columns["ttft"].value * 1e3) / rows["prompt_ms"],
            tpot_ratio=pl.Series(columns["tpot"].value * 1e3) / rows["token_ms"],
        ))  # fmt: skip
    return pl.concat(found)


def calibrated(model: Model, target: Target, part: pl.DataFrame) -> Target:
    """Return ``target`` with the factors that ``part`` identifies, as ``codesign calibrate --from`` finds them."""
    measured = []
    for row in part.iter_rows(named=True):
        design = Measured(
            "fp16", row["tensor_parallel"], 1, 1, 1, "eager", "served", batch=row["batch_size"],
            prompt=row["prompt_size"], generate=row["token_size"],
        )  # fmt: skip
        for metric, name in (("ttft", "prompt_ms"), ("tpot", "token_ms")):
            measured.append(Measurement("a setting", metric, row[name] * 1e-3, UNKNOWN_NOISE, 1, design))
    found = fit(Predictor(model, target, measured))
    moved = {LABELS[f]: round(float(found.scales[f]), 2) for f in TIME_FACTORS if found.identified[f]}
    print(f"{target.id}: {', '.join(f'{name} {scale}' for name, scale in moved.items())}")
    return scaled(target, found.scales)


# --- many engines, settings not recorded: aggregated serving


def silicon(path: Path) -> None:
    """Print errors of first and further tokens of aggregated serving, by system, model and precision."""
    rows = pl.read_parquet(path)
    aggregated = rows.filter(pl.col("mode") == "agg")
    separate = rows.filter(pl.col("mode") == "disagg")
    pooled(separate.filter(pl.col("decode_num_workers").is_not_null()))
    unknown = separate.filter(pl.col("decode_num_workers").is_null())
    plain, left_out = runs_of(aggregated)
    left_out["separate pools whose number of workers is not recorded"] = len(unknown)
    found = priced_runs(plain)
    expressible = sum(map(len, plain.values()))
    print(f"\n{len(aggregated)} aggregated rows; {expressible} expressible: {len(found)} configurations")
    for reason, count in left_out.most_common():
        print(f"- {count} rows left out: {reason}")
    fits = found.filter(pl.col("feasible"))
    print(f"- {len(found) - len(fits)} configurations refused: weights and activations leave no room for a request")
    waiting = fits.filter(pl.col("slots") < pl.col("concurrency"))
    print(f"- {len(waiting)} configurations have requests that wait for room in the cache")
    for parity, name in ((0, "even"), (1, "odd")):
        half = fits.filter(pl.col("order") % 2 == parity)
        show(f"aggregated serving, {name} half", half, ["system", "model", "dtype"])
    show("aggregated serving, odd half", half, ["backend", "ep"])
    calibrated_engines(fits)


def runs_of(aggregated: pl.DataFrame) -> tuple[dict[Design, list[dict[str, Any]]], Counter[str]]:
    """Return the rows of each configuration, and how many rows are left out for what reason."""
    measured: dict[Design, list[dict[str, Any]]] = {}
    left_out: Counter[str] = Counter()
    for row in aggregated.iter_rows(named=True):
        design, reason = design_of(row)
        if design is None:
            left_out[reason] += 1
        else:
            measured.setdefault(design, []).append(row)
    plain = {design: [row for row in rows if not drafts(row, rows)] for design, rows in measured.items()}
    left_out["the engine drafts tokens"] = sum(map(len, measured.values())) - sum(map(len, plain.values()))
    return plain, left_out


def priced_runs(plain: dict[Design, list[dict[str, Any]]]) -> pl.DataFrame:
    """Return the configurations with ratios of estimate to measurement; ``order`` tells the halves apart."""
    table = pl.DataFrame(
        [(*design, *medians(newest(rows))) for design, rows in plain.items()],
        schema=[*Design._fields, "ttft_ms", "tpot_ms"], orient="row",
    ).sort(Design._fields).with_row_index("order").drop_nulls("ttft_ms")  # fmt: skip
    return pl.concat(priced_designs(*key, part) for key, part in groups(table, list(Design._fields[:7])))


ENOUGH = 6
"""Settings in each half from which an engine is calibrated."""


def calibrated_engines(fits: pl.DataFrame) -> None:
    """Print the errors of the odd half before and after each engine is calibrated on its even half.

    By the time between tokens of the recipe's settings in tensor parallelism alone.
    """
    by = ["system", "model", "dtype", "backend"]
    before, after = [], []
    for (system, model, dtype, backend), part in groups(fits.filter(pl.col("recipe") & (pl.col("ep") == 1)), by):
        even, odd = (part.filter(pl.col("order") % 2 == half) for half in (0, 1))
        if min(len(even), len(odd)) < ENOUGH:
            continue
        measured = [
            Measurement("a setting", "tpot", row["tpot_ms"] * 1e-3, UNKNOWN_NOISE, 1, Measured(
                dtype, row["tp"], 1, 1, 1, "auto", "continuous", settings(design_in(row))[0], cache_dtype(system),
                backend, row["concurrency"], row["prompt"], row["generate"],
            ))
            for row in even.iter_rows(named=True)
        ]  # fmt: skip
        target = load_target(TARGETS[system])
        target = scaled(target, fit(Predictor(load_model(model), target, measured)).scales)
        rows = odd.select("order", *Design._fields, "ttft_ms", "tpot_ms")
        priced = (priced_designs(*key, rest, target=target) for key, rest in groups(rows, list(Design._fields[:7])))
        before.append(odd)
        after.append(pl.concat(priced))
    show("aggregated serving, odd half of engines with enough settings, as shipped", pl.concat(before), by)
    show("the same, each engine calibrated on its even half", pl.concat(after), by)


def design_in(row: dict[str, Any]) -> Design:
    """Return the design of a row of configurations."""
    return Design(*(row[name] for name in Design._fields))


def priced_designs(
    system: str, backend: str, model: str, dtype: str, tp: int, ep: int, recipe: bool, part: pl.DataFrame,
    target: Target | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Return the configurations of one structure with ratios of estimate to measurement, on its system or ``target``.

    As many slots as requests in flight, but no more than the cache holds: TensorRT-LLM sets a request's last length
    aside when it starts, the others its present one, which is the prompt and half of the output on average.
    """
    concurrency, prompt, generate = (part[name].to_numpy() for name in ("concurrency", "prompt", "generate"))
    asked = [settings(Design(system, backend, model, dtype, tp, ep, recipe, *sizes))
             for sizes in zip(concurrency, prompt, generate, strict=True)]  # fmt: skip
    (budget,) = {budget for budget, _ in asked}
    varied = recipe or model in ONE_WAITS

    def priced(**load: Any) -> Priced:
        return estimate(
            model, target or TARGETS[system], dtype=dtype, kv_dtype=cache_dtype(system), tp=tp, ep=ep,
            framework=backend, mode="continuous" if varied else "in-step", chunk=budget, prompt=prompt,
            generate=generate, **load,
        )  # fmt: skip

    cache = priced(batch=np.full_like(concurrency, ep)).cache
    held = cache.requests if backend == "trtllm" else np.floor(cache.tokens / (prompt + generate / 2.0))
    slots = np.clip(held, ep, concurrency)
    waits = {"gather": np.array([wait for _, wait in asked])} if varied else {}
    found = priced(
        batch=slots, rounds=ROUNDS if recipe else None, concurrency=concurrency + (model in ONE_WAITS), **waits
    ).estimate
    return part.with_columns(
        pl.Series("slots", slots), pl.Series("feasible", held >= ep),
        *compared(found, "ttft", part["ttft_ms"]), *compared(found, "tpot", part["tpot_ms"]),
        *compared(found, "request_latency", part["ttft_ms"] + part["tpot_ms"] * (part["generate"] - 1.0)),
    )  # fmt: skip


def compared(found: Estimate, metric: str, measured_ms: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the ratio of estimate to measurement, and whether that is inside the 90 % interval."""
    name = metric.removesuffix("_latency")
    column = found.columns[metric]
    low, high = column.interval(np.array([factor.sigma for factor in found.factors]))
    measured = measured_ms.to_numpy() * 1e-3
    inside = (low <= measured) & (measured <= high)
    return pl.Series(f"{name}_ratio", column.value / measured), pl.Series(f"{name}_inside", inside)


def pooled(rows: pl.DataFrame) -> None:
    """Print errors of serving by separate pools, as far as their workers are recorded."""
    alike: dict[tuple[Any, ...], list[tuple[float, ...]]] = {}
    for row in rows.iter_rows(named=True):
        stated = re.search(r"_c(\d+)_", row["id"])
        if stated is not None:
            pools = tuple(pool_of(row, side) for side in ("prefill", "decode"))
            numbers = (row["isl"], row["osl"], float(stated[1]), row["silicon_ttft_ms"], row["silicon_tpot_ms"])
            alike.setdefault((row["system"], PRESETS[row["model_path"]], *pools), []).append(numbers)
    found: list[tuple[Any, ...]] = []
    for (system, preset, prefill, decode), group in alike.items():
        prompt, generate, flying, ttft_ms, tpot_ms = np.array(group).T
        load = Load(
            1, np.round(prompt * MEAN_LENGTH), np.round(generate * MEAN_LENGTH), concurrency=flying, rounds=ROUNDS
        )
        priced = price_pools(load_model(preset), load_target(TARGETS[system]), prefill, decode, load)
        ttft, tpot = (priced.columns[name].value * 1e3 for name in ("ttft", "tpot"))
        attention = "data parallel" if decode.structure.ep > 1 else "tensor parallel"
        found += [
            (system, attention, *ratios, bool(fits))
            for *ratios, fits in zip(ttft / ttft_ms, tpot / tpot_ms, priced.feasible, strict=True)
        ]
    names = ["system", "decode attention", "ttft_ratio", "tpot_ratio", "feasible"]
    table = pl.DataFrame(found, schema=names, orient="row")
    fits = table.filter(pl.col("feasible"))
    print(f"\n{len(table)} rows of separate pools with their workers; {len(table) - len(fits)} refused: memory")
    show("separate pools", fits, ["system", "decode attention"])


def pool_of(row: dict[str, Any], side: str) -> Pool:
    """Return one pool of a row."""
    per_node = load_target(TARGETS[row["system"]]).devices_per_node
    split, copies = int(row[f"{side}_tp_size"]), int(row[f"{side}_attention_dp_size"])
    structure = Structure(
        DTYPES[row["precision"]], tp=1 if copies > 1 else split, ep=copies,
        nodes=-(-split * copies // per_node), kv_dtype=cache_dtype(row["system"]),
    )  # fmt: skip
    return Pool(structure, int(row[f"{side}_num_workers"]))


def full_engine(folder: Path) -> None:
    """Print the time between tokens while every slot of a recorded engine is taken."""
    for name, preset, ep in (("Llama-3.1-8B", "llama-3.1-8b", 1), ("Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b", 2)):
        place = folder / "RTXPRO6000" / name
        options = json.loads((place / "meta.json").read_text())["engine_kwargs"]
        with gzip.open(place / "requests.jsonl.gz", "rt") as lines:
            requests = [json.loads(line) for line in lines]
        span = [(r["last_token_ts"] - r["first_token_ts"]) / (r["output_toks"] - 1) for r in requests]
        q = estimate(
            preset, "rtx-pro-6000-server", dtype="bf16", ep=ep, mode="continuous",
            chunk=options["max_num_batched_tokens"], batch=options["max_num_seqs"] * ep,
            prompt=round(np.mean([r["input_toks"] for r in requests])),
            generate=round(np.mean([r["output_toks"] for r in requests])),
        ).estimate.quantity("tpot")  # fmt: skip
        print(f"\n{name}, {options['max_num_seqs']} slots on each of {ep} RTX PRO 6000: {q.value * 1e3:.1f} ms a token "
              f"({q.low * 1e3:.1f} to {q.high * 1e3:.1f}), measured median {np.median(span) * 1e3:.1f} ms")  # fmt: skip


def longer(model: Any, context: int) -> Any:
    """Return ``model`` accepting prompts of up to ``context`` tokens."""
    figures = msgspec.structs.replace(model.preset.figures, context=context)
    return msgspec.structs.replace(model, preset=msgspec.structs.replace(model.preset, figures=figures))


def show(title: str, table: pl.DataFrame, by: list[str]) -> None:
    """Print median and 90th percentile of the errors, and the median ratio, of each group and of all."""
    names = [name for name in SHOWN if f"{name}_ratio" in table.columns]
    what = ("error %", "p90 %", "ratio", *(("inside %",) if f"{names[0]}_inside" in table.columns else ()))
    heads = ["settings", *(f"{SHOWN[name]}: {word}" for name in names for word in what)]
    print(f"\n{title}\n\n| {' | '.join((*by, *heads))} |\n|{'---|' * (len(by) + len(heads))}")
    for key, part in (*groups(table, by), (("all", *[""] * (len(by) - 1)), table)):
        cells = [*map(str, key), str(len(part))]
        for name in names:
            ratio = part[f"{name}_ratio"].to_numpy()
            off = np.abs(ratio - 1.0) * 100.0
            cells += [f"{np.median(off):.1f}", f"{np.quantile(off, 0.9):.0f}", f"{np.median(ratio):.2f}"]
            if len(what) > 3:
                cells.append(f"{part[f'{name}_inside'].mean() * 100:.0f}")
        print(f"| {' | '.join(cells)} |")


def groups(table: pl.DataFrame, by: list[str]) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    """Return the parts of ``table`` in the order of their keys."""
    return list(table.sort(by).group_by(by, maintain_order=True))


if __name__ == "__main__":
    main()
