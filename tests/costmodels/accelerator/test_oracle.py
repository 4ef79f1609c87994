"""The batched model against a nest walked step by step, and the laws that any mapping obeys."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, Problem, evaluate
from codesign.costmodels.accelerator.problem import relevant
from codesign.targets.spatial import Architecture
from tests.costmodels.accelerator.oracle import accesses
from tests.costmodels.accelerator.random_designs import designs

Design = tuple[Problem, Architecture, Mappings]


@settings(max_examples=400)
@given(designs())
def test_every_count_is_that_of_the_walk(design: Design) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings)
    row = 0
    for tensor in problem.tensors:
        for access in accesses(problem, mappings, tensor):
            found = (costs.reads[row, 0], costs.fills[row, 0], costs.updates[row, 0])
            assert found == tuple(access), (costs.entries[row], mappings)
            row += 1
    assert row == len(costs.entries)


@given(designs(count=7))
def test_no_mapping_moves_less_than_the_data_there_are(design: Design) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings)
    for tensor in problem.tensors:
        row = next(place for place, (_, name) in enumerate(costs.entries) if name == tensor.name)
        moved = costs.updates[row] if tensor is problem.output else costs.reads[row]
        touched = problem.words(tensor)
        if tensor is problem.output or all(len(axis.terms) == 1 for axis in tensor.axes):
            assert (moved >= touched).all()
        else:  # holes of a stride beyond the kernel are never fetched once tiles are smaller than the stride
            assert (moved >= np.prod([problem.ranks[r] for r in relevant(tensor) if r != "R"])).all()


@given(designs(count=7))
def test_what_leaves_a_level_arrives_at_the_next(design: Design) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings)
    ideal = problem.operations / costs.ideal_cycles
    for place, tensor in enumerate(problem.tensors[:-1]):
        rows = [row for row, (_, name) in enumerate(costs.entries) if name == tensor.name]
        assert len(rows) == len(mappings.slots.holdings[place])
        for outer, inner in pairwise(rows):
            parent = costs.reads[outer] * costs.instances[costs.levels.index(costs.entries[outer][0])]
            child = costs.fills[inner] * costs.instances[costs.levels.index(costs.entries[inner][0])]
            assert (child >= parent).all(), "multicast delivers each word at least once"
            assert (child <= parent * ideal).all()


@given(designs(count=9), st.permutations(range(9)))
def test_a_cost_does_not_depend_on_the_batch(design: Design, order: list[int]) -> None:
    problem, architecture, mappings = design
    whole = evaluate(problem, architecture, mappings)
    shuffled = evaluate(problem, architecture, mappings.take(order))
    alone = evaluate(problem, architecture, mappings.take(order[0]))
    for name in ("reads", "fills", "updates", "entry_energy", "leak_energy"):
        assert np.array_equal(getattr(whole, name)[:, order], getattr(shuffled, name)), name
        assert np.array_equal(getattr(whole, name)[:, [order[0]]], getattr(alone, name)), name
    assert np.array_equal(whole.cycles[order], shuffled.cycles)


@given(designs(count=5))
def test_intervals_hold_the_value_and_utilisation_is_a_share(design: Design) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings)
    low, value, high = costs.energy
    assert (low < value).all()
    assert (value < high).all()
    assert (costs.utilisation <= 1.0).all()
    assert costs.feasible.all()
    assert value == pytest.approx(costs.level_energy.sum(axis=0) + costs.compute_energy[1] + costs.network_energy[1])
