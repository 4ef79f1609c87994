"""Edits: what each kind computes against NumPy, sets in any order, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.search.mlir.edits import Constant, Copy, Delete, Edit, Operand, Swap, apply, canonical
from codesign.search.mlir.graph import ONE, Graph, Refused, TensorType, pack, renumbered
from codesign.search.mlir.propose import Proposals
from codesign.search.mlir.repair import perform, repair
from tests.search.mlir.nets import by_hand, run

GRAPH = by_hand()
V = [pack(uid, 0) for uid in range(7)]
X = np.random.default_rng(0).normal(size=(3, 4))
BIAS = np.random.default_rng(1).normal(size=4)
SUM = X + BIAS
FLOOR = np.maximum(X, BIAS)


def result(*edits: Edit) -> list[np.ndarray]:
    return run(apply(GRAPH, edits), {"x": X, "bias": BIAS})


def fitted(array: np.ndarray, shape: tuple[int, ...]) -> Any:
    made: Any = array
    for step in repair(TensorType("f32", array.shape), TensorType("f32", shape)):
        made = perform(step, made)
    return made


def test_no_edit_changes_nothing() -> None:
    assert apply(GRAPH, ()) == GRAPH
    first, second = result()
    assert np.allclose(first, SUM * 2 - FLOOR)
    assert np.allclose(second, SUM.reshape(2, 6))


@pytest.mark.parametrize(
    ("edits", "first", "second"),
    [
        ([Delete(3, (V[2],))], SUM - FLOOR, SUM.reshape(2, 6)),
        ([Delete(2, (-1,))], X * 2 - FLOOR, X.reshape(2, 6)),
        ([Delete(3, (V[2],)), Delete(2, (-1,))], X - FLOOR, X.reshape(2, 6)),
        ([Delete(6, (V[5],))], SUM * 2 - FLOOR, fitted(SUM * 2 - FLOOR, (2, 6))),
        ([Delete(5, (ONE,))], np.ones((3, 4)), SUM.reshape(2, 6)),
        ([Operand(5, 1, V[2])], SUM * 2 - SUM, SUM.reshape(2, 6)),
        ([Operand(5, 1, -2)], SUM * 2 - BIAS, SUM.reshape(2, 6)),
        ([Constant(0, -0.5)], SUM * -0.5 - FLOOR, SUM.reshape(2, 6)),
        ([Swap(3, 4)], np.maximum(SUM, 2) - X * BIAS, SUM.reshape(2, 6)),
        ([Swap(3, 4), Constant(0, 3.0)], np.maximum(SUM, 3) - X * BIAS, SUM.reshape(2, 6)),
        ([Copy(3, 5, (-1, -2), 5, 1)], SUM * 2 - X * BIAS, SUM.reshape(2, 6)),
        ([Copy(3, 5, (V[4], V[0]), 6, 0), Delete(3, (V[2],))], SUM - FLOOR, (FLOOR * 2).reshape(2, 6)),
    ],
)  # fmt: skip
def test_what_edits_compute(edits: Any, first: Any, second: Any) -> None:
    found = result(*edits)
    assert np.allclose(found[0], first)
    assert np.allclose(found[1], second)


def test_a_swap_of_results_of_other_shapes_is_repaired() -> None:
    first, second = result(Swap(1, 6))  # a reshape to (2, 6) of the bias, a broadcast of the sum
    wide = fitted(fitted(BIAS, (3, 4)).reshape(2, 6), (3, 4))
    assert np.allclose(first, (X + wide) * 2 - np.maximum(X, wide))
    assert np.allclose(second, fitted(np.broadcast_to(fitted(X + wide, (4,)), (3, 4)), (2, 6)))


def test_what_nobody_reads_is_left_out() -> None:
    kept = {one.uid for one in apply(GRAPH, [Delete(3, (V[2],))]).operations}
    assert kept == {1, 2, 4, 5, 6}  # neither the product nor its constant


def test_everywhere_changes_every_constant_of_the_same_value() -> None:
    wide = GRAPH.operations[0].results[0]
    twin = [*GRAPH.operations[:5], GRAPH.operations[0].__class__(9, "stablehlo.constant", (), (), (wide,), "", 2.0)]
    subtract = GRAPH.operations[5].__class__(5, "stablehlo.subtract", (V[3], pack(9, 0)), (wide, wide), (wide,))
    graph = Graph("stablehlo", GRAPH.arguments, (*twin, subtract, GRAPH.operations[6]), GRAPH.outputs)
    data = {"x": X, "bias": BIAS}
    assert np.allclose(run(apply(graph, [Constant(0, 5.0)]), data)[0], SUM * 5 - 2)
    assert np.allclose(run(apply(graph, [Constant(0, 5.0, everywhere=True)]), data)[0], SUM * 5 - 5)


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([Delete(17, (-1,))], "#17 is gone"),
        ([Delete(3, (V[5],))], "subtract #5 is computed later"),
        ([Delete(3, (V[3],))], "computed later"),
        ([Delete(3, (V[2], -1))], "2 replacements for 1"),
        ([Delete(3, (V[2],)), Operand(3, 0, -1)], "another edit changes multiply #3"),
        ([Delete(3, (V[2],)), Delete(3, (-1,))], "another edit deletes it"),
        ([Operand(5, 0, V[6])], "subtract #5 would read a value before it is computed"),
        ([Operand(5, 2, -1)], "has 2 operands"),
        ([Operand(5, 0, -1), Operand(5, 0, -2)], "another edit changes the same"),
        ([Operand(5, 0, -9)], "before it is computed"),
        ([Swap(3, 6)], "take or return different things"),
        ([Swap(3, 4), Swap(4, 5)], "another edit changes the same"),
        ([Constant(3, 1.0)], "multiply #3 has no constant"),
        ([Constant(0, float("nan"))], "cannot become nan"),
        ([Constant(0, 1e300)], "too large for f32"),
        ([Copy(3, 5, (-1,), 5, 1)], "1 operands for multiply #3"),
        ([Copy(3, 5, (-1, -2), 4, 1)], "before it is computed"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(edits: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        apply(GRAPH, edits)


@st.composite
def edit_sets(draw: Any, graph: Graph = GRAPH, most: int = 6) -> tuple[Edit, ...]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    edits: tuple[Edit, ...] = ()
    for _ in range(draw(st.integers(1, most))):
        new = Proposals(graph, edits).one(generator)
        edits = edits if new is None else (*edits, new)
    return edits


@settings(max_examples=150)
@given(edit_sets(), st.randoms())
def test_proposals_apply_and_their_order_does_not_matter(edits: Any, random: Any) -> None:
    graph = apply(GRAPH, edits)
    shuffled = list(edits)
    random.shuffle(shuffled)
    assert apply(GRAPH, shuffled) == graph
    assert canonical(shuffled) == canonical(edits)
    first, second = run(graph, {"x": X, "bias": BIAS})  # checks every type on the way
    assert first.shape == (3, 4)
    assert second.shape == (2, 6)
    assert renumbered(renumbered(graph)) == renumbered(graph)


def test_a_program_with_nothing_to_replace_takes_ones() -> None:
    one = TensorType("f32", (2,))
    graph = Graph("stablehlo", (), (GRAPH.operations[0].__class__(0, "stablehlo.constant", (), (), (one,), "", 3.0),),
                  (GRAPH.outputs[0].__class__(pack(0, 0), one),))  # fmt: skip
    generator = np.random.default_rng(0)
    found = {type(Proposals(graph, ()).one(generator)) for _ in range(40)}
    assert found - {type(None)} == {Delete, Constant}
    assert np.allclose(run(apply(graph, [Delete(0, (ONE,))]), {})[0], [1.0, 1.0])
