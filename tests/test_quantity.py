"""Columns against finite differences and Monte Carlo: slopes are derivatives, intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.quantity import Column, Factor, Method, Origin, Quantity, headline, soft_maximum, total

positive = st.floats(1e-3, 1e3)


def chain(a: Column, b: Column, c: Column) -> Column:
    return (soft_maximum(a + b, c) * a + b * c) / (c + a)


@given(positive, positive, positive, st.integers(0, 2))
def test_slopes_are_derivatives_in_the_logarithm_of_each_factor(a: float, b: float, c: float, moved: int) -> None:
    def value(step: float) -> Column:
        scales = [np.exp(step) if index == moved else 1.0 for index in range(3)]
        return chain(*(Column.of_factor(v * s, index, 3) for index, (v, s) in enumerate(zip((a, b, c), scales))))

    step = 1e-5
    difference = (value(step).value - value(-step).value) / (2 * step)
    here = value(0.0)
    assert here.slopes[moved] == pytest.approx(difference, rel=1e-5, abs=1e-7 * float(here.value))


@given(st.lists(st.tuples(positive, st.integers(0, 3)), min_size=1, max_size=6), positive)
def test_slopes_of_a_time_add_up_to_it(parts: list[tuple[float, int]], host: float) -> None:
    device = total(Column.of_factor(value, index, 5) for value, index in parts)
    time = soft_maximum(device, Column.of_factor(host, 4, 5))
    assert time.slopes.sum() == pytest.approx(float(time.value), rel=1e-12)
    assert time.value >= max(float(device.value), host) * (1 - 1e-12)


def test_a_shared_error_does_not_average_out_but_independent_ones_do() -> None:
    sigmas = np.array([0.2])
    shared = total(Column.of_factor(1.0, 0, 1) for _ in range(100))
    independent = total(Column(1.0, [0.0], 0.04) for _ in range(100))
    assert shared.relative_sigma(sigmas) == pytest.approx(0.2)
    assert independent.relative_sigma(sigmas) == pytest.approx(0.02)
    ratio = Column.of_factor(3.0, 0, 1) / Column.of_factor(2.0, 0, 1)
    assert ratio.relative_sigma(sigmas) == pytest.approx(0.0)


def test_interval_covers_ninety_percent_of_draws() -> None:
    generator = np.random.Generator(np.random.Philox(7))
    sigmas = np.array([0.15, 0.1])
    draws = np.exp(generator.normal(size=(2, 20000)) * sigmas[:, None])
    truth = 3.0 * draws[0] + 1.0 * draws[1]
    column = Column.of_factor(3.0, 0, 2) + Column.of_factor(1.0, 1, 2)
    low, high = column.interval(sigmas)
    assert np.mean((truth >= low) & (truth <= high)) == pytest.approx(0.90, abs=0.01)


def test_scalar_columns_broadcast_over_points() -> None:
    points = Column.of_factor(np.arange(1.0, 5.0), 0, 3)
    scalar = Column.of_factor(2.0, 1, 3)
    for combined in (points + scalar, scalar + points, points * scalar, soft_maximum(points, scalar)):
        assert combined.value.shape == (4,)
        assert combined.slopes.shape == (3, 4)
        one = [points.take(slice(i, i + 1)) for i in range(4)]
        assert len(one) == 4
    np.testing.assert_allclose((points * scalar).slopes[1], (points * scalar).value)


def test_headline_is_the_weakest_method_with_weight() -> None:
    factors = (
        Factor("rate", 0.1, Method.CALIBRATED),
        Factor("host", 0.3, Method.ANALYTICAL, Origin.ASSUMED),
    )
    assert headline(np.array([1.0, 0.01]), factors) == "calibrated"
    assert headline(np.array([1.0, 0.5]), factors) == "analytical, assumed inputs"


def test_zero_has_a_zero_interval() -> None:
    low, high = Column.exact(np.zeros(2), 1).interval(np.array([0.5]))
    assert low.tolist() == high.tolist() == [0.0, 0.0]


def test_quantity_scales_with_its_interval() -> None:
    assert Quantity(2.0, 1.0, 3.0, "s", "measured").scaled(1e3, "ms") == Quantity(2e3, 1e3, 3e3, "ms", "measured")
