"""The batched model beyond perfect, even nests: ragged factors, uneven tiles, bandwidth, networks, capacity."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator import (
    Costs,
    Mappings,
    Problem,
    conv2d,
    evaluate,
    gemm,
    make_slots,
    one_mapping,
    stack,
)
from codesign.costmodels.accelerator.draw import random_mappings
from codesign.errors import CodesignError, DataError, UsageError
from codesign.targets.spatial import (
    Architecture,
    ComputeUnit,
    Fanout,
    Operation,
    Storage,
    list_architectures,
    load_architecture,
)
from codesign.targets.target import Value


def joules(value: float) -> Value:
    return Value(value, "J", "a test")


def memory(name: str, **given: object) -> Storage:
    fields = {"kind": "sram", "width_bits": 8, "word_bits": 8, "read": joules(2.0), "write": joules(3.0)}
    return Storage(name=name, **{**fields, **given})  # type: ignore[arg-type]


def machine(*nodes: object) -> Architecture:
    unit = ComputeUnit(name="unit", operations={"mac": Operation(joules(1.0))})
    return Architecture(id="machine", name="machine", nodes=(*nodes, unit))  # type: ignore[arg-type]


def priced(
    problem: Problem, architecture: Architecture, loops: dict[tuple[str, str], str], **skeleton: object
) -> Costs:
    """Price one mapping written as {(node, direction): "M4 K2"}, outermost first."""
    slots = make_slots(problem, architecture.spine(), **skeleton)  # type: ignore[arg-type]
    rows = [
        (slots.find(node, direction), text[0], int(text[1:]))  # type: ignore[arg-type]
        for (node, direction), written in loops.items()
        for text in written.split()
    ]
    return evaluate(problem, architecture, one_mapping(slots, rows))


@st.composite
def ragged(draw: st.DrawFn) -> tuple[Problem, Architecture, Mappings]:
    """Draw a product of matrices with factors that overshoot, and never a loop that runs empty at its end."""
    sizes = [draw(st.integers(1, 40)) for _ in range(3)]
    problem = gemm(*sizes)
    architecture = machine(memory("outer"), Fanout(name="grid", x=64, y=64), memory("inner"))
    slots = make_slots(problem, architecture.spine())
    factors = np.ones((len(slots.slots), 3, 1), dtype=np.int64)
    for rank, extent in enumerate(sizes):
        left = extent
        for slot in (3, 2, 1):
            factors[slot, rank, 0] = draw(st.integers(1, left))
            left = -(-left // int(factors[slot, rank, 0]))
        factors[0, rank, 0] = left
    orders = np.array([draw(st.permutations(range(3))) for _ in slots.temporal])[..., None]
    return problem, architecture, Mappings(slots, factors, orders)


@given(ragged())
def test_ragged_factors_keep_operations_and_compulsory_traffic(design: tuple[Problem, Architecture, Mappings]) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings)
    assert costs.uncovered[0] == 0.0
    assert costs.cycles[0] * costs.units[0] >= problem.operations
    for tensor in problem.inputs:
        moved = costs.reads[costs.entry("outer", tensor.name), 0]
        assert moved >= problem.words(tensor) * (1 - 1e-12)
    assert costs.updates[costs.entry("outer", "Outputs"), 0] >= problem.words(problem.output) * (1 - 1e-12)
    taken = costs.updates[costs.entry("inner", "Outputs"), 0] * costs.units[0]
    if not mappings.factors[1:3].max() > 1 or mappings.factors[3].max() > 1:  # no latch: every operation accumulates
        assert taken == pytest.approx(problem.operations)
    for row, (_, name) in enumerate(costs.entries):
        whole = next(problem.words(one) for one in problem.tensors if one.name == name)
        assert costs.tile[row, 0] <= whole


def test_a_ragged_loop_fetches_exactly_what_there_is() -> None:
    architecture = machine(memory("outer"), memory("inner"))
    even = priced(gemm(12, 1, 1), architecture, {("outer", "temporal"): "M3", ("inner", "temporal"): "M4"})
    odd = priced(gemm(10, 1, 1), architecture, {("outer", "temporal"): "M3", ("inner", "temporal"): "M4"})
    assert even.fills[even.entry("inner", "Inputs"), 0] == 12
    assert odd.fills[odd.entry("inner", "Inputs"), 0] == 10
    assert odd.tile[odd.entry("inner", "Inputs"), 0] == 4
    assert odd.cycles[0] == 12
    assert odd.utilisation[0] == pytest.approx(10 / 12)


def test_an_uneven_tile_reuses_what_an_even_one_fetches_again() -> None:
    problem, architecture = gemm(4, 4, 4), machine(memory("outer"), memory("inner"))
    loops = {("outer", "temporal"): "M4 N4", ("inner", "temporal"): "K4"}
    even = priced(problem, architecture, loops)
    slots = make_slots(
        problem, architecture.spine(), splits={"inner": 2},
        cuts={("Inputs", "inner"): 0, ("Weights", "inner"): 1, ("Outputs", "inner"): 1},
    )  # fmt: skip
    first = slots.find("inner")
    uneven = evaluate(problem, architecture, one_mapping(slots, [(0, "M", 4), (first, "N", 4), (first + 1, "K", 4)]))
    for name in ("Weights", "Outputs"):
        assert uneven.tile[uneven.entry("inner", name), 0] == even.tile[even.entry("inner", name), 0]
        assert uneven.fills[uneven.entry("inner", name), 0] == even.fills[even.entry("inner", name), 0]
    assert even.tile[even.entry("inner", "Inputs"), 0] == uneven.tile[uneven.entry("inner", "Inputs"), 0] == 4
    assert uneven.cycles[0] == even.cycles[0] == 64
    assert uneven.fills[uneven.entry("inner", "Inputs"), 0] == 16


def test_bandwidth_slows_the_level_that_needs_most() -> None:
    problem = gemm(8, 1, 1)
    free = machine(memory("outer"), memory("inner"))
    slow = machine(memory("outer", read_bandwidth=0.5), memory("inner"))
    loops = {("outer", "temporal"): "M8"}
    assert priced(problem, free, loops).cycles[0] == 8
    costs = priced(problem, slow, loops)
    words = costs.reads[costs.entry("outer", "Inputs"), 0] + costs.reads[costs.entry("outer", "Weights"), 0]
    assert words == 9
    assert costs.cycles[0] == words / 0.5
    assert costs.levels[int(costs.limiting[0])] == "outer"
    shared = machine(memory("outer", shared_bandwidth=0.5), memory("inner"))
    assert priced(problem, shared, loops).cycles[0] == (9 + 8) / 0.5


def test_networks_without_multicast_and_reduction_read_and_update_for_every_copy() -> None:
    problem = gemm(1, 4, 4)
    loops = {("outer", "temporal"): "", ("grid", "x"): "N4", ("grid", "y"): "K4"}
    joined = priced(problem, machine(memory("outer"), Fanout(name="grid", x=4, y=4), memory("inner")), loops)
    apart = priced(
        problem,
        machine(memory("outer"), Fanout(name="grid", x=4, y=4, multicast=False, reduction=False), memory("inner")),
        loops,
    )
    inputs, outputs = joined.entry("outer", "Inputs"), joined.entry("outer", "Outputs")
    assert (joined.reads[inputs, 0], apart.reads[inputs, 0]) == (4, 16)
    assert (joined.updates[outputs, 0], apart.updates[outputs, 0]) == (4, 16)
    assert (joined.reads[outputs, 0], apart.reads[outputs, 0]) == (0, 12)


def test_a_network_costs_every_word_that_it_delivers() -> None:
    problem = gemm(1, 4, 4)
    grid = Fanout(name="grid", x=4, y=4, energy=Value(1.0, "J", "a test", low=0.5, high=2.0))
    costs = priced(problem, machine(memory("outer"), grid, memory("inner")), {("grid", "x"): "N4", ("grid", "y"): "K4"})
    delivered = 16 + 16 + 16  # inputs to all copies, one weight each, one partial sum from each
    assert costs.network_energy[:, 0].tolist() == [0.5 * delivered, delivered, 2.0 * delivered]


def test_tiles_that_do_not_fit_say_by_how_many_words() -> None:
    problem = gemm(4, 4, 4)
    loops = {("inner", "temporal"): "M4 N4 K4"}
    costs = priced(problem, machine(memory("outer"), memory("inner", depth=40)), loops)
    assert costs.overflow_words[1, 0] == 8
    assert not costs.feasible[0]
    assert costs.occupancy[1, 0] == pytest.approx(48 / 40)
    assert priced(problem, machine(memory("outer"), memory("inner", depth=48)), loops).feasible[0]
    twice = priced(problem, machine(memory("outer"), memory("inner", depth=48, buffers=2)), loops)
    assert twice.overflow_words[1, 0] == 48


def test_bits_of_the_tensors_count_where_a_level_states_no_word() -> None:
    problem = gemm(4, 4, 4, bits=(8, 4, 32))
    nodes = (memory("outer"), memory("inner", word_bits=None, width_bits=64, depth=100))
    costs = priced(problem, machine(*nodes), {("inner", "temporal"): "M4 N4 K4"})
    assert costs.occupancy[1, 0] == pytest.approx(16 * (8 + 4 + 32) / 6400)
    rows = {"Inputs": 64 / 8, "Weights": 64 / 16, "Outputs": (64 + 48) / 2}
    fills = {"Inputs": 16 / 8, "Weights": 16 / 16, "Outputs": 0}
    for name in ("Inputs", "Weights"):
        found = costs.entry_energy[costs.entry("inner", name), 0]
        assert found == rows[name] * 2.0 + fills[name] * 3.0


def test_an_operation_may_hold_its_unit_for_several_cycles() -> None:
    fast = machine(memory("outer"))
    unit = ComputeUnit(name="unit", operations={"mac": Operation(joules(1.0), cycles=6)})
    slow = msgspec.structs.replace(fast, nodes=(memory("outer"), unit))
    loops = {("outer", "temporal"): "M4"}
    assert priced(gemm(4, 1, 1), slow, loops).cycles[0] == 6 * priced(gemm(4, 1, 1), fast, loops).cycles[0]
    assert priced(gemm(4, 1, 1), slow, loops).utilisation[0] == 1.0


def test_a_larger_buffer_never_costs_traffic_at_the_best_mapping() -> None:
    problem = gemm(16, 16, 16)
    best = []
    for depth in (8, 16, 64, 256, 1024):
        architecture = machine(memory("outer"), memory("inner", depth=depth))
        slots = make_slots(problem, architecture.spine())
        costs = evaluate(problem, architecture, random_mappings(problem, slots, 4000, np.random.default_rng(5)))
        rows = [costs.entry("outer", tensor.name) for tensor in problem.tensors]
        moved = costs.reads[rows].sum(axis=0) + costs.updates[rows].sum(axis=0)
        best.append(float(moved[costs.feasible].min()))
    assert best == sorted(best, reverse=True)
    assert best[0] > best[-1] == 3 * 256, "all of it fits: every word moves once"


def test_a_window_is_kept_across_a_loop_that_leaves_it_in_place_only_with_retain() -> None:
    problem, architecture = conv2d(k=2, c=1, p=8, q=1, r=3, s=1), machine(memory("outer"), memory("inner"))
    slots = make_slots(problem, architecture.spine())
    mapping = one_mapping(slots, [(0, "P", 8), (0, "K", 2), (1, "R", 3)])
    row = evaluate(problem, architecture, mapping).entry("inner", "Inputs")
    assert evaluate(problem, architecture, mapping).fills[row, 0] == 8 * 3
    assert evaluate(problem, architecture, mapping, "retain").fills[row, 0] == 8 + 2
    with pytest.raises(UsageError, match="did you mean retain"):
        evaluate(problem, architecture, mapping, "retane")


def test_arrays_of_another_shape_are_refused() -> None:
    problem, architecture = gemm(4, 4, 4), machine(memory("outer"))
    slots = make_slots(problem, architecture.spine())
    good = random_mappings(problem, slots, 2, np.random.default_rng(1))
    for factors, orders, said in (
        (good.factors[:, :2], good.orders, "mappings.factors: found shape"),
        (good.factors, good.orders[..., :1], "mappings.orders: found shape"),
        (good.factors * 0, good.orders, "bound below 1"),
        (good.factors, good.orders + 1, "outside of 0 to 2"),
    ):
        with pytest.raises(UsageError, match=said):
            evaluate(problem, architecture, Mappings(slots, factors, orders))
    with pytest.raises(UsageError, match="another problem"):
        evaluate(conv2d(k=1, c=1, p=4, q=4, r=1, s=1), architecture, good)


def test_swapping_symmetric_ranks_leaves_the_costs() -> None:
    problem, architecture = gemm(8, 8, 8), load_architecture("tpu-like")
    slots = make_slots(problem, architecture.spine(), {"sram": ["Inputs", "Outputs"]})
    conv = conv2d(k=4, c=4, p=8, q=8, r=3, s=3)
    eyeriss = load_architecture("eyeriss-like")
    both = make_slots(conv, eyeriss.spine())
    mappings = random_mappings(conv, both, 50, np.random.Generator(np.random.Philox(3)))
    swap = [both.ranks.index(rank) for rank in ("N", "K", "C", "Q", "P", "S", "R")]
    mirrored = Mappings(both, mappings.factors[:, swap], np.asarray(swap)[mappings.orders])
    plain, other = (evaluate(conv, eyeriss, one) for one in (mappings, mirrored))
    assert np.array_equal(plain.energy, other.energy)
    assert np.array_equal(plain.cycles, other.cycles)
    assert slots.unit == "mac"


def test_mappings_of_one_skeleton_stack() -> None:
    problem, architecture = gemm(4, 4, 4), machine(memory("outer"), memory("inner"))
    slots = make_slots(problem, architecture.spine())
    one = random_mappings(problem, slots, 3, np.random.Generator(np.random.Philox(1)))
    both = stack([one, one.take([2, 0])])
    costs = evaluate(problem, architecture, both)
    assert len(costs) == len(both) == 5
    assert costs.cycles[3] == costs.cycles[2]
    other = make_slots(problem, architecture.spine(), {"inner": []})
    with pytest.raises(UsageError, match="skeletons"):
        stack([one, Mappings(other, one.factors, one.orders)])


def test_an_unknown_energy_is_said_and_never_zero() -> None:
    architecture = machine(memory("outer"), memory("inner", read=None))
    costs = priced(gemm(2, 2, 2), architecture, {("outer", "temporal"): "M2 N2 K2"})
    assert costs.unpriced == ("inner",)
    with pytest.raises(DataError, match="no energy known for inner"):
        _ = costs.energy


@pytest.mark.parametrize(
    ("skeleton", "said"),
    [
        ({"keeps": {"innr": ["Inputs"]}}, "did you mean inner"),
        ({"keeps": {"inner": ["Input"]}}, "did you mean Inputs"),
        ({"keeps": {"outer": [], "inner": ["Inputs"]}}, "no level keeps Weights"),
        ({"cuts": {("Inputs", "outer"): 2}}, "larger than at"),
        ({"cuts": {("Inputs", "inner"): 1}, "splits": {"innr": 2}}, "no level 'innr'"),
    ],
)
def test_a_skeleton_that_cannot_be_is_refused(skeleton: dict[str, object], said: str) -> None:
    architecture = machine(memory("outer"), memory("inner"))
    with pytest.raises(CodesignError) as refused:
        make_slots(gemm(2, 2, 2), architecture.spine(), **skeleton)  # type: ignore[arg-type]
    assert said in str(refused.value)


def test_a_cut_stays_out_of_arrays_and_reserved_levels_are_kept() -> None:
    architecture = machine(memory("outer"), Fanout(name="grid", x=2), memory("inner", keeps=("weight",)))
    with pytest.raises(UsageError, match="inside an array"):
        make_slots(gemm(2, 2, 2), architecture.spine(), cuts={("Inputs", "outer"): 2})
    with pytest.raises(UsageError, match="holds weight only"):
        make_slots(gemm(2, 2, 2), architecture.spine(), {"inner": ["Inputs"]})
    slots = make_slots(gemm(2, 2, 2), architecture.spine())
    assert [[holding.level for holding in one] for one in slots.holdings] == [["outer"], ["outer", "inner"], ["outer"]]


@pytest.mark.parametrize("name", list_architectures())
def test_every_design_of_the_catalogue_prices_products_and_convolutions(name: str) -> None:
    architecture = load_architecture(name)
    for spine in architecture.spines():
        for problem in (gemm(64, 32, 16), conv2d(k=8, c=8, p=8, q=8, r=3, s=3, stride=2)):
            slots = make_slots(problem, spine)
            costs = evaluate(problem, architecture, random_mappings(problem, slots, 300, np.random.default_rng(2)))
            low, value, high = costs.energy
            assert np.isfinite(costs.energy).all()
            assert (low < value).all()
            assert (value < high).all()
            assert (costs.cycles >= costs.ideal_cycles).all()
            used = costs.units <= spine.compute_instances
            assert (costs.utilisation[used] <= 1.0).all()


def test_an_operation_that_a_unit_lacks_is_named() -> None:
    problem = msgspec.structs.replace(gemm(4, 4, 4), operation="exp")
    fusemax, eyeriss = load_architecture("fusemax"), load_architecture("eyeriss-like")
    slots = make_slots(problem, fusemax.spine("unit_1d"))
    costs = evaluate(problem, fusemax, random_mappings(problem, slots, 3, np.random.default_rng(1)))
    assert (costs.ideal_cycles * costs.units == 6 * problem.operations).all()
    other = make_slots(problem, eyeriss.spine())
    with pytest.raises(UsageError, match="no operation 'exp'"):
        evaluate(problem, eyeriss, random_mappings(problem, other, 1, np.random.default_rng(1)))
