"""Fused cascades: against a run step by step, the closed forms of FuseMax, and the laws that any mapping obeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, evaluate, one_mapping
from codesign.costmodels.accelerator.attention_cascades import AttentionShape, one_pass, three_pass, two_pass
from codesign.costmodels.accelerator.cascade import Cascade
from codesign.costmodels.accelerator.cascade_files import fusion_of
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem, from_cascade
from codesign.costmodels.accelerator.draw import primes
from codesign.costmodels.accelerator.fused import evaluate_cascade, groups_of
from codesign.costmodels.accelerator.fused_loops import links_of, violations
from codesign.costmodels.accelerator.fusemax import Machine, one_pass_attention
from codesign.errors import UsageError
from codesign.targets.spatial import Architecture, Branches, ComputeUnit, Fanout, Operation, Storage
from codesign.workload import Einsum, Tensor, axes
from tests.costmodels.accelerator.fused_oracle import Walk, fullest
from tests.costmodels.accelerator.oracle import accesses
from tests.costmodels.accelerator.random_designs import energy

Shared = tuple[tuple[str, int], ...]


def chain(extents: Mapping[str, int], length: int) -> CascadeProblem:
    """Return products one after the other: T0[P, R0] W0[R0, R1] -> T1[P, R1], T1 W1 -> T2, ..."""
    einsums = []
    for at in range(length):
        ranks = ["P", f"R{at}", f"R{at + 1}"]
        inputs = (Tensor(f"T{at}", axes(f"P R{at}"), bits=8), Tensor(f"W{at}", axes(f"R{at} R{at + 1}"), bits=8))
        output = Tensor(f"T{at + 1}", axes(f"P R{at + 1}"), bits=8)
        einsums.append(Einsum(f"E{at}", {rank: extents[rank] for rank in ranks}, inputs, output))
    return from_cascade(Cascade("chain", tuple(einsums)))


def machine(depth: int | None = None, bandwidth: float | None = None) -> Architecture:
    """Return DRAM, a buffer, an array and pads."""

    def memory(name: str, depth: int | None = None, **ports: float | None) -> Storage:
        return Storage(name=name, kind="sram", width_bits=8, depth=depth, read=energy(2.0), write=energy(3.0),
                       leak=energy(0.1), **ports)  # type: ignore[arg-type]  # fmt: skip

    dram = memory("DRAM", shared_bandwidth=bandwidth)
    operations = {name: Operation(energy(1.0)) for name in ("mac", "add")}
    nodes = (
        dram,
        memory("buffer", depth),
        Fanout(name="grid", x=8, y=8),
        memory("pad"),
        ComputeUnit(name="unit", operations=operations),
    )
    return Architecture(id="machine", name="machine", nodes=nodes)


def mapped(
    cascade: CascadeProblem, target: Architecture, shared: Shared, stay: Mapping[str, str],
    generator: np.random.Generator | None = None, keeps: Sequence[Mapping[str, list[str]]] = (),
) -> list[Mappings]:  # fmt: skip
    """Return a mapping inside shared loops: all else at the buffer, or random."""
    parts = []
    for at, problem in enumerate(cascade.problems):
        fusion = fusion_of(cascade, at, shared, stay)
        slots, loops = fusion.slots(problem, target.spine(), keeps[at] if keeps else None)
        left = dict(problem.ranks)
        for _, rank, bound in loops:
            left[rank] //= bound
        inner = range(fusion.depth, len(slots.slots))
        own: dict[tuple[int, str], int] = {}
        for rank, extent in left.items():
            for prime in primes(extent):
                slot = slots.find("buffer") if generator is None else int(generator.choice(inner))
                own[slot, rank] = own.get((slot, rank), 1) * prime
        placed = [(slot, rank, bound) for (slot, rank), bound in own.items()]
        if generator is not None:
            generator.shuffle(placed)
        parts.append(one_mapping(slots, [*loops, *placed]))
    return parts


Fused = tuple[CascadeProblem, Architecture, list[Mappings]]


@st.composite
def fused(draw: st.DrawFn) -> Fused:
    """Draw a chain of two or three products, loops to share, and what stays."""
    length = draw(st.integers(2, 3))
    extents = {rank: draw(st.sampled_from((1, 2, 2, 4))) for rank in ("P", *(f"R{at}" for at in range(length + 1)))}
    cascade = chain(extents, length)
    ranks = draw(st.sampled_from([(), ("P",), ("P", "R1"), ("R1",), ("R1", "P"), ("P", "R0"), ("P", "R2")]))
    shared = tuple((rank, draw(st.sampled_from([b for b in (4, 2, 1) if extents[rank] % b == 0]))) for rank in ranks)
    stay = {f"T{at}": "buffer" for at in range(1, length) if draw(st.integers(0, 3))}
    keeps = []
    for at in range(length):
        names = [f"T{at}", f"W{at}", f"T{at + 1}"]
        chosen = [name for name in names if name in stay or draw(st.booleans())]
        keeps.append({"buffer": chosen, "pad": [name for name in names if draw(st.booleans())]})
    generator = np.random.Generator(np.random.Philox(draw(st.integers(0, 2**32))))
    target = machine()
    parts = mapped(cascade, target, shared, stay, generator, keeps)
    if draw(st.integers(0, 4)) == 0:  # one Einsum runs by itself
        at = draw(st.integers(0, length - 1))
        factors = parts[at].factors.copy()
        depth = len(shared)
        factors[depth] *= factors[:depth].prod(axis=0)
        factors[:depth] = 1
        parts[at] = Mappings(parts[at].slots, factors, parts[at].orders)
    return cascade, target, parts


@settings(max_examples=120)
@given(fused())
def test_a_mapping_runs_where_the_walk_finds_every_word(design: Fused) -> None:
    cascade, target, parts = design
    links = links_of(cascade, target, parts)
    walk = Walk(cascade, parts, links)
    broken = bool(evaluate_cascade(cascade, target, parts).broken[0])
    assert broken == bool(walk.wrong), (
        walk.wrong,
        [text for text, bad in violations(cascade, links, parts) if bad.any()],
    )


@settings(max_examples=60)
@given(fused())
def test_counts_and_occupancy_are_those_of_the_walk(design: Fused) -> None:
    cascade, target, parts = design
    costs = evaluate_cascade(cascade, target, parts)
    assume(not costs.broken[0])
    for problem, part, mapping in zip(cascade.problems, costs.parts, parts, strict=True):
        walked = [one for tensor in problem.tensors for one in accesses(problem, mapping, tensor)]
        found = [(part.reads[row, 0], part.fills[row, 0], part.updates[row, 0]) for row in range(len(part.entries))]
        assert found == [tuple(one) for one in walked]
    walk = Walk(cascade, parts, costs.links)
    if costs.groups == ((0, len(parts) - 1),):
        place = costs.levels.index("buffer")
        limited = machine(depth=2**20)
        held = evaluate_cascade(cascade, limited, parts).occupancy[place, 0] * 2**20
        depths = {link.outer for link in costs.links}
        assert held >= fullest(cascade, parts, costs.links, walk, "buffer")
        assert len(depths) > 1 or held == fullest(cascade, parts, costs.links, walk, "buffer")


@settings(max_examples=30)
@given(fused())
def test_no_mapping_moves_less_than_what_comes_from_outside(design: Fused) -> None:
    cascade, target, parts = design
    costs = evaluate_cascade(cascade, target, parts)
    moved = costs.moved
    assert not set(moved) & set(costs.retained)
    assert {"T0", "W0"} <= set(cascade.external) <= set(moved)
    for tensor, bits in cascade.external.items():
        assert moved[tensor][0] >= bits
    low, value, high = costs.energy[:, 0]
    assert low < value < high
    assert value == pytest.approx(sum(float(one[0]) for one in costs.level_energy.values())
                                  + sum(float(part.compute_energy[1, 0]) for part in costs.parts))  # fmt: skip


def test_groups_are_what_links_join() -> None:
    cascade = chain({"P": 4, "R0": 2, "R1": 2, "R2": 2, "R3": 2}, 3)
    target = machine()
    for stay, groups in (({}, ((0, 0), (1, 1), (2, 2))), ({"T1": "buffer"}, ((0, 1), (2, 2))),
                         ({"T1": "buffer", "T2": "buffer"}, ((0, 2),))):  # fmt: skip
        parts = mapped(cascade, target, (), stay)
        assert groups_of(3, links_of(cascade, target, parts)) == groups


SHAPE = AttentionShape(2, 3, 64, 128, 8, 8)


@pytest.mark.parametrize("queries", [1, 2, 4, 8])
def test_one_pass_attention_moves_what_fusemax_says(queries: int) -> None:
    cascade = from_cascade(one_pass(SHAPE, 16))
    stay = {tensor: "buffer" for tensor in cascade.producers if tensor != "AV"}
    shared = (("b", 2), ("h", 3), ("p", queries), ("m1", 8))
    target = machine()
    costs = evaluate_cascade(cascade, target, mapped(cascade, target, shared, stay))
    assert costs.feasible.all()
    block = 64 // queries
    # the closed form with blocks of that many queries: an array of so many columns, and room for one block
    buffer = 2 * 16 * (8 + 8) + 2 * block * (8 + 8 + 2)
    closed = one_pass_attention(SHAPE, Machine(rows=16, columns=block, lanes=block, buffer_bytes=buffer))
    assert closed.fits
    assert costs.traffic[0] == closed.traffic_bytes
    assert costs.traffic[0] >= sum(cascade.external.values()) / 8


def test_passes_decide_what_may_be_shared() -> None:
    """Loops over keys cannot be shared by three passes or two: a tile of scores is gone when it is needed again."""
    shared = (("b", 2), ("h", 3), ("p", 4))
    target = machine()
    for make, fits in ((three_pass(SHAPE), True), (two_pass(SHAPE, 16), True), (one_pass(SHAPE, 16), False)):
        cascade = from_cascade(make)
        stay = {tensor: "buffer" for tensor in cascade.producers if tensor != "AV"}
        costs = evaluate_cascade(cascade, target, mapped(cascade, target, shared, stay))
        assert bool(costs.feasible[0]) == fits, "one pass runs generation by generation only"
    for make, rank in ((three_pass(SHAPE), "m"), (two_pass(SHAPE, 16), "m1")):
        cascade = from_cascade(make)
        stay = {tensor: "buffer" for tensor in cascade.producers if tensor != "AV"}
        parts = mapped(cascade, target, (*shared, (rank, 8)), stay)
        assert evaluate_cascade(cascade, target, parts).broken[0]


def test_units_at_once_take_the_time_of_the_busiest() -> None:
    cascade = chain({"P": 4, "R0": 3, "R1": 5, "R2": 7}, 2)
    target = machine(depth=4096, bandwidth=1.0)
    parts = mapped(cascade, target, (("P", 4),), {"T1": "buffer"})
    ideal = [4 * 3 * 5, 4 * 5 * 7]
    words = 4 * 3 + 3 * 5 + 5 * 7 + 4 * 7
    costs = evaluate_cascade(cascade, target, parts)
    assert costs.cycles[0] == sum(ideal)
    assert costs.traffic[0] == words
    assert evaluate_cascade(cascade, target, parts, "single-buffered").cycles[0] == sum(ideal) + words
    # both run on one unit: pipelined or not, its work adds
    assert evaluate_cascade(cascade, target, parts, "pipelined").cycles[0] == sum(ideal)
    alone = [evaluate(one, target, part) for one, part in zip(cascade.problems, parts, strict=True)]
    apart = evaluate_cascade(cascade, target, mapped(cascade, target, (), {}))
    assert apart.traffic[0] == words + 2 * 4 * 5
    assert costs.leak_energy.sum() == pytest.approx(sum(float(one.leak_energy.sum()) for one in alone))


def test_units_of_two_kinds_overlap_and_hold_what_passes_between_them_twice() -> None:
    one = machine(depth=4096)
    below = [node for node in one.nodes[2:-1] if isinstance(node, Fanout | Storage)]
    units = [ComputeUnit(name=name, operations={"mac": Operation(energy(1.0))}) for name in ("left", "right")]
    arrays = [tuple(msgspec.structs.replace(node, name=f"{node.name}_{unit.name}") for node in below) for unit in units]
    branches = Branches(members=tuple((*nodes, unit) for nodes, unit in zip(arrays, units, strict=True)))
    target = msgspec.structs.replace(one, nodes=(*one.nodes[:2], branches))
    cascade = chain({"P": 4, "R0": 3, "R1": 5, "R2": 7}, 2)
    parts = []
    for at, (problem, unit) in enumerate(zip(cascade.problems, units, strict=True)):
        slots, loops = fusion_of(cascade, at, (("P", 4),), {"T1": "buffer"}).slots(problem, target.spine(unit.name))
        rest = [(slots.find("buffer"), rank, extent) for rank, extent in problem.ranks.items() if rank != "P"]
        parts.append(one_mapping(slots, [*loops, *rest]))
    turns, at_once = (evaluate_cascade(cascade, target, parts, latency) for latency in ("ideal", "pipelined"))
    work = [4 * 3 * 5, 4 * 5 * 7]
    assert turns.cycles[0] == sum(work)
    assert at_once.cycles[0] == max(work)
    # all levels leak for less time
    assert at_once.energy[1, 0] < turns.energy[1, 0]
    held = [float(costs.occupancy[costs.levels.index("buffer"), 0]) * 4096 for costs in (turns, at_once)]
    # a row of the input, weights and a row of the result stand beside a row of T1
    tiles, passed = [3 + 15, 35 + 7], 5
    # weights outlast an iteration, rows do not
    assert held[0] == passed + max(tiles[0] + 35, tiles[1] + 15)
    assert held[1] == 2 * passed + sum(tiles)


def test_what_nobody_keeps_is_named() -> None:
    cascade = chain({"P": 4, "R0": 2, "R1": 2, "R2": 2}, 2)
    target = machine()
    first, second = mapped(cascade, target, (), {"T1": "buffer"})
    whole = mapped(cascade, target, (), {})
    with pytest.raises(UsageError, match="E1 reads T1 at DRAM; E0 does not keep it there"):
        evaluate_cascade(cascade, target, [first, whole[1]])
    through: Any = evaluate_cascade(cascade, target, [whole[0], second])
    assert through.moved["T1"][0] == 8 * 8, "written to DRAM for others, never read"
    with pytest.raises(UsageError, match="as many for each"):
        evaluate_cascade(cascade, target, [first])
