"""Timing believes no noise: intervals cover, drift cancels, a program shows no gain against itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from codesign.profilers.disturbance import Share
from codesign.search.mlir import timing
from codesign.search.mlir.timing import Speedup, band_of, interval, runtime, side_by_side


class Clock:
    """A clock that programs move forward; it also slows everything down as time passes."""

    def __init__(self, drift: float = 0.0, noise: float = 0.0, seed: int = 0) -> None:
        self.now, self.drift, self.noise = 0.0, drift, noise
        self.random = np.random.Generator(np.random.Philox(key=seed))

    def program(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            slower = 1.0 + self.drift * self.now
            self.now += seconds * slower * (1.0 + self.noise * self.random.exponential())

        return call

    def install(self, patch: pytest.MonkeyPatch) -> Clock:
        patch.setattr(time, "perf_counter", lambda: self.now)
        return self


@pytest.mark.parametrize(("count", "coverage"), [(5, 0.9), (8, 0.9), (20, 0.9), (20, 0.99), (41, 0.99)])
def test_the_interval_of_a_median_covers_as_often_as_it_says(count: int, coverage: float) -> None:
    random = np.random.Generator(np.random.Philox(key=count))
    draws = random.exponential(size=(4000, count))  # a skewed law: its median is ln 2
    found = [interval(row, coverage) for row in draws]
    inside = float(np.mean([low <= np.log(2.0) <= high for low, _, high in found]))
    assert inside >= coverage - 0.015
    assert all(low <= middle <= high for low, middle, high in found)


def test_few_values_give_their_whole_range() -> None:
    assert interval(np.array([3.0, 1.0, 2.0]), 0.99) == (1.0, 2.0, 3.0)


def test_drift_cancels_between_neighbours_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(drift=30.0).install(monkeypatch)  # the machine gets slower and slower
    began = clock.now
    pair = side_by_side(clock.program(1e-3), clock.program(1e-3), rounds=20)
    slowdown = 1.0 + 30.0 * (clock.now - began)
    assert slowdown > 2.0
    assert pair.ratio == pytest.approx(1.0, abs=0.03)
    assert not pair.gains()


def test_a_real_speed_up_is_a_gain_and_its_interval_holds_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(noise=0.2).install(monkeypatch)
    pair = side_by_side(clock.program(1.3e-3), clock.program(1e-3), rounds=30)
    assert pair.low <= 1.3 <= pair.high
    assert pair.gains()
    assert pair.least == pytest.approx(1.3, rel=0.05)


def test_equal_programs_are_rarely_called_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    false = 0
    for seed in range(200):
        clock = Clock(noise=0.3, seed=seed).install(monkeypatch)
        pair = side_by_side(clock.program(1e-3), clock.program(1e-3), rounds=20)
        same = side_by_side(clock.program(1e-3), clock.program(1e-3), rounds=20)
        false += pair.gains(band_of(same))
    assert false <= 2


def test_turns_are_long_enough_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().install(monkeypatch)
    assert timing.repeats_of(clock.program(1e-6)) == pytest.approx(300, abs=1)
    assert timing.repeats_of(clock.program(1.0)) == 1


def test_a_gain_within_the_band_of_noise_is_none() -> None:
    turn = timing.Runtime(1.0, 0.9, 1.1, 0.9, 20)
    pair = Speedup(1.05, 1.03, 1.07, 1.05, turn, turn)
    assert pair.gains(1.0)
    assert not pair.gains(1.04)
    assert not Speedup(1.008, 1.006, 1.009, 1.008, turn, turn).gains(1.0)  # below what is ever claimed
    assert band_of(Speedup(1.0, 0.95, 1.02, 1.0, turn, turn)) == pytest.approx(1.0 / 0.95)


def test_other_work_beside_a_measurement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        def share(self) -> Share:
            return Share(1.5, 2)

    monkeypatch.setattr(timing, "Watch", Busy)
    found = runtime(lambda: time.sleep(0.02), budget=0.15)
    assert found.busy
    assert found.others == 1.5
    assert found.low <= found.median <= found.high
