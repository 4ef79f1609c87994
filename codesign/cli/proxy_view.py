"""``codesign costmodels fit --from-run``: train a proxy on the trials of a search, and show how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from codesign.cli.output import Table, note, number, show

if TYPE_CHECKING:
    from codesign.run import Run
    from codesign.search.proxy import Proxy, RunTable, Speed

UNITS = {"mape": "1", "r2": "1", "rank": "1", "coverage": "1", "proxy_per_s": "1/s", "problem_per_s": "1/s"}
KINDS = {"proxy": "proxy", "plane": "ridge regression", "constant": "constant"}


def fit_and_show(ctx: typer.Context, run: Run, out: Path | None, names: list[str], seed: int, json: bool) -> None:
    """Fit a proxy on ``run``, write it to ``out`` where given, and print its errors on held-out designs."""
    from codesign.search.proxy import fit_proxy, speed_of, table_of_run, write_proxy

    taken = table_of_run(run, names)
    proxy = fit_proxy(taken.table, seed=seed, progress=lambda text: note(ctx, text))
    speed = speed_of(run, proxy)
    if out is not None:
        write_proxy(out, proxy)
    results = {
        "rows": taken.rows, "left_out": taken.left_out, "constant": taken.constant, "targets": proxy.card.targets,
        "seed": seed, "speed": speed, "speed_up": speed.speed_up, "model": out,
    }  # fmt: skip
    show(ctx, results, [_errors(proxy), _speed(speed)], as_json=json, units=UNITS, notes=_notes(proxy, taken, out))


def _errors(proxy: Proxy) -> Table:
    rows = [
        (target.name if kind == "proxy" else "", KINDS[kind], number(score.rmse, target.unit),
         "-" if score.mape is None else f"{score.mape:.1%}", f"{score.r2:.4f}",
         "-" if score.rank is None else f"{score.rank:.4f}", f"{target.coverage:.0%}" if kind == "proxy" else "")
        for target in proxy.card.targets for kind, score in target.scores.items()
    ]  # fmt: skip
    first = proxy.card.targets[0]
    title = f"Errors on {first.held:,} designs that were held out, {first.trained:,} trained on"
    return Table(title, ("target", "model", ">RMSE", ">MAPE", ">R2", ">rank", ">in 90 %"), rows)


def _speed(speed: Speed) -> Table:
    ratio = "-" if speed.speed_up is None else f"{speed.speed_up:.3g}x"
    rows = [
        ("proxy", number(speed.proxy_per_s, "1/s"), ratio, "timed here, one core"),
        ("problem", number(speed.problem_per_s, "1/s"), "", speed.problem_timed),
    ]
    return Table("Designs a second", ("", ">rate", ">speed-up", "how it is known"), rows)


def _notes(proxy: Proxy, taken: RunTable, out: Path | None) -> list[str]:
    chosen: dict[str, list[str]] = {}
    per: dict[str, list[str]] = {}
    for target in proxy.card.targets:
        chosen.setdefault(target.model + (" of the logarithm" if target.log else ""), []).append(target.name)
        if target.functional_unit:
            per.setdefault(target.functional_unit, []).append(target.name)
    return [
        *(f"per {unit}: {', '.join(names)}" for unit, names in per.items()),
        *(f"chosen by cross-validation: {model} for {', '.join(names)}" for model, names in chosen.items()),
        *([f"left out, the same for every design: {', '.join(taken.constant)}"] if taken.constant else []),
        *([f"left out, too many kinds of words: {', '.join(taken.left_out)}"] if taken.left_out else []),
        *([f"model: {out}"] if out is not None else []),
    ]
