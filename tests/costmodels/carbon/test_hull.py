"""The carbon hull against the minimum over all designs for many uses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.carbon.hull import carbon_hull, use_grams_per_watt
from codesign.errors import UsageError

numbers = st.floats(0.0, 1e6, allow_subnormal=False).map(lambda v: round(v, 3))
designs = st.lists(st.tuples(numbers, numbers, st.floats(1e-3, 1e3)), min_size=1, max_size=40)


@given(designs, st.lists(st.floats(0.0, 1e9), min_size=1, max_size=20))
def test_no_design_beats_the_hull_for_any_use(rows: list[tuple[float, float, float]], uses: list[float]) -> None:
    embodied, power, delay = (np.array(column) for column in zip(*rows, strict=True))
    hull = carbon_hull(embodied, power, delay)
    use = np.array(uses)[:, None]
    merit = delay * embodied + use * delay * power
    best = merit[np.arange(len(uses)), hull.best(np.array(uses))]
    np.testing.assert_array_less(best, merit.min(axis=1) * (1.0 + 1e-9) + 1e-6)


@given(designs)
def test_crossovers_rise_and_are_where_neighbours_are_equal(rows: list[tuple[float, float, float]]) -> None:
    embodied, power, delay = (np.array(column) for column in zip(*rows, strict=True))
    hull = carbon_hull(embodied, power, delay)
    assert hull.begins[0] == 0.0
    assert (np.diff(hull.begins) >= 0.0).all()
    x, y = delay * embodied, delay * power
    for place in range(1, len(hull.design)):
        one, other, use = hull.design[place - 1], hull.design[place], hull.begins[place]
        assert x[one] + use * y[one] == pytest.approx(x[other] + use * y[other], rel=1e-6, abs=1e-6)
        assert y[other] < y[one], "more embodied carbon only pays where less power is drawn"


def test_an_efficient_design_takes_over_with_use_and_a_third_never_wins() -> None:
    # 100 kg at 400 W, 300 kg at 200 W, and one between them that lies above their line
    hull = carbon_hull([100e3, 210e3, 300e3], [400.0, 310.0, 200.0], 1.0)
    assert hull.design.tolist() == [0, 2]
    assert hull.begins[1] == pytest.approx(200e3 / 200.0)
    hours = hull.begins[1] / use_grams_per_watt(400.0, 1.25, 1.0)
    assert hours == pytest.approx(2000.0), "1,000 g/W at 0.5 g a watt and hour"


def test_the_hull_of_many_designs_is_quick_and_of_equal_ones_is_one() -> None:
    random = np.random.default_rng(5)
    hull = carbon_hull(random.uniform(1, 2, 200_000), random.uniform(1, 2, 200_000), random.uniform(1, 2, 200_000))
    assert 1 < len(hull.design) < 100
    assert carbon_hull([1.0, 1.0], [2.0, 2.0], [3.0, 3.0]).design.tolist() == [0]


@pytest.mark.parametrize("wrong", [[-1.0], [float("nan")], [float("inf")]])
def test_impossible_designs_are_refused(wrong: list[float]) -> None:
    with pytest.raises(UsageError):
        carbon_hull(wrong, 1.0, 1.0)
    with pytest.raises(UsageError):
        carbon_hull([], 1.0, 1.0)
