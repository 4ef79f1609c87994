"""Repair: every shape becomes every other by trailing alignment, element by element as the rule says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.search.mlir.graph import Refused, TensorType
from codesign.search.mlir.repair import Broadcast, Pad, Reshape, Slice, perform, repair, shape_after

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)


@settings(max_examples=300)
@given(SHAPES, SHAPES)
def test_every_element_is_where_the_rule_puts_it(found: Any, wanted: Any) -> None:
    array = np.arange(2, 2 + int(np.prod(found)), dtype=float).reshape(found)  # no element is 1
    made: Any = array
    for step in repair(TensorType("f32", found), TensorType("f32", wanted)):
        shape = shape_after(step, made.shape)
        made = perform(step, made)
        assert made.shape == shape
    assert made.shape == wanted
    surplus = max(len(found) - len(wanted), 0)
    missing = max(len(wanted) - len(found), 0)
    for place in np.ndindex(*wanted):
        source = [(n - 1) // 2 for n in found[:surplus]]  # the centre of surplus dimensions
        for have, want, at in zip(found[surplus:], wanted[missing:], place[missing:], strict=True):
            source.append(at + (have - want) // 2 if have >= want else at - (want - have) // 2)
        inside = all(0 <= index < n for index, n in zip(source, found, strict=True))
        assert made[place] == (array[tuple(source)] if inside else 1.0)


def test_the_steps_of_known_cases() -> None:
    def steps(found: tuple[int, ...], wanted: tuple[int, ...]) -> list[Any]:
        return list(repair(TensorType("f32", found), TensorType("f32", wanted)))

    assert steps((3, 4), (3, 4)) == []
    assert steps((8, 10), (8, 4)) == [Slice((0, 3), (8, 7))]
    assert steps((4,), (8,)) == [Pad((2,), (2,))]
    assert steps((4,), (3, 4)) == [Broadcast((3, 4))]
    assert steps((6, 4), (4,)) == [Slice((2, 0), (3, 4)), Reshape((4,))]
    assert steps((), (2, 2)) == [Broadcast((2, 2))]


def test_other_elements_and_empty_tensors_are_refused() -> None:
    with pytest.raises(Refused, match="other elements"):
        repair(TensorType("f32", (2,)), TensorType("i64", (2,)))
    with pytest.raises(Refused, match="no elements"):
        repair(TensorType("f32", (0,)), TensorType("f32", (2,)))
