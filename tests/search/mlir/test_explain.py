"""Explanations: operation, place, before and after, repairs, in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.search.mlir.edits import Constant, Copy, Delete, Edit, Operand, Swap
from codesign.search.mlir.explain import explain
from codesign.search.mlir.graph import ONE, Refused, pack
from codesign.search.mlir.space import EditSpace
from tests.search.mlir.nets import by_hand

GRAPH = by_hand()
V = [pack(uid, 0) for uid in range(7)]


def test_sentences() -> None:
    edits: list[Edit] = [
        Delete(3, (-2,)), Copy(2, 5, (-1, -1), 5, 1), Operand(6, 0, ONE), Constant(0, 0.5),
    ]  # fmt: skip
    said = {one.kind: one for one in explain(GRAPH, edits)}
    assert said["delete"].sentence == (
        "delete multiply #3 (model.py:3); its readers take bias: f32[4] instead, repaired by 1 step"
    )
    assert said["delete"].repairs == ("bias for subtract #5: broadcast to [3, 4]",)
    assert said["delete"].before == "multiply(add #2, constant #0): f32[3, 4]"
    assert said["delete"].location == "model.py:3"
    assert said["copy"].sentence == (
        "run add #2 once more on x, x; operand 1 of subtract #5 takes it instead of maximum #4"
    )
    assert said["operand"].sentence == ("operand 0 of reshape #6 becomes a constant 1 instead of add #2: f32[3, 4]")
    assert said["constant"].sentence == "the constant of constant #0 becomes 0.5 instead of 2"
    assert said["constant"].before == "2"
    swapped = explain(GRAPH, [Swap(3, 4)])[0]
    assert swapped.sentence == "multiply #3 (model.py:3) and maximum #4 change places"
    assert swapped.after == "maximum(add #2, constant #0) and multiply(x, broadcast_in_dim #1)"


def test_every_set_of_edits_can_be_explained() -> None:
    space = EditSpace(GRAPH)
    points = space.sample(np.random.default_rng(0), 200)
    for turn in range(4):
        points = space.mutate(np.random.default_rng(turn), points)
    for point in points:
        edits = space.edits(point)
        said = explain(GRAPH, edits)
        assert len(said) == len(edits)
        assert all(one.sentence and one.operation and one.after for one in said)


def test_edits_of_another_program_are_refused() -> None:
    with pytest.raises(Refused, match="gone"):
        explain(GRAPH, [Delete(99, (V[0],))])
