"""The batched model against a nest walked step by step, and the laws that any mapping obeys."""

from __future__ import annotations

import itertools
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, Problem, evaluate
from codesign.targets.spatial import Architecture
from codesign.workload import Tensor
from tests.costmodels.accelerator.oracle import accesses
from tests.costmodels.accelerator.random_designs import designs

Design = tuple[Problem, Architecture, Mappings]


@settings(max_examples=300)
@given(designs(), st.sampled_from(("reset", "reset", "retain")))
def test_every_count_is_that_of_the_walk(design: Design, reuse: str) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings, reuse)
    row = 0
    for tensor in problem.tensors:
        for access in accesses(problem, mappings, tensor, reuse == "retain"):
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
        assert (moved >= touched(problem, tensor)).all()


def touched(problem: Problem, tensor: Tensor) -> int:
    """Return the words that operations touch: without the holes of a stride beyond the kernel."""
    points = itertools.product(*(range(extent) for extent in problem.ranks.values()))
    places = [dict(zip(problem.ranks, point)) for point in points]
    return len({tuple(sum(step * at[rank] for rank, step in axis.terms) for axis in tensor.axes) for at in places})


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
    assert (costs.ideal_cycles * costs.units == problem.operations).all(), "every operation is done once"
    assert costs.feasible.all()
    assert value == pytest.approx(costs.level_energy.sum(axis=0) + costs.compute_energy[1] + costs.network_energy[1])
