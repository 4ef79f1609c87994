"""Machines with energy counters that are made up: a powercap tree, NVML, a kernel event, a recording, a processor.

Each takes the steps that will happen (seconds, watts; None watts: the counter disappears) and opens a real meter.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from codesign.profilers.energy import About, Meter, Reading, Recording, ReplayMeter, Site, meters
from codesign.targets.system import usable_cores
from codesign.testing.meters import Clock, Step


class Scripted:
    """Prepared steps, one after the other; subclasses say what a step does to their counter."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.clock = Clock()
        self.done = 0

    def step(self) -> None:
        """Let the next step happen."""
        seconds, watts = self.steps[self.done]
        self.done += 1
        self.clock.now += round(seconds * 1e9)
        if watts is None:
            self.vanish()
        else:
            self.draw(seconds, watts)

    def draw(self, seconds: float, watts: float) -> None:
        """Move the counter."""
        raise NotImplementedError

    def vanish(self) -> None:
        """Take the counter away."""
        raise NotImplementedError


class PowercapMachine(Scripted):
    """RAPL zones below ``root``: packages with a core zone each, DRAM, psys, and a memory-mapped twin of package 0."""

    def __init__(
        self,
        steps: Sequence[Step],
        root: Path,
        *,
        packages: int = 1,
        start: int = 1_000_000,
        wrap: int = 262_143_328_850,
    ) -> None:
        super().__init__(steps)
        self.root, self.wrap = root, wrap
        shutil.rmtree(root, ignore_errors=True)
        parts = {f"intel-rapl:{n}": (f"package-{n}", 1.0 / packages) for n in range(packages)}
        parts |= {f"intel-rapl:{n}:0": ("core", 0.7 / packages) for n in range(packages)}
        parts |= {"intel-rapl:0:1": ("dram", 0.1), "intel-rapl:9": ("psys", 1.4)}
        parts |= {"intel-rapl-mmio:0": ("package-0", 1.0 / packages)}
        self.shares = {folder: share for folder, (_, share) in parts.items()}
        self.counts = dict.fromkeys(parts, start)
        for folder, (name, _) in parts.items():
            (root / folder).mkdir(parents=True)
            (root / folder / "name").write_text(f"{name}\n")
            (root / folder / "max_energy_range_uj").write_text(f"{wrap}\n")
            self._write(folder)

    def open(self) -> Meter:
        """Open its meter."""
        return meters().get("rapl")(Site(powercap=self.root, clock=self.clock))

    def draw(self, seconds: float, watts: float) -> None:
        """Move every zone by its share."""
        for folder, share in self.shares.items():
            moved = self.counts[folder] + round(seconds * watts * share * 1e6)
            self.counts[folder] = moved % self.wrap if self.wrap else moved
            self._write(folder)

    def vanish(self) -> None:
        """Remove the counters, as unloading the driver does."""
        for folder in self.counts:
            (self.root / folder / "energy_uj").unlink()

    def _write(self, folder: str) -> None:
        (self.root / folder / "energy_uj").write_text(f"{self.counts[folder]}\n")


class PerfMachine(Scripted):
    """The kernel's power event on two packages; ``refuses`` is the error number of opening it, 0 for none."""

    def __init__(
        self, steps: Sequence[Step], root: Path, *, refuses: int = 0, scale: str = "2.3283064365386962890625e-10"
    ):
        super().__init__(steps)
        self.root, self.refuses, self.scale = root, refuses, scale
        self.counts, self.gone = {0: 0, 8: 0}, False
        self.closed: list[int] = []
        folder = root / "power" / "events"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "energy-pkg").write_text("event=0x02\n")
        (folder / "energy-pkg.scale").write_text(f"{scale}\n")
        (folder.parent / "type").write_text("21\n")
        (folder.parent / "cpumask").write_text("0,8\n")

    def open(self) -> Meter:
        """Open its meter."""
        return meters().get("perf")(Site(events=self.root, clock=self.clock, open_event=self._open))

    def draw(self, seconds: float, watts: float) -> None:
        """Move both counters by half."""
        for processor in self.counts:
            self.counts[processor] += round(seconds * watts / 2.0 / float(self.scale))

    def vanish(self) -> None:
        """Let every further read fail."""
        self.gone = True

    def _open(self, kind: int, config: int, processor: int) -> Any:
        if self.refuses:
            raise OSError(self.refuses, "refused")
        assert (kind, config) == (21, 2)

        def read() -> int:
            if self.gone:
                raise OSError(errno.ENODEV, "No such device")
            return self.counts[processor]

        return SimpleNamespace(read=read, close=lambda: self.closed.append(processor))


class NvmlMachine(Scripted):
    """A GPU behind an NVML library; ``errors`` maps a function to the name of the error that it raises."""

    def __init__(
        self, steps: Sequence[Step], backend: str = "nvml-energy", *, errors: dict[str, str] | None = None,
        mig: int = 0, instant: bool = True, name: str = "NVIDIA H200", visible: str = "",
    ) -> None:  # fmt: skip
        super().__init__(steps)
        self.backend, self.errors, self.visible = backend, errors or {}, visible
        self.millijoules, self.watts = 5_000.0, next((w for _, w in steps if w is not None), 0.0)
        self.instant, self.mig, self.name = instant, mig, name
        self.asked: list[tuple[str, Any]] = []
        self.open_count = 0

    def open(self) -> Meter:
        """Open its meter, without a thread."""
        site = Site(clock=self.clock, nvml=self.library(), visible=self.visible, background=False)
        return meters().get(self.backend)(site)

    def draw(self, seconds: float, watts: float) -> None:
        """Move the counter, and set power."""
        self.millijoules += seconds * watts * 1e3
        self.watts = watts

    def vanish(self) -> None:
        """Let the GPU fall off the bus."""
        lost = "NVMLError_GpuIsLost"
        self.errors = {"nvmlDeviceGetTotalEnergyConsumption": lost, "nvmlDeviceGetFieldValues": lost}

    def library(self) -> Any:
        """Return the library."""

        class NVMLError(Exception):
            pass

        def function(name: str, answer: Any) -> Any:
            def call(*arguments: Any) -> Any:
                self.asked.append((name, arguments))
                if kind := self.errors.get(name):
                    raise type(kind, (NVMLError,), {})(kind)
                return answer(*arguments)

            return call

        def count(step: int) -> None:
            self.open_count += step

        def fields(handle: Any, wanted: Any) -> list[Any]:
            status = 0 if self.instant else 3
            return [SimpleNamespace(nvmlReturn=status, value=SimpleNamespace(uiVal=round(self.watts * 1e3)))]

        answers = {
            "nvmlInit": lambda: count(1), "nvmlShutdown": lambda: count(-1),
            "nvmlDeviceGetHandleByIndex": lambda index: ("index", index),
            "nvmlDeviceGetHandleByUUID": lambda uuid: ("uuid", uuid),
            "nvmlDeviceGetMigMode": lambda handle: [self.mig, self.mig],
            "nvmlDeviceGetName": lambda handle: self.name,
            "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 700_000,
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: round(self.millijoules),
            "nvmlDeviceGetFieldValues": fields,
            "nvmlDeviceGetPowerUsage": lambda handle: round(self.watts * 1e3),
        }  # fmt: skip
        return SimpleNamespace(NVMLError=NVMLError, **{name: function(name, a) for name, a in answers.items()})


class ProcessorMachine(Scripted):
    """A processor without counters; drawing watts keeps as many of its threads busy as that takes."""

    def __init__(self, steps: Sequence[Step], root: Path, *, model: str = "Processor of nobody") -> None:
        super().__init__(steps)
        self.root, self.busy = root, 0
        (root / "proc").mkdir(parents=True, exist_ok=True)
        text = f"vendor_id : AuthenticAMD\nmodel name : {model}\nsiblings : 192\ncpu cores : 96\nflags : fpu sse\n"
        (root / "proc" / "cpuinfo").write_text(text)
        (root / "proc" / "meminfo").write_text("MemTotal:       97656250 kB\n")

    def site(self, **facts: Any) -> Site:
        """Return where meters find this processor."""
        return Site(root=self.root, clock=self.clock, process_time=lambda: self.busy, **facts)

    def open(self) -> Meter:
        """Open the estimate with a TDP of 100 W."""
        return meters().get("estimate")(self.site(cpu_tdp=100.0))

    def draw(self, seconds: float, watts: float) -> None:
        """Use processor time."""
        self.busy += round(seconds * 1e9 * watts / 100.0 * usable_cores(self.root))

    def vanish(self) -> None:
        """Do nothing: processor time is always there."""


class RecordedMachine(Scripted):
    """A recording of the steps; it ends where the counter disappears."""

    def open(self) -> Meter:
        """Open the replay."""
        about = About(backend="rapl", kind="measured", covers="package", source="made up", period=0.001)
        readings, joules, time = [Reading(0, 7.0)], 7.0, 0.0
        for seconds, watts in self.steps:
            if watts is None:
                break
            for _ in range(100):
                time, joules = time + seconds / 100.0, joules + watts * seconds / 100.0
                readings.append(Reading(round(time * 1e9), joules))
        if all(watts is not None for _, watts in self.steps):
            readings.append(Reading(round(time * 1e9) + 10**12, joules))
        return ReplayMeter(Recording(1, about, tuple(readings)), self.clock)

    def draw(self, seconds: float, watts: float) -> None:
        """Do nothing: it is recorded already."""

    def vanish(self) -> None:
        """Do nothing: the recording ends."""
