"""Configurations of templates: what a knob must do to area, energy, clock and carbon, and both figures by hand."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator.energy_tables import unit_area
from codesign.costmodels.accelerator.sram import Sram, sram
from codesign.costmodels.carbon.coefficients import coefficient
from codesign.errors import UsageError
from codesign.search.accelerator.configure import configure, mac_energy
from codesign.search.accelerator.embodied import embodied
from codesign.search.accelerator.pools import MEMORIES, geometry_of, reference
from codesign.search.accelerator.technologies import technologies
from codesign.search.accelerator.template import Design, read_template, template_of
from codesign.targets.spatial import Branches, Storage, load_architecture

TEMPLATES = ("eyeriss-like", "tpu-like", "gemmini-like", "diannao", "eyeriss-chip")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_as_it_is_keeps_its_tree(name: str) -> None:
    template = read_template(name)
    spine = configure(template, template.design()).architecture.spine()
    own = template.architecture.spine()
    assert [node.name for node in spine.nodes] == [node.name for node in own.nodes]
    assert spine.compute_instances == own.compute_instances
    for ours, theirs in zip(spine.storages[1:], own.storages[1:], strict=True):
        assert (ours.depth, ours.width_bits, ours.word_bits) == (theirs.depth, theirs.width_bits, theirs.word_bits)
        assert ours.read_bandwidth == theirs.read_bandwidth


MORE: dict[str, tuple[Any, Any]] = {
    "rows": (12, 24), "columns": (14, 28), "pads": (1.0, 2.0), "buffer": (131_072.0, 262_144.0), "cores": (1, 2),
    "bits": (8, 16),
}  # fmt: skip


@pytest.mark.parametrize("knob", MORE)
@pytest.mark.parametrize("node", [28.0, 7.0])
def test_more_of_a_knob_is_more_silicon_and_carbon(knob: str, node: float) -> None:
    template = read_template("eyeriss-like")
    less, more = (configure(template, template.design()._replace(node=node, **{knob: value})) for value in MORE[knob])
    for small, large in zip(less.area, more.area, strict=True):
        assert large > small
    assert (embodied(more).dies.value > embodied(less).dies.value).all()
    if knob != "bits":
        assert more.peak_watts.value > less.peak_watts.value


@given(volts=st.floats(0.5, 1.05), node=st.sampled_from([28.0, 22.0, 14.0, 10.0, 7.0]))
def test_a_lower_supply_is_slower_and_takes_less(volts: float, node: float) -> None:
    template = read_template("eyeriss-like")
    low, high = (
        configure(template, template.design()._replace(node=node, volts=supply)) for supply in (volts, volts + 0.05)
    )
    assert low.clock < high.clock
    assert mac_energy(8, node, volts).value < mac_energy(8, node, volts + 0.05).value
    assert float(low.static_watts.value) < float(high.static_watts.value)
    reads = [one.architecture.spine().storages[1].read for one in (low, high)]
    assert reads[0] is not None
    assert reads[1] is not None
    assert reads[0].value < reads[1].value
    assert low.area.value == high.area.value


def test_area_by_hand() -> None:
    template = read_template("eyeriss-like")
    found = configure(template, template.design()._replace(rows=6, columns=10, buffer=65_536.0))
    buffer = sram(Sram(65_536, 64, 1, 32, 28.0)).area_mm2.value
    pads = sum(float(sram(Sram(size, 16, 1, 1, 28.0)).area_mm2.value) for size in (32, 384, 32))
    mac = float(unit_area("aladdin_adder", 28.0).value) * (8 * 8 + 16) / 32
    assert float(found.area.value) == pytest.approx(float(buffer) + 60 * (pads + mac), rel=1e-12)


def test_carbon_of_dies_by_hand() -> None:
    template = read_template("tpu-like")
    found = configure(template, template.design()._replace(rows=64, columns=64, node=7.0))
    area = float(found.area.value)
    carbon, defects = (coefficient(f"chiplet_{what}", 7.0).value for what in ("carbon", "defects"))
    good = (1.0 + defects * area / 100.0 / 10.0) ** -10.0
    dies = math.pi * 150.0**2 / area - math.pi * 300.0 / math.sqrt(2.0 * area)
    edge = (math.pi * 300.0**2 / 4.0 - math.floor(dies) * area) * carbon / dies
    made = embodied(found)
    assert float(made.dies.value) == pytest.approx(carbon * area / good + edge, rel=1e-9)
    assert float(made.package.value) == 0.0
    assert float(made.memory.value) == pytest.approx(2.0 * coefficient("dram", "lpddr4").value)


def test_ends_hold_the_value() -> None:
    template = read_template("gemmini-like")
    found = configure(template, template.design()._replace(cores=4, package="2.5d", volts=0.7, node=10.0))
    for one in (found.area, found.static_watts, found.peak_watts, embodied(found).total):
        assert one.low <= one.value <= one.high


def test_many_small_dies_waste_less_silicon_than_a_large_one() -> None:
    template = read_template("tpu-like")
    large = template.design()._replace(rows=256, columns=256, buffer=2.0**25, cores=4, node=7.0)
    one, several = (embodied(configure(template, large._replace(package=name))) for name in ("monolithic", "2.5d"))
    assert several.dies.value < one.dies.value
    assert several.package.value > 0.0 == one.package.value


def test_dram_moves_what_its_device_does_in_a_cycle() -> None:
    template = read_template("eyeriss-like")
    for memory, device in technologies().memories.items():
        for bits in (8, 16):
            found = configure(template, template.design()._replace(memory=memory, bits=bits, volts=0.7))
            root = found.architecture.nodes[0]
            assert isinstance(root, Storage)
            assert root.shared_bandwidth is not None
            moved = root.shared_bandwidth * root.reference_bits / 8.0 * found.clock
            assert moved == pytest.approx(device.bandwidth)


def test_what_is_no_template_says_why() -> None:
    fusemax = load_architecture("fusemax")
    assert template_of(fusemax).fused
    above, below = fusemax.nodes[:-1], fusemax.nodes[-1]
    assert isinstance(below, Branches)
    lone = msgspec.structs.replace(fusemax, nodes=(*above, Branches(members=below.members[:1])))
    with pytest.raises(UsageError, match="compute units of several kinds"):
        template_of(lone)


def test_the_nearest_node_stands_for_one_without_coefficients() -> None:
    assert read_template("eyeriss-like").design().node == 28.0
    assert read_template("eyeriss-chip").design().bits == 16
    assert isinstance(read_template("tpu-like").design(), Design)
    assert np.isclose(float(technologies().supply.speed(0.9)), 1.0)


def test_memory_on_the_chip_moves_a_bit_for_less_and_pays_for_its_bonds() -> None:
    template = read_template("eyeriss-like")
    beside, above = (
        configure(template, template.design()._replace(node=7.0, memory=name)) for name in ("hbm2", "stacked")
    )
    for near, far in zip(technologies().memories["stacked"].bit, technologies().memories["hbm2"].bit, strict=True):
        assert near < far
    device = technologies().memories["stacked"]
    root = above.architecture.spine().storages[0]
    assert root.shared_bandwidth == pytest.approx(device.bandwidth / above.clock)
    assert root.read is not None
    assert root.read.value == pytest.approx(float(device.bit.value) * root.width_bits)
    assert above.area.value == beside.area.value
    # the same capacity of the same kind of DRAM, four bonds and their vias beside
    assert embodied(above).memory == embodied(beside).memory
    assert embodied(beside).package.value == 0.0
    low, value, high = embodied(above).package
    assert 0.0 < low < value < high
    assert value < embodied(above).memory.value


def test_a_search_prices_dram_at_the_least_of_its_devices() -> None:
    template = read_template("eyeriss-like")
    geometry = geometry_of(template.design())
    usual, stacked = (reference(template, geometry, (*MEMORIES, *more)) for more in ((), ("stacked",)))
    reads = [one.spine().storages[0].read for one in (usual, stacked)]
    assert reads[0] is not None
    assert reads[1] is not None
    assert reads[1].value / reads[0].value == pytest.approx(3.7 / 4.05)
