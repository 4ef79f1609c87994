"""Target files and overlays: bad ones are refused in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import CodesignError, DataError, UsageError
from codesign.quantity import Method
from codesign.registry import Registry
from codesign.targets import Calibration, Target, list_targets, load_target, overlay_text, parse_target, target_text
from codesign.targets import loader as loader_module
from codesign.targets.writer import quantity_text, write_target
from codesign.units import parse_quantity

GOOD = """schema: 1
id: mine
name: "Mine"
vendor: "Us"
kind: gpu
architecture: hopper
power:
  tdp: {value: 700 W, source: "data sheet"}
machine:
  matrix:
    bf16: {value: 989 TFLOP/s, source: "data sheet"}
  memory:
    capacity: {value: 80 GiB, source: "data sheet"}
    bandwidth: {value: 3350 GB/s, source: "data sheet", low: 3000 GB/s, high: 3400 GB/s}
  host: {value: 10 us, source: "assumed", origin: assumed}
"""


def test_least_file() -> None:
    target = parse_target(GOOD, "mine.yaml")
    assert target.memory_bandwidth == 3.35e12
    assert target.cores is None
    assert target.price_per_hour is None, "what is not known is absent"
    assert target.link("node") is None
    with pytest.raises(UsageError, match="it computes in bf16"):
        target.peak("fp8")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("tdp:", "tpd:", "mine.yaml:8: power: unknown key 'tpd' (did you mean tdp?)"),
        ("capacity:", "capacty:", "machine.memory: unknown key 'capacty' (did you mean capacity?)"),
        ("vendor:", "price_per_hour: 1\nvendor:", "unknown key 'price_per_hour' (did you mean price?)"),
        ("3350 GB/s, source", "3350 GB, source", "machine.memory.bandwidth.value: unit 'GB' measures something else"),
        ("3350 GB/s, source", "3350 gb/s, source", "did you mean GB/s"),
        ("value: 700 W", "value: 700", "power.tdp.value: '700' has no unit"),
        ("value: 700 W", "value: -700 W", "power.tdp.value: found '-700 W', expected a positive quantity"),
        ("value: 700 W", "value: 0 W", "leave out what is not known"),
        ("value: 700 W", "value: .nan", "power.tdp.value"),
        ("value: 700 W", "value: nan W", "power.tdp.value"),
        ("value: 700 W", "value: 1e999 W", "not finite"),
        ("value: 700 W, ", "", "power.tdp: missing field 'value'"),
        (', source: "data sheet"}\nmachine', "}\nmachine", "power.tdp: missing field 'source'"),
        ('source: "data sheet"}\nmachine', 'source: " "}\nmachine', "power.tdp.source: found nothing"),
        ("  host:", "  hosts:", "unknown key 'hosts' (did you mean host?)"),
        ("low: 3000 GB/s", "low: 3400 GB/s", "misses the value"),
        ("low: 3000 GB/s", "low: 3000 W", "machine.memory.bandwidth.low"),
        ("bf16:", "bf61:", "machine.matrix: unknown dtype 'bf61' (did you mean bf16"),
        ("    bf16: {value: 989 TFLOP/s", "    bf16: {valu: 989 TFLOP/s", "machine.matrix.bf16: unknown key 'valu'"),
        ('  matrix:\n    bf16: {value: 989 TFLOP/s, source: "data sheet"}\n', "", "no peak given"),
        ("kind: gpu", "kind: gqu", "kind: found 'gqu', expected one of gpu, cpu"),
        ("id: mine", "id: My GPU", "id: found 'My GPU'"),
        ("id: mine", "id: ../../etc", "id: found '../../etc'"),
        ("schema: 1", "schema: 2", "schema: found 2, expected 1"),
        ("schema: 1\n", "", "missing field 'schema'"),
        ("  matrix:", "  devices_per_node: 0\n  matrix:", "machine.devices_per_node: found 0"),
        ("vendor:", "year: 20222\nvendor:", "year: found 20222"),
        ("origin: assumed", "origin: guessed", "expected one of published, measured, assumed"),
        ("id: mine", "id: mine\nid: yours", "mine.yaml:3: duplicate key 'id'"),
        ("  tdp: {", "  tdp: &a {", "anchors and aliases are refused"),
    ],
)
def test_refused(old: str, new: str, expected: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(DataError) as caught:
        parse_target(text, "mine.yaml")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("mine.yaml")
    assert "\n" not in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_gives_our_error(text: str) -> None:
    with pytest.raises(CodesignError):
        parse_target(text, "any.yaml")


@given(st.floats(1e-14, 1e24), st.sampled_from(["B", "B/s", "FLOP/s", "s", "W", "gCO2e", "$/h", "mm2", "Hz", ""]))
def test_written_quantities_read_back_exactly(value: float, unit: str) -> None:
    assert parse_quantity(quantity_text(value, unit), unit) == value


def test_files_and_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    assert load_target(str(file)).id == "mine"
    with pytest.raises(UsageError, match="exists"):
        write_target(load_target("l4"), file)
    assert load_target(str(write_target(load_target("l4"), file, force=True))) == load_target("l4")
    with pytest.raises(DataError, match="No such file"):
        load_target(str(tmp_path / "none.yaml"))
    with pytest.raises(DataError, match="cannot be written"):
        write_target(load_target("l4"), tmp_path / "no" / "folder.yaml")
    with pytest.raises(UsageError, match="did you mean h100-sxm"):
        load_target("h100-sxn")


def test_overlay_changes_its_target_only(tmp_path: Path) -> None:
    factors = [Calibration("matrix rate", 1.25, 0.05, Method.CALIBRATED, "16 shapes")]
    file = tmp_path / "overlay.yaml"
    file.write_text(overlay_text("l4", factors))
    found = load_target("l4", overlay=str(file))
    assert found.calibration[0].scale == 1.25
    assert "overlay.yaml" in found.calibration[0].source
    assert load_target("l4").calibration == (), "the catalogue is never edited"
    assert load_target("t4", overlay=str(file)).calibration == ()
    assert parse_target(target_text(found), "l4.yaml") == load_target("l4")
    file.write_text(overlay_text("l4", []))
    assert load_target("l4", overlay=str(file)) == load_target("l4")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("scale: 1.25", "scale: -1", "scale: found -1.0"),
        ("scale: 1.25", "scale: .nan", "scale: found nan"),
        ("sigma: 0.05", "sigma: -0.1", "sigma: found -0.1"),
        ("scale:", "scal:", "unknown key 'scal'"),
        ("schema: 1", "schema: 7", "schema: found 7"),
    ],
)
def test_bad_overlay(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = overlay_text("l4", [Calibration("matrix rate", 1.25, 0.05, Method.CALIBRATED, "16 shapes")])
    file = tmp_path / "overlay.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(DataError) as caught:
        load_target("l4", overlay=str(file))
    assert expected in str(caught.value)


def test_targets_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = msgspec.structs.replace(load_target("l4"), id="outside")
    entries = {
        "l4": lambda: load_target("l4"),
        "outside": lambda: mine,
        "made": lambda: lambda: mine,
        "wrong": lambda: 7,
    }
    registry: Registry[object] = Registry("target", entries)
    monkeypatch.setattr(loader_module, "_registry", lambda: registry)
    assert "outside" in list_targets()
    assert load_target("outside") is mine
    assert load_target("made") is mine
    with pytest.raises(DataError, match="is a int, expected a Target"):
        load_target("wrong")


def test_listing_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Target:
        raise AssertionError("a file was parsed")

    monkeypatch.setattr(loader_module, "parse_target", refuse)
    assert len(list_targets()) >= 40
