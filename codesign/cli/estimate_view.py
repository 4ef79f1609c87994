"""What ``codesign estimate`` shows beside its numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from codesign.cli.design_options import loaded
from codesign.cli.output import Table, note, number
from codesign.cli.overlay_note import unused_overlay
from codesign.errors import DataError, EnvironmentLacks, LimitCrossed, UsageError
from codesign.units import format_digits, scale_of

if TYPE_CHECKING:
    import polars

SHOWN_GROUPS = 8
SHOWN_GRIDS = 4

REPEATED = ("latency_per_token", "operational_carbon", "edp", "cdp", "cep", "c2ep", "ce2p")
"""Metrics that repeat others and are left to ``--json``."""

SHORT = {"output token": "token", "1e6 output tokens": "Mtoken", "deployment": "", "run": "", "device": "", "user": ""}
"""Functional units as the table writes them."""

ASSUMED = "* assumed inputs (power, price, grid, embodied carbon or host) carry at least 5 % of this number"


def named(model: str | None, inputs: Sequence[str] | None) -> Any:
    """Return the model, refusing none."""
    if model is None:
        raise UsageError("no model given", "name a preset (`codesign models list`), or --queries FILE.csv")
    return loaded(model, inputs)


def design_line(model: Any, options: dict[str, Any]) -> str:
    """Return the design in a few words."""
    words = [options["dtype"] or model.checkpoint_dtype]
    words += [f"{k} {options[k]}" for k in ("tp", "pp", "ep", "nodes", "replicas") if options[k] != 1]
    words += [f"{k.replace('_', ' ')} {options[k]}" for k in STATED if options[k] is not None]
    words += [f"at most {options['power_limit']:g} W"] if options["power_limit"] is not None else []
    served = model.kind == "causal-lm" and options["mode"] != "training"
    how = (
        SERVED.get(options["mode"], f"{options['mode']} batching")
        if served
        else ("one training step" if options["mode"] == "training" else "one run")
    )
    return ", ".join([*words, how, *([options["execution"]] if options["execution"] != "auto" else [])])


STATED = ("batch", "prompt", "generate", "chunk", "rate", "kv_dtype", "concurrency", "rounds", "gather", "framework")
"""Options of a design that are said where they are given."""

SERVED = {"served": "static batching of a server", "in-step": "continuous batching in step"}
"""Mode -> how it is said where the word alone does not do."""


def metric_table(title: str, estimate: Any) -> Table:
    """Return the metrics of the first point, value and interval in one unit, 80 columns wide."""
    rows = []
    single = "devices" in estimate.columns and float(estimate.columns["devices"].value.reshape(-1)[0]) == 1.0
    for name, q in sorted(estimate.quantities().items(), key=lambda entry: entry[0] == "memory"):  # memory last
        if name in REPEATED or (single and name in ("devices", "tokens_per_device")):
            continue
        metric = estimate.metrics[name]
        scale, unit = scale_of(q.value, q.unit)
        ends = "" if q.low == q.high else f"{format_digits(q.low / scale)} to {format_digits(q.high / scale)}"
        source = q.source.replace(", assumed inputs", "*")
        per = SHORT.get(metric.per, metric.per)
        per = f"{unit}/{per}" if per and "/" not in unit else unit
        rows.append((metric.title or name, format_digits(q.value / scale), ends, per, source if ends else "exact"))
    return Table(title, ("metric", ">value", ">90 % interval", "unit", "source"), rows)


def operator_tables(priced: Any) -> list[Table]:
    """Return the slowest kernels of each phase, and the memory by role."""
    from codesign.costmodels.explain import group_rows

    tables = []
    for cost in priced.phases:
        rows = [
            (r.group, f"{r.repeat:g}", number(r.seconds, "s"), f"{r.share:.0%}", r.binding,
             number(r.flops, "FLOP"), number(r.bytes, "B"))
            for r in group_rows(cost)[:SHOWN_GROUPS]
        ]  # fmt: skip
        heads = ("kernel", ">runs", ">time", ">share", "bound by", ">work", ">moved")
        tables.append(Table(f"{cost.name}: slowest kernels, device time of one {step_name(cost.name)}", heads, rows))
    parts = [(name, number(float(size.max()), "B")) for name, size in priced.memory.items() if float(size.max())]
    capacity = number(priced.machine.capacity, "B")
    tables.append(Table(f"memory of the fullest device, of {capacity}", ("part", ">size"), parts))
    return tables


def closing_notes(priced: Any) -> list[str]:
    """Return the lines below the tables: what is assumed, what is not declared, what to do next."""
    estimate = priced.estimate
    assumed = any("assumed" in q.source for q in estimate.quantities().values())
    following = "Why: `codesign explain` with the same options. Better designs: `codesign search deployment`."
    return [*([ASSUMED] if assumed else []), _roofline_line(priced), *_naive_line(priced), *estimate.notes, following]


def _roofline_line(priced: Any) -> str:
    """Return the line that compares the device time of each phase with its roofline."""
    from codesign.costmodels.explain import group_rows
    from codesign.costmodels.roofline import roofline_seconds

    words = []
    for cost in priced.phases:
        bar = float(roofline_seconds(cost, priced.machine).reshape(-1)[0])
        taken = sum(row.seconds for row in group_rows(cost))
        words.append(f"{cost.name} {step_name(cost.name)} {number(bar, 's')}, estimated {taken / bar:.2f} times")
    return f"roofline: {'; '.join(words)}"


def _naive_line(priced: Any) -> list[str]:
    """Return the line that compares the energy with the design power times the time."""
    from codesign.costmodels.energy import naive_energy

    found = naive_energy(priced.estimate, priced.machine)
    if found is None:
        return []
    name, joules = found[0], float(found[1].reshape(-1)[0])
    metric, expected = priced.estimate.metrics[name], float(priced.estimate.columns[name].value.reshape(-1)[0])
    per = SHORT.get(metric.per, metric.per)
    return [f"TDP x time: {number(joules, 'J')}{f'/{per}' if per else ''}, {joules / expected:.2f} times the estimate"]


def step_name(phase: str) -> str:
    """Return what one cost row of a phase stands for."""
    return "step" if phase == "decode" else "pass"


def details(priced: Any) -> dict[str, Any]:
    """Return what ``--json`` adds: per-kernel rows, memory parts, error factors and their shares."""
    from codesign.costmodels.energy import naive_energy
    from codesign.costmodels.explain import group_rows
    from codesign.costmodels.roofline import roofline_seconds

    estimate = priced.estimate
    naive = naive_energy(estimate, priced.machine)
    return {
        "target": priced.machine.target.id,
        "energy_tdp": None if naive is None else {
            "value": float(naive[1].reshape(-1)[0]), "unit": "J", "per": estimate.metrics[naive[0]].per,
            "source": "thermal design power times time",
        },
        "roofline": {
            cost.name: {"value": float(roofline_seconds(cost, priced.machine).reshape(-1)[0]), "unit": "s"}
            for cost in priced.phases
        },
        "cache": None if priced.cache is None else {
            name: float(getattr(priced.cache, name).reshape(-1)[0]) for name in ("blocks", "tokens", "requests")
        },
        "operators": [row for cost in priced.phases for row in group_rows(cost)],
        "memory": {name: float(size.max()) for name, size in priced.memory.items()},
        "factors": list(estimate.factors),
        "shares": {name: estimate.shares(name) for name in estimate.columns},
        "notes": list(estimate.notes),
    }  # fmt: skip


def check_limits(priced: Any, limits: Sequence[str]) -> None:
    """Raise ``LimitCrossed`` where a stated limit is crossed."""
    from codesign.search.limits import limits_on

    for limit, value, violation in limits_on(priced.estimate, limits):
        if violation > 0:
            found = number(value, limit.unit)
            raise LimitCrossed(
                f"limit crossed: {limit.text}, estimated {found}", "see `codesign explain` for what moves it"
            )


def price_queries(ctx: typer.Context, path: str, out: str | None, options: dict[str, Any], overlay: str | None) -> None:
    """Price the designs of a CSV and write the rows as they come.

    Raises:
        LimitCrossed: none of them can run; all were written.
        DataError: none of them is a design; all were written.
    """
    from codesign.costmodels.queries import price_file

    targets = {options["target"]} - {None}
    grids: set[str] = set()
    refused: list[int] = []
    priced: list[bool] = []
    frames = _noting(_noting(price_file(path, options, overlay), "target", targets), "grid", grids)
    rows = _write_frames(ctx, _counting(frames, refused, priced), out, "designs priced")
    if 0 < sum(refused) < rows:
        note(ctx, f"{sum(refused):,} of them cannot run: column reason says why")
    for line in (*unused_overlay(overlay, targets), *grid_lines(grids or {options.get("grid")})):
        note(ctx, line)
    if sum(refused) == rows:
        kind = LimitCrossed if any(priced) else DataError
        raise kind(f"none of the {rows:,} designs can run", "column reason says why")


def grid_lines(names: set[Any]) -> list[str]:
    """Return a line about each grid that was named, the first few of many; the default's where none was."""
    from codesign.costmodels.impact import grid_notes
    from codesign.costmodels.siting import site_at

    shown = sorted(names - {None})[:SHOWN_GRIDS]
    lines = [line for name in shown or [None] for line in grid_notes(site_at({"grid": name}))]
    return [*lines, *([f"and {len(names) - len(shown)} other grids"] if len(names) > len(shown) > 0 else [])]


def predict_operators(
    ctx: typer.Context, path: str, out: str | None, overlay: str | None, cost_model: str | None = None
) -> None:
    """Predict the operators of a CSV and write the rows as they come."""
    from codesign.costmodels.operators import cost_models
    from codesign.costmodels.operators.queries import RESULTS, predict_file

    chosen = None if cost_model is None else cost_models.cost_model(cost_model)
    targets: set[str] = set()
    frames = predict_file(path, overlay=overlay, cost_model=chosen)
    _write_frames(ctx, _noting(frames, "device", targets), out, "operators predicted")
    if taken := [name for name in _header(path) if name in RESULTS]:
        note(ctx, f"{', '.join(taken)} of {path}: replaced by predictions; rename what you measured to keep it")
    for line in unused_overlay(overlay, targets, single_operators=True):
        note(ctx, line)


def _header(path: str) -> list[str]:
    """Return the column names of a CSV that was read before."""
    import polars as pl

    return pl.read_csv(path, n_rows=0, infer_schema=False).columns


def _noting(frames: Iterable[polars.DataFrame], column: str, names: set[str]) -> Iterator[polars.DataFrame]:
    """Yield ``frames``, adding to ``names`` what ``column`` holds in each."""
    for frame in frames:
        if column in frame.columns:
            names.update(frame[column].unique().cast(str).to_list())
        yield frame


def _counting(frames: Iterable[polars.DataFrame], refused: list[int], priced: list[bool]) -> Iterator[polars.DataFrame]:
    """Yield ``frames``, appending how many rows of each are not feasible, and whether any has a price all the same."""
    for frame in frames:
        refused.append(len(frame) - int(frame["feasible"].sum()))
        priced.append("memory" in frame.columns and bool(frame["memory"].is_not_nan().any()))
        yield frame


def _write_frames(ctx: typer.Context, frames: Iterable[polars.DataFrame], out: str | None, what: str) -> int:
    """Write frames as one CSV, to a file or stdout, say how many rows there were, and return that."""
    rows = 0
    try:
        # stdout stays open for whoever reads it; a file is closed here
        opened = Path(out).open("wb") if out is not None else nullcontext(sys.stdout.buffer)  # noqa: SIM115
        with opened as stream:
            for position, frame in enumerate(frames):
                stream.write(frame.write_csv(include_header=position == 0).encode())
                rows += len(frame)
            stream.flush()
    except OSError as error:
        raise EnvironmentLacks(f"{out}: {error.strerror}", "choose a folder that can be written") from None
    note(ctx, f"{rows:,} {what}" + (f" into {out}" if out else ""))
    return rows
