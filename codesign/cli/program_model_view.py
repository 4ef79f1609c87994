"""``codesign costmodels fit --from-run`` of program searches: learn what edits do to the cost of a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from codesign.cli.output import Table, note, show

if TYPE_CHECKING:
    from codesign.costmodels.programs import ProgramModel
    from codesign.costmodels.programs.model import Score
    from codesign.run import Run


def fit_and_show(
    ctx: typer.Context, runs: Sequence[Run], out: Path | None, names: Sequence[str], seed: int, json: bool
) -> None:
    """Fit a cost model of programs on ``runs``, write it to ``out`` where given, and print its errors."""
    from codesign.costmodels.programs import fit_program_model, write_program_model
    from codesign.search.mlir.learned import table_of_runs

    table = table_of_runs(runs, names)
    model = fit_program_model(table, seed=seed, progress=lambda text: note(ctx, text))
    if out is not None:
        write_program_model(out, model)
    card = model.card
    results = {"programs": card.programs, "targets": card.targets, "seed": seed, "model": out}
    units = {"mape": "1", "rank": "1", "half": "1", "half_unmeasured": "1", "spread": "1"}
    show(ctx, results, _tables(model), as_json=json, units=units, notes=_notes(model, out))


def _tables(model: ProgramModel) -> list[Table]:
    card = model.card
    heads = ("target", "model", ">MAPE", ">rank")
    tables = []
    if any(target.new_programs for target in card.targets):
        rows = [row for target in card.targets for row in _rows(target.name, target.model, target.new_programs)]
        tables.append(
            Table("On programs none of whose mutants was trained on, the original's value given", heads, rows)
        )
    rows = [row for target in card.targets for row in _rows(target.name, target.model, target.new_mutants)]
    tables.append(Table("On new mutants of programs that were trained on", heads, rows))
    return tables


def _rows(name: str, chosen: str, scores: dict[str, Score]) -> list[tuple[str, ...]]:
    return [
        (name if not place else "", f"{kind} *" if kind == chosen else kind, f"{score.mape:.1%}",
         "-" if score.rank is None else f"{score.rank:.3f}")
        for place, (kind, score) in enumerate(scores.items())
    ]  # fmt: skip


def _notes(model: ProgramModel, out: Path | None) -> list[str]:
    card = model.card
    found = ["* the one that is used", *(f"{count:,} of {name}" for name, count in card.programs.items())]
    if not any(target.new_programs for target in card.targets):
        found.append("fewer than three programs: nothing is known of others; --from-run takes several runs")
    return [*found, *([f"model: {out}"] if out is not None else [])]
