"""Machines with shared ports: costs against ZigZag's own, unions of windows against counting, files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.port_model import Orders, PortCosts, PortedMachine, Spread, allocate, port_costs
from codesign.costmodels.accelerator.port_model.stalls import covered
from codesign.costmodels.accelerator.port_model.transfers import Transfer
from codesign.costmodels.accelerator.zigzag import Layer, architecture_of, read_hardware, read_spatial, read_workload
from codesign.costmodels.accelerator.zigzag.hardware import parse_hardware
from codesign.costmodels.accelerator.zigzag.spatial import parse_spatial
from codesign.costmodels.accelerator.zigzag.workload import parse_workload
from codesign.errors import DataError, UsageError
from codesign.targets.spatial import Fanout, Storage

HERE = Path(__file__).parent
COSTS = json.loads((HERE / "costs.json").read_text(encoding="utf-8"))
MACHINE = read_hardware(str(HERE / "small.yaml"))
LAYERS = {layer.name: layer for layer in read_workload(str(HERE / "layers.yaml"))}
SPATIAL = read_spatial(str(HERE / "spread.yaml"))
SMALL = (HERE / "small.yaml").read_text(encoding="utf-8")


def orders_of(layer: Layer, rows: list[dict[str, Any]]) -> Orders:
    names = tuple(layer.problem.ranks)
    loops = [row["loops"] for row in rows]
    ranks = np.array([[names.index(rank) for rank, _ in one] for one in loops], dtype=np.int64).T
    return Orders(names, ranks, np.array([[bound for _, bound in one] for one in loops], dtype=np.int64).T)


def priced(layer: Layer, head: Any) -> tuple[PortCosts, list[dict[str, Any]]]:
    rows = COSTS["layers"][layer.name]["rows"]
    orders = orders_of(layer, rows)
    spread = Spread(layer.problem, MACHINE, SPATIAL.of(layer).spread)
    cuts = {one: list(np.array([row["cuts"][one] for row in rows]).T) for one in rows[0]["cuts"]}
    return port_costs(layer.problem, MACHINE, spread, orders, cuts, layer.final_bits, head), rows


@pytest.mark.parametrize("name", LAYERS)
def test_costs_are_those_of_zigzag(name: str) -> None:
    costs, rows = priced(LAYERS[name], "tile")
    for field, found in (("stall", costs.stalls), ("before", costs.before), ("after", costs.after)):
        np.testing.assert_allclose(found, [row[field] for row in rows], rtol=1e-12, atol=1e-9, err_msg=field)
    np.testing.assert_allclose(costs.cycles, [row["cycles"] for row in rows], rtol=1e-12)
    np.testing.assert_allclose(costs.energy * 1e12, [row["energy_pj"] for row in rows], rtol=1e-12)
    assert len({row["cycles"] for row in rows}) > 1  # the fixture tells mappings apart


@pytest.mark.parametrize("name", LAYERS)
def test_memories_are_filled_as_zigzag_fills_them(name: str) -> None:
    layer = LAYERS[name]
    rows = COSTS["layers"][name]["rows"]
    cuts, fits = allocate(
        layer.problem, MACHINE, Spread(layer.problem, MACHINE, SPATIAL.of(layer).spread), orders_of(layer, rows),
        layer.final_bits,
    )  # fmt: skip
    assert fits.all()
    for operand, chain in cuts.items():
        assert np.array_equal(np.array(chain).T, [row["cuts"][operand] for row in rows]), operand


@pytest.mark.parametrize("name", LAYERS)
def test_a_first_step_waits_for_no_more_than_a_tile(name: str) -> None:
    step, tile = (priced(LAYERS[name], head)[0] for head in ("step", "tile"))
    assert (step.before <= tile.before).all()
    assert (step.before >= 1).all()
    assert np.array_equal(step.stalls, tile.stalls)


@given(
    bounds=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    shares=st.lists(st.integers(0, 100), min_size=4, max_size=4),
    drawn=st.lists(st.integers(0, 4), min_size=1, max_size=4),
)
def test_unions_of_windows_count_every_cycle_once(bounds: list[int], shares: list[int], drawn: list[int]) -> None:
    prefixes = [1, *np.cumprod(bounds).tolist()]
    total = prefixes[-1]
    moves, busy = [], np.zeros(total, dtype=bool)
    for number, share in zip(drawn, shares, strict=False):
        period = prefixes[min(number, len(bounds))]
        window = max(1, round(share / 100 * period))
        moves.append(_move(period, total // period, window))
        busy |= np.arange(total) % period < window
    runs = np.ones((len(moves), 1), dtype=bool)
    assert covered(moves, runs)[0] == busy.sum()


def _move(period: int, times: int, window: int) -> Transfer:
    words, bits, every, count, width = (np.array([float(value)]) for value in (1, 8, period, times, window))
    return Transfer("input", 0, "to_inside", words, bits, every, count, width, 1.0)


def test_bounds_that_do_not_divide_are_means() -> None:
    layer = LAYERS["product"]
    spread = Spread(layer.problem, MACHINE, {"D1": {"K": 6}, "D2": {"C": 4, "X": 3}})
    assert spread.steps == {"B": 50, "K": 8, "C": 9}
    assert spread.mean == {"D1": {"K": 5.5}, "D2": {"C": 4.0}}
    assert spread.whole == {"D1": {"K": 5}, "D2": {"C": 4}}
    for wrong in ({"D3": {"K": 2}}, {"D1": {"K": 3, "B": 3}}, {"D1": {"C": 6}, "D2": {"C": 4, "K": 4}}):
        with pytest.raises(UsageError):
            Spread(layer.problem, MACHINE, wrong)


def test_a_machine_is_a_tree_for_every_other_command() -> None:
    architecture = architecture_of(MACHINE)
    spine = architecture.spine()
    assert [node.name for node in spine.nodes] == ["dram", "far", "near", "D1", "sums", "D2", "weight_cell"]
    assert spine.compute_instances == 24
    cells = {node.name: node for node in spine.nodes if isinstance(node, Storage)}
    assert cells["near"].capacity_bits == 12288
    assert cells["near"].keeps == ("input", "output")
    assert cells["far"].buffers == 2
    assert cells["far"].shared_bandwidth == 8  # two ports of 32 bits, in words of 8
    assert [node.x * node.y for node in spine.nodes if isinstance(node, Fanout)] == [6, 4]


def test_a_key_given_twice_counts_last_and_is_named() -> None:
    twice = SMALL.replace("    size: 64\n", "    size: 32\n    size: 64\n")
    machine = parse_hardware(twice, "twice.yaml")
    assert machine.memories == MACHINE.memories
    assert "'size' is given twice" in machine.notes[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: small", "name: small\nspeed: 3", "speed"),
        ("operands: [I2]", "operands: [I3]", "I3"),
        ('["I2, fh"]', '["I2, tl"]', "can only write"),
        ('["I2, fh"]', "[]", "no port for from outside of weights"),
        ("served_dimensions: [D2]", "served_dimensions: [D9]", "D9"),
        ("bandwidth_min: 32, bandwidth_max: 32", "bandwidth_min: 64, bandwidth_max: 32", "min <= max"),
        ("sizes: [6, 4]", "sizes: [6]", "size of at least 1"),
        ("size: 64\n", "size: 0\n", "at least 1 bit"),
        ("size: 64\n", "size: 64\n    auto_cost_extraction: True\n", "CACTI"),
    ],
)
def test_wrong_hardware_is_named(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(DataError, match=message):
        parse_hardware(SMALL.replace(old, new, 1), "wrong.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("I[b][c]*W[c][k]", "I[b][c]", "equation"),
        ("I[b][c]*W", "I[b][z]*W", "neither a loop"),
        ("loop_sizes: [50, 44, 36]", "loop_sizes: [50, 44]", "loop_sizes"),
        ("ix=2*ox+1*fx", "ix=2*ox-1*fx", "dimension_relations"),
        ("- id: 1", "- id: 0", "the id 0"),
        ("{I: 8, W: 4, O: 24, O_final: 8}", "{I: 8, O: 24}", "none for W"),
        ("loop_sizes: [50, 44, 36]", "loop_sizes: [50, 44, 0]", "positive integer"),
    ],
)
def test_wrong_layers_are_named(old: str, new: str, message: str) -> None:
    text = (HERE / "layers.yaml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(DataError, match=message):
        parse_workload(text.replace(old, new, 1), "wrong.yaml")


def test_wrong_mappings_are_named() -> None:
    for text, message in (
        ("- {name: default, spatial_mapping: {D1: ['K']}}", "cannot be read"),
        ("- {name: default, temporal_ordering: [[K, 0]]}", "temporal_ordering"),
        ("- {name: default, memory_operand_links: {I: I2}}", "memory_operand_links"),
        ("- {name: default, spatial_mapping_hint: {D1: [K]}}", "hint without"),
        ("name: default", "expected a list"),
    ):
        with pytest.raises(DataError, match=message):
            parse_spatial(text, "wrong.yaml")
    with pytest.raises(DataError, match="no mapping for layer"):
        parse_spatial("- {name: Pool}", "one.yaml").of(LAYERS["product"])
    assert isinstance(MACHINE, PortedMachine)
