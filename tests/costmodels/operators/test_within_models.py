"""Small models that are slower than their operators: the shared factors answer for it, as far as passes tell."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.fitted_factors import IN_A_MODEL
from codesign.costmodels.machine import machine
from codesign.costmodels.operators import unfused
from codesign.costmodels.operators.within_models import expected, factors_within
from codesign.profilers.operators import SMALL_PASSES, Pass, PassTiming
from codesign.profilers.operators.small_models import RESIDUAL
from codesign.quantity import Method
from codesign.targets import Calibration, OperatorCalibration, Target
from codesign.testing.synthetic_machine import processor

HOST = Calibration(LABELS[F.HOST], 4.0, 0.15, Method.CALIBRATED, "a test")


@pytest.fixture(scope="module")
def target() -> Target:
    names = ("gemm-cpu", "convolution-cpu", "prefill-cpu", "decode-cpu", "vector-cpu")
    entries = tuple(OperatorCalibration(name, (0.0,) * 4, 0.0, 0.3, 9, "a test") for name in names)
    return msgspec.structs.replace(processor(), operators=entries, calibration=(HOST,))


def timings(target: Target, slower: Callable[[Pass], float], drift: float = 0.02) -> tuple[PassTiming, ...]:
    """Return passes that take ``slower`` times as long as expected, in rounds that differ by ``drift``."""
    found = []
    for asked in SMALL_PASSES:
        seconds = slower(asked) * float(expected(target, PassTiming(asked, (1.0,))).value[0])
        found.append(PassTiming(asked, (seconds * np.exp(-drift / 2.0), seconds * np.exp(drift / 2.0))))
    return tuple(found)


def scales(target: Target, passes: tuple[PassTiming, ...]) -> dict[str, Calibration]:
    return {entry.name: entry for entry in factors_within(target, passes, "a test")}


def test_what_passes_take_moves_the_rates(target: Target) -> None:
    found = scales(target, timings(target, lambda asked: 1.25))
    prior = machine(target).sigmas
    for factor in (F.MATRIX, F.BANDWIDTH):
        entry = found[LABELS[factor]]
        assert 1.12 < entry.scale < 1.3
        assert IN_A_MODEL < entry.sigma < prior[factor], "models differ, so that a few never tell all"
    assert found[HOST.name] == HOST, "launches are measured by themselves"
    assert LABELS[F.FLOOR] not in found


def test_predictions_come_closer(target: Target) -> None:
    passes = timings(target, lambda asked: 1.4 if asked.phase == "decode" else 1.1)
    learnt = msgspec.structs.replace(target, calibration=factors_within(target, passes, "a test"))
    before, after = (
        np.mean([abs(np.log(float(expected(here, timing).value[0]) / timing.median)) for timing in passes])
        for here in (target, learnt)
    )
    assert after < 0.5 * before


def test_only_what_was_slower_becomes_slower(target: Target) -> None:
    found = scales(target, timings(target, lambda asked: 1.4 if asked.phase == "decode" else 1.0))
    assert found[LABELS[F.BANDWIDTH]].scale > 1.2
    assert found[LABELS[F.MATRIX]].scale == pytest.approx(1.0, abs=0.05)


def test_rounds_that_differ_say_less(target: Target) -> None:
    steady = scales(target, timings(target, lambda asked: 1.3))
    moody = scales(target, timings(target, lambda asked: 1.3, drift=0.8))
    name = LABELS[F.BANDWIDTH]
    assert 1.0 < moody[name].scale < steady[name].scale
    assert moody[name].sigma > steady[name].sigma
    beside = {entry.name: entry for entry in factors_within(target, timings(target, lambda a: 1.3), "a test", 0.1)}
    assert 1.0 < beside[name].scale < steady[name].scale
    assert steady[name].sigma < beside[name].sigma <= machine(target).sigmas[F.BANDWIDTH]


def test_without_passes_nothing_moves(target: Target) -> None:
    assert factors_within(target, (), "a test") == (HOST,)
    failed = tuple(PassTiming(asked, (), "not enough memory") for asked in SMALL_PASSES)
    assert factors_within(target, failed, "a test") == (HOST,)


def test_no_pass_has_results_on_fresh_pages(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker keeps its pages, so what it measures has none."""
    passes = [PassTiming(asked, (1.0,)) for asked in SMALL_PASSES]
    before = [float(expected(target, timing).value[0]) for timing in passes]
    monkeypatch.setattr(unfused, "SECONDS_A_FRESH_BYTE", 1.0)
    assert [float(expected(target, timing).value[0]) for timing in passes] == before
    large = PassTiming(Pass(RESIDUAL, "forward", 64), (1.0,))
    assert float(expected(target, large).value[0]) > 1e3, "others do"
