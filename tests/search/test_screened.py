"""Screened spaces: same designs, better draws, and every engine runs on them unchanged."""

import numpy as np
import pytest

from codesign.quantity import Array
from codesign.search.engines import make_engine
from codesign.search.parameters import Integer, Real
from codesign.search.problem import Points
from codesign.search.screened import ScreenedSpace
from codesign.search.space import BoxSpace, Space

BOX = BoxSpace([Real("x", 0.0, 1.0), Integer("n", 0, 9)])


def _first(points: Points) -> Array:
    column: Array = points[:, 0]
    return column


def _generator() -> np.random.Generator:
    return np.random.default_rng(7)


def test_it_is_a_space_and_engines_take_it() -> None:
    space: Space = ScreenedSpace(BOX, _first)
    engine = make_engine("nsga2", space, seed=0, evaluations=100, objectives=1)
    assert engine.ask(20).shape == (20, 2)
    assert space.to_json() == BOX.to_json()


def test_screening_keeps_the_promising() -> None:
    """The least of four uniform numbers has mean 1/5, and a fifth of the draws is free: (4/5) / 5 + (1/5) / 2."""
    points = ScreenedSpace(BOX, _first, draws=4, unscreened=0.2).sample(_generator(), 20_000)
    assert points[:, 0].mean() == pytest.approx(0.26, abs=0.01)
    assert np.unique(points[:, 1]).size == 10


def test_without_draws_to_choose_from_it_is_the_space_inside() -> None:
    parents = BOX.sample(_generator(), 50)
    screened = ScreenedSpace(BOX, _first, draws=1)
    assert np.array_equal(screened.mutate(_generator(), parents), BOX.mutate(_generator(), parents))


def test_everything_unscreened_is_the_first_draw() -> None:
    screened = ScreenedSpace(BOX, _first, draws=5, unscreened=1.0)
    assert np.array_equal(screened.sample(_generator(), 50), BOX.sample(_generator(), 50))


def test_what_cannot_run_is_passed_over_and_ignorance_is_no_promise() -> None:
    def guess(points: Points) -> Array:
        low: Array = np.where(points[:, 0] < 0.5, np.inf, np.nan)
        return np.where(points[:, 0] > 0.75, 1.0, low)

    points = ScreenedSpace(BOX, guess, draws=16, unscreened=0.0).sample(_generator(), 200)
    assert (points[:, 0] > 0.75).mean() > 0.95
