"""``codesign costmodels``: fit learned models, of operators or of what a search evaluates, and score them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, note, show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.costmodels.operators.power import PowerModel
    from codesign.costmodels.operators.protocols import LeftOut, Seen

app = command_app(group="Fit the learned models and score them.")


@app.command("fit")
def fit_command(
    ctx: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of measured kernels: neusight/, aiconfigurator/.")
    ] = None,
    from_run: Annotated[
        str,
        typer.Option("--from-run", help="Run of a search: learn what it evaluates; of programs: runs, comma list."),
    ] = "",
    objectives: Annotated[
        str, typer.Option("--objectives", help="With --from-run: objectives and metrics to learn, comma list.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the model.")] = None,
    collectives: Annotated[
        Path | None,
        typer.Option("--collectives", help="Where to write curves of collectives; alone, fit no operators."),
    ] = None,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Leave each device out in turn.")] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes beside each other; default one a core.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files that are written.")] = False,
    json: JsonFlag = False,
) -> None:
    """Fit operator latency models on measured kernels, or a model of what searches evaluated on their trials.

    \b
    Examples:
      codesign costmodels fit --data kernels --out operators.npz
      codesign costmodels fit --data kernels --collectives collectives.json
      codesign costmodels fit --from-run runs/fleet --out proxy.npz
      codesign costmodels fit --from-run runs/mlp,runs/cnn --out programs.npz
    """
    for path in (out, collectives):
        if path is not None and path.exists() and not force:
            raise UsageError(f"{path} exists already", "--force replaces it, or name another file")
    if from_run:
        if data is not None or collectives is not None or workers is not None or not score:
            raise UsageError(
                "--from-run learns from a search alone", "leave out --data, --collectives, --no-score and --workers"
            )
        names = [name.strip() for name in objectives.split(",") if name.strip()]
        _fit_runs(ctx, [part.strip() for part in from_run.split(",") if part.strip()], out, names, seed, json)
        return
    if data is None:
        raise UsageError("nothing to fit on", "name a folder of kernels with --data, or a search with --from-run")
    if objectives:
        raise UsageError("--objectives goes with --from-run", "kernels have latency alone")
    if not data.is_dir():
        raise UsageError(
            f"--data is {data}, which is no folder", "name a folder that holds neusight/ or aiconfigurator/"
        )
    _fit_kernels(ctx, data, out, collectives, score, seed, workers or os.cpu_count() or 1, json)


def _fit_runs(ctx: typer.Context, paths: list[str], out: Path | None, names: list[str], seed: int, json: bool) -> None:
    """Fit a proxy on one search, or a cost model of programs on searches of them."""
    from codesign.run import load_run

    runs = [load_run(path) for path in paths]
    if runs and all(run.meta.get("spec", {}).get("problem") == "mlir" for run in runs):
        from codesign.cli import program_model_view

        program_model_view.fit_and_show(ctx, runs, out, names, seed, json)
        return
    from codesign.cli import proxy_view

    if len(runs) != 1:
        raise UsageError(f"{len(runs)} runs to learn from", "name one run; several only of codesign search mlir")
    proxy_view.fit_and_show(ctx, runs[0], out, names, seed, json)


def _fit_kernels(
    ctx: typer.Context, data: Path, out: Path | None, collectives: Path | None, score: bool, seed: int, count: int,
    json: bool,
) -> None:  # fmt: skip
    """Fit operators, collectives or both on the kernels in ``data``, and print how good they are."""
    from codesign.cli.collectives_view import collective_tables, fit_and_write
    from codesign.costmodels.operators.model_file import write_model
    from codesign.costmodels.operators.training import train

    notes, tables = [], []
    results: dict[str, object] = {}
    if out is not None or collectives is None:
        found = train(data, score=score, seed=seed, workers=count, progress=lambda text: note(ctx, text))
        if out is not None:
            write_model(out, found.model)
            notes.append(f"model: {out}")
        tables.append(_sources(found.model.card.sources))
        tables += [_scores(found.scores), _calibrated(found.scores), _seen(found.seen)] if found.scores else []
        tables += [_power(found.model.card.power)] if found.model.card.power is not None else []
        results = {"card": found.model.card, "left_out": found.scores, "new_shapes": found.seen}
    if collectives is not None:
        note(ctx, "fitting collectives")
        fitted = fit_and_write(data, collectives)
        notes.append(f"collectives: {collectives}")
        tables += collective_tables(fitted)
        results["collectives"] = {
            "sources": fitted.model.sources, "spreads": fitted.model.spreads, "scores": fitted.scores,
        }  # fmt: skip
    show(
        ctx, results, tables, as_json=json, notes=notes,
        units={"mean": "1", "median": "1", "ninetieth": "1", "roofline_scaled": "1", "after": "1", "coverage": "1"},
    )  # fmt: skip


def _sources(sources: dict[str, dict[str, int]]) -> Table:
    rows = [
        (name, counts["rows"], "; ".join(f"{count:,} {reason}" for reason, count in counts.items() if reason != "rows"))
        for name, counts in sources.items()
    ]
    return Table("Measured kernels", ("table", ">used", "left out"), rows)


def _scores(scores: tuple[LeftOut, ...]) -> Table:
    rows = [
        (s.expert, s.device, s.form, f"{s.roofline.mean:.1%}", f"{s.model.mean:.1%}",
         "-" if s.coverage is None else f"{s.coverage:.0%}", "-" if s.width is None else f"{s.width:.1f}x")
        for s in scores
    ]  # fmt: skip
    heads = ("expert", "device", "dtype", ">roofline", ">model", ">in 90 %", ">width")
    return Table("Mean error on a device that was left out", heads, rows)


def _calibrated(scores: tuple[LeftOut, ...]) -> Table:
    from codesign.costmodels.operators.protocols import POINTS

    rows = [
        (s.expert, s.device, s.form, f"{s.roofline_scaled:.1%}", f"{s.model.mean:.1%}",
         *(f"{s.after[count]:.1%}" for count in POINTS))
        for s in scores
    ]  # fmt: skip
    heads = ("expert", "device", "dtype", ">roof x 1", ">0 points", *(f">{count}" for count in POINTS))
    return Table("The same after measuring a few shapes of it; roof x 1: the roofline with one scalar", heads, rows)


def _power(power: PowerModel) -> Table:
    rows = [
        (s.family, s.rows, f"{s.constant:.1%}", f"{s.mean:.1%}", f"{s.median:.1%}", f"{s.ninetieth:.1%}",
         s.short_rows, f"{s.short_median:.1%}")
        for s in power.scores
    ]  # fmt: skip
    heads = ("operators", ">rows", ">constant", ">mean", ">median", ">90 %", ">short rows", ">median")
    return Table("Error of power on shapes that were left out; short: below 100 us", heads, rows)


def _seen(seen: tuple[Seen, ...]) -> Table:
    rows = [
        (s.expert, s.rows, f"{s.model.mean:.1%}", f"{s.model.median:.1%}", f"{s.model.ninetieth:.1%}") for s in seen
    ]
    heads = ("expert", ">rows", ">mean", ">median", ">90 %")
    return Table("Error on shapes that were left out, of devices that were not", heads, rows)
