"""Islands: weighings, scores, and that they find what random search misses."""

from __future__ import annotations

import numpy as np

from codesign.search.engines import make_engine
from codesign.search.islands import Islands, score, weighings
from codesign.search.parameters import Integer
from codesign.search.space import BoxSpace
from codesign.testing.engines import evaluate, run


def test_every_objective_every_pair_and_all_have_an_island() -> None:
    assert weighings(1).tolist() == [[1.0]]
    assert len(weighings(2)) == 3
    assert len(weighings(3)) == 7
    for count in (1, 2, 3, 4):
        np.testing.assert_allclose(weighings(count).sum(axis=1), 1.0)
        assert (weighings(count) > 0).all()


def test_broken_points_score_behind_all_others_least_broken_first() -> None:
    values = np.array([[1.0, 1.0], [1e9, 1e9], [1.0, 1.0], [1.0, 1.0], [np.inf, np.inf]])
    scores = score(values, np.array([0.0, 0.0, 0.1, 5.0, np.inf]))
    assert (np.diff(scores, axis=1) > 0).all()


def test_scores_do_not_depend_on_units() -> None:
    values = np.random.default_rng(0).random((50, 2)) + 0.1
    one, other = (np.argsort(score(values * scale, np.zeros(50)), axis=1) for scale in (1.0, np.array([1e-9, 1e6])))
    assert np.array_equal(one, other)


def test_objectives_that_are_not_positive_are_ranked_too() -> None:
    values = np.array([[-3.0], [0.0], [2.0]])
    assert np.argsort(score(values, np.zeros(3))[0]).tolist() == [0, 1, 2]


def test_islands_come_nearer_than_random_points() -> None:
    space = BoxSpace([Integer(f"n{i}", 0, 99) for i in range(6)])
    best = {}
    for name in ("islands", "random"):
        engine = make_engine(name, space, seed=1, evaluations=2000, objectives=2)
        values = np.concatenate([evaluate(space, points).objectives for points in run(engine, space, 40, 50)])
        best[name] = values[:, 0].min()
    assert best["islands"] < 0.25 * best["random"]


def test_stale_islands_start_again() -> None:
    space = BoxSpace([Integer("n", 0, 9), Integer("m", 0, 9)])
    engine = Islands(space, seed=0, evaluations=100)
    assert sum(map(len, run(engine, space, 50))) == 100  # the whole space, each point once
