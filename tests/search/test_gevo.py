"""The engine of edits: single changes first, parents among all that was valid."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.search.gevo import FRESH, SINGLE, Gevo
from codesign.search.parameters import Integer
from codesign.search.problem import Points, Results
from codesign.search.screened import ScreenedChanges
from codesign.search.space import BoxSpace, Composed


class Switches(BoxSpace):
    """Designs switch parts on; none is the original."""

    def __init__(self, count: int) -> None:
        super().__init__([Integer(f"s{place}", 0, 1) for place in range(count)])

    @property
    def original(self) -> Points:
        """Return the design with no switch on."""
        return np.zeros((1, self.dimensions))

    def union(self, points: Points) -> Points:
        """Return what has every switch on that one of ``points`` has."""
        every: Points = points.max(axis=0, keepdims=True)
        return every

    def single(self, generator: np.random.Generator, count: int) -> Points:
        """Return designs with one switch on."""
        return np.eye(self.dimensions)[generator.integers(0, self.dimensions, count)]


def test_a_share_of_the_budget_tries_single_changes() -> None:
    engine = Gevo(Switches(60), seed=0, evaluations=200)
    asked: list[Points] = []
    while sum(len(one) for one in asked) < 200:
        points = engine.ask(engine.batch)
        engine.tell(points, Results.make(np.stack([points.sum(axis=1), -points.sum(axis=1)], axis=1)))
        asked.append(points)
    ones = np.concatenate(asked).sum(axis=1)
    assert (ones[: int(SINGLE * 200)] == 1.0).all()
    later = (ones[int(SINGLE * 200) :] == 1.0).mean()
    assert 0.0 < later < 3.0 * FRESH  # no second time
    assert ones.max() > 3.0


def test_other_spaces_begin_with_random_designs() -> None:
    box = BoxSpace([Integer("n", 0, 99), Integer("m", 0, 99)])
    assert not isinstance(box, Composed)
    assert len(Gevo(box, evaluations=100).ask(12)) == 12


def test_all_single_changes_of_a_small_space_run_out() -> None:
    engine = Gevo(Switches(5), seed=0, evaluations=400)
    seen = 0
    for _ in range(8):
        points = engine.ask(4)
        engine.tell(points, Results.make(points[:, :2]))
        seen += len(points)
    assert seen > 5


def test_what_was_valid_stays_a_parent() -> None:
    """Two changes that were valid but dominated meet in a child although the population has lost both."""
    space = Switches(12)
    engine = Gevo(space, seed=0, evaluations=10, population=4)
    engine.ask(2)  # the share of single changes
    valid = np.eye(12)[:2]
    engine.tell(valid, Results.make(np.array([[9.0, 9.0], [8.0, 8.0]])))
    kept = np.eye(12)[2:6]
    engine.tell(kept, Results.make(np.array([[1.0, 4.0], [2.0, 3.0], [3.0, 2.0], [4.0, 1.0]])))
    children = engine._children(np.random.default_rng(0), 400, None)
    assert children[:, 0].sum() > 40
    assert (children[:, 0] * children[:, 2:6].max(axis=1)).sum() > 20


def test_what_is_better_and_worse_in_nothing_is_gathered() -> None:
    """Sixteen changes that each take one off the cost, and harm nothing: pairs alone would need many generations."""
    space = Switches(60)
    engine = Gevo(space, seed=0, evaluations=300)
    useful = np.arange(60) < 16
    best = 0.0
    engine.tell(space.original, Results.make(np.array([[100.0, 1.0]])))
    for _ in range(20):
        points = engine.ask(engine.batch)
        harmed = points[:, ~useful].any(axis=1)
        cost = 100.0 - 5.0 * points[:, useful].sum(axis=1)
        engine.tell(points, Results.make(np.stack([cost, np.where(harmed, 2.0, 1.0)], axis=1)))
        best = max(best, float(points[~harmed][:, useful].sum(axis=1).max(initial=0.0)))
    assert best >= 14


def test_screening_leaves_single_changes_alone() -> None:
    space = Switches(20)
    screened = ScreenedChanges(space, lambda points: points @ np.arange(20.0))
    drawn = screened.single(np.random.default_rng(0), 50)
    assert np.array_equal(drawn, space.single(np.random.default_rng(0), 50))


@pytest.mark.parametrize("given", [None, 37])
def test_the_state_comes_back(given: int | None) -> None:
    engine, other = (Gevo(Switches(30), seed=4, evaluations=given) for _ in range(2))
    for _ in range(4):
        points = engine.ask(9)
        engine.tell(points, Results.make(points[:, :2]))
    other.restore(engine.state())
    assert np.array_equal(engine.ask(9), other.ask(9))
