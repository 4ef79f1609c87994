"""This machine as a target: quick, labelled as measured, and readable by every command."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import codesign
from codesign.errors import EnvironmentLacks, UsageError
from codesign.quantity import Origin
from codesign.targets import Target, detect, load_target, system, write_target
from codesign.targets import detection as detection_module
from codesign.targets.probes import Sample, rates, repeat, times


@pytest.fixture(scope="module")
def here() -> Target:
    return detect("cpu", 1.0)


def test_measures_what_a_target_needs(here: Target, tmp_path: Path) -> None:
    assert here.kind == "cpu"
    assert here.id == "this-cpu"
    assert {"fp32", "bf16"} <= set(here.dtypes)
    for dtype in here.dtypes:
        peak = here.peak(dtype)
        assert peak.origin is Origin.MEASURED
        assert peak.low is not None
        assert peak.high is not None
        assert 1e6 < peak.low <= peak.value <= peak.high < 1e16
    assert 1e7 < here.memory_bandwidth < 1e13
    assert 1e-8 < here.host.dispatch.value < 1e-2
    assert here.power.tdp.origin is Origin.ASSUMED, "a virtual machine does not know its power"
    assert any("torch threads" in note for note in here.notes)
    assert load_target(str(write_target(here, tmp_path / "here.yaml"))) == here


def test_keeps_to_its_time() -> None:
    start = time.perf_counter()
    detect("cpu", 0.5)
    assert time.perf_counter() - start < 15.0  # twice the time in the worst case, and building the buffers


def test_public_name_is_the_function(here: Target) -> None:
    assert callable(codesign.detect)
    assert codesign.detect is detection_module.detect


@pytest.mark.parametrize(("device", "seconds"), [("tpu", 1.0), ("cpu", 0.0), ("cpu", float("nan")), ("cpu", 1e9)])
def test_bad_requests(device: str, seconds: float) -> None:
    with pytest.raises(UsageError):
        detect(device, seconds)


def test_no_gpu_is_said() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(EnvironmentLacks, match="no CUDA device"):
        detect("cuda", 1.0)


@pytest.mark.gpu
def test_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    found = detect("cuda", 5.0)
    assert found.kind == "gpu"
    assert found.peak("bf16").value > found.peak("fp32").value


def test_busy_machine_is_noted() -> None:
    calm, torn = Sample(1.0, 0.95, 1.05, 9), Sample(1.0, 0.2, 1.1, 9)
    assert detection_module._busy([calm], 0.1, 2) == []
    assert "busy" in detection_module._busy([calm, torn], 0.1, 2)[0]
    assert "load before 2.0 on 2 cores" in detection_module._busy([calm], 2.0, 2)[0]


def test_summaries_point_the_right_way() -> None:
    durations = [1.0, 1.0, 1.0, 2.0, 0.5]
    rate, cost = rates(10.0, durations), times(durations, 10)
    assert (rate.value, rate.high, cost.value, cost.low) == (10.0, 20.0, 0.1, 0.05)
    assert rate.low <= rate.value
    assert cost.high >= cost.value


def test_slow_runs_stop_early() -> None:
    calls: list[float] = []

    def run() -> None:
        time.sleep(0.05)
        calls.append(time.perf_counter())

    durations = repeat(run, lambda: None, 0.02)
    assert 1 <= len(durations) <= 2
    assert len(calls) <= 4


def machine(root: Path, cpuinfo: str, **files: str) -> Path:
    places = {"meminfo": "proc/meminfo", "cpu_max": "sys/fs/cgroup/cpu.max", "memory_max": "sys/fs/cgroup/memory.max"}
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cpuinfo").write_text(cpuinfo)
    for name, text in files.items():
        file = root / places[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_system_of_another_machine(tmp_path: Path) -> None:
    cpuinfo = "vendor_id\t: GenuineIntel\nmodel name\t: Big CPU\ncpu MHz\t\t: 2500.5\n"
    cpuinfo += "cache size\t: 1024 KB\nflags : hypervisor\n"
    root = machine(tmp_path, cpuinfo, meminfo="MemTotal: 1000 kB\n", cpu_max="100000 100000\n", memory_max="512000\n")
    found = system.processor(root)
    assert (found.name, found.vendor, found.virtual) == ("Big CPU", "Intel", True)
    assert found.cores == 1, "the container's quota counts"
    assert found.memory_bytes == 512_000, "and so does its memory limit"
    assert found.clock_hz == 2500.5e6
    assert found.cache_bytes == 2**20


def test_system_without_limits(tmp_path: Path) -> None:
    root = machine(tmp_path, "", meminfo="MemTotal: 1000 kB\n", cpu_max="max 100000\n", memory_max="max\n")
    found = system.processor(root)
    assert found.memory_bytes == 1_024_000
    assert (found.vendor, found.clock_hz, found.cache_bytes) == ("unknown", None, None)
    assert found.cores >= 1


def test_largest_cache_counts(tmp_path: Path) -> None:
    for index, (kind, size) in enumerate(
        [("Data", "32K"), ("Instruction", "64M"), ("Unified", "2M"), ("Unified", "1G")]
    ):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{index}"
        folder.mkdir(parents=True)
        (folder / "type").write_text(kind + "\n")
        (folder / "size").write_text(size + "\n")
    assert system.last_level_cache(tmp_path) == 2**30
