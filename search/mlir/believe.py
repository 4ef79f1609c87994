"""What of a search's front can be believed: measured again, chosen on one set of data and reported on another.

The winner is the fastest member that is faster beyond noise and loses little on the selection data. Where nothing is
timed it is the lightest by the first of FLOPs, bytes and operations that was asked for; else one that answers better
beyond chance. Its edits are reduced to those that matter and explained, each with what the program is without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codesign.run import Run
from codesign.search.derive import add_verification
from codesign.search.hypervolume import hypervolume
from codesign.search.mlir.edits import Edit
from codesign.search.mlir.explain import explain
from codesign.search.mlir.export import export
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.reduce import Winner, lighter, reduced
from codesign.search.mlir.remeasure import SECONDS, Bench, Member
from codesign.search.mlir.space import edits_from_json, kinds_of
from codesign.search.mlir.timing import BUSY

NAMES = {"flops": "FLOPs", "bytes": "bytes", "operations": "operations"}
BEST = "best"
"""Directory of the winner in a run's directory."""


def believe(
    run: Run, problem: ProgramSearch, *, lost: float = 0.02, seconds: float = SECONDS, random: Run | None = None
) -> dict[str, Any]:
    """Measure the front of ``run`` again, and record what stands.

    Args:
        run: A finished search of ``problem``.
        problem: What was searched.
        lost: Error that a faster program may lose on the selection data.
        seconds: Of timing, for each member.
        random: The same search by random edits, to compare with.

    Returns:
        The verification that the run's report shows.
    """
    ids, found = members_of(run)
    with Bench(problem, seconds=seconds if problem.timed else 0.0) as bench:
        original, *measured = bench.points(problem.edits.rows_of([(), *found]))
        cost = cost_of(problem)
        winner = chosen(original, measured, ids, found, lost, cost)
        told: list[dict[str, str]] = []
        if winner is not None:
            winner = reduced(winner, original, lost, bench, cost)
            told = explained(winner, original, problem, bench, cost)
            where = {"backend": problem.asked.backend, "device": problem.asked.device, "source": problem.asked.model}
            export(problem.prepared.program, winner.edits, run.path / BEST, **where)
    document = summary(problem, original, winner, [original, *measured], lost)
    document |= compared(run, random) if random is not None else {}
    document |= {"rows": [row(0, original, "none"), *map(row, ids, measured, map(kinds_of, found))]}
    document |= {"edits": told, "notes": [f"{one['what']}; without it {one['without it']}" for one in told]}
    add_verification(run, document, problem)
    return document


def members_of(run: Run) -> tuple[list[int], list[tuple[Edit, ...]]]:
    """Return ids and edits of the front, the original left out, the least errors first."""
    columns = run.front["columns"]
    errors = columns.get("error", columns["id"])
    order = [place for place in np.argsort(errors, kind="stable").tolist() if columns["edits"][place]]
    return [columns["id"][place] for place in order], [edits_from_json(columns["changes"][place]) for place in order]


def cost_of(problem: ProgramSearch) -> str:
    """Return the account of the compiler that a search without timing is about; empty where there is none."""
    named = [name for name in problem.asked.objectives if name in ("flops", "bytes", "operations")]
    return "" if problem.timed or not named else named[0]


def chosen(
    original: Member, measured: Sequence[Member], ids: Sequence[int], edits: Sequence[tuple[Edit, ...]], lost: float,
    cost: str = "",
) -> Winner | None:  # fmt: skip
    """Return the member that stands, if any: the surest speed-up, the lightest, or the best answers beyond chance."""
    everyone = [
        Winner(*one)
        for one in zip(ids, edits, map(len, edits), measured, strict=True)
    ]  # fmt: skip
    faster = [one for one in everyone if one.member.faster and one.member.within(original, lost)]
    if faster:
        return max(faster, key=lambda one: one.member.low)
    light = [one for one in everyone if one.member.within(original, lost) and lighter(one.member, original, cost)]
    if light:
        return min(light, key=lambda one: (getattr(one.member, cost), one.member.selection_error))
    better = [one for one in everyone if one.member.better(original)]
    return min(better, key=lambda one: one.member.selection_error) if better else None


def explained(
    winner: Winner, original: Member, problem: ProgramSearch, bench: Bench, cost: str
) -> list[dict[str, str]]:  # fmt: skip
    """Return a row for each edit: what it does, where, before and after, and what the program is without it."""
    told = []
    for place, one in enumerate(explain(problem.prepared.program.graph, winner.edits)):
        rest = (*winner.edits[:place], *winner.edits[place + 1 :])
        without = original if not rest else bench.edits(rest, "brief")
        if without.reason:
            effect = f"the rest does not run: {without.reason}"
        else:
            speed = "" if np.isnan(without.speedup) else f"{without.speedup:.3g}x, "
            if cost:
                speed = f"{getattr(original, cost) / getattr(without, cost):.3g}x fewer {NAMES[cost]}, "
            effect = f"{speed}error {without.report_error:.4g}"
        told.append({**one.row(), "what": one.sentence, "without it": effect})
    return told


def summary(
    problem: ProgramSearch, original: Member, winner: Winner | None, everyone: Sequence[Member], lost: float
) -> dict[str, Any]:
    """Return what a report says first."""
    task = problem.prepared.task
    trivial = task.judge.trivial(task.samples("report").y)
    found: dict[str, Any] = {
        "claim": claim(winner, original, lost, cost_of(problem)),
        "original": f"error {original.report_error:.4g} on the report data"
        + ("" if np.isnan(original.runtime) else f", {original.runtime * 1e6:,.4g} us a run"),
        "answering without the input": f"error {trivial.value:.4g} on the report data",
        "error is the": task.judge.meaning,
    }
    if problem.timed:
        loads = [member.other_work for member in everyone if not np.isnan(member.other_work)]
        busy = sum(load > BUSY for load in loads)
        found["other work"] = (
            f"ran beside {busy} of {len(loads)} measurements, up to {max(loads):.2g} processors: intervals are wider"
            if busy
            else "none worth naming ran beside the measurements"
        )
        found["noise"] = f"the original shows up to {max(m.band for m in everyone if not m.reason):.4g}x against itself"
    if winner is not None:
        gap = winner.member.report_error - winner.member.search_error
        found["winner"] = f"#{winner.id}: {_counted(len(winner.edits))} of {winner.before}, in {BEST}"
        before = original.report_error - original.search_error
        found["winner, report less search"] = f"error {gap:+.4g} (original {before:+.4g})"
    return found


def claim(winner: Winner | None, original: Member, lost: float, cost: str = "") -> str:
    """Return what is claimed, in one sentence."""
    if winner is None:
        what = f"takes fewer {NAMES[cost]}" if cost else "is faster beyond noise"
        return f"no gain: no member of the front {what} at an error at most {lost:g} above the original's"
    member = winner.member
    errors = f"error {member.report_error:.4g} against {original.report_error:.4g} on data the search has not seen"
    if member.faster:
        return f"{member.speedup:.3g}x faster ({member.low:.3g} to {member.high:.3g}, 99 % interval), {errors}"
    if lighter(member, original, cost):
        return f"{getattr(original, cost) / getattr(member, cost):.3g}x fewer {NAMES[cost]} (the compiler's), {errors}"
    speed = "" if np.isnan(member.speedup) else f", {member.speedup:.3g}x as fast"
    return f"better answers: {errors}{speed}"


def compared(run: Run, random: Run) -> dict[str, Any]:
    """Return the hypervolume of a search and of random edits, below the same reference point."""
    meta = run.meta["problem"]
    signs = np.array([-1.0 if one["better"] == "higher" else 1.0 for one in meta["objectives"]])
    reference = meta["reference_point"]
    if reference is None:
        return {}
    fronts = [
        np.stack([np.asarray(one.front["columns"][o["name"]], np.float64) for o in meta["objectives"]], axis=1) * signs
        for one in (run, random)
    ]
    mine, theirs = (hypervolume(front, np.asarray(reference) * signs) for front in fronts)
    ratio = f"{mine / theirs:.3g} times that" if theirs > 0.0 else "more than none"
    return {
        "random edits": f"hypervolume {theirs:.4g} after {random.meta['evaluations']:,} evaluations",
        "search": f"hypervolume {mine:.4g} after {run.meta['evaluations']:,} evaluations, {ratio} of random edits",
    }


def row(identity: int, member: Member, edits: str) -> dict[str, Any]:
    """Return what a report lists of a member."""
    shown = {
        "speed-up": member.speedup, "from": member.low, "to": member.high, "noise": member.band,
        "search": member.search_error, "selection": member.selection_error, "report": member.report_error,
        "FLOP": member.flops, "operations": member.operations,
    }  # fmt: skip
    plain = {name: None if np.isnan(value) else value for name, value in shown.items()}
    return {"member": f"#{identity}", "edits": edits, "faster": member.faster, **plain, "reason": member.reason}


def _counted(edits: int) -> str:
    return "1 edit that matters" if edits == 1 else f"{edits} edits that matter"
