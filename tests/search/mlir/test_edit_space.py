"""The space of edit sets: points apply, equal sets are equal rows, engines run on it and find what was planted."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.search.engines import ENGINES, make_engine
from codesign.search.mlir.edits import KINDS, Constant, Delete, Operand, apply, canonical
from codesign.search.mlir.graph import Graph, Operation, Output, pack
from codesign.search.mlir.space import EditSpace, edits_from_json
from codesign.search.problem import Results
from codesign.testing.engines import CHECKS
from tests.search.mlir.nets import by_hand, run

GRAPH = by_hand()
V = [pack(uid, 0) for uid in range(7)]


def space(**options: Any) -> EditSpace:
    return EditSpace(GRAPH, **options)


def drawn(count: int, seed: int = 0, **options: Any) -> tuple[EditSpace, np.ndarray]:
    made = space(**options)
    return made, made.sample(np.random.default_rng(seed), count)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "merge"])  # it asks for a known front
@pytest.mark.parametrize("check", CHECKS)
def test_engines_conform(engine: str, check: str) -> None:
    class Boxed(EditSpace):
        """An edit space with the bounds that the suite's toy objectives ask of a box."""

        @property
        def low(self) -> np.ndarray:
            return np.full(self.dimensions, -(2.0**60))

        @property
        def high(self) -> np.ndarray:
            return np.full(self.dimensions, 2.0**60)

    made: Any = Boxed(GRAPH)
    if engine == "exhaustive":
        with pytest.raises(UsageError, match="finite"):
            make_engine(engine, made, seed=0, evaluations=None, objectives=2)
        return
    CHECKS[check](lambda seed: make_engine(engine, made, seed=seed, evaluations=200, objectives=2), made)


def test_random_points_are_up_to_three_edits_that_apply() -> None:
    made, points = drawn(200)
    counts = [len(made.edits(point)) for point in points]
    assert set(counts) == {1, 2, 3}
    assert np.array_equal(made.repair(points), points)
    kinds = {type(edit) for point in points for edit in made.edits(point)}
    assert kinds == set(KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_can_be_chosen(kind: str) -> None:
    made, points = drawn(20, kinds=(kind,))
    assert {type(edit) for point in points for edit in made.edits(point)} == {KINDS[kind]}


def test_rows_and_edits_are_the_same_thing() -> None:
    made, points = drawn(200)
    for point in points:
        edits = made.edits(point)
        assert np.array_equal(made.row(edits), point)
        assert np.array_equal(made.row(edits[::-1]), point)
    assert made.edits(made.row([Constant(0, -0.1, everywhere=True)])) == (Constant(0, -0.1, True),)
    keys, rows = made.key(points), {point.tobytes() for point in points}
    assert len(set(keys.tolist())) == len(rows)


def test_mutation_changes_every_point_and_stays_inside() -> None:
    made, points = drawn(300)
    for rate in (None, 0.5, 1.0):
        moved = made.mutate(np.random.default_rng(1), points, rate)
        assert (moved != points).any(axis=1).mean() > 0.97
        assert np.array_equal(made.repair(moved), moved)
    full = points
    for turn in range(60):
        full = made.mutate(np.random.default_rng(turn), full[:8])
    assert max(len(made.edits(point)) for point in full) > 3


def test_a_full_point_still_changes() -> None:
    made = space(length=2)
    points = made.sample(np.random.default_rng(0), 50)
    for turn in range(5):
        points = made.mutate(np.random.default_rng(turn), points)
    assert np.array_equal(made.repair(points), points)


def test_children_keep_what_their_parents_share() -> None:
    made = space()
    common, mine, theirs = Constant(0, 0.5), Delete(3, (V[2],)), Operand(5, 1, -2)
    first = made.rows_of([(common, mine)] * 100)
    second = made.rows_of([(common, theirs)] * 100)
    children = {made.edits(child) for child in made.crossover(np.random.default_rng(0), first, second)}
    assert children == {canonical(one) for one in ((common, mine), (common, theirs), (common, mine, theirs))}
    same = made.crossover(np.random.default_rng(0), first, first)
    assert np.array_equal(same, first)


def test_children_of_contradicting_parents_apply() -> None:
    made = space()
    first = made.rows_of([(Delete(3, (V[2],)),)] * 40)
    second = made.rows_of([(Operand(3, 0, -1),)] * 40)
    children = made.crossover(np.random.default_rng(0), first, second)
    assert {made.edits(child) for child in children} == {(Delete(3, (V[2],)),), (Operand(3, 0, -1),)}


def test_a_union_holds_every_edit_that_applies_with_those_before() -> None:
    made = space(length=2)
    free, mine, against = Constant(0, 0.5), Delete(3, (V[2],)), Operand(3, 0, -1)
    assert made.edits(made.original[0]) == ()
    assert made.edits(made.union(made.rows_of([(free,), (mine,), (free,)]))[0]) == canonical((free, mine))
    assert made.edits(made.union(made.rows_of([(mine,), (against,)]))[0]) == (mine,)
    assert made.edits(made.union(made.rows_of([(free,), (mine,), (against,)]))[0]) == canonical((free, mine))


def test_neighbours_are_distinct_and_depend_on_the_point_alone() -> None:
    made, points = drawn(5)
    for point in points:
        around = made.neighbours(point)
        keys = made.key(around).tolist()
        assert len(set(keys)) == len(keys) > 20
        assert int(made.key(point[None])[0]) not in keys
        assert np.array_equal(made.neighbours(point[None]), around)
        assert np.array_equal(made.repair(around), around)
    passed_by = {made.edits(one) for one in made.neighbours(made.row(()))}
    assert (Delete(3, (V[2],)),) in passed_by


def test_json_comes_back() -> None:
    made, points = drawn(30, length=5, kinds=("delete", "constant"))
    again = EditSpace.from_json(msgspec.json.decode(msgspec.json.encode(made.to_json())), GRAPH)
    assert (again.length, again.kinds, again.width) == (made.length, made.kinds, made.width)
    for row, point in zip(made.rows(points), points, strict=True):
        assert edits_from_json(row["changes"]) == made.edits(point)
        assert row["edits"] == len(made.edits(point))
    other = Graph(GRAPH.dialect, GRAPH.arguments, GRAPH.operations, GRAPH.outputs[:1])
    with pytest.raises(UsageError, match="another program"):
        EditSpace.from_json(made.to_json(), other)
    assert {entry["name"] for entry in made.describe()} == set(made.rows(points[:1])[0])


@given(st.sampled_from(["{}", "[1]", '[{"type":"burn","uid":1}]', '[{"type":"delete","uid":"x"}]', "[", ""]))
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a list of edits"):
        edits_from_json(text)


def test_wrong_requests() -> None:
    with pytest.raises(UsageError, match="delete"):
        space(kinds=("delte",))
    with pytest.raises(UsageError, match="one edit"):
        space(length=0)
    with pytest.raises(UsageError, match="cannot be enumerated"):
        space().enumerate(0, 3)
    with pytest.raises(UsageError, match="3 edits in a space of 1"):
        space(length=1).row([Constant(0, 1.0), Delete(3, (V[2],)), Operand(5, 1, -2)])
    with pytest.raises(UsageError, match="no operations"):
        EditSpace(Graph("stablehlo", GRAPH.arguments, (), (Output(-1, GRAPH.arguments[0].type),)))


def planted() -> Graph:
    """Return 3 max(x, bias) computed the long way round: + bias - bias three times in between."""
    wide = GRAPH.operations[0].results[0]
    kept, value = [*GRAPH.operations[:2], GRAPH.operations[4]], V[4]
    for turn in range(3):
        plus = Operation(10 + 2 * turn, "stablehlo.add", (value, V[1]), (wide, wide), (wide,))
        minus = Operation(11 + 2 * turn, "stablehlo.subtract", (pack(plus.uid, 0), V[1]), (wide, wide), (wide,))
        kept += [plus, minus]
        value = pack(minus.uid, 0)
    kept.append(Operation(20, "stablehlo.multiply", (value, V[0]), (wide, wide), (wide,)))
    return Graph("stablehlo", GRAPH.arguments, tuple(kept), (Output(pack(20, 0), wide),))


@pytest.mark.parametrize("engine", ["nsga2", "local"])
def test_the_common_engines_remove_planted_redundancy(engine: str) -> None:
    graph = planted()
    made = EditSpace(graph)
    x, bias = np.random.default_rng(0).normal(size=(3, 4)), np.random.default_rng(1).normal(size=4)
    want = run(graph, {"x": x, "bias": bias})[0]

    def judged(point: np.ndarray) -> tuple[float, float]:
        mutant = apply(graph, made.edits(point))
        error = np.abs(run(mutant, {"x": x, "bias": bias})[0] - want).mean()
        return float(len(mutant.operations)), float(error)

    search = make_engine(engine, made, seed=3, evaluations=1500, objectives=2, options={})
    fewest, spent = len(graph.operations), 0
    while spent < 1500:
        points = search.ask(search.batch)
        values = np.array([judged(point) for point in points])
        fewest = min([fewest, *(int(count) for count, error in values if error < 1e-9)])
        search.tell(points, Results.make(values))
        spent += len(points)
    assert fewest <= 4  # of constant, broadcast, maximum and product; x + x needs not even the constant
