"""The network that stands for the trees: monotone by its weights, the same after its file, and no stranger to them."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.operators.device import Device, known_devices
from codesign.costmodels.operators.family_model import FamilyModel, on_device
from codesign.costmodels.operators.fit import predict, predict_quickly
from codesign.costmodels.operators.formats import format_of
from codesign.costmodels.operators.lookup import shipped_model
from codesign.costmodels.operators.monotone import RISING, Inputs
from codesign.costmodels.operators.network import CHUNK, PARTS, Network, fit_network
from codesign.costmodels.operators.tables import Rows
from codesign.errors import UsageError
from codesign.quantity import Array
from codesign.testing.cost_models import shapes

EXPERTS = sorted(shipped_model(trees=False).families)
COUNT = 40
ROUNDING = 1e-9


@cache
def devices() -> tuple[Device, ...]:
    return known_devices()


@st.composite
def asked(draw: st.DrawFn, expert: str) -> tuple[FamilyModel, Rows]:
    """Draw operators of an expert on a device of the catalogue, in one of the formats that both have."""
    model = shipped_model(trees=False).families[expert]
    device = draw(st.sampled_from(devices()))
    able = [form for form in map(format_of, model.expert.serves) if has(device, form)]
    form = draw(st.sampled_from(able or [format_of("fp32")]))
    zero = np.zeros(COUNT, np.int64)
    given_ = shapes(model.expert.family, COUNT, draw(st.integers(0, 10_000)))
    rows = Rows(model.expert.family, given_, (device,), zero, (form,), zero, (model.quickest_stack(form.name),), zero,
                np.ones(COUNT), np.zeros(COUNT, bool), {})  # fmt: skip
    here = on_device(model, device.id, form.name)
    spread = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
    change = spread * np.random.default_rng(draw(st.integers(0, 99))).standard_normal(len(model.pooled))
    return msgspec.structs.replace(here, change=here.change + change), rows


def has(device: Device, form: Any) -> bool:
    try:
        return device.peak(form) > 0.0
    except UsageError:
        return False


@pytest.mark.parametrize("expert", EXPERTS)
@given(data=st.data(), more=st.sampled_from([1.01, 2.0, 64.0]), one=st.booleans())
@settings(max_examples=25)
def test_more_never_takes_less(expert: str, data: st.DataObject, more: float, one: bool) -> None:
    model, rows = data.draw(asked(expert))
    before = predict_quickly(model, rows)
    for column in RISING[rows.family]:
        values = rows.shapes[column] + 1.0 if one else np.ceil(rows.shapes[column] * more)
        larger = msgspec.structs.replace(rows, shapes={**rows.shapes, column: values})
        assert (predict_quickly(model, larger) >= before * (1.0 - ROUNDING)).all(), column


@pytest.mark.parametrize("expert", EXPERTS)
@given(data=st.data(), factor=st.sampled_from([1.05, 2.0, 10.0]))
@settings(max_examples=25)
def test_a_better_device_is_never_slower(expert: str, data: st.DataObject, factor: float) -> None:
    model, rows = data.draw(asked(expert))
    before = predict_quickly(model, rows)
    (device,) = rows.devices
    matrix = {dtype: peak * factor for dtype, peak in device.matrix.items()}
    for better in (
        msgspec.structs.replace(device, bandwidth=device.bandwidth * factor),
        msgspec.structs.replace(device, cache_bandwidth=device.cache_bandwidth * factor),
        msgspec.structs.replace(device, functions=device.functions * factor),
        msgspec.structs.replace(device, matrix=matrix, vector=device.vector * factor),
    ):
        found = predict_quickly(model, msgspec.structs.replace(rows, devices=(better,)))
        assert (found <= before * (1.0 + ROUNDING)).all()


@pytest.mark.parametrize("expert", EXPERTS)
def test_its_weights_are_what_makes_it_rise(expert: str) -> None:
    network = shipped_model(trees=False).families[expert].network
    assert network is not None
    rising, count, hidden = network.sizes
    assert 0 < rising < count
    assert hidden % 2 == 0
    for held in (network.straight, network.first[:rising], network.second, network.last):
        assert (held >= 0.0).all()
    assert (network.low <= network.high).all()


def random_network(seed: int, rising: int, kind: int, hidden: int) -> Network:
    rng = np.random.default_rng(seed)
    count = rising + kind
    low = rng.normal(size=count)
    return Network(
        low, low + rng.random(count), rng.random(rising),
        np.concatenate([rng.random((rising, hidden)), rng.normal(size=(kind, hidden))]),
        rng.random((hidden, hidden)), rng.random((hidden, 1)), rng.normal(size=hidden), rng.normal(size=hidden),
        rng.normal(size=1),
    )  # fmt: skip


@given(seed=st.integers(0, 999), rising=st.integers(1, 8), kind=st.integers(0, 5), hidden=st.sampled_from([2, 8, 64]))
@settings(max_examples=25)
def test_packed_and_unpacked_it_is_the_same(seed: int, rising: int, kind: int, hidden: int) -> None:
    network = random_network(seed, rising, kind, hidden)
    same = Network.of_packed(network.packed(), network.sizes)
    assert same.sizes == (rising, rising + kind, hidden)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(same, part), getattr(network, part))
    for wrong in (network.packed()[:-1], np.append(network.packed(), 0.0), network.packed()[None]):
        with pytest.raises(ValueError, match="network"):
            Network.of_packed(wrong, network.sizes)


@pytest.mark.parametrize("sizes", [(0, 3, 4), (-1, 3, 4), (4, 3, 4)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int]) -> None:
    rising, count, hidden = sizes
    total = 2 * count + rising + count * hidden + hidden * hidden + 3 * hidden + 1
    with pytest.raises(ValueError, match=r"network|negative"):
        Network.of_packed(np.zeros(total), sizes)


@given(seed=st.integers(0, 99), step=st.floats(0.0, 5.0))
@settings(max_examples=25)
def test_any_network_of_such_weights_rises(seed: int, step: float) -> None:
    network = random_network(seed, 3, 2, 8)
    rng = np.random.default_rng(seed)
    rising, kind = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    before = network.predict(Inputs(rising, kind))
    for column in range(3):
        more = rising.copy()
        more[:, column] += step
        assert (network.predict(Inputs(more, kind)) >= before - 1e-9).all()


def test_rows_do_not_see_the_chunk_that_they_are_in() -> None:
    network = random_network(0, 3, 2, 64)
    rng = np.random.default_rng(0)
    many = Inputs(rng.normal(size=(CHUNK + 7, 3)), rng.normal(size=(CHUNK + 7, 2)))
    whole = network.predict(many)
    for at in (0, CHUNK - 1, CHUNK, CHUNK + 6):
        alone = network.predict(Inputs(many.rising[at : at + 1], many.kind[at : at + 1]))
        np.testing.assert_allclose(alone, whole[at], rtol=1e-12)


def test_what_never_varied_in_training_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign.costmodels.operators import network

    monkeypatch.setattr(network, "EPOCHS", 1)
    rng = np.random.default_rng(0)
    rising = np.stack([rng.uniform(-3, 3, 500), np.full(500, 2.0)], axis=1)
    fitted = fit_network(Inputs(rising, np.ones((500, 1))), rising[:, 0], seed=0)
    moved = rising + np.array([0.0, 5.0])
    np.testing.assert_array_equal(
        fitted.predict(Inputs(moved, np.ones((500, 1)))), fitted.predict(Inputs(rising, np.ones((500, 1))))
    )


def test_a_fit_learns_a_rising_function_and_is_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign.costmodels.operators import network

    monkeypatch.setattr(network, "EPOCHS", 12)
    monkeypatch.setattr(network, "BATCH", 64)
    rng = np.random.default_rng(0)
    rising, kind = rng.uniform(-3, 3, (1_500, 2)), rng.integers(0, 2, (1_500, 1)).astype(float)
    truth: Array = np.log(1.0 + np.exp(rising[:, 0])) + 0.3 * rising[:, 1] + 0.5 * kind[:, 0]
    first, second = (fit_network(Inputs(rising, kind), truth, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.packed(), second.packed())
    left = np.sqrt(np.mean((first.predict(Inputs(rising, kind)) - truth) ** 2))
    assert left < 0.1 * truth.std()


@pytest.mark.parametrize("expert", EXPERTS)
def test_it_says_about_what_the_trees_say(expert: str) -> None:
    """On any operators, off the grids of training too, of a device that was measured: nothing runs away."""
    model = shipped_model().families[expert]
    own = sorted(model.own)[0].split(" ")
    device = next(device for device in devices() if device.id == own[0])
    form = format_of(own[1] if len(own) > 1 else sorted(model.groups)[0][0])
    zero = np.zeros(200, np.int64)
    rows = Rows(model.expert.family, shapes(model.expert.family, 200, 5), (device,), zero, (form,), zero,
                (model.quickest_stack(form.name),), zero, np.ones(200), np.zeros(200, bool), {})  # fmt: skip
    here = on_device(model, device.id, form.name)
    off = np.abs(np.log(predict_quickly(here, rows) / predict(here, rows)))
    assert np.median(off) < 0.5
