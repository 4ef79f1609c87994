"""Case files: demand response from the inputs of a case (kind ``respond``), for comparison with stated values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codesign.errors import DataError
from codesign.search.demand_response.assembly import assemble
from codesign.search.demand_response.inlined import from_mapping, inlined
from codesign.search.demand_response.policies import Policies

MOST_LEVELS = 200
FRACTIONS = (0.02, 0.05, 0.1)
"""Uniform cuts that are reported where a case states none."""

REQUIRED = ("series", "load", "day", "fleet_mean_mw", "share", "weight", "batch", "lambdas")
OPTIONAL = ("column", "load_column", "segments", "advance", "fractions")


def respond(inputs: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values of a case of kind ``respond``.

    Args:
        inputs: ``series`` and ``column`` (hourly g CO2e/kWh), ``load`` and ``load_column`` (hourly shape), ``day``,
            ``fleet_mean_mw``, ``share``, ``weight`` and ``batch`` (a workload each), ``segments`` (equal chords),
            ``advance``, ``lambdas``, ``fractions`` (uniform cuts).
        folder: Where the paths of the case start.

    Returns:
        ``baseline_t``; ``rows``, one a lambda: saved % and penalty of the policies, theta (what the fair plan may use
        of penalty per MW of entitlement: the efficient penalty over the total entitlement), and the MW by which the
        decentralised plan exceeds the capacity; ``uniform``, one a fraction: the cap that sheds batch work, and what
        the efficient plan saves at the same penalty.

    Raises:
        DataError: an input is missing, unknown or wrong.
    """
    policies = _policies(inputs, folder)
    fleet = policies.fleet
    percent = 100.0 / fleet.baseline_t if fleet.baseline_t > 0.0 else float("nan")
    rows = []
    for price in _levels(inputs, "lambdas", ()):
        efficient = policies.efficient(price)
        fair = policies.fair_centralised(float(efficient.penalty.sum()))
        alone = policies.fair_decentralised(price)
        rows.append(
            {
                "lambda": price,
                "efficient_saved_pct": float(efficient.saved_t.sum()) * percent,
                "efficient_penalty": float(efficient.penalty.sum()),
                "theta": fair.bound,
                "fair_central_saved_pct": float(fair.outcome.saved_t.sum()) * percent,
                "fair_central_penalty": float(fair.outcome.penalty.sum()),
                "decentral_saved_pct": float(alone.saved_t.sum()) * percent,
                "decentral_peak_over_cap_mw": alone.excess_mw,
            }
        )
    uniform = []
    for fraction in _levels(inputs, "fractions", FRACTIONS):
        cut = policies.uniform_shed(fraction).outcome
        penalty = float(cut.penalty.sum())
        uniform.append(
            {
                "fraction": fraction,
                "saved_pct": float(cut.saved_t.sum()) * percent,
                "penalty": penalty,
                "efficient_same_penalty_saved_pct": float(policies.efficient_within(penalty).saved_t.sum()) * percent,
            }
        )
    return {"baseline_t": fleet.baseline_t, "rows": rows, "uniform": uniform}


def shift_jobs(inputs: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values of a case of kind ``shift_jobs``."""
    from importlib import import_module

    values: dict[str, Any] = import_module("codesign.search.demand_response.shift_cases").shift_jobs(inputs, folder)
    return values


def _policies(inputs: Mapping[str, Any], folder: Path) -> Policies:
    from codesign.errors import nearest

    known = (*REQUIRED, *OPTIONAL)
    for name in inputs:
        if name not in known:
            raise DataError(f"respond: unknown input {name!r}", nearest(str(name), known))
    missing = [name for name in REQUIRED if name not in inputs]
    if missing:
        raise DataError(f"respond: missing input {missing[0]!r}", f"expected {', '.join(REQUIRED)}")
    lists = {name: inputs[name] for name in ("share", "weight", "batch")}
    for name, value in lists.items():
        if not isinstance(value, list) or len(value) != len(lists["share"]):
            raise DataError(f"respond: {name}: expected a list, one entry a workload as in share")
    if not all(isinstance(flag, bool) for flag in lists["batch"]):
        raise DataError("respond: batch: expected true or false for each workload")
    shares = [_number(share, f"share[{place}]") for place, share in enumerate(inputs["share"])]
    total = max(1.0, sum(shares))  # a study's shares are of its fleet; a case may state a fleet of more
    mean = _number(inputs["fleet_mean_mw"], "fleet_mean_mw")
    workloads = [
        {"name": f"workload {place}", "kind": "batch" if batch else "online", "share": share / total,
         "penalty": {"weight": weight}}
        for place, (share, weight, batch) in enumerate(zip(shares, inputs["weight"], inputs["batch"], strict=True))
    ]  # fmt: skip
    spec = {
        "grid": {"csv": inputs["series"], "column": inputs.get("column", "avg_ci_g_per_kwh"), "day": inputs["day"]},
        "fleet": {
            "mean_mw": mean * total,
            "shape": {"csv": inputs["load"], "column": inputs.get("load_column", "cpu_load")},
        },
        "workloads": workloads,
        "advance": inputs.get("advance", False),
        "chords": {"segments": inputs.get("segments", 8), "spacing": "uniform"},
    }
    asked = inlined(from_mapping(spec, "respond"), folder, "respond")
    return Policies(assemble(asked, "respond").fleet)


def _levels(inputs: Mapping[str, Any], name: str, default: tuple[float, ...]) -> list[float]:
    given = inputs.get(name, list(default))
    if not isinstance(given, list) or len(given) > MOST_LEVELS:
        raise DataError(f"respond: {name}: expected a list of at most {MOST_LEVELS} numbers")
    levels = [_number(value, f"{name}[{place}]") for place, value in enumerate(given)]
    if not all(levels):
        raise DataError(f"respond: {name}: found 0, expected numbers above 0")
    return levels


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e6:
        raise DataError(f"respond: {where}: found {value!r}, expected a number from 0, below 1e6")
    return float(value)
