"""Fronts, ranks and archives against brute force; hypervolume against inclusion-exclusion and closed forms."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codesign.search import hypervolume as hv
from codesign.search.knee import knee
from codesign.search.pareto import Archive, crowding, fronts, nondominated

grid = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.inf])


def matrices(rows: Any, columns: Any = 5) -> Any:
    return st.tuples(st.integers(0, rows), st.integers(1, columns)).flatmap(
        lambda s: arrays(np.float64, s, elements=grid)
    )


def dominates(a: Any, b: Any) -> Any:
    return (a <= b).all() and (a < b).any()


def brute(values: Any) -> Any:
    keep = []
    for i, row in enumerate(values):
        beaten = any(dominates(other, row) for other in values) or any((o == row).all() for o in values[:i])
        keep.append(bool(np.isfinite(row).all()) and not beaten)
    return np.array(keep, dtype=bool)


@settings(max_examples=200, deadline=None)
@given(matrices(40))
def test_nondominated_is_brute_force(values: Any) -> None:
    assert np.array_equal(nondominated(values), brute(values))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_nondominated_large_with_ties(width: Any) -> None:
    values = np.random.Generator(np.random.Philox(key=width)).integers(0, 30, (1500, width)).astype(float)
    assert np.array_equal(nondominated(values), brute(values))


@settings(max_examples=150, deadline=None)
@given(matrices(60), st.integers(1, 20))
def test_archive_does_not_depend_on_batches(values: Any, step: Any) -> None:
    archive = Archive(values.shape[1])
    ids = np.arange(len(values))
    for start in range(0, len(values), step):
        entered = archive.offer(values[start : start + step], ids[start : start + step])
        assert np.array_equal(ids[start : start + step][entered], archive.ids[archive.ids >= start])
    assert np.array_equal(archive.ids, np.flatnonzero(brute(values)))
    assert np.array_equal(archive.values, values[archive.ids])


def test_archive_screen_of_large_batches() -> None:
    values = np.random.Generator(np.random.Philox(key=1)).random((4000, 3))
    archive = Archive(3)
    for start in range(0, 4000, 1000):
        archive.offer(values[start : start + 1000], np.arange(start, start + 1000))
    assert np.array_equal(archive.ids, np.flatnonzero(brute(values)))


@settings(max_examples=100, deadline=None)
@given(matrices(25, 3), st.data())
def test_fronts_follow_debs_rules(values: Any, data: Any) -> None:
    violation = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0]), min_size=len(values), max_size=len(values)))
    )
    ranks = fronts(values, violation)
    good = (violation == 0) & np.isfinite(values).all(axis=1)
    for i, j in itertools.permutations(range(len(values)), 2):
        feasibility = good[i] and not good[j]
        dominance = good[i] and good[j] and dominates(values[i], values[j])
        amount = not good[i] and not good[j] and 0 < violation[i] < violation[j]
        if feasibility or dominance or amount:
            assert ranks[i] < ranks[j]
    for i in np.flatnonzero(good & (ranks > 0)).tolist():
        assert any(ranks[j] == ranks[i] - 1 and dominates(values[j], values[i]) for j in range(len(values)))


def test_crowding_of_a_line() -> None:
    values = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    distance = crowding(values, np.zeros(4, int))
    assert np.isinf(distance[[0, 3]]).all()
    np.testing.assert_allclose(distance[1:3], [0.75 + 0.75, 0.75 + 0.75])


def inclusion_exclusion(rows: Any, corner: Any) -> Any:
    total = 0.0
    for size in range(1, len(rows) + 1):
        for chosen in itertools.combinations(range(len(rows)), size):
            total += (-1) ** (size + 1) * np.prod(np.maximum(corner - rows[list(chosen)].max(axis=0), 0.0))
    return total


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(0, 7), st.integers(1, 5)).flatmap(
        lambda s: arrays(np.float64, s, elements=st.floats(-2.0, 6.0, allow_nan=False, width=16))
    )
)
def test_hypervolume_is_inclusion_exclusion(rows: Any) -> None:
    corner = np.full(rows.shape[1], 5.0)
    assert hv.hypervolume(rows, corner) == pytest.approx(inclusion_exclusion(rows, corner), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("width", [2, 3, 4])
def test_hypervolume_of_a_linear_front(width: Any) -> None:
    # lattice points with sum n on a grid of n: the dominated lattice cells can be counted
    n = 6
    cells = np.array([c for c in itertools.product(range(n + 1), repeat=width) if sum(c) == n], dtype=float)
    volume = hv.hypervolume(cells, np.full(width, n + 1.0))
    count = sum(1 for c in itertools.product(range(n + 1), repeat=width) if sum(c) >= n)
    assert volume == pytest.approx(count)


@pytest.mark.parametrize("width", [4, 5])
def test_exact_within_the_stated_error_of_sampling(width: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.abs(np.random.Generator(np.random.Philox(key=2)).normal(size=(40, width)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    corner = np.full(width, 1.1)
    exact = hv.measure(rows, corner)
    assert exact.method == "exact"
    monkeypatch.setattr(hv, "EXACT_ROWS", {})
    sampled = hv.measure(rows, corner)
    assert sampled.method.startswith("quasi-Monte Carlo")
    assert 0.0 < sampled.error < 0.01
    assert abs(sampled.value - exact.value) < 4 * sampled.error


@pytest.mark.parametrize("width", [2, 3, 4])
def test_history_never_falls_and_ends_at_the_front(width: Any) -> None:
    rows = np.random.Generator(np.random.Philox(key=3)).random((200, width))
    corner = hv.reference_point(rows)
    counts = [1, 2, 5, 20, 100, 200]
    series, last = hv.history(rows, np.arange(200), counts, corner)
    assert all(b >= a for a, b in itertools.pairwise(series))
    assert series[-1] == pytest.approx(last.value)
    assert last.value == pytest.approx(hv.hypervolume(rows, corner), rel=0.02)
    if width <= 3:
        assert series == [hv.hypervolume(rows[:c], corner) for c in counts]


def test_reference_point_is_the_nadir_times_1_1_when_the_best_is_0() -> None:
    np.testing.assert_allclose(hv.reference_point(np.array([[0.0, 2.0], [4.0, 0.0]])), [4.4, 2.2])
    assert (hv.reference_point(np.array([[-3.0, 5.0]])) > [-3.0, 5.0]).all()


def test_knee_is_the_corner_of_an_elbow() -> None:
    assert knee(np.array([[0.0, 1.0], [0.1, 0.1], [1.0, 0.0]])) == 1
    assert knee(np.array([[3.0]])) == 0
    assert knee(np.zeros((0, 2))) == -1
