"""Every energy meter passes the conformance suite, on made-up machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.testing.counters import NvmlMachine, PerfMachine, PowercapMachine, ProcessorMachine, RecordedMachine
from codesign.testing.meters import CHECKS, Make

MACHINES: dict[str, Callable[[Path], Make]] = {
    "rapl": lambda root: lambda steps: PowercapMachine(steps, root / "powercap"),
    "rapl, two packages": lambda root: lambda steps: PowercapMachine(steps, root / "powercap", packages=2),
    "rapl, wrapping": lambda root: lambda steps: PowercapMachine(steps, root / "powercap", start=262_133_328_850),
    "perf": lambda root: lambda steps: PerfMachine(steps, root / "events"),
    "nvml-energy": lambda root: lambda steps: NvmlMachine(steps),
    "nvml-power": lambda root: lambda steps: NvmlMachine(steps, "nvml-power"),
    "estimate": lambda root: lambda steps: ProcessorMachine(steps, root),
    "replay": lambda root: lambda steps: RecordedMachine(steps),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("machine", MACHINES)
def test_meter_conforms(machine: str, check: str, tmp_path: Path) -> None:
    CHECKS[check](MACHINES[machine](tmp_path))
