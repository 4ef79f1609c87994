"""Orders of one class cost the same, and classes lose nothing: by all permutations of small nests."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, Problem, conv2d, evaluate, gemm, make_slots
from codesign.errors import UsageError
from codesign.search.mapping.loop_orders import Relevance, canonical, classes, codes, relevance_of
from codesign.workload import Tensor, axes
from tests.search.mapping.designs import BUFFERED

CONV = relevance_of(conv2d(k=2, c=2, p=2, q=2, r=2, s=2), ("N", "K", "C", "P", "Q", "R", "S"))
MATRIX = relevance_of(gemm(2, 2, 2), ("M", "N", "K"))


def test_a_full_convolution_has_few_classes() -> None:
    full = classes(CONV, 0b111, 2**7 - 1)
    assert len(full) < 100  # of 5,040 orders


@pytest.mark.parametrize("relevance", [CONV, MATRIX])
@pytest.mark.parametrize("tensors", [0b111, 0b101, 0b010, 0])
def test_classes_are_what_all_permutations_fall_into(relevance: Relevance, tensors: int) -> None:
    ranks = relevance.ranks
    orders = np.array(list(permutations(range(ranks)))).T
    for running in range(0, 2**ranks, 5):
        runs = (running >> orders & 1).astype(bool)
        numbers = codes(relevance, orders, runs, np.full(orders.shape[1], tensors))
        assert sorted(one.code for one in classes(relevance, tensors, running)) == np.unique(numbers).tolist()


@pytest.mark.parametrize("running", [0b1111111, 0b0110110])
def test_the_standing_order_is_of_its_own_class(running: int) -> None:
    orders = np.array([one.order for one in classes(CONV, 0b111, running)]).T
    runs = (running >> orders & 1).astype(bool)
    tensors = np.full(orders.shape[1], 0b111)
    assert np.array_equal(canonical(CONV, orders, runs, tensors), orders)


@given(
    outer=st.lists(st.sampled_from((1, 2, 3)), min_size=4, max_size=4),
    inner=st.lists(st.sampled_from((1, 2)), min_size=4, max_size=4),
    stride=st.integers(1, 3),
)
def test_orders_of_one_class_cost_the_same_and_classes_lose_nothing(
    outer: list[int], inner: list[int], stride: int
) -> None:
    names = ("K", "C", "P", "R")
    ranks = {name: a * b for name, a, b in zip(names, outer, inner, strict=True)}
    whole = conv2d(
        k=ranks["K"], c=ranks["C"], p=ranks["P"], q=1, r=ranks["R"], s=1, stride=stride, bits=(8, 8, 8)
    )  # fmt: skip
    slots = make_slots(whole, BUFFERED.spine())
    orders = np.array(list(permutations([slots.ranks.index(name) for name in names]))).T
    still = [rank for rank in range(7) if slots.ranks[rank] not in names]
    count = orders.shape[1]
    full = np.concatenate([np.repeat(np.array(still)[:, None], count, axis=1), orders])
    factors = np.ones((2, 7, count), dtype=np.int64)
    for name, a, b in zip(names, outer, inner, strict=True):
        factors[:, slots.ranks.index(name)] = np.array([a, b])[:, None]
    costs = evaluate(whole, BUFFERED, Mappings(slots, factors, np.stack([full, full[:, ::-1]])))
    relevance = relevance_of(whole, slots.ranks)
    numbers = codes(relevance, full, factors[0, full, np.arange(count)] > 1, np.full(count, 0b111))
    for number in np.unique(numbers):
        same = numbers == number
        assert np.ptp(costs.energy[1, same]) <= 1e-12 * costs.energy[1, same].max()
        assert np.ptp(costs.cycles[same]) == 0
    running = sum(1 << slots.ranks.index(name) for name, a in zip(names, outer, strict=True) if a > 1)
    standing = np.array([one.order for one in classes(relevance, 0b111, running)]).T
    few = np.broadcast_to(factors[..., :1], (2, 7, standing.shape[1])).copy()
    inside = np.broadcast_to(full[:, :1], standing.shape)
    best = evaluate(whole, BUFFERED, Mappings(slots, few, np.stack([standing, inside]))).energy[1].min()
    assert best == pytest.approx(costs.energy[1].min(), rel=1e-12)


def test_too_many_ranks_are_refused() -> None:
    names = "A B C D E F G H I J K L M N O P"
    whole = Problem(
        name="wide", ranks=dict.fromkeys(names.split(), 2), inputs=(Tensor("In", axes(names)),),
        output=Tensor("Out", axes("A")),
    )  # fmt: skip
    assert relevance_of(whole, tuple(names.split())).ranks == 16
    more = Problem(
        name="wide", ranks=whole.ranks, inputs=(*whole.inputs, Tensor("In2", axes("A")), Tensor("In3", axes("B"))),
        output=whole.output,
    )  # fmt: skip
    with pytest.raises(UsageError, match="too many to search"):
        relevance_of(more, tuple(names.split()))
