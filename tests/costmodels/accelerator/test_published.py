"""Published outputs of Timeloop: every count and the cycles equal, energy within 1e-6."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.costmodels.accelerator import evaluate
from codesign.costmodels.accelerator.published import Case, cases
from codesign.costmodels.accelerator.validation import agreement, checks


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_counts_cycles_and_energy_are_those_published(case: Case) -> None:
    expected = case.expected
    costs = evaluate(case.problem, case.architecture, case.mappings)
    compared, equal = agreement(case, costs)
    assert equal == compared == 5 * len(costs.entries)
    assert costs.cycles[0] == expected["cycles"]
    assert case.problem.operations == expected["computes"]
    assert 100.0 * costs.utilisation[0] == expected["utilization_percent"]
    joules = expected["fj_per_compute"]["Total"] * 1e-15 * expected["computes"]
    assert costs.energy[1, 0] == pytest.approx(joules, rel=1e-6)
    for level, femto in expected["fj_per_compute"].items():
        if level in costs.levels:
            mine = costs.level_energy[costs.levels.index(level), 0] / case.problem.operations
            assert mine * 1e15 == pytest.approx(femto, abs=0.006), level
    assert bool(costs.feasible[0])
    assert np.isfinite(costs.energy).all()


def test_words_become_rows_once_for_the_whole_run() -> None:
    case = next(case for case in cases() if case.name == "01-conv1d-2level-os")
    costs = evaluate(case.problem, case.architecture, case.mappings)
    reads = costs.rows[0, costs.entry("MainMemory", "Inputs"), 0]
    assert costs.reads[costs.entry("MainMemory", "Inputs"), 0] == 18
    assert reads == 3, "18 words in rows of 8"


def test_all_370_counts_of_eleven_cases_are_compared() -> None:
    compared = [agreement(case, evaluate(case.problem, case.architecture, case.mappings)) for case in cases()]
    assert (len(compared), sum(pair[0] for pair in compared)) == (11, 370)


def test_the_topic_passes() -> None:
    made = list(checks())
    assert len(made) == 33
    assert all(check.passed for check in made)
