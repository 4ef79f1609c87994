"""The shipped targets: all load, agree with physics and with the device list they came from."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codesign.quantity import Origin
from codesign.targets import Target, Value, list_targets, load_target, parse_target, target_text
from codesign.targets.loader import aliases, normal, shipped

LANES = {"NVIDIA": {"pascal": 128, "volta": 64, "turing": 64, "ada": 128, "hopper": 128, "blackwell": 128}}
"""fp32 lanes per multiprocessor; GP100 and GA100 have 64, GA102 128."""
HALF_LANES = {"p100-pcie", "a100-40gb-pcie", "a100-40gb-sxm", "a100-80gb-pcie", "a100-80gb-sxm", "a30"}


def values(found: Any) -> Iterator[Value]:
    if isinstance(found, Value):
        yield found
    elif isinstance(found, msgspec.Struct):
        for field in found.__struct_fields__:
            yield from values(getattr(found, field))
    elif isinstance(found, tuple | list):
        for entry in found:
            yield from values(entry)
    elif isinstance(found, dict):
        yield from values(list(found.values()))


@pytest.fixture(params=shipped())
def target(request: pytest.FixtureRequest) -> Target:
    return load_target(request.param)


def test_forty_devices() -> None:
    assert len(shipped()) == 40
    wanted = {
        "h100-sxm",
        "h200-sxm",
        "b200-sxm",
        "a100-80gb-sxm",
        "a100-40gb-sxm",
        "l4",
        "l40s",
        "t4",
        "v100-sxm",
        "mi300x",
    }
    assert wanted | {"rtx-pro-6000-server", "rtx-4090", "tpu-v5e", "gaudi2", "grace", "xeon-8480", "epyc-9654"} <= {
        *list_targets()
    }


def test_every_number_is_positive_sourced_and_inside_its_interval(target: Target) -> None:
    for value in values(target):
        assert value.value > 0
        assert value.source
        assert (value.low or value.value) <= value.value <= (value.high or value.value)
        if value.verified:
            assert value.origin is not Origin.ASSUMED
        if "from memory" in value.source or "not confirmed" in value.source:
            assert value.origin is Origin.ASSUMED
    price, embodied = target.price_per_hour, target.embodied
    assert price is not None
    assert price.origin is Origin.ASSUMED, "prices vary: they are never published facts here"
    assert price.low is not None
    assert price.high is not None
    assert embodied is not None
    assert embodied.low is not None
    assert embodied.high is not None


def test_text_round_trip(target: Target) -> None:
    assert parse_target(target_text(target), "again.yaml") == target


def test_shared_fields(target: Target) -> None:
    assert target.dtypes
    assert target.memory_bandwidth > 0
    assert target.memory_capacity > 2**30
    assert target.devices_per_node >= 1
    if target.devices_per_node > 1:
        assert target.link("node") is not None
    for dtype in target.dtypes:
        assert target.peak(dtype).value > 1e11


def test_lower_precision_is_not_slower_on_gpus(target: Target) -> None:
    if target.kind != "gpu" or target.id in ("b300-sxm", "mi100"):  # int8 and bf16 are truly slow on these
        return
    order = [d for d in ("fp64", "fp32", "tf32", "bf16", "fp8", "nvfp4") if target.supports(d)]
    peaks = [target.peak(dtype).value for dtype in order]
    assert peaks == sorted(peaks)


def test_vector_rate_is_lanes_times_clock(target: Target) -> None:
    if target.vendor != "NVIDIA" or target.kind != "gpu" or target.cores is None or target.clock is None:
        return
    lanes = 64 if target.id in HALF_LANES else LANES["NVIDIA"].get(target.architecture, 128)
    vector = next(unit for unit in target.units if unit.name == "vector")
    assert vector.peak["fp32"].value == pytest.approx(target.cores * lanes * 2 * target.clock, rel=0.025)


def test_aliases_are_unique_and_match_the_files() -> None:
    owners: dict[str, str] = {}
    for identity in shipped():
        found = load_target(identity)
        assert found.id == identity
        for name in (identity, *found.aliases):
            assert owners.setdefault(normal(name), identity) == identity, f"{name} names two targets"
    assert owners == aliases(), "the fast index of aliases reads what the files say"


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("h100_sxm", "h100-sxm"),
        ("H100-SXM5-80GB", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("a100_sxm", "a100-80gb-sxm"),
        ("A100-PCIE-40GB", "a100-40gb-pcie"),
        ("Tesla T4", "t4"),
        ("rtx_pro_6000_server", "rtx-pro-6000-server"),
        ("Grace (1 die)", "grace"),
    ],
)
def test_spellings_of_others(name: str, identity: str) -> None:
    assert load_target(name).id == identity


def _reader(dtype: str) -> Callable[[Target], Value | None]:
    return lambda target: _peak(target, dtype)


COLUMNS: dict[str, tuple[Callable[[Target], Any], float]] = {
    "die_area_mm2": (lambda t: t.die_area, 1.0),
    "sms_or_cores": (lambda t: t.core_count, 1.0),
    "boost_clock_mhz": (lambda t: t.clock_rate, 1e6),
    "mem_gb": (lambda t: t.memories[0].capacity, 2.0**30),
    "mem_bw_gbs": (lambda t: t.memories[0].bandwidth, 1e9),
    "l2_or_llc_mb": (lambda t: t.memories[1].capacity if len(t.memories) > 1 else None, 2.0**20),
    "tdp_w": (lambda t: t.power.tdp, 1.0),
    **{f"{d}_tflops": (_reader(d), 1e12) for d in ("fp64", "fp32")},
    **{f"{d}_tc_tflops": (_reader(d), 1e12) for d in ("tf32", "fp16", "bf16", "fp8")},
    "int8_tops": (_reader("int8"), 1e12),
    "fp4_tc_tflops": (_reader("nvfp4"), 1e12),
    "link_bw_gbs_bidir": (lambda t: t.link("pair") or t.link("node"), 0.5e9),
}
DIFFERS = {("tpu-v5e", "link_bw_gbs_bidir"): "the vendor's page gives 400 GB/s both ways; the list counts one way"}


def _peak(target: Target, dtype: str) -> Value | None:
    units = {unit.name: unit.peak for unit in target.units}
    order = ("vector", "matrix") if dtype in ("fp32", "fp64") else ("matrix", "vector")
    return next((units[name][dtype] for name in order if dtype in units.get(name, {})), None)


def test_agrees_with_the_device_list(repository: Path) -> None:
    path = repository.parent / "shared" / "data" / "latency" / "devices.csv"
    if not path.exists():
        pytest.skip("the device list (../shared/data/latency/devices.csv) is not beside this checkout")
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert {load_target(row["device"]).id for row in rows} == set(shipped())
    for row in rows:
        target = load_target(row["device"])
        confirmed = {part.split("=")[0].strip() for part in row["verified"].split(";") if "=" in part}
        for column, (read, scale) in COLUMNS.items():
            written = float(row[column]) if row[column] else 0.0
            if written == 0.0 or (target.id, column) in DIFFERS:
                continue
            if column == "link_bw_gbs_bidir" and re.search("C2C", row["link_type"]):
                continue  # the link to the processor, not between devices
            found = read(target)
            assert found is not None, (target.id, column)
            value = found.bandwidth if column == "link_bw_gbs_bidir" else found
            assert value.value == pytest.approx(written * scale, rel=0.005), (target.id, column)
            assert not (column in confirmed and not value.verified), (target.id, column)
