"""Loop sequences: all orders once, the best of them, and the pinned results of ZigZag where its files are at hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.cases import run_cases
from codesign.costmodels.accelerator.port_model import Orders, Spread, allocate, port_costs
from codesign.costmodels.accelerator.zigzag import read_hardware, read_spatial, read_workload
from codesign.errors import LimitCrossed, UsageError
from codesign.search.mapping.inner import search
from codesign.search.mapping.loop_sequences import best_sequence, count_orders, distinct_orders, given_order, split
from codesign.search.mapping.problem import MappingProblem

OURS = Path(__file__).parents[2] / "costmodels" / "accelerator" / "zigzag"
THEIRS = Path(__file__).parents[4] / "shared" / "data" / "accelerators" / "zigzag"
COSTS = json.loads((OURS / "costs.json").read_text(encoding="utf-8"))
MACHINE = read_hardware(str(OURS / "small.yaml"))
LAYERS = {layer.name: layer for layer in read_workload(str(OURS / "layers.yaml"))}
SPATIAL = read_spatial(str(OURS / "spread.yaml"))


def test_every_distinct_order_comes_once() -> None:
    loops = [("K", 2), ("K", 2), ("C", 3), ("P", 2), ("P", 2)]
    numbers, kinds = distinct_orders(loops)
    found = [tuple(kinds[one] for one in column) for column in numbers.T.tolist()]
    assert len(found) == len(set(found)) == count_orders(loops)
    assert set(found) == set(permutations(loops))


def test_splits_multiply_to_the_steps_and_keep_every_rank() -> None:
    steps = {"K": 48, "C": 7, "P": 30, "Q": 1}
    for limit in (1, 3, 5, 20):
        loops = split(steps, limit)
        assert len(loops) <= max(limit, 3)
        for rank, count in steps.items():
            assert np.prod([bound for one, bound in loops if one == rank], dtype=np.int64) == count


def test_given_orders_cover_the_steps() -> None:
    assert given_order({"K": 6, "C": 4, "P": 1}, [("K", 2), ("P", 9), ("C", None), ("K", None)]) == [
        ("K", 2), ("C", 4), ("K", 3)
    ]  # fmt: skip
    for order, message in (([("K", 4), ("C", None)], "multiply"), ([("K", None)], "of C are left")):
        with pytest.raises(UsageError, match=message):
            given_order({"K": 6, "C": 4}, order)


@pytest.mark.parametrize("name", LAYERS)
def test_the_best_is_zigzags_best(name: str) -> None:
    layer = LAYERS[name]
    found = best_sequence(
        layer.problem, MACHINE, SPATIAL.of(layer).spread, final_bits=layer.final_bits, limit=7, head="tile"
    )
    assert found.cycles == COSTS["layers"][name]["best_cycles"]
    assert found.orders >= COSTS["layers"][name]["mappings"]


def test_objectives_trade_and_more_loops_are_no_worse() -> None:
    layer = LAYERS["strided"]
    arguments: dict[str, Any] = {"final_bits": layer.final_bits, "limit": 7}
    best = {one: best_sequence(layer.problem, MACHINE, SPATIAL.of(layer).spread, objective=one, **arguments)
            for one in ("energy", "latency", "edp")}  # fmt: skip
    assert best["energy"].energy == min(one.energy for one in best.values())
    assert best["latency"].cycles == min(one.cycles for one in best.values())
    assert best["edp"].energy * best["edp"].cycles == min(one.energy * one.cycles for one in best.values())


def test_the_best_is_what_its_own_loops_cost() -> None:
    layer = LAYERS["product"]
    found = best_sequence(layer.problem, MACHINE, SPATIAL.of(layer).spread, final_bits=layer.final_bits)
    names = tuple(layer.problem.ranks)
    spread = Spread(layer.problem, MACHINE, SPATIAL.of(layer).spread)
    orders = Orders(
        names, np.array([[names.index(rank)] for rank, _ in found.loops]), np.array([[n] for _, n in found.loops])
    )
    cuts, fits = allocate(layer.problem, MACHINE, spread, orders, layer.final_bits)
    costs = port_costs(layer.problem, MACHINE, spread, orders, cuts, layer.final_bits)
    assert fits.all()
    assert costs.cycles[0] == found.cycles
    assert costs.energy[0] == pytest.approx(found.energy, rel=1e-12)
    again = best_sequence(
        layer.problem, MACHINE, SPATIAL.of(layer).spread, final_bits=layer.final_bits, order=found.loops
    )
    assert (again.loops, again.cuts, again.cycles) == (found.loops, found.cuts, found.cycles)


def test_what_cannot_be_is_refused() -> None:
    layer = LAYERS["product"]
    with pytest.raises(UsageError, match="objective"):
        best_sequence(layer.problem, MACHINE, {}, objective="speed")
    with pytest.raises(UsageError, match="at most"):
        best_sequence(layer.problem, MACHINE, {}, limit=40)
    cell = msgspec.structs.replace(MACHINE.memories[0], bits=2)
    tiny = msgspec.structs.replace(MACHINE, memories=(cell, *MACHINE.memories[1:]))
    with pytest.raises(LimitCrossed, match="fits"):
        best_sequence(layer.problem, tiny, {})


PINNED = json.loads((THEIRS / "pinned.json").read_text(encoding="utf-8"))["cases"] if THEIRS.is_dir() else []
GIVEN = [case for case in PINNED if (THEIRS / "workload" / case["workload"]).is_file()]


@pytest.mark.skipif(
    not GIVEN, reason="ZigZag's files (../shared/data/accelerators/zigzag) are not beside this checkout"
)
@pytest.mark.parametrize("number", range(max(1, len(GIVEN))))
def test_latency_is_no_worse_than_the_pins(number: int) -> None:
    case = GIVEN[number]
    machine = read_hardware(str(THEIRS / "hardware" / f"{case['hardware']}.yaml"))
    spatial = read_spatial(str(THEIRS / "mapping" / f"{case['mapping']}.yaml"))
    layers = read_workload(str(THEIRS / "workload" / case["workload"]))
    cycles = energy = 0.0
    for layer in layers:
        chosen = spatial.of(layer)
        limit = case["options"].get("lpf_limit", 6)
        found = best_sequence(
            layer.problem, machine, chosen.spread, final_bits=layer.final_bits, limit=limit, order=chosen.order
        )
        cycles, energy = cycles + found.cycles, energy + found.energy * 1e12
    assert cycles <= case["latency_cycles"] * 1.001
    if (not case["options"] and len(layers) > 1) or case["hardware"] == "gemm_l1":
        assert energy == pytest.approx(case["energy_pj"], rel=1e-9)


def test_case_files_take_zigzags_files(tmp_path: Path) -> None:
    for name in ("small", "layers", "spread"):
        (tmp_path / f"{name}.yaml").write_text((OURS / f"{name}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    inputs = "hardware: small.yaml, workload: layers.yaml, mapping: spread.yaml, lpf_limit: 7"
    (tmp_path / "cases.yaml").write_text(
        "cases:\n"
        f"- {{id: theirs, kind: zigzag, inputs: {{{inputs}, head: tile}}, expected: {{"
        f"energy_pj: {COSTS['energy_pj']}, latency_cycles: {COSTS['latency_cycles']}}}}}\n"
        f"- {{id: ours, kind: zigzag, inputs: {{{inputs}, pin_cycles: {COSTS['latency_cycles']}}}, "
        "expected: {worse_by: 0}, abs_tol: 0.001}\n"
        f"- {{id: wrong, kind: zigzag, inputs: {{{inputs}, speed: 3}}}}\n",
        encoding="utf-8",
    )
    outcomes = {outcome.id: outcome for outcome in run_cases(tmp_path / "cases.yaml")}
    assert outcomes["theirs"].status == "ok", outcomes["theirs"]
    assert outcomes["ours"].status == "ok"
    assert outcomes["wrong"].status == "failed"
    assert "speed" in outcomes["wrong"].error


def test_hardware_files_are_targets_of_every_mapping_search() -> None:
    problem = MappingProblem(problem="gemm:48x44x36,bits=8/8/16", target=str(OURS / "small.yaml"))
    found = search(problem, 2000, baseline=False)
    assert found.best[0] >= problem.bounds.energy
