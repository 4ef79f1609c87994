"""Spatial accelerators as data: the catalogue, the strict reading, and trees that cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from codesign.errors import DataError, UsageError
from codesign.targets import load_target
from codesign.targets.spatial import (
    Storage,
    is_spatial,
    list_architectures,
    load_architecture,
    parse_architecture,
)
from codesign.targets.spatial.architecture import all_parts

FILE = """
schema: 1
kind: spatial
id: small
name: "A small array"
clock: {value: 1 GHz, source: "a test"}
nodes:
  - storage:
      name: dram
      kind: dram
      width: 64
      word: 8
      source: "a test"
      read: {value: 64 pJ, low: 50 pJ, high: 80 pJ, source: "a test"}
      write: {value: 64 pJ, source: "a test"}
  - storage:
      name: buffer
      kind: sram
      width: 64
      word: 8
      depth: 128
      read_bandwidth: 8
      source: "a test"
      read: {value: 5 pJ, source: "a test"}
      write: {value: 6 pJ, source: "a test"}
      area: {value: 0.1 mm2, source: "a test"}
  - array: {name: grid, x: 4, y: 2, source: "a test"}
  - compute:
      name: mac
      source: "a test"
      operations: {mac: {energy: {value: 0.2 pJ, source: "a test"}}}
      area: {value: 0.001 mm2, source: "a test"}
"""


@pytest.mark.parametrize("name", list_architectures())
def test_every_number_of_the_catalogue_has_a_source_and_every_energy_an_interval(name: str) -> None:
    architecture = load_architecture(name)
    assert architecture.id == name
    for part in all_parts(architecture.nodes):
        assert part.source
        if isinstance(part, Storage):
            for action in (part.read, part.write, part.update):
                assert action is not None
                assert action.source
                assert action.low is not None
                assert action.high is not None
                assert action.low <= action.value <= action.high


def test_the_eyeriss_like_design_is_that_of_the_exercise() -> None:
    architecture = load_architecture("eyeriss-like")
    spine = architecture.spine()
    assert spine.compute_instances == 168
    assert [spine.instances(storage.name) for storage in spine.storages] == [1, 1, 168, 168, 168]
    # glb + 168 * (three pads + mac), from the area table in square micrometres
    expected = 217363.36892 + 168 * (70.091961 + 5816.44278 + 123.627348 + 191.82)
    assert architecture.area() == pytest.approx(expected * 1e-6, rel=1e-12)


def test_fusemax_has_two_units_that_share_a_buffer() -> None:
    architecture = load_architecture("fusemax")
    assert {spine.compute.name: spine.compute_instances for spine in architecture.spines()} == {
        "unit_2d": 65_536,
        "unit_1d": 256,
    }
    shared = [{storage.name for storage in spine.storages} for spine in architecture.spines()]
    assert shared[0] & shared[1] == {"DRAM", "global_buffer"}
    with pytest.raises(UsageError, match="no compute unit 'unit_3d'"):
        architecture.spine("unit_3d")


def test_a_file_of_ones_own_is_read() -> None:
    architecture = parse_architecture(FILE, "small.yaml")
    dram, buffer = architecture.spine().storages
    assert dram.read is not None
    assert (dram.read.value, dram.read.low) == (64e-12, 50e-12)
    assert dram.capacity_bits is None
    assert buffer.capacity_bits == 128 * 64
    assert buffer.block(8) == 8
    assert architecture.area() == pytest.approx(0.1 + 8 * 0.001)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema: 1", "schema: 9", "expected 1"),
        ("id: small", "id: Small!", "expected lower-case"),
        ("read_bandwidth: 8", "read_bandwidth: 0", "zero bandwidth"),
        ("read_bandwidth: 8", "read_bandwidth: .nan", "expected a positive number"),
        ("read_bandwidth: 8", "read_bandwith: 8", "did you mean read_bandwidth"),
        ("depth: 128", "depth: 0", "expected a positive number"),
        ("kind: sram", "kind: scratch", "expected one of dram, sram"),
        ("value: 5 pJ", "value: 5 pX", "unknown unit"),
        ("value: 5 pJ", "value: -5 pJ", "expected a positive quantity"),
        ("value: 5 pJ", "value: 5 s", "measures something else"),
        ("low: 50 pJ", "low: 70 pJ", "misses the value"),
        ("x: 4, y: 2", "x: 0, y: 2", "expected a positive number"),
        ("name: buffer", "name: dram", "two nodes are called 'dram'"),
        ("name: buffer", 'name: "b\\e[31m"', "expected letters"),
        ('operations: {mac: {energy: {value: 0.2 pJ, source: "a test"}}}', "operations: {}", "found none"),
        ('source: "a test"\n      operations', 'source: ""\n      operations', "found nothing"),
    ],
)
def test_a_file_that_is_wrong_says_where(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(DataError) as refused:
        parse_architecture(FILE.replace(old, new, 1), "small.yaml")
    assert said in str(refused.value)
    assert "small.yaml" in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_disconnected_trees_are_refused() -> None:
    head, _, tail = FILE.partition("  - array:")
    with pytest.raises(DataError, match=r"disconnected.*no compute unit below buffer"):
        parse_architecture(head, "small.yaml")
    lead = head.partition("nodes:")[0]
    with pytest.raises(DataError, match=r"disconnected.*no memory above"):
        parse_architecture(f"{lead}nodes:\n  - array:{tail}", "small.yaml")
    late = "  - array: {name: late, x: 2, source: here}\n"
    with pytest.raises(DataError, match="disconnected: late stands behind"):
        parse_architecture(FILE + late, "small.yaml")
    both = FILE.replace("  - array: {", "  - storage: null\n    array: {")
    assert parse_architecture(both, "small.yaml").id == "small"
    with pytest.raises(DataError, match="expected one of storage"):
        parse_architecture(FILE + "  - {}\n", "small.yaml")


def test_devices_and_accelerators_are_not_taken_for_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="eyeriss-like is a spatial accelerator"):
        load_target("eyeriss-like")
    with pytest.raises(UsageError, match="h100-sxm is a device"):
        load_architecture("h100-sxm")
    with pytest.raises(UsageError, match="did you mean eyeriss-like"):
        load_architecture("eyeris-like")
    with pytest.raises(UsageError, match="eyeriss-like"):
        load_target("eyeriss")
    file = tmp_path / "small.yaml"
    file.write_text(FILE, encoding="utf-8")
    assert is_spatial(str(file))
    with pytest.raises(UsageError, match="is a spatial accelerator"):
        load_target(str(file))
