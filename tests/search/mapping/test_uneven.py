"""Uneven mappings: even ones are among them at the same cost, and searching them never does worse."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.costmodels.accelerator import Problem, gemm
from codesign.search.mapping.inner import best_mappings
from codesign.search.mapping.problem import MappingProblem
from codesign.search.mapping.uneven import embedded
from codesign.targets.spatial import Architecture, load_architecture
from tests.search.mapping.designs import ARRAY, PADS, PRODUCT, WINDOW, machine, memory

CASES: dict[str, tuple[Problem, Architecture]] = {
    "pads": (PRODUCT, PADS),
    "array": (WINDOW, ARRAY),
    "eyeriss": (gemm(24, 36, 48), load_architecture("eyeriss-like")),
    "gemmini": (gemm(24, 36, 48), load_architecture("gemmini-like")),
}


@pytest.mark.parametrize("case", CASES)
def test_even_mappings_cost_the_same_among_the_uneven(case: str) -> None:
    einsum, architecture = CASES[case]
    even, uneven = (
        MappingProblem(einsum=einsum, architecture=architecture, objectives=("energy", "latency"), uneven=flag)
        for flag in (False, True)
    )
    points = even.space.sample(np.random.Generator(np.random.Philox(key=0)), 300)
    there = uneven.evaluate(embedded(even.space, uneven.space, points))
    np.testing.assert_allclose(there.objectives, even.evaluate(points).objectives, rtol=1e-12)
    assert there.ok.all()


def test_sharing_a_buffer_unevenly_moves_less() -> None:
    # in 12 words an even tile leaves room that no tensor can use; cut apart, one tensor keeps a larger tile alone
    architecture = machine(memory("Buffer", 5.0, words=12))
    einsum = gemm(4, 4, 4, bits=(8, 8, 8))
    even = best_mappings(einsum, architecture, ("traffic", "energy"), 10**6, baseline=False)
    uneven = best_mappings(einsum, architecture, ("traffic", "energy"), 40_000, baseline=False, uneven=True)
    assert even.exhaustive
    assert (uneven.best <= even.best * (1.0 + 1e-12)).all()
    assert (even.best[0], uneven.best[0]) == (80.0, 64.0)


def test_what_levels_may_keep_holds_for_uneven_mappings_too() -> None:
    problem = MappingProblem(
        einsum=PRODUCT, architecture=ARRAY, keeps={"Buffer": ["Weights"]}, objectives=("edp",), uneven=True
    )
    point = problem.baseline()
    assert point is not None
    assert problem.space.rows(point)[0]["Inputs"] == "Main"


def test_a_run_compares_uneven_mappings_with_the_best_even_one() -> None:
    problem = MappingProblem(problem="gemm:64x64x64", target="gemmini-like", objectives=("edp",), uneven=True)
    point = problem.baseline()
    assert point is not None
    even = MappingProblem(problem="gemm:64x64x64", target="gemmini-like", objectives=("edp",))
    random = even.evaluate(even.space.sample(np.random.Generator(np.random.Philox(key=0)), 2000)).objectives
    assert problem.evaluate(point).objectives[0, 0] <= random.min()
