"""Energy meters against made-up machines: what each refuses, counts, and says."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError, EnvironmentLacks, UsageError
from codesign.profilers.energy import About, Meter, Reading, Recording, Site, meters, read_recording, write_recording
from codesign.profilers.energy.estimate import HIGH, LEAST_LOAD, LOW
from codesign.targets import load_target
from codesign.testing.counters import NvmlMachine, PerfMachine, PowercapMachine, ProcessorMachine
from codesign.testing.meters import judge

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "carbon"


def counted(meter: Meter, machine: Any) -> float:
    first = meter.read().joules
    machine.step()
    return meter.read().joules - first


# ---- RAPL


def test_rapl_counts_packages_once(tmp_path: Path) -> None:
    machine = PowercapMachine([(1.0, 90.0)], tmp_path / "powercap", packages=2)
    meter = machine.open()
    assert counted(meter, machine) == pytest.approx(90.0, rel=1e-6)  # core, dram, psys, mmio would make it 261
    assert meter.about.source.count("package-") == 2


def test_rapl_of_a_core_zone_as_large_as_its_package(tmp_path: Path) -> None:
    """The defect of one recorded server: its domains were added, and every reading was double."""
    machine = PowercapMachine([(1.0, 35.0)], tmp_path / "powercap")
    machine.shares["intel-rapl:0:0"] = 1.0
    assert counted(machine.open(), machine) == pytest.approx(35.0, rel=1e-6)


def test_rapl_over_the_wrap(tmp_path: Path) -> None:
    machine = PowercapMachine([(1.0, 50.0)] * 3, tmp_path / "powercap", start=262_113_328_850)
    meter = machine.open()
    assert [counted(meter, machine) for _ in range(3)] == pytest.approx([50.0] * 3, rel=1e-6)


@pytest.mark.parametrize("wrap", [0, 1_000])
def test_rapl_backwards_without_a_wrap_is_no_number(tmp_path: Path, wrap: int) -> None:
    machine = PowercapMachine([], tmp_path / "powercap", start=5_000_000)
    counter = tmp_path / "powercap" / "intel-rapl:0"
    (counter / "max_energy_range_uj").write_text(f"{wrap}\n")
    meter = machine.open()
    (counter / "energy_uj").write_text("4000000\n")
    with pytest.raises(EnvironmentLacks, match="ran back from 5000000 to 4000000"):
        meter.read()


def test_rapl_zero_counter_is_rejected(tmp_path: Path) -> None:
    finding = judge(PowercapMachine([(1.1, 0.0)], tmp_path / "powercap", start=0))
    assert (finding.status, finding.power_w) == ("rejected", None)
    assert "did not advance" in finding.reason


def test_rapl_with_one_frozen_package_of_two(tmp_path: Path) -> None:
    machine = PowercapMachine([(1.1, 80.0)], tmp_path / "powercap", packages=2)
    machine.shares["intel-rapl:1"] = 0.0
    finding = judge(machine)
    assert finding.status == "rejected"
    assert "package-1" in finding.reason


def test_rapl_limit_decides_what_is_absurd(tmp_path: Path) -> None:
    for watts, status in ((150.0, "live"), (250.0, "rejected")):
        machine = PowercapMachine([(1.1, watts)], tmp_path / "powercap")
        (tmp_path / "powercap" / "intel-rapl:0" / "constraint_0_max_power_uw").write_text("100000000\n")
        assert judge(machine).status == status


@pytest.mark.parametrize("text", ["", "abc", "-5", "1.5", "nan", "\xff\xfe"])
def test_rapl_rubbish_is_no_number(tmp_path: Path, text: str) -> None:
    machine = PowercapMachine([], tmp_path / "powercap")
    (tmp_path / "powercap" / "intel-rapl:0" / "energy_uj").write_text(text, encoding="latin-1")
    with pytest.raises(EnvironmentLacks, match="energy_uj"):
        machine.open()


def test_rapl_without_permission_says_how_to_grant_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = PowercapMachine([], tmp_path / "powercap")
    original = Path.read_text

    def read_text(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name == "energy_uj":  # file modes do not stop root, who may run this test
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(EnvironmentLacks, match="no permission") as caught:
        machine.open()
    assert "sudo chmod o+r" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="file modes do not stop root")
def test_rapl_file_mode_without_permission(tmp_path: Path) -> None:
    machine = PowercapMachine([], tmp_path / "powercap")
    (tmp_path / "powercap" / "intel-rapl:0" / "energy_uj").chmod(0)
    with pytest.raises(EnvironmentLacks, match="no permission"):
        machine.open()


def test_rapl_without_packages(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:1"
    zone.mkdir()
    (zone / "name").write_text("psys\n")
    (zone / "energy_uj").write_text("5\n")
    with pytest.raises(EnvironmentLacks, match="no package"):
        meters().get("rapl")(Site(powercap=tmp_path))
    with pytest.raises(EnvironmentLacks):
        meters().get("rapl")(Site(powercap=tmp_path / "absent"))


# ---- perf


@pytest.mark.parametrize(("number", "says"), [(errno.EACCES, "perf_event_paranoid"), (errno.ENODEV, "another meter")])
def test_perf_refused(tmp_path: Path, number: int, says: str) -> None:
    with pytest.raises(EnvironmentLacks) as caught:
        PerfMachine([], tmp_path, refuses=number).open()
    assert says in caught.value.hint


@pytest.mark.parametrize("scale", ["", "x", "0", "-1", "nan", "5"])
def test_perf_with_an_unknown_scale(tmp_path: Path, scale: str) -> None:
    with pytest.raises(EnvironmentLacks, match="describes itself"):
        PerfMachine([], tmp_path, scale=scale).open()


def test_perf_closes_its_counters_once(tmp_path: Path) -> None:
    machine = PerfMachine([], tmp_path)
    meter = machine.open()
    meter.close()
    meter.close()
    assert sorted(machine.closed) == [0, 8]


# ---- NVML


@pytest.mark.parametrize("backend", ["nvml-energy", "nvml-power"])
def test_nvml_refuses_a_partitioned_gpu(backend: str) -> None:
    machine = NvmlMachine([], backend, mig=1)
    with pytest.raises(EnvironmentLacks, match="MIG"):
        machine.open()
    assert machine.open_count == 0, "NVML was left open"


def test_nvml_refuses_a_partition_that_is_visible_only() -> None:
    with pytest.raises(EnvironmentLacks, match="MIG"):
        NvmlMachine([], visible="MIG-1f2e").open()


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [
        ("nvmlDeviceGetTotalEnergyConsumption", "NVMLError_NotSupported", "Volta"),
        ("nvmlDeviceGetTotalEnergyConsumption", "NVMLError_NoPermission", "administrator"),
        ("nvmlInit", "NVMLError_LibraryNotFound", "NVIDIA"),
        ("nvmlDeviceGetHandleByIndex", "NVMLError_InvalidArgument", "nvidia-smi"),
    ],
)
def test_nvml_refusals(function: str, error: str, says: str) -> None:
    machine = NvmlMachine([], errors={function: error})
    with pytest.raises(EnvironmentLacks) as caught:
        machine.open()
    assert says in caught.value.hint
    assert machine.open_count == 0, "NVML was left open"


def test_nvml_on_a_gpu_that_cannot_be_partitioned() -> None:
    machine = NvmlMachine([(1.0, 50.0)], errors={"nvmlDeviceGetMigMode": "NVMLError_NotSupported"})
    assert counted(machine.open(), machine) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("visible", "asked"),
    [
        ("", ("nvmlDeviceGetHandleByIndex", (0,))),
        ("3,1", ("nvmlDeviceGetHandleByIndex", (3,))),
        ("GPU-77", ("nvmlDeviceGetHandleByUUID", ("GPU-77",))),
    ],
)
def test_nvml_reads_the_gpu_that_cuda_uses(visible: str, asked: Any) -> None:
    machine = NvmlMachine([], visible=visible)
    machine.open()
    assert asked in machine.asked


def test_nvml_of_a_gpu_that_is_not_visible() -> None:
    machine = NvmlMachine([], visible="2")
    with pytest.raises(EnvironmentLacks, match="not visible"):
        meters().get("nvml-energy")(Site(gpu=1, nvml=machine.library(), visible="2"))
    assert machine.open_count == 0


def test_nvml_power_falls_back_to_the_average_and_says_so() -> None:
    machine = NvmlMachine([(1.0, 60.0)], "nvml-power", instant=False)
    meter = machine.open()
    assert counted(meter, machine) == pytest.approx(60.0)
    assert any("average" in note for note in meter.about.notes)
    assert meter.about.period == 1.0


def test_nvml_power_integrates_in_its_own_thread() -> None:
    import time

    machine = NvmlMachine([(1.0, 60.0)], "nvml-power")
    meter = meters().get("nvml-power")(Site(nvml=machine.library(), visible=""))
    try:
        before = len(machine.asked)
        time.sleep(0.2)
        assert len(machine.asked) > before, "nothing was sampled between reads"
        reading = meter.read()
        assert reading.joules > 0.2 * 60.0 * 0.9
    finally:
        meter.close()
    assert machine.open_count == 0


def test_nvml_of_an_older_driver() -> None:
    for errors in ({"nvmlDeviceGetFieldValues": "NVMLError_FunctionNotFound"}, {}):
        machine = NvmlMachine([(1.0, 60.0)], "nvml-power", errors=errors)
        library = machine.library()
        if not errors:
            del library.nvmlDeviceGetFieldValues
        site = Site(nvml=library, clock=machine.clock, visible="", background=False)
        meter = meters().get("nvml-power")(site)
        assert counted(meter, machine) == pytest.approx(60.0)
        assert meter.about.period == 1.0


def test_nvml_on_a_module_is_flagged() -> None:
    assert any("module" in note for note in NvmlMachine([], name="NVIDIA GH200 480GB").open().about.notes)


# ---- estimate


def test_estimate_of_a_catalogue_processor(tmp_path: Path) -> None:
    machine = ProcessorMachine([], tmp_path, model="AMD EPYC 9654 96-Core Processor")
    about = meters().get("estimate")(machine.site()).about
    assert about.kind == "estimated"
    assert (about.low, about.high) == (LOW, HIGH)
    assert "TDP 360 W (epyc-9654" in about.source
    assert about.limit == pytest.approx(360.0 * _cores(tmp_path) / 192)  # 96 cores of two threads
    assert about.memory_power == pytest.approx(38.0)  # 0.38 W/GB of 100 GB


def test_estimate_of_an_unknown_processor_assumes_nothing(tmp_path: Path) -> None:
    machine = ProcessorMachine([], tmp_path)
    with pytest.raises(EnvironmentLacks, match="Processor of nobody") as caught:
        meters().get("estimate")(machine.site())
    assert "--cpu-tdp" in caught.value.hint


@pytest.mark.parametrize("load", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_estimate_follows_the_rule(tmp_path: Path, load: float) -> None:
    machine = ProcessorMachine([(2.0, 100.0 * load)], tmp_path)
    assert counted(machine.open(), machine) == pytest.approx(2.0 * 100.0 * max(load, LEAST_LOAD))


def test_estimate_takes_the_interval_of_an_assumed_tdp(tmp_path: Path) -> None:
    from msgspec.structs import replace

    base = load_target("epyc-9654")
    tdp = replace(base.power.tdp, value=100.0, low=50.0, high=200.0)
    target = replace(base, id="this-cpu", power=replace(base.power, tdp=tdp))
    machine = ProcessorMachine([], tmp_path)
    about = meters().get("estimate")(machine.site(target=target)).about
    assert (about.low, about.high) == pytest.approx((LOW * 0.5, HIGH * 2.0))
    assert about.limit == pytest.approx(100.0 * _cores(tmp_path) / 96)  # this-cpu counts logical processors


def test_estimate_in_a_guest_says_whose_times_they_are(tmp_path: Path) -> None:
    machine = ProcessorMachine([], tmp_path)
    info = tmp_path / "proc" / "cpuinfo"
    info.write_text(info.read_text().replace("sse", "sse hypervisor"))
    assert any("guest" in note for note in machine.open().about.notes)


@pytest.mark.parametrize("watts", [0.0, -5.0, 1e6, float("nan")])
def test_estimate_refuses_an_absurd_tdp(tmp_path: Path, watts: float) -> None:
    with pytest.raises(UsageError, match="TDP"):
        meters().get("estimate")(ProcessorMachine([], tmp_path).site(cpu_tdp=watts))


def test_estimate_interval_covers_the_measured_servers(tmp_path: Path) -> None:
    """Coverage of the interval over recorded loads of two servers: 35 of 38 (92 %), at a width of 5.25."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data/carbon here")
    with (SHARED / "cpu_load_rapl.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["usable"] == "1" and float(r["cpu_load"]) > 0.05]
    covered = 0
    for row in rows:
        tdp, load = float(row["tdp_w"]), float(row["cpu_load"])
        machine = ProcessorMachine([(1.0, 100.0 * load)], tmp_path)
        meter = meters().get("estimate")(machine.site(cpu_tdp=tdp))
        watts = counted(meter, machine)
        covered += meter.about.low * watts <= float(row["rapl_w"]) <= meter.about.high * watts
    assert (covered, len(rows)) == (35, 38)
    assert HIGH / LOW <= 6.0


def _cores(root: Path) -> int:
    from codesign.targets.system import usable_cores

    return usable_cores(root)


# ---- recordings

ABOUT = About(backend="rapl", kind="measured", covers="package", source="made up", period=0.001)
GOOD = Recording(1, ABOUT, (Reading(0, 1.0), Reading(10, 2.5)))


def test_recording_survives_its_file(tmp_path: Path) -> None:
    write_recording(GOOD, tmp_path / "energy.json")
    assert read_recording(tmp_path / "energy.json") == GOOD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"readings"', '"reading"'),
        ("[10,2.5]", "[10]"),
        ("[10,2.5]", '[10,"2.5"]'),
        ("[10,2.5]", "[10,NaN]"),
        ("[10,2.5]", "[0,2.5]"),
        ("[10,2.5]", "[10.5,2.5]"),
        (",[10,2.5]", ""),
        ('"schema_version":1', '"schema_version":2'),
        ('"measured"', '"guessed"'),
        ('"period":0.001', '"period":0'),
        ("{", "["),
    ],
)
def test_a_broken_recording_is_refused_in_one_line(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "energy.json"
    write_recording(GOOD, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=r"energy\.json") as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)


def test_an_absent_recording(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_recording(tmp_path / "absent.json")
