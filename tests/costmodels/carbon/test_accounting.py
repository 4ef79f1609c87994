"""SCI, figures of merit, training: closed forms, and null instead of zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.carbon import metrics
from codesign.costmodels.carbon.accounting import amortised_grams, energy_kwh, facility_grams, footprint
from codesign.costmodels.carbon.processor_power import log_power
from codesign.costmodels.carbon.training import training
from codesign.costmodels.serving_power import ServingJob, fitted_on, serving_power
from codesign.errors import UsageError

amounts = st.floats(0.0, 1e6)


@given(amounts, amounts, st.floats(1e-3, 1e6))
def test_sci_is_the_sum_over_the_units(o: float, m: float, units: float) -> None:
    found = footprint(operational_g=o, embodied_g=m, functional_units=units)
    assert found.sci_g_per_unit is not None
    assert found.sci_g_per_unit * units == pytest.approx(o + m)
    assert found.label == "operational and embodied"
    assert footprint(whole_g=o, functional_units=units).sci_g_per_unit == pytest.approx(o / units)


def test_what_is_not_declared_is_null_with_a_reason() -> None:
    alone = footprint(operational_g=400.0, functional_units=2.0)
    assert alone.embodied_g is None
    assert alone.label == "operational only"
    assert alone.embodied_reason == "embodied carbon is not declared"
    assert alone.sci_g_per_unit == 200.0
    for units in (None, 0, 0.0):
        none = footprint(operational_g=400.0, embodied_g=1.0, functional_units=units)
        assert none.sci_g_per_unit is None
        assert none.sci_reason == "no functional unit is declared"
    embodied = footprint(embodied_g=3.0, functional_units=1.0)
    assert (embodied.operational_g, embodied.sci_g_per_unit) == (None, None)
    assert embodied.sci_reason == "energy is not declared"
    assert embodied.label == "embodied only"
    assert embodied.boundary == embodied.functional_unit == "not declared"
    assert footprint().label == "nothing declared"
    with pytest.raises(UsageError, match="beside"):
        footprint(whole_g=1.0, operational_g=1.0)
    with pytest.raises(UsageError, match="functional_units"):
        footprint(operational_g=1.0, functional_units=[1.0, 0.0])


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=5), st.floats(1.0, 1e6))
def test_disjoint_reservations_carry_the_hardware_once(hours: list[float], te: float) -> None:
    life = math.fsum(hours) or 1.0
    parts = [amortised_grams(te, hour, life * (1 + 1e-12), 3, 12) for hour in hours]
    assert sum(parts) == pytest.approx(te / 4 * (math.fsum(hours) / life))


@given(amounts, st.floats(0.0, 1000.0), st.floats(1.0, 3.0))
def test_operational_carbon_is_linear(kwh: float, ci: float, pue: float) -> None:
    whole = facility_grams(kwh, ci, pue)
    assert whole == pytest.approx(kwh * ci * pue)
    np.testing.assert_allclose(facility_grams([kwh, 2 * kwh], ci, pue), [whole, 2 * whole])


def test_a_million_tokens_on_the_grid_of_the_usa() -> None:
    kwh = 1e6 * 0.0702 / 3.6e6
    assert facility_grams(kwh, 369.473) == pytest.approx(7.20, abs=0.005)
    embodied = amortised_grams(164e3, 1e6 / 9806 / 3600, 4 * 8760)
    assert embodied == pytest.approx(0.133, abs=5e-4)
    assert energy_kwh(1000.0, 24.0, 0.5) == 12.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: facility_grams(1.0, -1.0),
        lambda: facility_grams(1.0, 1.0, 0.9),
        lambda: facility_grams(math.inf, 1.0),
        lambda: amortised_grams(1.0, 2.0, 1.0),
        lambda: amortised_grams(1.0, 1.0, 1.0, 3, 2),
        lambda: amortised_grams(1.0, 1.0, 0.0),
        lambda: energy_kwh(1.0, 1.0, 1.1),
        lambda: metrics.cci(1.0, 0.0),
        lambda: training(1e9, 1e9, 8, 1e14, 1.2, 300, 1.1, 400),
        lambda: training(1e9, 1e9, 8, 1e14, 0.5, 300, 0.9, 400),
        lambda: log_power(101.0, 1, 1, 1, 1),
        lambda: log_power(0.0, 1, 1, 0, 1),
        lambda: log_power(1.0, 1, 1e-3, 0, 1),
    ],
)
def test_arguments_outside_their_domain_are_refused(call: Any) -> None:
    with pytest.raises(UsageError):
        call()


@given(st.floats(1.0, 1e6), st.floats(1e-6, 10.0), st.floats(1e-3, 1e3), st.floats(1.1, 10.0))
def test_figures_of_merit_scale_with_their_powers(c: float, d: float, e: float, k: float) -> None:
    assert metrics.c2ep(c, e) == pytest.approx(c * c * e)
    assert metrics.ce2p(c, e) == pytest.approx(c * e * e)
    assert metrics.c2ep(k * c, e) / metrics.c2ep(c, e) == pytest.approx(k * k)
    assert metrics.ce2p(c, k * e) / metrics.ce2p(c, e) == pytest.approx(k * k)
    assert metrics.tcdp(metrics.total_carbon(c, e), d) == pytest.approx((c + e) * d)
    assert metrics.edp(e, d) == pytest.approx(e * d)
    # twice the work for the same carbon is half the intensity
    assert metrics.cci(c, 2e18 * e) == pytest.approx(metrics.cci(c, 1e18 * e) / 2)


def test_training_is_six_flop_a_parameter_and_token() -> None:
    found = training(1e9, 1e9, np.array([1, 10]), 1e15, 0.6, 500.0, 1.2, 400.0)
    np.testing.assert_allclose(found.seconds, [1e4, 1e3])
    np.testing.assert_allclose(found.facility_kwh, 1e4 * 500 * 1.2 / 3.6e6)
    np.testing.assert_allclose(found.carbon_g, found.facility_kwh * 400.0)


H100 = ServingJob(700.0, 1, 989.5e12, 3.35e12, 8.03e9, 8.03e9, 2.0, 8.0, 0.007316, 8 / 0.007316)


def test_power_of_a_serving_job() -> None:
    # measured: 486.4 W (ml.energy, Llama-3.1-8B, batch 8)
    found = serving_power(H100, known_family=True)
    u = 2 * 8.03e9 * 8 / 0.007316 / 989.5e12
    assert found.power == pytest.approx(700 * (0.687 + 1.259 * u))
    assert found.power == pytest.approx(486.4, rel=0.03)
    assert found.low < 486.4 < found.high
    assert found.high <= 700.0
    elsewhere = serving_power(H100, known_family=False)
    assert elsewhere.power == found.power
    assert elsewhere.low < found.low
    assert elsewhere.high >= found.high


@given(st.floats(1.0, 1e6), st.integers(1, 64))
def test_a_job_draws_at_most_what_its_devices_may(rate: float, devices: int) -> None:
    for active in (8e9, 2e9):
        found = serving_power(H100._replace(tokens_per_s=rate, devices=devices, active_params=active), True)
        assert 0.6 * 700 * devices < found.power <= 700 * devices * (1 + 1e-12)
        assert found.low < found.power <= found.high


def test_the_family_of_a_device_is_known_by_its_figures() -> None:
    assert fitted_on(700.0, 989.5e12, 3.35e12)
    assert fitted_on(700.0, 989.5e12, 4.8e12)  # H200
    assert not fitted_on(400.0, 312e12, 2.039e12)
    assert not fitted_on(700.0, 989.5e12, 2.0e12)
    with pytest.raises(UsageError, match="itl_s"):
        serving_power(H100._replace(itl_s=0.0), True)
    with pytest.raises(UsageError, match="active_params"):
        serving_power(H100._replace(active_params=9e9), True)
    many = serving_power(H100._replace(batch=np.array([1.0, 8.0])), True)
    np.testing.assert_array_equal(many.power, serving_power(H100, True).power)
