"""The front of a network against all networks there are, and the error that thinning states."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.search.mapping import merge as merging
from codesign.search.mapping.merge import merge, total
from codesign.search.pareto import nondominated


def pools_of(seed: int, layers: int, most: int, width: int) -> tuple[list[np.ndarray], list[int]]:
    generator = np.random.default_rng(seed)
    pools = [generator.integers(1, 400, size=(generator.integers(1, most + 1), width)) / 8.0 for _ in range(layers)]
    return pools, generator.integers(1, 5, size=layers).tolist()


def everything(pools: list[np.ndarray], runs: list[int], largest: list[bool]) -> np.ndarray:
    """Return what every choice costs, by explicit sums."""
    rows = []
    for choice in product(*(range(len(pool)) for pool in pools)):
        parts = [pool[place] for pool, place in zip(pools, choice, strict=True)]
        summed = sum(n * part for n, part in zip(runs, parts, strict=True))
        rows.append(np.where(largest, np.max(parts, axis=0), summed))
    return np.array(rows)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([[False], [False, False],
       [False, True], [False, False, True], [True, True]]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_merged_front_is_that_of_all_networks(seed: int, layers: int, most: int, largest: list[bool]) -> None:
    pools, runs = pools_of(seed, layers, most, len(largest))
    found = merge(pools, runs, largest, kept=10**6)
    whole = everything(pools, runs, largest)
    expected = np.unique(whole[nondominated(whole)], axis=0)
    assert found.error == 0.0
    assert np.array_equal(np.unique(found.values, axis=0), expected)
    assert np.array_equal(total(pools, runs, largest, found.choices), found.values)


@pytest.mark.parametrize("largest", [[False, False], [False, False, False], [False, False, True]])
@pytest.mark.parametrize("most", [8, 60])
def test_what_is_thinned_away_is_no_better_than_the_error(
    monkeypatch: pytest.MonkeyPatch, largest: list[bool], most: int
) -> None:
    monkeypatch.setattr(merging, "MOST", most)  # thins after every layer, so that errors multiply
    errors = []
    for seed in range(5):
        pools, runs = pools_of(seed, 6, 7, len(largest))
        found = merge(pools, runs, largest, kept=12)
        whole = everything(pools, runs, largest)
        front = whole[nondominated(whole)]
        errors.append(found.error)
        assert len(found.values) <= 12 + len(largest) + 1
        worse = (found.values[:, None, :] / front[None, :, :]).max(axis=2).min(axis=0)
        assert worse.max() <= (1.0 + found.error) * (1.0 + 1e-12)
        assert np.array_equal(total(pools, runs, largest, found.choices), found.values)
    assert max(errors) > 0.0, "nothing was thinned: the test shows nothing"


def test_thinning_keeps_the_best_of_every_value() -> None:
    pools, runs = pools_of(1, 7, 6, 2)
    whole, few = (merge(pools, runs, [False, False], kept=kept) for kept in (10**6, 8))
    assert few.size == len(whole.values) > 8
    assert np.array_equal(few.values.min(axis=0), whole.values.min(axis=0))
    assert few.values.prod(axis=1).min() == pytest.approx(whole.values.prod(axis=1).min())
