"""Mappings built level by level: they fit, and where nothing was cut off none of all mappings is much better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.search.islands import Islands
from codesign.search.mapping.array_fills import array_fills
from codesign.search.mapping.inner import best_mappings
from codesign.search.mapping.level_fronts import level_fronts
from codesign.search.mapping.loop_factors import Divisors
from codesign.search.mapping.problem import MappingProblem
from codesign.search.space import Begun
from tests.search.mapping.designs import ARRAY, BUFFERED, PADS, PRODUCT, WINDOW

CASES = {"buffered": (PRODUCT, BUFFERED), "array": (PRODUCT, ARRAY), "pads": (WINDOW, PADS)}
CATALOGUE = ("diannao", "eyeriss-chip", "eyeriss-like", "fusemax", "gemmini-like", "tpu-like")


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("text", ["conv:K12C8P14Q10R3S3,stride=2", "gemm:96x60x84", "gemm:1x128x64"])
def test_built_mappings_fit_and_are_each_there_once(name: str, text: str, ragged: bool) -> None:
    problem = MappingProblem(problem=text, target=name, ragged=ragged)
    rows = problem.space.starts()
    assert len(rows)
    assert isinstance(problem.space, Begun)
    assert problem.mixed_costs(rows).feasible.all()
    assert len(np.unique(problem.space.key(rows))) == len(rows)
    assert np.array_equal(problem.space.repair(rows), rows)
    again = MappingProblem(problem=text, target=name, ragged=ragged)
    assert np.array_equal(again.space.starts(), rows)


@pytest.mark.parametrize("case", CASES)
def test_where_nothing_was_cut_off_no_mapping_is_much_better(case: str) -> None:
    einsum, architecture = CASES[case]
    whole = best_mappings(einsum, architecture, ("energy", "edp"), budget=10**6)
    assert whole.exhaustive
    genome, complete = level_fronts(whole.problem.space, width=100_000)
    assert complete
    values = whole.problem.evaluate(whole.problem.space.rows_of(genome)).objectives
    # halos and rows rounded up are not in the costs that partial mappings are compared by
    assert (values.min(axis=0) >= whole.best * (1 - 1e-12)).all()
    assert (values.min(axis=0) <= whole.best * 1.15).all()


@pytest.mark.parametrize("name", ["eyeriss-like", "gemmini-like", "tpu-like"])
@pytest.mark.parametrize("text", ["conv:K64C64P56Q56R3S3", "gemm:512x512x512"])
def test_building_beats_random_mappings(name: str, text: str) -> None:
    problem = MappingProblem(problem=text, target=name, objectives=("edp",))
    random = problem.space.sample(np.random.Generator(np.random.Philox(key=0)), 2000)
    built, drawn = (problem.evaluate(rows).objectives[:, 0].min() for rows in (problem.space.starts(), random))
    assert built < 0.9 * drawn


def test_islands_begin_with_what_was_built() -> None:
    problem = MappingProblem(problem="gemm:256x256x256", target="tpu-like", objectives=("edp",))
    first = Islands(problem.space, evaluations=4000).ask(300)
    keys = problem.space.key(problem.space.starts()[:300])
    assert np.isin(keys, problem.space.key(first)).all()
    without = Islands(problem.space, evaluations=4000, starts=False).ask(300)
    assert not np.isin(keys, problem.space.key(without)).all()


def test_uneven_spaces_begin_with_even_mappings_instead() -> None:
    assert not len(MappingProblem(problem="gemm:64x64x64", target="eyeriss-like", uneven=True).space.starts())


@pytest.mark.parametrize("ragged", [False, True])
def test_fillings_stay_within_the_array_and_waste_little(ragged: bool) -> None:
    divisors, limits = Divisors([64, 30, 7]), np.array([0, 12, 8, 0])
    fills = array_fills(divisors, limits, [1, 2], ragged, 50)
    assert (fills.prod(axis=1) <= limits[[1, 2]][:, None]).all()
    copies = fills.prod(axis=0)
    assert (copies <= divisors.extents[:, None]).all()
    if not ragged:
        assert (divisors.extents[:, None] % copies == 0).all()
    steps: Any = np.ceil(divisors.extents[:, None] / copies).prod(axis=0)
    assert (np.diff(steps) >= 0).all()
    least = _least_steps(divisors.extents.tolist(), (12, 8), ragged)
    assert steps[0] == least


def _least_steps(extents: list[int], limits: tuple[int, int], ragged: bool) -> int:
    """The fewest iterations over all fillings with at most two ranks a direction, by trying all."""

    def ways(limit: int) -> list[tuple[int, ...]]:
        found = []
        for one in np.ndindex(*(min(extent, limit) for extent in extents)):
            bounds = tuple(index + 1 for index in one)
            if np.prod(bounds) <= limit and sum(bound > 1 for bound in bounds) <= 2:
                found.append(bounds)
        return found

    best = 10**9
    for first in ways(limits[0]):
        for second in ways(limits[1]):
            copies = [one * two for one, two in zip(first, second, strict=True)]
            if any(count > extent for count, extent in zip(copies, extents, strict=True)):
                continue
            if not ragged and any(extent % count for count, extent in zip(copies, extents, strict=True)):
                continue
            best = min(best, int(np.prod([-(-extent // count) for count, extent in zip(copies, extents, strict=True)])))
    return best
