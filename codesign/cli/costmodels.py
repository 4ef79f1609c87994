"""``codesign costmodels``: fit the learned operator models, and score them on devices they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.cli.lazy import command_app
from codesign.cli.output import JsonFlag, Table, note, show
from codesign.errors import UsageError

if TYPE_CHECKING:
    from codesign.costmodels.operators.protocols import LeftOut, Seen

app = command_app(group="Fit the learned operator models and score them.")


@app.command("fit")
def fit_command(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option("--data", help="Folder of measured kernels: neusight/, aiconfigurator/.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the model.")] = None,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Leave each device out in turn.")] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that --out names.")] = False,
    json: JsonFlag = False,
) -> None:
    """Fit operator latency models on tables of measured kernels.

    \b
    Examples:
      codesign costmodels fit --data kernels --out operators.npz
      codesign costmodels fit --data kernels --json
    """
    from codesign.costmodels.operators.model_file import write_model
    from codesign.costmodels.operators.training import train

    if not data.is_dir():
        raise UsageError(
            f"--data is {data}, which is no folder", "name a folder that holds neusight/ or aiconfigurator/"
        )
    if out is not None and out.exists() and not force:
        raise UsageError(f"{out} exists already", "--force replaces it, or name another file")
    found = train(data, score=score, seed=seed, progress=lambda text: note(ctx, text))
    notes = []
    if out is not None:
        write_model(out, found.model)
        notes.append(f"model: {out}")
    tables = [_sources(found.model.card.sources)]
    tables += [_scores(found.scores), _calibrated(found.scores), _seen(found.seen)] if found.scores else []
    results = {"card": found.model.card, "left_out": found.scores, "new_shapes": found.seen}
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


def _seen(seen: tuple[Seen, ...]) -> Table:
    rows = [
        (s.expert, s.rows, f"{s.model.mean:.1%}", f"{s.model.median:.1%}", f"{s.model.ninetieth:.1%}") for s in seen
    ]
    heads = ("expert", ">rows", ">mean", ">median", ">90 %")
    return Table("Error on shapes that were left out, of devices that were not", heads, rows)
