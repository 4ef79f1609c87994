"""Yields: limits, order, and digits where a die vanishes."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.carbon.yields import die_yield, exponential, murphy, negative_binomial, poisson
from codesign.errors import UsageError

areas = st.floats(1e-12, 30.0)
densities = st.floats(1e-6, 3.0)


@given(areas, densities)
def test_the_order_of_the_models(area: float, d0: float) -> None:
    p, m, e = poisson(area, d0), murphy(area, d0), exponential(area, d0)
    strict = area * d0 > 1e-3  # below, they agree to rounding
    assert p < m < e if strict else np.allclose([p, m], e, rtol=1e-5)
    assert p > 0.0
    assert e <= 1.0


@given(areas, densities)
def test_the_binomial_lies_between_its_limits(area: float, d0: float) -> None:
    np.testing.assert_allclose(negative_binomial(area, d0, 1.0), exponential(area, d0), rtol=1e-13)
    x = area * d0
    # (1 + x/a)^-a = e^-x (1 + x^2 / 2a + ..)
    np.testing.assert_allclose(
        negative_binomial(area, d0, 1e9) / poisson(area, d0), math.exp(x * x / 2e9), rtol=1e-4 * x**3 / 1e9 + 1e-12
    )
    alphas = np.array([1.0, 2.0, 3.0, 10.0, 100.0])
    assert (np.diff(negative_binomial(area, d0, alphas)) <= 1e-15).all()


@given(densities, st.floats(0.1, 100.0))
def test_a_vanishing_die_always_works(d0: float, alpha: float) -> None:
    assert poisson(0.0, d0) == murphy(0.0, d0) == exponential(0.0, d0) == negative_binomial(0.0, d0, alpha) == 1.0


@pytest.mark.parametrize("x", [1e-12, 1e-9, 1e-6, 1e-3, 0.5, 20.0])
def test_murphy_keeps_its_digits(x: float) -> None:
    getcontext().prec = 60
    exact = ((1 - (-Decimal(x)).exp()) / Decimal(x)) ** 2
    assert float(murphy(x, 1.0)) == pytest.approx(float(exact), rel=1e-15)


@given(st.lists(areas, min_size=2, max_size=6), densities)
def test_larger_dies_fail_more_often_and_arrays_equal_scalars(some: list[float], d0: float) -> None:
    for model in ("poisson", "murphy", "exponential", "negative_binomial"):
        together = die_yield(model, np.sort(some), d0)
        assert (np.diff(together) <= 0.0).all()
        np.testing.assert_array_equal(together, [die_yield(model, area, d0) for area in sorted(some)])


def test_what_is_no_yield_is_refused() -> None:
    assert die_yield("fixed", 1.0, 1.0, fixed=0.9) == 0.9
    for fixed in (0.0, 1.1, math.nan, None):
        with pytest.raises(UsageError, match="yield"):
            die_yield("fixed", 1.0, 1.0, fixed=fixed)
    with pytest.raises(UsageError, match="murfy") as caught:
        die_yield("murfy", 1.0, 1.0)
    assert "murphy" in caught.value.hint
    with pytest.raises(UsageError, match="area_cm2: found -1"):
        poisson(-1.0, 0.1)
    with pytest.raises(UsageError, match="alpha: found 0"):
        negative_binomial(1.0, 0.1, 0.0)
