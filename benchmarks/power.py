"""Power against measurements: shapes left out, whole models on a device without power rows, and power limits.

python benchmarks/power.py --data DIR [--limits power_cap.csv.gz]

DIR holds ``splitwise/perf_model.parquet``: Llama-2-70B on A100 cards, mean power of a run as a share of the thermal
design power. Its measured times are given, the power of every operator is predicted, and the rest of the time a card is
awake and does nothing; errors are of the mean over a run, one configuration counted once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from codesign.costmodels.efficiency import table
from codesign.costmodels.operators.asked import Asked
from codesign.costmodels.operators.fit import predict
from codesign.costmodels.operators.lookup import served_by, shipped_model
from codesign.costmodels.operators.power import PowerModel
from codesign.costmodels.operators.tables import Rows
from codesign.costmodels.power_cap import capped, fit_cap

HIDDEN, INTER, HEADS, KV_HEADS, HEAD_WIDTH, LAYERS, VOCABULARY = 8192, 28672, 64, 8, 128, 80, 32000
"""Llama-2-70B."""

BROKEN_PROMPT = 8192
"""At this prompt the published means are 0.17 of the design power at every degree, below a card with a context."""


def operators(tp: int, batch: int, new: int, cached: int) -> pl.DataFrame:
    """Return the operators of one pass on one card, ``count`` of each."""
    tokens, heads, kv_heads = batch * new, HEADS // tp, max(KV_HEADS // tp, 1)
    products = [
        (tokens, (heads + 2 * kv_heads) * HEAD_WIDTH, HIDDEN, LAYERS), (tokens, HIDDEN, heads * HEAD_WIDTH, LAYERS),
        (tokens, 2 * INTER // tp, HIDDEN, LAYERS), (tokens, HIDDEN, INTER // tp, LAYERS),
        (batch, VOCABULARY // tp, HIDDEN, 1),
    ]  # fmt: skip
    rows: list[dict[str, Any]] = [{"op": "gemm", "m": m, "n": n, "k": k, "count": c} for m, n, k, c in products]
    rows.append({
        "op": "decode" if new == 1 else "prefill", "batch_size": batch, "isl": cached if new == 1 else new, "step": 0,
        "num_heads": heads, "num_key_value_heads": kv_heads, "head_dim": HEAD_WIDTH, "count": LAYERS,
    })  # fmt: skip
    frame = pl.DataFrame(rows).with_columns(device=pl.lit("a100-80gb-sxm"), dtype=pl.lit("fp16"))
    return frame.with_columns(pl.all().cast(pl.Utf8).fill_null(""))


@cache
def passes(tp: int, batch: int, new: int, cached: int) -> list[tuple[Rows, Any, Any]]:
    """Return the rows of each operator, their latency in s, and how often they run."""
    frame = operators(tp, batch, new, cached)
    found = []
    for group in Asked(frame, "operators").groups():
        served = served_by(shipped_model(), group.family, "fp16", group.targets[0])
        count = frame["count"].cast(pl.Float64).to_numpy()[group.at]
        found.append((group.rows, predict(served.model, group.rows), count))
    return found


def joules(model: PowerModel, key: tuple[int, int, int, int], seconds: float) -> float:
    """Return the energy of one pass that takes ``seconds``, over the design power, s."""
    parts = passes(*key)
    busy = sum(float((latency * count).sum()) for _, latency, count in parts)
    scale = min(1.0, seconds / busy)
    drawn = sum(
        float((model.watts(rows, latency * scale) / rows.columns.power * latency * scale * count).sum())
        for rows, latency, count in parts
    )
    return drawn + max(seconds - busy * scale, 0.0) * model.awake


def runs(folder: Path, model: PowerModel) -> Iterator[tuple[int, int, int, float, float]]:
    """Yield degree, prompt, batch, measured and predicted mean power over the design power."""
    data = pl.read_parquet(folder / "splitwise" / "perf_model.parquet").filter(pl.col("average_power_of_tdp") > 0)
    keys = ["tensor_parallel", "prompt_size", "batch_size", "token_size"]
    medians = pl.col("average_power_of_tdp", "prompt_ms", "token_ms").median()
    for row in data.group_by(keys).agg(medians).sort(keys).to_dicts():
        tp, prompt, batch, tokens = (row[key] for key in keys)
        first, each = row["prompt_ms"] * 1e-3, row["token_ms"] * 1e-3
        energy = joules(model, (tp, batch, prompt, 0), first)
        energy += (tokens - 1) * joules(model, (tp, batch, 1, prompt + tokens // 2), each)
        yield tp, prompt, batch, row["average_power_of_tdp"], energy / (first + (tokens - 1) * each)


def show_runs(folder: Path, model: PowerModel) -> None:
    """Print the errors on whole models."""
    found = np.array(list(runs(folder, model)))
    error = np.abs(found[:, 4] / found[:, 3] - 1.0)
    sound = found[:, 1] != BROKEN_PROMPT
    print(f"Llama-2-70B on A100, {len(found)} configurations: median error {np.median(error):.1%}")
    print(f"  without the broken means: median {np.median(error[sound]):.1%}, largest {error[sound].max():.1%}")
    for tp in np.unique(found[:, 0]):
        mine = sound & (found[:, 0] == tp)
        measured, predicted = (found[mine, column] for column in (3, 4))
        ends = [f"{share.min():.2f} to {share.max():.2f}" for share in (measured, predicted)]
        print(f"  TP {tp:.0f}: {ends[0]} of TDP, predicted {ends[1]}, median error {np.median(error[mine]):.1%}")


def show_limits(path: Path) -> None:
    """Print the errors of the power limit with each GPU left out."""
    load = ["gpu", "dataset", "network", "batch_size", "optimizer"]
    data = pl.read_csv(path)
    top = data.filter(pl.col("power_limit_w") == pl.col("power_limit_w").max().over("gpu")).group_by(load)
    top = top.agg(
        pl.col("time_per_epoch_s").mean().alias("time"), pl.col("average_power_w").mean().alias("power"),
        pl.col("power_limit_w").max().alias("rated"),
    )  # fmt: skip
    data = data.join(top, on=load).with_columns(
        slowdown=pl.col("time_per_epoch_s") / pl.col("time"), drawn=pl.col("average_power_w") / pl.col("power")
    )
    gpu = data["gpu"].to_numpy()
    names = ("power", "power_limit_w", "rated", "slowdown", "drawn")
    columns = [data[name].cast(pl.Float64).to_numpy() for name in names]
    for out in ("", *np.unique(gpu).tolist()):
        form = fit_cap(*(values[gpu != out] for values in columns), table().power.cap)
        power, limit, rated, slowdown, drawn = (values[(gpu == out) | (out == "")] for values in columns)
        found = capped(power, limit, rated, form=form)
        errors = [np.mean(np.abs(ours / theirs - 1.0)) for ours, theirs in (
            (found.slowdown, slowdown), (found.power / power, drawn), (found.energy, slowdown * drawn))]  # fmt: skip
        print(f"power limits, {f'{out} left out' if out else 'all fitted'}: mean error of time {errors[0]:.1%}, "
              f"power {errors[1]:.1%}, energy {errors[2]:.1%}; {form}")  # fmt: skip

    for name in np.unique(gpu).tolist():
        mine = [values[gpu == name] for values in columns]
        own_form(name, mine, data["network"].to_numpy()[gpu == name])


def own_form(name: str, columns: list[Any], network: Any) -> None:
    """Print the numbers of one GPU and their errors on networks left out, one after the other."""
    power, limit, rated, slowdown, drawn = columns
    ours = np.empty((2, len(power)))
    for out in np.unique(network):
        kept = network != out
        form = fit_cap(*(values[kept] for values in columns), table().power.cap)
        found = capped(power[~kept], limit[~kept], rated[~kept], form=form)
        ours[:, ~kept] = found.slowdown, found.energy
    errors = np.log(ours / np.stack([slowdown, slowdown * drawn]))
    form = fit_cap(*columns, table().power.cap)
    deep = capped(power, limit, rated, form=form).power < form.deep * power
    spreads = [float(np.quantile(np.abs(errors[:, at]), 0.9)) if at.any() else np.nan for at in (~deep, deep)]
    time, energy = (float(np.mean(np.abs(np.expm1(part)))) for part in errors)
    print(f"{name} alone, networks left out: mean error of time {time:.1%}, energy {energy:.1%}; "
          f"spread {spreads[0]:.3f}, deep {spreads[1]:.3f}; {form}")  # fmt: skip


def main() -> None:
    """Print the errors of the shipped power model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limits", type=Path)
    options = parser.parse_args()
    model = shipped_model().card.power
    assert model is not None
    for score in model.scores:
        print(f"{score.family}: {score.rows:,} rows, mean {score.mean:.1%}, median {score.median:.1%}")
        print(f"  90 % {score.ninetieth:.1%}; constant {score.constant:.1%}; "
              f"{score.short_rows:,} short, median {score.short_median:.1%}")  # fmt: skip
    show_runs(options.data, model)
    if options.limits is not None:
        show_limits(options.limits)


if __name__ == "__main__":
    main()
