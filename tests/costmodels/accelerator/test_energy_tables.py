"""Energy, area, node scaling and carbon of silicon: sources, fitted points, and laws."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.bands import Band
from codesign.costmodels.accelerator.energy_tables import (
    action,
    action_energy,
    action_quantity,
    moved_energy,
    read_tables,
    tables,
    unit_area,
)
from codesign.costmodels.accelerator.node_scaling import LARGEST, SMALLEST, area_scale, energy_scale, is_extrapolated
from codesign.costmodels.accelerator.silicon_carbon import silicon_grams
from codesign.costmodels.accelerator.sram import Sram, SramCost, fit, sram, sram_quantities
from codesign.costmodels.carbon import carbon_per_area, die_grams, process_node
from codesign.errors import DataError, UsageError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "accelerators" / "energy"
NODES = st.floats(SMALLEST, LARGEST)
MEMORIES = st.builds(
    Sram,
    st.integers(64, 2**29),
    st.integers(1, 2**13),
    st.integers(1, 4),
    st.just(1),
    st.sampled_from([3, 7, 10, 16, 28, 32, 40, 45, 65, 130, 200]),
)

# read/write pJ of CACTI at 64 bits, as tabulated: KB -> 45 nm, 32 nm
CACTI = {
    2: ((2.67, 3.98), (1.42, 2.09)),
    8: ((6.05, 7.41), (3.33, 3.92)),
    32: ((17.0, 14.5), (9.69, 7.68)),
    128: ((37.5, 24.2), (16.5, 12.1)),
    512: ((59.9, 46.6), (29.7, 25.3)),
    2048: ((104.5, 91.2), (59.1, 50.5)),
    16384: ((264.5, 250.8), (149.1, 140.3)),
}


def table(name: str) -> list[dict[str, str]]:
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data/accelerators/energy here")
    with (SHARED / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_action_is_that_of_its_source() -> None:
    rows = table("energy_per_action.csv")
    assert len(rows) == len(tables().actions) == 27
    for row in rows:
        item = row["item"].removesuffix("_bf16")
        found = action(f"{item}_{row['bits']}" if item.startswith("int") else item)
        assert found.value == pytest.approx(float(row["nominal_pj"]) * 1e-12)
        assert found.low <= float(row["low_pj"]) * 1e-12 * (1 + 1e-12)
        assert found.high >= float(row["high_pj"]) * 1e-12 * (1 - 1e-12)
        assert (str(found.node_nm or ""), found.source) == (row["node_nm"] and f"{row['node_nm']}.0", row["source"])
        assert found.verified == (row["status"] != "unverified")


def test_every_energy_is_an_interval_with_a_source() -> None:
    for found in tables().actions.values():
        assert 0 < found.low < found.high
        assert found.low <= found.value <= found.high
        assert found.source
        assert found.range_source


def test_ratios_are_those_of_known_hardware() -> None:
    # a 32-bit multiplication over an 8-bit one, DRAM over a small SRAM, an SRAM row over its words
    assert action("int_mult_32").value / action("int_mult_8").value == pytest.approx(15.5)
    assert 100 < action("dram_access").value / action("sram_8kb_access").value < 400
    hbm = moved_energy("hbm2", np.array([8.0, 0.0]))
    assert hbm.value.tolist() == pytest.approx([64 * 5e-12, 0.0])
    assert hbm.low[0] == pytest.approx(249.6e-12, rel=1e-12)
    assert action_quantity("hbm2").unit == "J"


def test_the_fit_meets_its_points_within_the_bands() -> None:
    rows = table("cacti_sram_45nm_32nm.csv")
    column = {k: np.array([float(row[k]) for row in rows]) for k in rows[0]}
    found = sram(Sram(column["capacity_kb"] * 1024, column["width_bits"], node_nm=column["node_nm"]))
    assert not found.extrapolated.any()
    for curve, ours, name, unit in (
        (fit().read_pj, found.read_joules, "read_pj", 1e-12),
        (fit().write_pj, found.write_joules, "write_pj", 1e-12),
        (fit().area_mm2, found.area_mm2, "area_mm2", 1.0),
        (fit().leakage_mw, found.leakage_watts, "leak_mw", 1e-3),
    ):
        error = np.abs(ours.value / unit / column[name] - 1)
        assert np.median(error) <= curve.median
        assert error.max() <= curve.worst
        inside = (ours.low / unit <= column[name]) & (column[name] <= ours.high / unit)
        assert inside.sum() >= (26 if name == "read_pj" else 28)  # stated coverage is 90 %


def test_the_fit_meets_tabulated_points() -> None:
    for kb, at in CACTI.items():
        for node, (read, write) in zip((45, 32), at, strict=True):
            found = sram(Sram(kb * 1024, node_nm=node))
            assert found.read_joules.value == pytest.approx(read * 1e-12, rel=0.32)
            assert found.write_joules.value == pytest.approx(write * 1e-12, rel=0.15)


def test_a_banked_buffer_is_within_the_band() -> None:
    # Accelergy: 128 KB in 32 banks of 64 bits at 32 nm, 18.18 pJ read, 14.14 pJ write
    found = sram(Sram(128 * 1024, banks=32, node_nm=32))
    assert found.read_joules.low < 18.18e-12 < found.read_joules.high
    assert found.write_joules.low < 14.14e-12 < found.write_joules.high
    assert found.area_mm2.value > sram(Sram(128 * 1024, node_nm=32)).area_mm2.value


@given(MEMORIES)
def test_memories_grow_with_everything_but_shrinking_nodes(memory: Sram) -> None:
    cost, more = sram(memory), {
        "capacity": sram(memory._replace(capacity_bytes=2 * memory.capacity_bytes)),
        "width": sram(memory._replace(width_bits=2 * memory.width_bits)),
        "ports": sram(memory._replace(ports=memory.ports + 1)),
    }  # fmt: skip
    for larger in more.values():
        assert larger.read_joules.value > cost.read_joules.value
        assert larger.write_joules.value > cost.write_joules.value
    assert more["capacity"].area_mm2.value > cost.area_mm2.value
    assert more["ports"].area_mm2.value > cost.area_mm2.value
    for found in (cost.read_joules, cost.write_joules, cost.area_mm2, cost.leakage_watts):
        assert 0 < found.low <= 0.6 * found.value * (1 + 1e-12)
        assert found.high >= 1.4 * found.value * (1 - 1e-12)


@given(st.lists(MEMORIES, min_size=1, max_size=6))
def test_arrays_of_memories_equal_single_ones(memories: list[Sram]) -> None:
    together = sram(Sram(*np.array(memories).T))
    for i, memory in enumerate(memories):
        alone = sram(memory)
        for one, many in zip(alone[:4], together[:4], strict=True):
            assert [float(end) for end in one] == pytest.approx([float(end[i]) for end in many], rel=1e-13)
        assert alone.extrapolated == together.extrapolated[i]


def test_beyond_the_points_the_band_widens_and_says_so() -> None:
    def width(cost: SramCost) -> float:
        return float(cost.read_joules.high / cost.read_joules.low)

    inside, small, smaller, node = (
        sram(m) for m in (Sram(2048), Sram(1024), Sram(256), Sram(2048, node_nm=7))
    )  # fmt: skip
    assert width(inside) == pytest.approx(1.4 / 0.6)
    assert width(inside) < width(small) < width(smaller)
    assert width(node) > width(inside)
    assert [bool(c.extrapolated) for c in (inside, small, smaller, node)] == [False, True, True, True]
    near = sram(Sram(2047.9))
    assert near.read_joules.value == pytest.approx(float(inside.read_joules.value), rel=1e-3)  # no jump at the edge


def test_one_memory_at_the_edge_says_what_it_rests_on() -> None:
    inside, outside = sram_quantities(Sram(2**15)), sram_quantities(Sram(2**15, node_nm=7))
    assert {name: q.unit for name, q in inside.items()} == {"read": "J", "write": "J", "area": "mm2", "leakage": "W"}
    assert all(q.low < q.value < q.high for q in (*inside.values(), *outside.values()))
    assert inside["read"].source.startswith("interpolated: fit to own runs of CACTI")
    assert "beyond its points" in outside["read"].source
    with pytest.raises(UsageError, match="found 2 memories"):
        sram_quantities(Sram([2**14, 2**15]))


def test_scaling_is_the_table_at_its_nodes() -> None:
    if SHARED.is_dir():
        data = json.loads((SHARED / "tech_scaling.json").read_text(encoding="utf-8"))
        nodes = np.array(data["nodes_nm"], float)
        np.testing.assert_allclose(
            area_scale(nodes[:, None], nodes).value, data["area_scale_from_row_to_col"], rtol=1e-12
        )
    assert area_scale(45, [32, 7]).value == pytest.approx([0.46, 0.059])
    expected = (0.1776 * 0.81 - 0.09097 * 0.9 + 0.02447) / (1.103 * 0.81 - 0.362 * 0.9 + 0.2767)
    assert energy_scale(45, 7).value == pytest.approx(expected)
    assert energy_scale(45, 45, 0.9, 0.7).value == pytest.approx(0.56377 / 0.84433, rel=1e-4)


@given(NODES, NODES)
def test_scaling_laws(first: float, second: float) -> None:
    small, large = sorted((first, second))
    for scale in (area_scale, energy_scale):
        there, back = scale(large, small), scale(small, large)
        assert there.low <= there.value <= there.high
        assert there.value <= 1.02  # the matrix has two digits
        assert there.value * back.value == pytest.approx(1.0, rel=0.05)
        assert tuple(map(float, scale(first, first))) == (1.0, 1.0, 1.0)


def test_beyond_the_table_the_band_reaches_from_nothing_to_the_square() -> None:
    step = energy_scale(7, 3.5)
    assert tuple(map(float, step)) == pytest.approx((0.25, 0.5, 1.0))
    assert is_extrapolated(np.array([3.5, 7, 45, 130, 180])).tolist() == [True, False, False, False, True]
    assert "beyond the data" in action_quantity("fp16_mult", 5).source
    assert "scaled from 45 to 28 nm" in action_quantity("fp16_mult", 28).source


def test_areas_and_energies_scale_together() -> None:
    assert unit_area("fusemax_mac").value == pytest.approx(1545e-6)
    assert unit_area("fusemax_mac", 7).value == pytest.approx(1545e-6 * 0.059)
    assert action_energy("fusemax_mac").value == pytest.approx(17.1645e-12)
    scaled = action_energy("fusemax_mac", np.array([45, 7]))
    assert scaled.value.tolist() == pytest.approx([17.1645e-12, 17.1645e-12 * float(energy_scale(45, 7).value)])


def test_carbon_is_that_of_the_die_model() -> None:
    area = unit_area("fusemax_mac", 7).times(65536)
    found = silicon_grams(area, 7)
    by_hand = die_grams(area.value, carbon_per_area(process_node(7), 583.0, 97.0, 0.875).total_g_cm2)
    assert found.value == pytest.approx(float(by_hand))
    assert found.low < found.value < found.high
    plain = silicon_grams(100.0, np.array([7, 5]), fab=500.0, die_yield=np.array([0.9, 0.8]))
    assert plain.value.shape == (2,)
    assert float(plain.value[1]) == pytest.approx(float(silicon_grams(100.0, 5, 500.0, 97.0, 0.8).value))


def test_bands_multiply_ends_with_ends() -> None:
    one = Band(*map(np.asarray, (1.0, 2.0, 4.0)))
    assert tuple(map(float, one.times(one))) == (1, 4, 16)
    assert tuple(map(float, one.plus(one))) == (2, 4, 8)
    assert one.quantity("J", "here").high == 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: action("fp16_multiply"), "did you mean fp16_mult"),
        (lambda: unit_area("mac"), "known: "),
        (lambda: action_energy("hbm2", 7), "which has no node"),
        (lambda: moved_energy("fp16_add", 1), "known: ddr3, hbm2"),
        (lambda: moved_energy("aladdin_register", 1), "no memory device"),
        (lambda: moved_energy("hbm2", -1), "size_bytes: found -1"),
        (lambda: action_energy("fp16_mult", 2), "node_nm: found 2, expected 3 to 250"),
        (lambda: energy_scale(45, 7, 0.9, 0.2), "volts: found 0.2"),
        (lambda: area_scale(45, float("nan")), "node_nm: found nan"),
        (lambda: sram(Sram(1)), "capacity_bytes: found 1"),
        (lambda: sram(Sram(2**40)), "capacity_bytes: found 1.09951e.12"),
        (lambda: sram(Sram(4096, banks=2048)), "of a bank: found 2"),
        (lambda: sram(Sram(4096, ports=0)), "ports: found 0"),
        (lambda: sram(Sram(4096, node_nm=1)), "node_nm: found 1"),
        (lambda: silicon_grams(10, 45), "the nearest is 28"),
        (lambda: silicon_grams(-1, 7), "area_mm2: found -1"),
        (lambda: silicon_grams(1, 7, fab="atlantis"), "atlantis"),
    ],
)
def test_bad_input_is_named(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


GOOD = """schema: 1
spread: [0.7, 1.4]
range: assumed
actions: {add: {what: addition, pj: 1.0, per: op, status: read, source: here}}
areas: {add: {what: adder, um2: 1.0, node_nm: 45, source: here}}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema: 1", "schema: 2", "schema: found 2, expected 1"),
        ("pj: 1.0", "pj: [2, 1, 3]", "misses the value 1"),
        ("pj: 1.0", "pj: .nan", "misses the value nan"),
        ("pj: 1.0", "pj: -1.0", "misses"),
        ("um2: 1.0", "um2: 0.0", "areas.add: um2 and node_nm are above 0"),
        ("spread: [0.7, 1.4]", "spread: [1.7, 1.4]", "spread: found"),
        ("status: read", "status: guessed", "status"),
        ("per: op", "pre: op", "per"),
    ],
)
def test_bad_tables_are_named(old: str, new: str, said: str) -> None:
    assert read_tables(GOOD, "mine.yaml").actions["add"].high == pytest.approx(1.4e-12)
    with pytest.raises(DataError, match=said) as caught:
        read_tables(GOOD.replace(old, new), "mine.yaml")
    assert "mine.yaml" in str(caught.value)
