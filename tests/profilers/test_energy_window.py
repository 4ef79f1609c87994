"""Energy per pass, the choice of a meter, and what the command says of them."""

from __future__ import annotations

import itertools
import json
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.profilers.energy import (
    LADDER,
    Energy,
    Site,
    choose_meter,
    measure_energy,
    meters,
    record,
    survey,
    write_recording,
)  # fmt: skip
from codesign.testing.counters import NvmlMachine, PowercapMachine, ProcessorMachine
from codesign.testing.meters import Clock


class Stepping:
    """A meter that advances by ``period`` steps of a constant power, as counters do."""

    def __init__(self, watts: float, period: float, phase: float = 0.0) -> None:
        self.clock, self.watts, self.period, self.phase = Clock(), watts, period, phase
        self.machine = NvmlMachine([])
        self.about = msgspec.structs.replace(self.machine.open().about, period=period, limit=None)

    def read(self) -> Any:
        from codesign.profilers.energy import Reading

        steps = int(self.clock.now / 1e9 / self.period + self.phase)
        return Reading(self.clock.now, steps * self.period * self.watts)

    def close(self) -> None:
        """Hold nothing."""

    def run_for(self, seconds: float) -> None:
        self.clock.now += round(seconds * 1e9)


@given(st.floats(5.0, 900.0), st.floats(0.01, 0.1), st.floats(0.0, 0.999), st.floats(1e-3, 1.5))
def test_the_interval_holds_the_truth_whatever_the_phase(watts: float, period: float, phase: float, one: float) -> None:
    """Oracle: a quantised counter of constant power; energy per pass is power times its seconds."""
    meter = Stepping(watts, period, phase)
    energy = measure_energy(lambda: meter.run_for(one), meter, clock=meter.clock)
    assert energy.joules is not None, energy.reason
    truth = watts * round(one * 1e9) / 1e9
    assert energy.joules.low <= truth * (1 + 1e-9)
    assert energy.joules.high >= truth * (1 - 1e-9)
    assert energy.window >= 2.0
    assert (energy.joules.high - energy.joules.low) / energy.joules.value <= 2.0 * period / 2.0 + 1e-9


def test_idle_power_is_shown_and_not_subtracted(tmp_path: Path) -> None:
    machine = PowercapMachine([(0.5, 90.0), (1.0, 30.0), *[(0.5, 90.0)] * 8], tmp_path / "powercap")
    energy = measure_energy(
        machine.step, machine.open(), idle=1.0, clock=machine.clock, sleep=lambda seconds: machine.step()
    )
    assert energy.idle_power == pytest.approx(30.0)
    assert energy.joules is not None
    assert energy.joules.value == pytest.approx(45.0)


def test_counter_against_integrated_power() -> None:
    for factor, word in ((1.0, "agrees"), (1.5, "disagrees")):
        counter, power = Stepping(100.0, 0.001), Stepping(100.0 * factor, 0.001)
        power.clock = counter.clock
        energy = measure_energy(partial(counter.run_for, 0.5), counter, against=power, clock=counter.clock)
        assert any(word in note.split() or f"{word}:" in note for note in energy.notes)
        assert energy.joules is not None
        assert energy.joules.value == pytest.approx(50.0, rel=1e-2)


def test_memory_is_beside_the_joules(tmp_path: Path) -> None:
    machine = ProcessorMachine([(0.5, 50.0)] * 9, tmp_path)
    energy = measure_energy(machine.step, machine.open(), clock=machine.clock)
    assert energy.kind == "estimated"
    assert energy.joules is not None
    assert energy.memory is not None
    assert energy.joules.value == pytest.approx(25.0)
    assert (energy.joules.low, energy.joules.high) == pytest.approx((10.0, 52.5), rel=1e-3)
    assert energy.memory.value == pytest.approx(0.5 * 38.0)


@pytest.mark.parametrize("wrong", [{"window": 0.0}, {"window": float("nan")}, {"passes": 0}, {"idle": -1.0}])
def test_absurd_requests(wrong: dict[str, Any]) -> None:
    meter = Stepping(50.0, 0.01)
    with pytest.raises(UsageError):
        measure_energy(lambda: meter.run_for(1.0), meter, clock=meter.clock, **wrong)


def test_energy_is_plain_data() -> None:
    meter = Stepping(50.0, 0.1)
    energy = measure_energy(lambda: meter.run_for(0.01), meter, passes=1, clock=meter.clock)
    content = json.loads(msgspec.json.encode(energy))
    assert content["joules"] is None
    assert "shorter" in content["reason"]
    assert msgspec.convert(content, Energy) == energy


# ---- record and replay


def test_a_recorded_run_replays_to_the_same_energy(tmp_path: Path) -> None:
    machine = PowercapMachine([(0.1, 80.0)] * 101, tmp_path / "powercap")
    recording = record(machine.open(), 10.0, between=machine.step, clock=machine.clock)
    write_recording(recording, tmp_path / "energy.json")
    clock = Clock()
    choice = choose_meter("cpu", name=f"replay:{tmp_path / 'energy.json'}", site=Site(clock=clock))

    def run() -> None:
        clock.now += 500_000_000

    energy = measure_energy(run, choice.meter, clock=clock)
    assert energy.joules is not None
    assert energy.joules.value == pytest.approx(40.0, rel=1e-6)
    assert (energy.backend, energy.kind) == ("rapl", "measured")
    assert energy.source.startswith("recording of RAPL")
    late = measure_energy(run, choice.meter, passes=40, clock=clock)
    assert late.joules is None
    assert "ended" in late.reason


# ---- the ladder


def _step(machine: Any, seconds: float) -> None:
    machine.step()


def test_the_first_live_rung_wins(tmp_path: Path) -> None:
    for watts, expected in ((50.0, "rapl"), (0.0, "estimate")):
        machine = PowercapMachine([(1.1, watts)], tmp_path / "powercap")
        site = ProcessorMachine([], tmp_path).site(powercap=machine.root, events=tmp_path, cpu_tdp=100.0)
        site = msgspec.structs.replace(site, clock=machine.clock)
        choice = choose_meter("cpu", site=site, load=partial(_step, machine))
        assert choice.meter.about.backend == expected
        assert [(f.backend, f.status) for f in choice.tried] == (
            [] if expected == "rapl" else [("rapl", "rejected"), ("perf", "unavailable")]
        )


def test_no_meter_is_a_reason_and_no_number(tmp_path: Path) -> None:
    site = ProcessorMachine([], tmp_path).site(powercap=tmp_path / "none", events=tmp_path)
    choice = choose_meter("cpu", site=site, load=lambda seconds: None)
    assert choice.meter is None
    for word in ("rapl", "perf", "estimate", "--cpu-tdp"):
        assert word in choice.reason


def test_a_gpu_is_never_covered_by_the_processor() -> None:
    machine = NvmlMachine([(1.1, 300.0)] * 2, errors={"nvmlDeviceGetTotalEnergyConsumption": "NVMLError_NotSupported"})
    site = Site(nvml=machine.library(), clock=machine.clock, visible="", background=False, cpu_tdp=100.0)
    choice = choose_meter("cuda:0", site=site, load=lambda seconds: machine.step())
    assert choice.meter.about.backend == "nvml-power"
    choose_meter("cuda", gpu_uuid="7-7", site=site, load=lambda seconds: machine.step())
    assert ("nvmlDeviceGetHandleByUUID", ("GPU-7-7",)) in machine.asked
    assert choice.tried[0].backend == "nvml-energy"
    with pytest.raises(UsageError, match="does not cover"):
        choose_meter("cuda", name="rapl", site=site)


@pytest.mark.parametrize(
    ("device", "name"), [("tpu", None), ("cuda:x", None), ("cpu", "raple"), ("cpu", "nvml-energy")]
)
def test_unknown_devices_and_meters(device: str, name: str | None) -> None:
    with pytest.raises(UsageError):
        choose_meter(device, name=name)


def test_the_survey_lists_every_meter_in_order(tmp_path: Path) -> None:
    loads: list[float] = []
    machine = PowercapMachine([(1.1, 0.0)], tmp_path / "powercap")
    site = ProcessorMachine([], tmp_path).site(powercap=machine.root, events=tmp_path, cpu_tdp=100.0)

    def load(seconds: float) -> None:
        loads.append(seconds)

    found = survey(msgspec.structs.replace(site, nvml=NvmlMachine([], mig=1).library(), visible=""), load=load)
    assert [f.backend for f in found] == list(itertools.chain(LADDER["cuda"], LADDER["cpu"]))
    assert {f.backend: f.status for f in found}["rapl"] == "rejected"
    assert all(f.reason for f in found)
    assert all(f.power_w is None for f in found if f.status != "live")
    assert len(loads) == 1, "one busy loop for all counters"
    assert loads[0] >= 1.0


def test_the_registry_imports_nothing_until_chosen() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from codesign.profilers.energy import meters; names = meters().names(); "
        "print(names, 'codesign.profilers.energy.nvml' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("]")[1].split() == ["False", "False"]
    assert set(meters().names()) == {name for names in LADDER.values() for name in names}


# ---- the command


def test_doctor_finds_a_live_counter(run_codesign: Any, tmp_path: Path) -> None:
    """A thread moves the counter at 40 W while the command runs in a process of its own.

    A machine that stalls holds the thread up, and the counter lags behind the clock: one of three runs has to agree.
    """
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (zone / "energy_uj").write_text("0\n")
    stop, start = threading.Event(), time.monotonic()

    def move() -> None:
        while not stop.wait(0.002):
            (zone / "next").write_text(f"{round((time.monotonic() - start) * 40e6)}\n")
            (zone / "next").rename(zone / "energy_uj")

    thread = threading.Thread(target=move)
    thread.start()
    watts: list[float] = []
    try:
        while len(watts) < 3 and not (watts and watts[-1] == pytest.approx(40.0, rel=0.1)):
            outcome = run_codesign("doctor", "--json", env={"CODESIGN_POWERCAP_ROOT": str(zone.parent)})
            assert (outcome.rc, outcome.stderr) == (0, "")
            content = json.loads(outcome.stdout)
            rapl = next(meter for meter in content["energy_meters"] if meter["backend"] == "rapl")
            assert rapl["status"] == "live", rapl["reason"]
            watts.append(rapl["power_w"])
    finally:
        stop.set()
        thread.join()
    assert watts[-1] == pytest.approx(40.0, rel=0.1), watts
    assert set(rapl) == {"backend", "status", "power_w", "reason"}
