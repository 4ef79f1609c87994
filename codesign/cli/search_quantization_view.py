"""What ``codesign search quantization`` shows beside the front: sensitivity, the selected plan, timed plans."""

from __future__ import annotations

from typing import Any

from codesign.cli.output import Table, note, number, show_tables
from codesign.cli.search_run import finish


def show(ctx: Any, problem: Any, run: Any, timed: tuple[Any, ...], as_json: bool) -> None:
    """Show a finished search."""
    finish(ctx, run, as_json)
    if as_json:
        return
    show_tables([sensitivity_table(problem), *([timed_table(timed)] if timed else [])])
    for line in (*problem.sources, *selected_lines(problem, run)):
        note(ctx, line)


def sensitivity_table(problem: Any) -> Table:
    """Return the loss that each layer alone adds at each width."""
    rows = problem.plans.rows
    heads = list(dict.fromkeys((row.part, row.bits) for row in rows if row.bits <= 8))
    added = {(row.layer, row.part, row.bits): row.added for row in rows}
    cells = [
        (layer, *(f"{added[layer, part, bits]:+.3f}" if (layer, part, bits) in added else "" for part, bits in heads))
        for layer in problem.laboratory.layers
    ]
    short = {"weights": "w", "activations": "a"}
    title = "Loss added by one layer alone (search split); w4: weights of 4 bits, a4: activations of 4 bits"
    return Table(title, ("layer", *(f">{short[part]}{bits}" for part, bits in heads)), cells)


def timed_table(timed: tuple[Any, ...]) -> Table:
    """Return plans timed here beside the original."""
    rows = [
        (
            f"#{one.id}", f"{len(one.formats)} of {one.layers}", number(one.original, "s"), number(one.seconds, "s"),
            f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f})" if not one.reason else "", one.verdict,
        )
        for one in timed
    ]  # fmt: skip
    heads = ("point", ">layers run as planned", ">original", ">plan", ">original / plan", "")
    return Table("Timed here in turn, one thread; 90 % interval of the ratio", heads, rows)


def selected_lines(problem: Any, run: Any) -> tuple[str, ...]:
    """Return which plan the selection split picks, and what it is worth on data that nothing has seen."""
    from codesign.search.quantization.details import selected

    trials = run.trials().to_dict(as_series=False)
    row = selected(problem, trials)
    measure, original = problem.task.measure, problem.laboratory.original
    if row is None:
        return (
            f"no front plan keeps the {measure} of the original on the selection split: more --evaluations, or the "
            "finer --objectives quality, may find one",
        )
    bits, narrow = trials["weight_bits"][row], trials["activation_bits"][row]
    chosen, unseen = trials[f"selection_{measure}"][row], trials[f"unseen_{measure}"][row]
    return (
        f"selected #{trials['id'][row]}: {bits:.2f} bits a weight, {narrow:.2f} an activation; {measure} {chosen:.4g} "
        f"on the selection split (original {original['selection'].value:.4g}), {unseen:.4g} unseen "
        f"(original {original['report'].value:.4g})",
        f"plan        {run.path / 'plan.yaml'}",
        f"recipe      {run.path / 'recipe.yaml'} (llm-compressor, as far as it goes)",
        f"sensitivity {run.path / 'sensitivity.csv'}",
    )
