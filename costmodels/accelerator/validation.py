"""Validation topic ``accelerators``: our counts, cycles and energies against published outputs of Timeloop."""

from __future__ import annotations

from collections.abc import Iterator

from codesign.costmodels.accelerator.costs import Costs
from codesign.costmodels.accelerator.counts import evaluate
from codesign.costmodels.accelerator.published import SOURCE, Case, cases
from codesign.validation import Check

ENERGY_TOLERANCE = 1e-6
"""Relative: the published energies of an operation have two decimals."""

FEMTOJOULE = 1e-15


def checks() -> Iterator[Check]:
    """Yield every check of the topic."""
    for case in cases():
        costs = evaluate(case.problem, case.architecture, case.mappings)
        compared, equal = agreement(case, costs)
        joules = case.expected["fj_per_compute"]["Total"] * FEMTOJOULE * case.expected["computes"]
        named = (
            ("cycles", float(case.expected["cycles"]), float(costs.cycles[0]), 0.0, ""),
            ("counts that agree", float(compared), float(equal), 0.0, ""),
            ("energy", joules, float(costs.energy[1, 0]), ENERGY_TOLERANCE, "J"),
        )
        for name, expected, found, tolerance, unit in named:
            yield Check(
                topic="accelerators", name=f"{case.name}: {name}", expected=expected, found=found, tolerance=tolerance,
                unit=unit, source=SOURCE,
            )  # fmt: skip


def agreement(case: Case, costs: Costs) -> tuple[int, int]:
    """Return how many published counts there are (tiles, instances, reads, fills, updates), and how many are ours."""
    compared = equal = 0
    for level, tensors in case.expected["levels"].items():
        for tensor, counts in tensors.items():
            row = costs.entry(level, tensor)
            found = {
                "reads": costs.reads[row, 0],
                "fills": costs.fills[row, 0],
                "updates": costs.updates[row, 0],
                "utilized_capacity": costs.tile[row, 0],
                "utilized_instances": costs.instances[costs.levels.index(level), 0],
            }
            compared += len(found)
            equal += sum(bool(found[key] == counts[key]) for key in found)
    return compared, equal
