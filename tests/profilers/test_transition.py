"""Sweeps whose transition is known: found, covered by its interval, and independent of units and order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import DataError
from codesign.profilers.transition import Transition, _hinge, latency_knee, share_crossing, tklqt_knee

BATCHES = [1, 2, 4, 8, 16, 32, 64]
TRUTH = 6.0
Sweep = list[list[float]]
Level = Callable[[int], float]


def sweep(level: Level, noise: float, key: int, iterations: int = 9, batches: list[int] = BATCHES) -> Sweep:
    """Return iterations scattered by a factor around the level of each batch."""
    generator = np.random.Generator(np.random.Philox(key))
    return [(level(b) * np.exp(noise * generator.standard_normal(iterations))).tolist() for b in batches]


def flat_then_proportional(batch: int) -> float:
    return 0.003 * max(1.0, batch / TRUTH)


def flat_then_queueing(batch: int) -> float:
    return 6.5 * max(1.0, float((batch / TRUTH) ** 2.5))


def share(batch: int) -> float:
    return 0.5 + 0.12 * float(np.log2(batch / TRUTH))


def shares(noise: float, key: int, level: Level = share) -> Sweep:
    generator = np.random.Generator(np.random.Philox(key))
    return [(level(b) + noise * generator.standard_normal(9)).tolist() for b in BATCHES]


def holds(found: Transition, truth: float) -> bool:
    return (found.low or 0.0) <= truth <= (found.high or np.inf)


@pytest.mark.parametrize("key", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
def test_a_known_knee_is_found(noise: float, key: int) -> None:
    for knee, level in ((latency_knee, flat_then_proportional), (tklqt_knee, flat_then_queueing)):
        found = knee(BATCHES, sweep(level, noise, key), seed=0)
        assert found.crossed == "between"
        assert found.batch == pytest.approx(TRUTH, rel=2.5 * noise)
        assert holds(found, found.batch or 0.0)


def test_a_crossing_without_noise_is_exact_and_its_interval_a_point() -> None:
    found = share_crossing(BATCHES, shares(0.0, 0), seed=0)
    assert found.crossed == "between"
    assert [found.batch, found.low, found.high] == pytest.approx([TRUTH] * 3)
    assert "compute takes half of a pass from batch 6 on" in found.explanation
    assert "47% at 4" not in found.explanation  # 43 %: the levels listed are those of the sweep
    assert "43% at 4, 55% at 8" in found.explanation


@pytest.mark.parametrize("noise", [0.03, 0.2])
def test_intervals_cover_the_truth_as_often_as_they_say(noise: float) -> None:
    count, hits = 200, {"share": 0, "latency": 0, "tklqt": 0}
    for key in range(count):
        few = {"seed": key, "resamples": 300}
        hits["share"] += holds(share_crossing(BATCHES, shares(noise / 3, key), **few), TRUTH)
        hits["latency"] += holds(latency_knee(BATCHES, sweep(flat_then_proportional, noise, key), **few), TRUTH)
        hits["tklqt"] += holds(tklqt_knee(BATCHES, sweep(flat_then_queueing, noise, key), **few), TRUTH)
    assert min(hits.values()) >= 0.85 * count, hits


def test_more_noise_or_fewer_iterations_widen_the_interval() -> None:
    def width(noise: float, iterations: int) -> float:
        found = latency_knee(BATCHES, sweep(flat_then_proportional, noise, 5, iterations), seed=0)
        assert found.low is not None
        assert found.high is not None
        return found.high / found.low

    assert width(0.01, 20) < width(0.05, 20) < width(0.2, 20)
    assert width(0.05, 40) < width(0.05, 10) < width(0.05, 4)


@given(st.floats(1e-9, 1e9), st.permutations(range(len(BATCHES))), st.integers(0, 50))
def test_units_of_time_and_order_change_nothing(unit: float, order: list[int], key: int) -> None:
    made = sweep(flat_then_proportional, 0.1, key)
    first = latency_knee(BATCHES, made, seed=3, resamples=100)
    other = latency_knee(
        [BATCHES[i] for i in order], [[unit * v for v in made[i]] for i in order], seed=3, resamples=100
    )
    assert first.crossed == other.crossed
    assert [other.batch, other.low, other.high] == pytest.approx([first.batch, first.low, first.high], rel=1e-6)


def test_batches_scaled_scale_the_transition() -> None:
    for find, made in ((latency_knee, sweep(flat_then_proportional, 0.05, 1)), (share_crossing, shares(0.02, 1))):
        first, tripled = find(BATCHES, made, seed=0), find([3 * b for b in BATCHES], made, seed=0)
        assert first.low is not None
        assert tripled.low == pytest.approx(3 * first.low)
        assert first.batch is not None
        assert tripled.batch == pytest.approx(3 * first.batch)


@pytest.mark.parametrize(
    ("level", "crossed"),
    [
        (lambda b: 1.0, "above"),
        (lambda b: float(b), "below"),
        (lambda b: float(b) ** 0.3 * 5, "unresolved"),  # grows, but not as a bound device does
        (lambda b: float(min(b, 64 / b)), "unresolved"),  # rises and falls
        (lambda b: 1 / b, "unresolved"),
    ],
)
@pytest.mark.parametrize("knee", [latency_knee, tklqt_knee])
def test_sweeps_without_a_knee(knee: Callable[..., Transition], level: Level, crossed: str) -> None:
    found = knee(BATCHES, sweep(level, 0.02, 4), seed=0)
    assert found.crossed == crossed, found.explanation
    assert found.batch is None
    if crossed in {"above", "unresolved"}:
        assert found.high is None
    if crossed in {"below", "unresolved"}:
        assert found.low is None


def test_a_knee_before_the_last_batch_is_only_bracketed() -> None:
    found = tklqt_knee(BATCHES, sweep(lambda b: 8.0 if b == 64 else 1.0, 0.001, 4), seed=0)
    assert found.crossed == "between"
    assert found.low == pytest.approx(32, rel=0.01)
    assert found.high == pytest.approx(64, rel=0.01)


def test_too_few_batches_or_too_much_noise_are_not_resolved() -> None:
    few = latency_knee(BATCHES[:3], sweep(flat_then_proportional, 0.01, 1, batches=BATCHES[:3]), seed=0)
    assert few.crossed == "unresolved"
    assert "needs 4 batch sizes, 3 were profiled" in few.explanation
    noisy = sweep(flat_then_proportional, 3.0, 2, iterations=3)
    assert latency_knee(BATCHES, noisy, seed=0).crossed == "unresolved"


@pytest.mark.parametrize(
    ("level", "crossed", "batch"),
    [
        (lambda b: 0.8, "below", None),
        (lambda b: 0.1, "above", None),
        (lambda b: 0.4 if b in {1, 8} else 0.6, "non-monotone", 8 * 2**0.5),
        (lambda b: 0.6 if b < 8 else 0.4, "non-monotone", None),
    ],
)
def test_shares_that_cross_never_or_often(level: Level, crossed: str, batch: float | None) -> None:
    found = share_crossing(BATCHES, shares(0.001, 1, level), seed=0)
    assert found.crossed == crossed
    assert found.batch == (None if batch is None else pytest.approx(batch, rel=0.01))
    if crossed == "below":
        assert found.low is None
        assert found.high == pytest.approx(1.0)
    if crossed == "above":
        assert found.low == pytest.approx(64.0)
        assert found.high is None


def test_one_iteration_tells_nothing_of_the_scatter() -> None:
    found = share_crossing([1, 8], [[0.2], [0.8]], seed=0)
    assert found.batch == pytest.approx(8**0.5)
    assert [found.low, found.high] == [None, None]
    assert share_crossing([4], [[0.2, 0.3]], seed=0).crossed == "above"


def test_a_seed_repeats_and_the_result_is_plain_json() -> None:
    made = sweep(flat_then_queueing, 0.1, 7)
    first, again, other = (tklqt_knee(BATCHES, made, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert msgspec.json.decode(msgspec.json.encode(first), type=Transition) == first


@pytest.mark.parametrize(
    ("batches", "samples", "says"),
    [
        ([], [], "0 batch sizes"),
        ([1, 2], [[1.0]], "2 batch sizes with 1 lists"),
        ([2, 2], [[1.0], [1.0]], "batch sizes [2, 2]"),
        ([0], [[1.0]], "batch sizes [0]"),
        ([8], [[]], "samples of batch 8: found []"),
        ([8], [[1.0, float("nan")]], "found [1.0, nan]"),
        ([8], [[1.0, -1.0]], "expected positive finite numbers"),
    ],
)
def test_bad_sweeps_are_named(batches: list[int], samples: Sweep, says: str) -> None:
    with pytest.raises(DataError) as caught:
        latency_knee(batches, samples, seed=0)
    assert says in f"{caught.value} {caught.value.hint}"


@given(st.integers(0, 10_000), st.integers(4, 9))
def test_the_scan_is_at_least_as_good_as_any_knee_on_a_fine_grid(key: int, count: int) -> None:
    generator = np.random.Generator(np.random.Philox(key))
    at = np.sort(generator.uniform(0, 5, count)) + np.arange(count) * 0.05
    values = 2 * np.maximum(0, at - generator.uniform(0, 5)) + generator.normal(0, 0.5, count)
    fit = _hinge(at, values[None, :])
    rise = max(0.0, float(fit.slope[0])) > 0.0
    for knee in np.linspace(at[0], at[-2], 200):
        design = np.stack([np.ones(count), np.maximum(0.0, at - knee)], axis=1)
        solution, *_ = np.linalg.lstsq(design, values, rcond=None)
        if solution[1] > 0 and rise:
            assert fit.error[0] <= ((values - design @ solution) ** 2).sum() + 1e-9
