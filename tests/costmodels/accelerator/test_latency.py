"""Latency modes: against the closed form of a systolic array, a walk over the steps, and sums of times."""

from __future__ import annotations

import itertools
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, Problem, evaluate, gemm, make_slots, one_mapping, stack
from codesign.costmodels.accelerator.latency import parse_latency
from codesign.costmodels.accelerator.problem import relevant
from codesign.costmodels.accelerator.systolic import CONVENTIONS, DATAFLOWS, Dataflow, Gemm, run_seconds, systolic
from codesign.errors import UsageError
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Operation, Storage
from tests.costmodels.accelerator.oracle import loops
from tests.costmodels.accelerator.random_designs import designs, energy

Design = tuple[Problem, Architecture, Mappings]
MODE = {"published": "systolic", "scalesim-compat": "scalesim-compat"}
PLACES = {"ws": ("K", "N", "M"), "os": ("M", "N", "K"), "is": ("K", "M", "N")}
"""Dataflow -> ranks over rows, over columns, and streamed."""


def array(rows: int, columns: int, bandwidth: float | None = None) -> Architecture:
    dram = Storage(name="DRAM", kind="dram", width_bits=8, word_bits=8, read=energy(2.0), write=energy(3.0),
                   shared_bandwidth=bandwidth)  # fmt: skip
    buffer = Storage(name="buffer", kind="sram", width_bits=8, word_bits=8, read=energy(1.0), write=energy(1.0))
    unit = ComputeUnit(name="unit", operations={"mac": Operation(energy(1.0))})
    return Architecture(id="array", name="array", nodes=(dram, buffer, Fanout(name="grid", x=columns, y=rows), unit))


def whole(machine: Architecture, problem: Problem, dataflow: Dataflow, rows: int, columns: int) -> Mappings:
    """Return the mapping that fills the array and streams the third rank innermost."""
    down, across, streamed = PLACES[dataflow]
    extent = problem.ranks
    slots = make_slots(problem, machine.spine())
    high, wide = min(rows, extent[down]), min(columns, extent[across])
    nest = [
        (1, down, ceil(extent[down] / high)),
        (1, across, ceil(extent[across] / wide)),
        (1, streamed, extent[streamed]),
    ]
    grid = [(slots.find("grid", "y"), down, high), (slots.find("grid", "x"), across, wide)]
    return one_mapping(slots, [*([(0, "B", extent["B"])] if "B" in extent else []), *nest, *grid])


@given(
    *[st.integers(1, 6)] * 2, st.lists(st.tuples(*[st.integers(1, 20)] * 3), min_size=1, max_size=3),
    st.integers(1, 3), st.sampled_from(DATAFLOWS), st.sampled_from(CONVENTIONS),
)  # fmt: skip
def test_a_full_mapping_takes_the_cycles_of_the_closed_form(
    rows: int, columns: int, sizes: list[tuple[int, int, int]], batch: int, dataflow: Dataflow, convention: str
) -> None:
    machine = array(rows, columns)
    for m, n, k in sizes:
        problem = gemm(m, n, k, batch=batch)
        found = evaluate(problem, machine, whole(machine, problem, dataflow, rows, columns), latency=MODE[convention])
        closed = systolic(rows, columns, Gemm(m, n, k, batch), dataflow, convention)  # type: ignore[arg-type]
        if found.cycles[0] != closed.cycles:
            # a side without spread: another operand stays as well, and longer
            assert min(m, n, k, rows, columns) == 1
            assert found.cycles[0] <= systolic(rows, columns, Gemm(m, n, k, batch), dataflow).cycles


def test_published_figures_from_mappings_in_one_batch() -> None:
    machine, problem = array(32, 32), gemm(1024, 1024, 1024)
    both = stack([whole(machine, problem, "ws", 32, 32), whole(machine, problem, "os", 32, 32)])
    assert evaluate(problem, machine, both, latency="systolic").cycles.tolist() == [1_144_832, 1_144_832]
    compat = evaluate(problem, machine, both, latency="scalesim-compat").cycles
    assert compat.tolist() == [1_144_831, 1024 * (1024 + 62) - 1]


@settings(max_examples=60)
@given(designs(count=3))
def test_folds_are_the_changes_of_the_stationary_tensor(design: Design) -> None:
    problem, architecture, mappings = design
    costs = evaluate(problem, architecture, mappings, latency="systolic")
    ideal = evaluate(problem, architecture, mappings)
    for index in range(len(mappings)):
        nest = loops(mappings.take(index))
        steps = [loop for loop in nest if not loop.spatial]
        # every array of these designs is large in both directions; the innermost one is the grid
        spread = {
            loop.rank for loop in nest if loop.spatial and mappings.slots.slots[loop.slot].node == last(architecture)
        }
        own = [tensor for tensor in problem.tensors if spread <= relevant(tensor)]
        counts = [
            changes([loop.rank in relevant(tensor) for loop in steps], [loop.bound for loop in steps]) for tensor in own
        ]
        folds = min([*counts, prod(loop.bound for loop in steps)])
        skew = costs.ideal_cycles[index] - ideal.ideal_cycles[index]
        side = 1000 if last(architecture) else 1
        assert skew == folds * (3 * side - 2)


def last(architecture: Architecture) -> str:
    arrays = [node.name for node in architecture.nodes if isinstance(node, Fanout)]
    return arrays[-1] if arrays else ""


def changes(moves: list[bool], bounds: list[int]) -> int:
    """Return how often the part of the indices that moves a tensor changes, the first one included."""
    seen = [
        tuple(index for index, moved in zip(step, moves, strict=True) if moved)
        for step in itertools.product(*map(range, bounds))
    ]
    return sum(1 for before, now in zip([None, *seen], seen) if before != now)


@given(*[st.integers(2, 12)] * 3, st.integers(1, 40))
def test_transfers_add_without_a_second_buffer_and_the_first_tile_always(
    m: int, n: int, k: int, bandwidth: int
) -> None:
    machine, problem = array(4, 4, float(bandwidth)), gemm(m, n, k)
    mapping = whole(machine, problem, "ws", 4, 4)
    costs = evaluate(problem, machine, mapping, latency="systolic")
    rows = [row for row, (level, _) in enumerate(costs.entries) if level == "DRAM"]
    words = sum(float(costs.reads[row, 0] + costs.updates[row, 0]) for row in rows)
    # every operand stands in the buffer as a whole: the first tiles are both operands
    first = m * k + k * n
    run = systolic(4, 4, Gemm(m, n, k))
    cases = {
        "systolic": run_seconds(run, 1.0, words, bandwidth),
        "systolic,single-buffered": run_seconds(run, 1.0, words, bandwidth, double_buffered=False),
        "systolic,ramp-up": run_seconds(run, 1.0, words, bandwidth, first_bytes=first),
    }
    for text, seconds in cases.items():
        found = evaluate(problem, machine, mapping, latency=text)
        assert found.cycles[0] == ceil(float(seconds) - 1e-9), text
        assert (found.ideal_cycles == run.cycles).all()


@settings(max_examples=40)
@given(designs(count=5))
def test_no_mode_is_faster_than_the_ideal(design: Design) -> None:
    problem, architecture, mappings = design
    ideal = evaluate(problem, architecture, mappings)
    assert (ideal.limiting == -1).all()
    for text in ("systolic", "systolic,single-buffered", "ramp-up", "single-buffered"):
        found = evaluate(problem, architecture, mappings, latency=text)
        assert (found.cycles >= ideal.cycles).all()
        for name in ("reads", "fills", "updates", "entry_energy"):
            assert np.array_equal(getattr(found, name), getattr(ideal, name)), "counts do not depend on the latency"


def test_words_of_a_latency_are_read_and_refused() -> None:
    read = parse_latency("ramp-up, systolic")
    assert (read.mode, read.ramp_up, read.double_buffered, read.pipelined) == ("systolic", True, True, False)
    assert parse_latency("single-buffered").mode == "ideal"
    for text, said in (("systolik", "systolic"), ("ideal,systolic", "2 modes"), ("", "unknown")):
        with pytest.raises(UsageError, match="latency") as caught:
            parse_latency(text)
        assert said in f"{caught.value.message} {caught.value.hint}"
    problem = gemm(2, 2, 2)
    machine = array(2, 2)
    with pytest.raises(UsageError, match="nothing to overlap"):
        evaluate(problem, machine, whole(machine, problem, "ws", 2, 2), latency="pipelined")
