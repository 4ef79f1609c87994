"""Draws of uncertain inputs: quantiles as stated, common numbers for common names, comparisons that see them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.carbon.draws import Uncertain, drawn, share_below, standard_normal, summary
from codesign.errors import UsageError

COUNT = 40_000


@given(
    st.floats(1e-6, 1e6), st.floats(1.0, 20.0), st.floats(1.0, 20.0), st.integers(0, 2**63 - 1),
)  # fmt: skip
def test_the_quantiles_are_the_ends(value: float, below: float, above: float, seed: int) -> None:
    given_range = Uncertain(value / below, value, value * above)
    found = summary(drawn({"a": given_range}, COUNT, seed)["a"], "g", "test")
    # the error of a quantile of n draws, in logarithms: a few percent of the distance to the median
    for got, wanted, width in ((found.low, given_range.low, below), (found.value, value, max(below, above)),
                               (found.high, given_range.high, above)):  # fmt: skip
        assert abs(np.log(got / wanted)) <= 0.05 * np.log(width) + 1e-9


def test_a_triangle_stays_inside_and_peaks_at_its_value() -> None:
    found = drawn({"yield": Uncertain(0.75, 0.875, 0.95, "triangular")}, COUNT, 1)["yield"]
    assert 0.75 <= found.min() < found.max() <= 0.95
    assert found.mean() == pytest.approx((0.75 + 0.875 + 0.95) / 3.0, rel=2e-3)


def test_a_name_decides_its_draws_whatever_stands_beside_it() -> None:
    wide = Uncertain(0.5, 1.0, 2.0)
    alone = drawn({"grid": wide}, 100, 7)["grid"]
    beside = drawn({"a": wide, "grid": wide, "b": wide}, 100, 7)
    np.testing.assert_array_equal(alone, beside["grid"])
    assert not np.array_equal(beside["a"], beside["b"])
    assert not np.array_equal(alone, drawn({"grid": wide}, 100, 8)["grid"])
    # another range under the same name moves with it: the same quantile in every draw
    other = drawn({"grid": Uncertain(10.0, 20.0, 40.0)}, 100, 7)["grid"]
    np.testing.assert_array_equal(np.argsort(alone), np.argsort(other))


def test_names_are_independent_of_each_other() -> None:
    one, other = standard_normal("memory hbm", COUNT), standard_normal("fab electricity", COUNT)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_shared_inputs_cancel_in_a_comparison() -> None:
    grid = drawn({"grid": Uncertain(100.0, 300.0, 900.0)}, COUNT, 3)["grid"]
    assert share_below(grid * 1.0, grid * 1.01) == 1.0
    again = drawn({"another grid": Uncertain(100.0, 300.0, 900.0)}, COUNT, 3)["another grid"]
    assert share_below(grid * 1.0, again * 1.01) == pytest.approx(0.5, abs=0.03), (
        "apart they could hardly be told apart"
    )
    assert share_below(grid, grid) == 0.5


@pytest.mark.parametrize(
    ("given_range", "says"),
    [(Uncertain(2.0, 1.0, 3.0), "does not hold"), (Uncertain(0.0, 1.0, 2.0), "above 0"),
     (Uncertain(1.0, float("nan"), 2.0), "does not hold"), (Uncertain(1.0, 2.0, float("inf")), "does not hold")],
)  # fmt: skip
def test_ranges_that_cannot_be_are_refused(given_range: Uncertain, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        drawn({"x": given_range})
