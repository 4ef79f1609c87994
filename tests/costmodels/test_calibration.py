"""Calibration against a machine whose true factors are known."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.costmodels.calibration import update
from codesign.costmodels.factors import COUNT, F
from codesign.errors import DataError
from codesign.quantity import Array

SIGMAS = np.full(COUNT, 0.3)
RATES = np.random.Generator(np.random.Philox(1)).uniform(0.1, 2.0, (40, COUNT))
RATES[:, [f for f in F if f not in (F.MATRIX, F.BANDWIDTH, F.HOST)]] = 0.0


def predict(scales: Array) -> tuple[Array, Array]:
    """Return a latency that is a sum of terms, one a factor, and its elasticities."""
    terms = RATES * scales
    return terms.sum(axis=1), terms / terms.sum(axis=1, keepdims=True)


def test_hidden_factors_are_found_and_the_others_keep_their_prior() -> None:
    hidden = np.ones(COUNT)
    hidden[[F.MATRIX, F.BANDWIDTH, F.HOST]] = 1.4, 0.8, 1.2
    noise = np.random.Generator(np.random.Philox(2)).standard_normal(len(RATES)) * 0.02
    found = update(predict, predict(hidden)[0] * np.exp(noise), np.full(len(RATES), 0.02), SIGMAS)
    np.testing.assert_allclose(np.log(found.scales), np.log(hidden), atol=0.12)
    off = np.abs(np.log(found.scales / hidden)) / found.sigmas
    assert (off < 3.0).all(), "the posterior covers the truth"
    for factor in F:
        touched = factor in (F.MATRIX, F.BANDWIDTH, F.HOST)
        assert found.identified[factor] == touched
        if not touched:
            assert found.scales[factor] == 1.0
            assert found.sigmas[factor] == pytest.approx(SIGMAS[factor])


def test_intervals_shrink_with_measurements() -> None:
    truth = predict(np.ones(COUNT))[0]

    def left(count: int) -> float:
        def some(scales: Array) -> tuple[Array, Array]:
            values, slopes = predict(scales)
            return values[:count], slopes[:count]

        return float(update(some, truth[:count], np.full(count, 0.02), SIGMAS).sigmas[F.MATRIX])

    assert SIGMAS[F.MATRIX] > left(1) > left(5) > left(40)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_impossible_measurements_are_refused(bad: float) -> None:
    measured = predict(np.ones(COUNT))[0]
    measured[3] = bad
    with pytest.raises(DataError, match="not positive"):
        update(predict, measured, np.zeros(len(measured)), SIGMAS)
