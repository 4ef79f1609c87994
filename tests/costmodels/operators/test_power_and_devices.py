"""Power that limits rates, generations and processes of devices, and parameters that are each device's own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from codesign.costmodels.operators import fit, physics
from codesign.costmodels.operators.device import Columns, Device, device_of, process_energy
from codesign.costmodels.operators.experts import EXPERTS
from codesign.costmodels.operators.families import FAMILIES, features
from codesign.costmodels.operators.family_model import on_device
from codesign.costmodels.operators.fit import calibrated, fit_family, predict, predict_known, rows_of
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.protocols import error, spread_out
from codesign.costmodels.operators.tables import Rows, read_tables
from codesign.quantity import Array
from codesign.targets import load_target
from codesign.testing.synthetic_kernels import write_gemm_table

BARE = next(expert for expert in EXPERTS if expert.name == "gemm-16")
EXPERT = BARE._replace(by_power=False, levelled=True, by_device=True, within_power=True)
SLOWER = np.log([1.5, 0.7, 0.85, 1.0, 1.0, 1.0, 1.0])
WITH_POWER = np.append(physics.PRIOR, physics.JOULES.prior)


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    """Fit a tenth of the trees on one thread: the truth is simple, and workers share the processors."""
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(fit, "ITERATIONS", 25)
        yield


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder = write_gemm_table(tmp_path_factory.mktemp("kernels"), count=300, changes={"h100_sxm": SLOWER})
    found = rows_of(EXPERT, read_tables(folder))
    assert found is not None
    return found


def large_product(power: float, energy: float = 1.0) -> tuple[physics.Work, Columns, Device]:
    device = msgspec.structs.replace(device_of(load_target("t4")), power=power, energy=energy)
    on = Columns.of((device,), np.zeros(1, np.int64), (format_of("fp32"),), np.zeros(1, np.int64))
    shapes = {name: np.array([value]) for name, value in (("batch", 1.0), ("m", 8192.0), ("n", 8192.0), ("k", 8192.0))}
    return FAMILIES["gemm"].work(shapes, on), on, device


def rate_share(parameters: Array, power: float, energy: float = 1.0) -> float:
    work, on, device = large_product(power, energy)
    return float((work.flops / physics.seconds(parameters, work, on))[0] / device.vector)


def test_power_limits_the_rate_and_joules_times_rate_stay_below_it() -> None:
    bare = rate_share(physics.PRIOR, 70.0)
    assert rate_share(WITH_POWER, 70.0) < 0.6 * bare  # a card of 8.6 W for each peak TFLOP/s
    assert rate_share(WITH_POWER, 7_000.0) == pytest.approx(bare, rel=1e-3)  # power to spare changes nothing
    shares = [rate_share(WITH_POWER, power) for power in (20.0, 40.0, 80.0, 160.0, 320.0)]
    assert all(more >= less for less, more in pairwise(shares))
    for power in (20.0, 40.0, 80.0):
        watts = rate_share(WITH_POWER, power) * 8.1e12 * np.exp(physics.JOULES.prior)
        assert watts <= power * 1.001
    assert rate_share(WITH_POWER, 40.0, energy=0.5) == pytest.approx(rate_share(WITH_POWER, 80.0), rel=1e-9)


def test_finer_processes_take_less_energy_an_operation() -> None:
    names = ("TSMC 16nm", "TSMC 12nm", "Samsung 8nm", "TSMC 7nm", "TSMC 5nm + 6nm", "TSMC 4N")
    found = [process_energy(name) for name in names]
    assert found[0] == found[1] == 1.0
    assert all(less < more for more, less in pairwise(found[1:]))
    assert [process_energy(name) for name in ("", "unknown", "0nm")] == [1.0, 1.0, 1.0]
    for name, target in (("t4", 7.5), ("h100-sxm", 9.0)):
        assert device_of(load_target(name)).generation == target
    assert np.isnan(device_of(load_target("mi210")).generation)


def test_the_generation_is_the_last_feature_and_only_where_asked_for() -> None:
    work, on, _ = large_product(70.0)
    shapes = {name: np.array([8192.0]) for name in ("batch", "m", "n", "k")}
    given = (FAMILIES["gemm"], shapes, work, on, np.ones(1), np.ones(1))
    without, with_it = (features(*given, by_power=False, by_generation=flag) for flag in (False, True))
    np.testing.assert_array_equal(with_it[:, :-1], without)
    assert with_it[0, -1] == 7.5


def test_a_device_that_was_fitted_on_keeps_what_is_its_own(rows: Rows) -> None:
    model = fit_family(EXPERT, rows)
    assert set(model.own) == {device.id for device in rows.devices}
    assert len(model.pooled) == 8
    slow = rows.take(rows.device == [d.id for d in rows.devices].index("h100-sxm"))
    strange, known = (error(found, slow.seconds).mean for found in (predict(model, slow), predict_known(model, slow)))
    assert known < 0.05
    assert strange > 3.0 * known
    assert on_device(model, "l4") is model
    moved = on_device(model, "h100-sxm")
    assert moved.change[0] > model.own["a100-80gb-sxm"][0]  # its floor is half as high again


def test_own_parameters_are_around_those_of_devices_not_seen(rows: Rows) -> None:
    model = fit_family(EXPERT, rows)
    changes = np.array([own[:-1] for own in model.own.values()])
    np.testing.assert_allclose(changes.mean(axis=0), 0.0, atol=1e-9)


def test_calibration_of_a_known_device_starts_from_what_is_known(rows: Rows) -> None:
    model = fit_family(EXPERT, rows)
    slow = rows.take(rows.device == [d.id for d in rows.devices].index("h100-sxm"))
    one = slow.take(spread_out(slow.seconds, 1, np.random.default_rng(0)))
    known, strange = (calibrated(start, one) for start in (on_device(model, "h100-sxm"), model))
    assert error(predict(known, slow), slow.seconds).mean < 0.6 * error(predict(strange, slow), slow.seconds).mean


def hot(rows: Rows, factor: float) -> Rows:
    """Return ``rows`` of which two thirds were measured in a sweep that takes ``factor`` as long."""
    apart = np.arange(len(rows)) % 3 == 0
    return msgspec.structs.replace(rows, held_out=apart, seconds=np.where(apart, 1.0, factor) * rows.seconds)


def test_a_device_is_what_its_short_runs_are(rows: Rows) -> None:
    mixed = hot(rows, 1.4)
    short = mixed.take(mixed.held_out)
    expert = EXPERT._replace(short_runs=True)
    found = {name: predict_known(fit_family(e, mixed), short) for name, e in (("all", EXPERT), ("short", expert))}
    off = {name: float(np.median(np.log(values / short.seconds))) for name, values in found.items()}
    assert abs(off["short"]) < 0.03
    assert off["all"] > 0.1
    # a device that was measured in one run only is what that run is
    lone = mixed.device == mixed.device[0]
    partly = msgspec.structs.replace(mixed, held_out=mixed.held_out & ~lone)
    model = fit_family(expert, partly)
    assert set(model.own) == {device.id for device in rows.devices}
    for mine in (lone, ~lone & mixed.held_out):
        there = partly.take(mine)
        assert abs(np.median(np.log(predict_known(model, there) / there.seconds))) < 0.08


def test_what_is_known_of_kernels_is_not_fitted_but_for_each_device(rows: Rows) -> None:
    model = fit_family(EXPERT._replace(rate_share=1.0), rows)
    assert model.pooled[physics.RATE_SHARE] == 0.0
    assert all(found[physics.RATE_SHARE] == 0.0 for found in model.groups.values())
    own = [change[physics.RATE_SHARE] for change in model.own.values()]
    assert np.median(own) < -0.1, "the truth is 0.8"
    free = fit_family(EXPERT, rows)
    assert free.pooled[physics.RATE_SHARE] < -0.1


def test_a_share_of_the_shape_term_is_carried_to_other_devices(rows: Rows) -> None:
    expert = EXPERT._replace(by_device=False, carried=0.25)
    model = fit_family(expert, rows)
    assert model.trust == 0.25
    assert on_device(model, "h100-sxm").trust == 1.0
    assert on_device(model, "l4").trust == 0.25
    assert on_device(model, "h100-sxm", "bf16").trust == 1.0
    assert on_device(model, "h100-sxm", "fp16").trust == 0.25, "a format that was not measured there"
    strange = predict(model, rows)
    whole, none = (predict(msgspec.structs.replace(model, trust=trust), rows) for trust in (1.0, 0.0))
    np.testing.assert_allclose(np.log(strange / none), 0.25 * np.log(whole / none), atol=1e-9)


def test_one_measurement_moves_a_device_less_than_many_of_it(rows: Rows) -> None:
    model = fit_family(EXPERT, rows)
    one = rows.take(np.array([7]))
    slow = msgspec.structs.replace(one, seconds=1.6 * predict(model, one))
    many = slow.take(np.zeros(16, np.int64))
    moved = [float(np.log(predict(calibrated(model, few), one) / predict(model, one))[0]) for few in (slow, many)]
    assert 0.05 < moved[0] < 0.75 * moved[1]
    assert moved[1] == pytest.approx(np.log(1.6), rel=0.25)


def test_experts_of_other_formats_have_no_power_limit(rows: Rows) -> None:
    model = fit_family(BARE, rows)
    assert len(model.pooled) == len(physics.NAMES) == 7
    assert all(len(found) == 7 for found in model.groups.values())
