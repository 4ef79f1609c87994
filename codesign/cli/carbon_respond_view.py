"""Tables and notes of ``codesign carbon respond``, for 80 columns."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from codesign.cli.output import Table

if TYPE_CHECKING:
    from codesign.run import Run
    from codesign.search.demand_response.summary import PlanRow, Summary


def results(run: Run, summary: Summary, page: Path) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    plain: dict[str, Any] = msgspec.to_builtins(summary)
    plain.pop("units")
    return {"run": str(run.path), "report": str(page), **plain}


def tables(summary: Summary) -> list[Table]:
    """Return the baseline, a row a plan, and who bears the penalty."""
    plans = summary.plans
    first = Table("", ("baseline", ">value", ""), _baseline_rows(summary))
    heads = ("policy", "level", ">saved %", ">by moving", ">penalty", ">shed MWh", ">moved MWh", ">over MW")
    said = "Plans; saved: % of the carbon, in all and by moving batch work;\n"
    said += "level: price lambda in t CO2e per unit of penalty, or share cut"
    second = Table(said, heads, [_plan(p) for p in plans])
    third = Table(
        "Fairness; burden: penalty per MW of entitlement; Jain: 1 when all bear alike",
        ("policy", "level", ">worst burden", "borne by", ">Jain"),
        [
            (p.policy, _level(p), _figure(p.worst_burden), p.worst_workload[:24] or "-", _fixed(p.jain_index, 3))
            for p in plans
            if p.policy != "nothing"
        ],
    )
    return [first, second, third]


def notes(run: Run, summary: Summary, page: Path) -> list[str]:
    """Return what a reader must know beside the tables, and where everything is."""
    wrong = list(dict.fromkeys(p.wrong.partition(" by ")[0] for p in summary.plans if p.wrong and not p.excess_mw))
    lines = [f"!          no plan of the problem: {text}" for text in wrong]
    lines += ["x          exceeds the capacity: infeasible"] if any(p.excess_mw for p in summary.plans) else []
    lines += [f"penalty    {text}" for text in summary.notes]
    for goal in summary.goals:
        asked = f"{goal['saved_pct']:g} % saved" if "saved_pct" in goal else f"a penalty of {goal['penalty']:g}"
        lines.append(f"goal       {asked}: efficient at lambda {goal['reached_at']:.4g}")
    lines += [
        "shed       work that is not done; moved: batch work done at another hour",
        "penalties  as stated in the spec; they are no evidence about a real fleet",
        f"report     {page}",
        f"plans      {run.path / 'plan.csv'}",
        f"export     codesign report {shlex.quote(str(run.path))} --format csv|json|parquet|md|tex",
    ]
    return lines


def _plan(p: PlanRow) -> tuple[object, ...]:
    mark = "" if not p.wrong else " x" if p.excess_mw else " !"
    saved = (_fixed(p.saved_pct, 2), _fixed(p.saved_by_moving_pct, 2))
    return (
        p.policy + mark, _level(p), *saved, _figure(p.penalty), _fixed(p.shed_mwh, 1), _fixed(p.moved_mwh, 1),
        _fixed(p.excess_mw, 2),
    )  # fmt: skip


def _baseline_rows(summary: Summary) -> list[tuple[object, ...]]:
    b = summary.baseline
    weighed = "" if b.load_weighted_g_per_kwh is None else f"{b.load_weighted_g_per_kwh:.1f} weighted by load"
    capacity = "no limit" if b.capacity_mw is None else f"capacity {b.capacity_mw:.4g} MW"
    early = "batch work may run early" if b.advance else "no work runs before its hour"
    return [
        ("carbon", f"{b.carbon_t:.4g} t CO2e", f"{b.carbon_t_low:.4g} to {b.carbon_t_high:.4g} (grid +-10 %, assumed)"),
        ("energy", f"{b.energy_mwh:,.4g} MWh", f"{b.hours} hours; {early}"),
        ("peak", f"{b.peak_mw:.4g} MW", capacity),
        ("intensity", f"{b.mean_g_per_kwh:.1f} g/kWh", f"{b.min_g_per_kwh:.1f} to {b.max_g_per_kwh:.1f}; {weighed}"),
        ("grid", "", b.grid),
    ]


def _level(row: PlanRow) -> str:
    return f"{row.price:.4g}" if row.price is not None else f"{row.cut:.4g}" if row.cut is not None else "-"


def _fixed(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value + 0.0:,.{places}f}"


def _figure(value: float) -> str:
    return f"{value:,.1f}" if value >= 100.0 else f"{value:.4g}"
