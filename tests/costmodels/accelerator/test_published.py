"""Published outputs of Timeloop: every count and the cycles equal, energy within 1e-6.

The cases are derived from the reference outputs of the Timeloop and Accelergy exercises (MIT licence).
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.costmodels.accelerator.cases import CASES, architecture_of, mapping_of, problem_of

from codesign.costmodels.accelerator import evaluate


@pytest.mark.parametrize("name", CASES)
def test_counts_cycles_and_energy_are_those_published(name: str) -> None:
    case, expected = CASES[name], CASES[name]["expected"]
    problem, architecture = problem_of(case), architecture_of(case)
    costs = evaluate(problem, architecture, mapping_of(case, problem, architecture))
    compared = 0
    for level, tensors in expected["levels"].items():
        for tensor, counts in tensors.items():
            row = costs.entry(level, tensor)
            found = {
                "reads": costs.reads[row, 0],
                "fills": costs.fills[row, 0],
                "updates": costs.updates[row, 0],
                "utilized_capacity": costs.tile[row, 0],
                "utilized_instances": costs.instances[costs.levels.index(level), 0],
            }
            assert found == {key: counts[key] for key in found}, (level, tensor)
            compared += len(found)
    assert compared == 5 * len(costs.entries)
    assert costs.cycles[0] == expected["cycles"]
    assert problem.operations == expected["computes"]
    assert 100.0 * costs.utilisation[0] == expected["utilization_percent"]
    joules = expected["fj_per_compute"]["Total"] * 1e-15 * expected["computes"]
    assert costs.energy[1, 0] == pytest.approx(joules, rel=1e-6)
    for level, femto in expected["fj_per_compute"].items():
        if level in costs.levels:
            mine = costs.level_energy[costs.levels.index(level), 0] / problem.operations
            assert mine * 1e15 == pytest.approx(femto, abs=0.006), level
    assert bool(costs.feasible[0])
    assert np.isfinite(costs.energy).all()
