"""Delta debugging: what is left has the effect, and nothing of it can be dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.search.mlir.graph import Refused
from codesign.search.mlir.minimise import minimise


@given(st.lists(st.integers(0, 40), unique=True, max_size=24), st.data())
def test_finds_exactly_the_parts_that_a_conjunction_needs(parts: Any, data: Any) -> None:
    needed = set(data.draw(st.lists(st.sampled_from(parts), max_size=4)) if parts else [])
    assert minimise(parts, lambda chosen: needed <= set(chosen)) == tuple(p for p in parts if p in needed)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_no_part_of_the_result_can_be_dropped(parts: Any, data: Any) -> None:
    least = data.draw(st.integers(1, sum(parts)))
    kept = minimise(parts, lambda chosen: sum(chosen) >= least)
    assert sum(kept) >= least
    assert all(sum(kept) - part < least for part in kept)


def test_each_selection_is_tested_once_and_few_are() -> None:
    asked: list[Any] = []

    def holds(chosen: tuple[int, ...]) -> bool:
        asked.append(chosen)
        return {3, 60} <= set(chosen)

    assert minimise(range(64), holds) == (3, 60)
    assert len(asked) == len(set(asked))
    assert len(asked) < 64


def test_an_effect_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="do not have the effect"):
        minimise([1, 2], lambda chosen: False)


def test_a_selection_that_is_refused_has_not_the_effect() -> None:
    def holds(chosen: tuple[int, ...]) -> bool:
        if 5 in chosen and 2 not in chosen:
            raise Refused("operation #2 is gone")
        return 5 in chosen

    assert minimise(range(8), holds) == (2, 5)
