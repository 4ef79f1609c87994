"""Spaces: numbering is a bijection, variation stays inside, JSON comes back the same."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.search.parameters import Categorical, Integer, Ordinal, Real, When
from codesign.search.space import BoxSpace
from codesign.search.unseen import generator_of, shuffled
from codesign.testing.engines import spaces

SPACES = spaces()


@st.composite
def boxes(draw: Any) -> Any:
    """Random finite boxes with chains and trees of conditions."""
    parameters: list[Any] = []
    for index in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, 4))
        when = None
        if parameters and draw(st.booleans()):
            parent = draw(st.sampled_from(parameters))
            when = When(parent.name, tuple(draw(st.sets(st.sampled_from(parent.values), min_size=1))))
        parameters.append(Ordinal(f"p{index}", tuple(range(count)), when=when))
    return BoxSpace(parameters)


@settings(max_examples=150, deadline=None)
@given(boxes())
def test_numbering_is_a_bijection_onto_the_distinct_points(box: Any) -> None:
    product = np.array(list(itertools.product(*(range(p.count) for p in box.parameters))), dtype=float)
    distinct = np.unique(box.repair(product), axis=0)
    assert box.size == len(distinct)
    points = box.enumerate(0, box.size)
    assert np.array_equal(np.unique(points, axis=0), distinct)
    assert np.array_equal(box.number(points), np.arange(box.size))
    assert np.array_equal(box.repair(points), points)


@pytest.mark.parametrize("name", SPACES)
def test_variation_stays_inside_and_changes_something(name: Any) -> None:
    box = SPACES[name]
    generator = generator_of(1, 1)
    first, second = box.sample(generator, 300), box.sample(generator, 300)
    for points in (first, box.mutate(generator, first), box.crossover(generator, first, second)):
        assert np.array_equal(box.repair(points), points)
    if box.size != 1:
        changed = (box.mutate(generator, first) != first).any(axis=1)
        assert changed.mean() > 0.95
    around = box.neighbours(first[:1])
    assert len(np.unique(box.key(around))) == len(around)
    assert box.key(first[:1])[0] not in box.key(around)


@pytest.mark.parametrize("name", SPACES)
def test_json_round_trip(name: Any) -> None:
    box = SPACES[name]
    again = BoxSpace.from_json(box.to_json())
    assert again.parameters == box.parameters
    assert again.size == box.size


def test_crossover_of_equal_parents_is_the_parent() -> None:
    box = SPACES["mixed"]
    points = box.sample(generator_of(3, 0), 200)
    child = box.crossover(generator_of(3, 1), points, points)
    np.testing.assert_allclose(child, points, rtol=1e-12)


def test_encode_decode_and_rows() -> None:
    box = SPACES["conditional"]
    point = box.encode(method="tensor", degree=4, batch=8)
    assert box.rows(point) == [{"method": "tensor", "degree": 4, "micro": None, "batch": 8}]
    assert box.decode(point)["degree"].tolist() == [4]
    for wrong in ({"method": "tensors"}, {"degree": 3}, {"batch": 9}, {"bach": 1}, {"method": "none", "degree": 4}):
        with pytest.raises(UsageError):
            box.encode(**wrong)


def test_log_scale_is_even_over_decades() -> None:
    box = BoxSpace([Real("x", 1e-3, 1e3, log=True)])
    sample = box.sample(generator_of(0, 0), 6000)[:, 0]
    counts = np.histogram(np.log10(sample), bins=6, range=(-3, 3))[0]
    assert counts.min() > 850


@pytest.mark.parametrize(
    "parameters",
    [
        [Categorical("a", ())],
        [Categorical("a", ("x", "x"))],
        [Integer("a", 3, 2)],
        [Integer("a", 0, 2, step=0)],
        [Real("a", 0.0, 1.0, log=True)],
        [Real("a", float("nan"), 1.0)],
        [Ordinal("a", (1,)), Ordinal("a", (1,))],
        [Ordinal("a", (1,), when=When("b", (1,)))],
        [Ordinal("a", (1,)), Ordinal("b", (1,), when=When("a", (2,)))],
        [Real("a", 0.0, 1.0), Ordinal("b", (1,), when=When("a", (0.5,)))],
    ],
)
def test_bad_parameters_are_refused(parameters: Any) -> None:
    with pytest.raises(UsageError):
        BoxSpace(parameters)


def test_a_real_space_cannot_be_enumerated() -> None:
    with pytest.raises(UsageError, match="cannot be enumerated"):
        SPACES["real"].enumerate(0, 1)


def test_a_huge_space_has_no_number_but_works() -> None:
    box = BoxSpace([Integer(f"n{i}", 0, 10**6) for i in range(8)])
    assert box.size is None
    assert len(np.unique(box.key(box.sample(generator_of(0, 0), 1000)))) == 1000


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_the_shuffle_is_a_permutation(size: Any, seed: Any) -> None:
    assert np.array_equal(np.sort(shuffled(np.arange(size), size, seed)), np.arange(size))


def test_the_shuffle_looks_random() -> None:
    order = shuffled(np.arange(1000), 1000, 5)
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.12
    assert not np.array_equal(order, shuffled(np.arange(1000), 1000, 6))
