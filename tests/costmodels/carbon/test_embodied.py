"""Dies, memory, boards, modules, servers and wafers against tables, closed forms and each other."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.carbon.boards import (
    board_coefficient,
    board_grams,
    capacitor_grams,
    housing_grams,
    package_grams,
)
from codesign.costmodels.carbon.coefficients import coefficient, find, group, groups, read_groups
from codesign.costmodels.carbon.dies import (
    ProcessNode,
    carbon_per_area,
    die_grams,
    fab_coefficient,
    fab_intensity,
    process_node,
)
from codesign.costmodels.carbon.memory import memory_grams, memory_process
from codesign.costmodels.carbon.modules import ModuleParts, module_grams, module_quantity
from codesign.costmodels.carbon.servers import (
    ClusterPart,
    cluster_grams,
    server_grams,
    server_preset,
    server_year_grams,
    share_grams,
)
from codesign.costmodels.carbon.wafers import dies_per_wafer, steps_kwh, wafer_die_grams, wafer_grams
from codesign.errors import DataError, UsageError
from codesign.quantity import Origin

SHARED = Path(__file__).parents[4] / "shared" / "data" / "carbon"

NODES = np.array([28.0, 20, 14, 10, 8, 7, 5, 3])
CPA = {
    # fab intensity, abatement: g/cm2 at yield 0.875, by hand from the tables of ACT
    (583.0, 97.0): [1328.2286, 1542.4, 1556.6857, 1777.0571, 1807.04, 2318.2286, 2778.0, 3162.5714],
    (820.0, 95.0): [1614.8571, 1913.1429, 1924.5714, 2228.0, 2270.1714, 2986.2857, 3640.0, 4154.2857],
    (41.0, 99.0): [727.8857, 753.3714, 770.5143, 811.9714, 814.08, 900.7429, 957.4286, 1038.0],
}


@pytest.mark.parametrize("place", CPA)
def test_logic_by_node(place: tuple[float, float]) -> None:
    intensity, abatement = place
    found = carbon_per_area(process_node(NODES), intensity, abatement, 0.875)
    np.testing.assert_allclose(found.total_g_cm2, CPA[place], rtol=7e-8)  # printed to four digits
    for number, node in enumerate(NODES):
        alone = carbon_per_area(process_node(node), intensity, abatement, 0.875)
        assert alone.total_g_cm2 == found.total_g_cm2[number]


@given(st.floats(0.0, 900.0), st.floats(0.0, 900.0), st.floats(0.05, 1.0), st.floats(95.0, 99.0))
def test_dies_are_linear_in_area_and_inverse_in_yield(one: float, two: float, y: float, abatement: float) -> None:
    per_area = carbon_per_area(process_node(7), 500.0, abatement, y).total_g_cm2
    whole = die_grams(one + two, per_area)
    np.testing.assert_allclose(whole, die_grams(one, per_area) + die_grams(two, per_area), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(per_area * y, carbon_per_area(process_node(7), 500.0, abatement, 1.0).total_g_cm2)


def test_draws_of_every_coefficient_broadcast_over_designs() -> None:
    draws = np.random.default_rng(0).uniform(0.8, 1.2, (4, 50, 1))
    node = process_node(np.array([7.0, 5.0, 3.0]))
    drawn = ProcessNode(*(field * factor for field, factor in zip(node, draws, strict=True)))
    found = carbon_per_area(drawn, draws[0] * 500.0, 97.0, np.clip(draws[1] * 0.8, 0.0, 1.0)).total_g_cm2
    assert found.shape == (50, 3)
    alone = carbon_per_area(
        ProcessNode(*(field[2] * factor[7, 0] for field, factor in zip(node, draws, strict=True))),
        draws[0, 7, 0] * 500.0, 97.0, draws[1, 7, 0] * 0.8,
    )  # fmt: skip
    np.testing.assert_allclose(found[7, 2], alone.total_g_cm2, rtol=1e-14)


def test_a_node_without_data_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'6'") as caught:
        process_node(6)
    assert "nearest is 5" in caught.value.hint
    assert "nothing is extrapolated" in caught.value.hint
    with pytest.raises(UsageError, match="'16'"):
        process_node([7, 16])


def test_fabs_by_name_say_their_set() -> None:
    assert fab_intensity("Taiwan") == fab_intensity("taiwan-2022") == 583.0
    assert fab_intensity("taiwan 2023") == 642.0
    assert fab_intensity("world") == 301.0
    assert fab_intensity("solar") == 41.0
    assert fab_intensity(12.5) == 12.5
    coal = fab_coefficient("coal")
    assert (coal.low, coal.value, coal.high) == (740.0, 820.0, 910.0)
    with pytest.raises(UsageError, match="taiwn") as caught:
        fab_intensity("taiwn")
    assert "taiwan" in caught.value.hint
    with pytest.raises(UsageError, match="found -1"):
        fab_intensity(-1)


def test_memory_by_process_and_kind() -> None:
    assert memory_grams(memory_process("DDR4_10nm").value, 3, 0.875) == pytest.approx(65 * 3 / 0.875)
    assert memory_process("BarraCuda Pro").value == 2.35
    hbm = memory_process("hbm")
    assert (hbm.low, hbm.value, hbm.high) == (400.0, 800.0, 1400.0)
    assert memory_process("server-dram").value == 400.0
    assert memory_process("ddr4_10nm").high == 1400.0
    with pytest.raises(UsageError, match="is hdd, expected ssd"):
        memory_process("BarraCuda", "ssd")
    with pytest.raises(UsageError, match="nand_tlc_v4") as caught:
        memory_process("nand_tlc_v4")
    assert "nand_tlc_v3" in caught.value.hint


def test_boards_packages_and_the_rest() -> None:
    assert [board_coefficient(layers) for layers in (2, 4, 6, 8)] == [410, 430, 710, 910]
    assert board_coefficient(12) == 910 + 4 * 130
    with pytest.raises(UsageError, match="layers: found '5'"):
        board_coefficient(5)
    assert board_grams(0.02, board_coefficient(8)) == pytest.approx(18.2)
    assert package_grams(3, coefficient("package", "per_ic").value) == 450.0
    assert capacitor_grams(0.001, coefficient("capacitor", "mlcc").value, 500.0) == pytest.approx(6.862 / 3.6 * 500)
    assert housing_grams(2.0, coefficient("housing", "steel").value) == pytest.approx(3780.0)


def test_a_module_is_its_published_figure_or_its_parts_and_never_both() -> None:
    parts = ModuleParts((814.0,), (5.0,), 80.0)
    published = module_quantity("H100-SXM", parts)
    assert (published.value, published.low, published.high) == (164e3, 115e3, 246e3)
    built = module_quantity("h200-sxm", parts)
    die = 814 / 100 * 2778.0
    assert built.value == pytest.approx((die + 80 * 800 + 150) * 1.25)
    assert built.low < built.value < built.high
    assert "new-family" in built.source
    assert "assumed" in built.source
    # the die and its package alone are a seventh of the module
    assert 6.0 < published.value / (die + 150) < 7.5
    with pytest.raises(UsageError, match="no published figure"):
        module_quantity("h200-sxm")
    with pytest.raises(UsageError, match="2 nodes for 1 dies"):
        module_quantity(parts=parts._replace(node_nm=(5.0, 7.0)))
    np.testing.assert_allclose(module_grams([1.0, 2.0], 3.0, 1.0, 0.5), [7.5, 9.0])


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=6), st.floats(0.0, 1e7))
def test_shares_of_a_server_add_up_to_it(parts: list[float], whole: float) -> None:
    total = sum(parts) or 1.0
    parts = parts if sum(parts) else [1.0]
    assert share_grams(whole, np.array(parts), total).sum() == pytest.approx(whole)


def test_server_presets() -> None:
    preset = server_preset()
    assert server_grams(preset) == 1e6
    assert server_grams(preset, memory_gb=400, ssds=2, hdds=1, cpus=2, gpus=8) == pytest.approx(
        (1000 + 533 + 100 + 100 + 100 + 1200) * 1e3
    )
    assert server_preset("low").base < preset.base < server_preset("high").base
    np.testing.assert_allclose(server_grams(preset, gpus=np.arange(3)), 1e6 + 150e3 * np.arange(3))
    assert server_year_grams(320e3, 276.0, 1760.3) == pytest.approx(805_842.8)
    parts = [ClusterPart(2, 100.0, 8), ClusterPart(1, 50.0, 1)]
    assert cluster_grams(parts, 30, 300) == pytest.approx(1650.0 / 10)
    with pytest.raises(UsageError, match="cpus"):
        server_grams(preset, cpus=0)
    with pytest.raises(UsageError, match="more than resources_total"):
        share_grams(1.0, 3, 2)


def test_published_server_rows() -> None:
    path = SHARED / "server_embodied_gcp.csv"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 277
    for row in rows:
        parts = sum(float(row[f"{part}_kg"]) for part in ("memory", "storage", "cpu", "gpu"))
        assert server_preset().base / 1e3 + parts == pytest.approx(float(row["total_kg"]), abs=0.011)


def test_a_wafer_is_the_sum_of_its_steps() -> None:
    steps = {
        "front_end": 1, "middle": 1, "first_via": 1, "pair_36nm": 3, "pair_48nm": 2, "pair_64nm": 2, "pair_80nm": 2,
    }  # fmt: skip
    tools = steps_kwh(steps)
    assert tools == pytest.approx(723.94)
    gas, reference, material, facility = (
        coefficient("wafer", name).value for name in ("gas", "gas_reference", "material", "facility_factor")
    )
    wafer = wafer_grams(tools, facility, 380.0, gas, reference, material)
    assert wafer == pytest.approx(853_818.19, rel=1e-7)
    assert wafer_die_grams(wafer, 299_127, 0.9) == pytest.approx(3.171519, rel=1e-6)
    assert steps_kwh({"pair_36nm": np.arange(4)}).shape == (4,)
    with pytest.raises(UsageError, match="pair_37nm") as caught:
        steps_kwh({"pair_37nm": 1})
    assert "pair_36nm" in caught.value.hint


@given(st.floats(1.0, 900.0), st.floats(100.0, 450.0))
def test_fewer_dies_fit_than_area_allows(area: float, diameter: float) -> None:
    dies = dies_per_wafer(area, diameter)
    assert dies < np.pi * diameter**2 / 4 / area
    # by hand: pi d^2 / 4A - pi d / sqrt(2A)
    assert dies == pytest.approx(
        np.pi * diameter**2 / (4 * area) - np.pi * diameter / np.sqrt(2 * area), rel=1e-9, abs=1e-9
    )


def test_every_coefficient_has_a_range_a_source_and_a_unit_of_its_own() -> None:
    for one in groups().values():
        assert one.what
        for entry in one.values.values():
            assert entry.low <= entry.value <= entry.high
            assert entry.source
            assert entry.range_source
    assert coefficient("module_share", "board_and_thermal").origin is Origin.ASSUMED
    assert coefficient("default", "pue").quantity().source.startswith("assumed")
    assert group("dram").licence == "MIT"
    with pytest.raises(UsageError, match="'drm'"):
        group("drm")
    with pytest.raises(UsageError, match="process: found"):
        find(("dram", "ssd"), "nothing like it", "process")
    with pytest.raises(TypeError):
        groups()["dram"].values["x"] = coefficient("default", "pue")  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema: 1": "schema: 2"}, "expected 1"),
        ({"unit": "unti"}, "unknown key 'unti'"),
        ({"{a: 1}": "{a: [2, 1, 3]}"}, "misses the value"),
        ({"{a: 1}": "{a: -1}"}, "misses the value"),
        ({"{a: 1}": "{a: .nan}"}, "misses the value"),
    ],
)
def test_a_damaged_file_of_coefficients_is_refused(change: dict[str, str], told: str) -> None:
    text = "schema: 1\ngroups:\n  g: {what: x, unit: g, source: s, range: r, values: {a: 1}}\n"
    assert read_groups(text, "f")["g"].values["a"].value == 1.0
    for old, new in change.items():
        text = text.replace(old, new)
    with pytest.raises(DataError, match=told):
        read_groups(text, "f")


@pytest.mark.parametrize(
    "call",
    [
        lambda: die_grams(-1.0, 1.0),
        lambda: carbon_per_area(process_node(7), 1.0, 94.0, 0.5),
        lambda: carbon_per_area(process_node(7), 1.0, 97.0, 0.0),
        lambda: carbon_per_area(process_node(7), np.nan, 97.0, 0.5),
        lambda: memory_grams(1.0, -1.0),
        lambda: dies_per_wafer(0.0),
        lambda: wafer_die_grams(1.0, 1.0, 1.5),
    ],
)
def test_arguments_outside_their_domain_are_refused(call: Any) -> None:
    with pytest.raises(UsageError, match=r": found .*, expected"):
        call()
