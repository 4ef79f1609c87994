"""Chiplets against a plain scalar reading of the published formulas, and the lessons a designer draws from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.carbon.chiplet_packages import Package, package, package_carbon, system_carbon
from codesign.costmodels.carbon.chiplet_packages import Parts as PackageParts
from codesign.costmodels.carbon.chiplets import (
    Chiplet,
    DesignEffort,
    Operation,
    Silicon,
    chiplet_process,
    edge_grams,
    node_areas,
)
from codesign.costmodels.carbon.coefficients import coefficient
from codesign.costmodels.carbon.floorplan import floorplan
from codesign.errors import UsageError

ECO_CHIP = Silicon(wafer_mm=450.0)
USE = Operation(power_w=6.0, lifetime_h=17520.0)
TYPES = ("RDL", "passive", "active", "EMIB", "3D")

System = Sequence[tuple[str, float, float]]
NODES = (7.0, 10.0, 14.0, 22.0, 28.0)
systems = st.lists(
    st.tuples(st.sampled_from(["logic", "analog", "sram"]), st.floats(1.0, 150.0), st.sampled_from(NODES)),
    min_size=1,
    max_size=6,
)


def chiplets(system: System) -> list[Chiplet]:
    return [Chiplet(area, node, chiplet_process(kind, node)) for kind, area, node in system]


def value(name: str, key: str | float) -> float:
    return coefficient(name, key).value


def blocks(areas: list[float], axis: int) -> tuple[list[float], int]:
    """Return size and bridges of a floorplan, by the description in words."""
    if len(areas) == 1:
        short = math.sqrt(areas[0] / 2)
        return ([2 * short, short] if axis == 0 else [short, 2 * short]), 0
    halves: tuple[list[float], list[float]] = ([], [])
    for area in sorted(areas):
        halves[0 if sum(halves[0]) <= sum(halves[1]) else 1].append(area)
    (a, bridges_a), (b, bridges_b) = (blocks(half, 1 - axis) for half in halves)
    size = [0.0, 0.0]
    size[axis] = a[axis] + b[axis] + 0.5
    size[1 - axis] = max(a[1 - axis], b[1 - axis])
    return size, bridges_a + bridges_b + math.ceil(min(a[1 - axis], b[1 - axis]) / 10)


def by_hand(system: System, kind: str) -> tuple[list[float], float]:
    """Return carbon of making each chiplet and of the package, g."""
    areas = [area * value(f"chiplet_area_{k}", n) for k, area, n in system]

    def good(area: float, node: float, whole: float | None = None, defects: float = 1.0) -> float:
        d0 = value("chiplet_defects", node) * defects
        return value("chiplet_carbon", node) * area * (1 + d0 * (whole or area) / 100 / 10) ** 10

    made = []
    for area, (_, _, node) in zip(areas, system, strict=True):
        d = 450.0
        n = math.pi * d * (d / (4 * area) - 1 / math.sqrt(2 * area))
        waste = (math.pi * d * d / 4 - math.floor(n) * area) * value("chiplet_carbon", node) / n
        made.append(good(area, node) + waste)
    if len(system) == 1:
        return made, 0.0
    (wide, high), bridges = blocks(areas, 0)
    interposer, beol = good(wide * high, 65), value("chiplet_beol", 65)
    routers = [0.33 / value(f"chiplet_area_{k}", 14) * value(f"chiplet_area_{k}", n) for k, _, n in system]
    nodes = [n for _, _, n in system]
    one = sum(routers) if len(set(nodes)) == 1 else None
    router = sum(good(a, n, one) for a, n in zip(routers, nodes, strict=True))
    bond = 0.99
    if kind == "RDL":
        package_g = interposer * beol * 6 / 8
    elif kind == "passive":
        package_g = interposer * beol
    elif kind == "active":
        router = interposer * 4.47 * len(system) / (wide * high)
        package_g = max(interposer - router, 0.0) * beol
    elif kind == "EMIB":
        package_g = good(25.0 * bridges, 22, defects=0.25) * value("chiplet_beol", 22)
    else:
        larger = [a + math.floor(math.sqrt(a) / 0.025) ** 2 * 0.005**2 for a in areas]
        package_g = sum(good(b, n) - good(a, n) for a, b, n in zip(areas, larger, nodes, strict=True))
        bond = 0.99 ** len(system)
    return made, (package_g + router) / bond


@given(systems, st.sampled_from(TYPES))
def test_every_type_of_package_is_what_the_formulas_say(system: System, kind: str) -> None:
    found = system_carbon(chiplets(system), package(kind), USE, 700.0, ECO_CHIP)
    made, joined = by_hand(system, kind)
    np.testing.assert_allclose(found.manufacturing_g, made, rtol=1e-12)
    np.testing.assert_allclose(found.packaging_g, joined, rtol=1e-9)


@settings(max_examples=30)
@given(st.integers(1, 5), st.sampled_from(TYPES), st.integers(0, 1000))
def test_a_batch_equals_its_points(count: int, kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    areas = random.uniform(1.0, 150.0, (count, 4, 3))
    ci, factor = random.uniform(10.0, 800.0, (4, 1)), random.uniform(0.5, 2.0, 3)

    def run(at: tuple[slice | int, slice | int]) -> list[np.ndarray]:
        process = chiplet_process("logic", 10)
        drawn = process._replace(defects_cm2=process.defects_cm2 * factor[at[1]])
        some = [Chiplet(area[at], 10.0, drawn) for area in areas]
        found = system_carbon(some, package(kind), USE, ci[at[0], 0] if isinstance(at[0], int) else ci)
        return [*found, found.total_g]

    whole = run((slice(None), slice(None)))
    for row in range(4):
        for column in range(3):
            for batch, point in zip(whole, run((row, column)), strict=True):
                shape = np.broadcast_shapes(batch.shape[-2:], (4, 3))
                full = np.broadcast_to(batch, (*batch.shape[:-2], *shape)) if batch.ndim > 1 else batch
                np.testing.assert_allclose(full[..., row, column], point, rtol=1e-12)


@given(systems, st.randoms(use_true_random=False))
def test_the_order_of_chiplets_does_not_matter(system: System, random: object) -> None:
    shuffled = list(system)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for kind in TYPES:
        one, other = (system_carbon(chiplets(s), package(kind), USE, 700.0) for s in (system, shuffled))
        np.testing.assert_allclose(one.total_g, other.total_g, rtol=1e-12)


@given(st.lists(st.floats(0.1, 500.0), min_size=1, max_size=8))
def test_a_floorplan_holds_its_chiplets(areas: list[float]) -> None:
    found = floorplan(areas)
    assert found.area_mm2 >= sum(areas) * (1 - 1e-12)
    assert (found.bridges == 0) == (len(areas) == 1)
    if len(areas) > 1:
        assert found.bridges >= len(areas) - 1


def test_halving_a_die_saves_four_percent_and_more_the_larger_it_is() -> None:
    def gain(area: float, d0: float = 0.2) -> float:
        process = chiplet_process("logic", 7)._replace(defects_cm2=d0)
        one, two = (
            system_carbon([Chiplet(a, 7.0, process)] * n, package("RDL"), USE, 700.0, ECO_CHIP)
            for a, n in ((area, 1), (area / 2, 2))
        )
        cost = [s.manufacturing_g.sum() + s.packaging_g for s in (one, two)]
        return float(1 - cost[1] / cost[0])

    assert gain(148.0) == pytest.approx(1 - 5.277 / 5.499, abs=2e-4)
    assert gain(148.0) == pytest.approx(0.04, abs=0.005)
    assert gain(20.0) < 0.0 < gain(148.0) < gain(400.0) < gain(800.0)
    assert gain(148.0, 0.05) < gain(148.0, 0.2) < gain(148.0, 0.4)


def test_knobs_move_the_carbon_the_way_they_should() -> None:
    some = chiplets([("logic", 100.0, 7.0), ("sram", 50.0, 10.0)])
    base = system_carbon(some, package("RDL"), USE, 700.0)
    assert base.manufacturing_g.sum() > system_carbon(some, package("RDL"), USE, 700.0, ECO_CHIP).manufacturing_g.sum()
    clustered = system_carbon(some, package("RDL"), USE, 700.0, Silicon(alpha=1.0))
    assert clustered.manufacturing_g.sum() < base.manufacturing_g.sum()
    reused = system_carbon(some, package("RDL"), USE, 700.0, effort=DesignEffort(parts_made=1e6))
    np.testing.assert_allclose(reused.design_g, base.design_g / 10)
    better = system_carbon(some, package("RDL")._replace(bonding_yield=1.0), USE, 700.0)
    np.testing.assert_allclose(better.packaging_g, base.packaging_g * 0.99)
    np.testing.assert_allclose(better.packaging_design_g, base.packaging_design_g)
    clean = system_carbon(some, package("RDL"), USE, 70.0)
    np.testing.assert_allclose(clean.operation_g, base.operation_g / 10)
    np.testing.assert_allclose(clean.manufacturing_g, base.manufacturing_g)


def test_what_is_no_system_is_refused() -> None:
    with pytest.raises(UsageError, match="chiplets: found none"):
        node_areas([])
    with pytest.raises(UsageError, match="'16'"):
        chiplet_process("logic", 16)
    with pytest.raises(UsageError, match="'lgic'") as caught:
        chiplet_process("lgic", 7)
    assert "logic" in caught.value.hint
    with pytest.raises(UsageError, match="'RDK'") as caught:
        package("RDK")
    assert "rdl" in caught.value.hint
    with pytest.raises(UsageError, match="does not fit the wafer"):
        edge_grams(90_000.0, 1.0, 300.0)
    with pytest.raises(UsageError, match="node_nm"):
        package("RDL", interposer_node_nm=60)
    unnamed: Package = package("RDL")._replace(kind="glue")
    some = chiplets([("logic", 10.0, 7.0)])
    with pytest.raises(UsageError, match="'glue'"):
        package_carbon(PackageParts(node_areas(some), some, Silicon(), DesignEffort(), 1.0), unnamed)
