"""What an energy meter is: a counter of joules that can be read at any time, and what its number means.

A meter never returns a number that it cannot stand for: a counter that is unreadable, gone or running backwards
raises ``EnvironmentLacks`` with the reason and what to do about it. Energies are joules, powers watts, clocks ns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from codesign.targets.target import Target

Clock = Callable[[], int]
"""Returns nanoseconds; only differences matter."""

POWERCAP = Path("/sys/class/powercap")
EVENT_SOURCES = Path("/sys/bus/event_source/devices")


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """Joules since an arbitrary moment, and the meter's clock when they were read, ns."""

    time: int
    joules: float


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the numbers of a meter mean.

    Attributes:
        backend: Name of the backend: ``nvml-energy``, ``nvml-power``, ``rapl``, ``perf``, ``estimate``.
        kind: ``measured`` by a counter, or ``estimated`` by a model of the processor.
        covers: What draws the energy: a ``gpu``, processor ``package`` (neighbours included), or this ``process``.
        source: The counter, or the model with its inputs, for people.
        period: Seconds between two updates of the counter.
        low: Least true energy over the meter's.
        high: Greatest true energy over the meter's.
        limit: Power limit of what is covered, W; None where unknown.
        memory_power: Power of the memory beside the processor, W, estimated; never part of the joules.
        notes: What a reader of the numbers has to know.
    """

    backend: str
    kind: Literal["measured", "estimated"]
    covers: Literal["gpu", "package", "process"]
    source: str
    period: float
    low: float = 1.0
    high: float = 1.0
    limit: float | None = None
    memory_power: float | None = None
    notes: tuple[str, ...] = ()


class Meter(Protocol):
    """A counter of joules."""

    @property
    def about(self) -> About:
        """Return what the numbers mean."""

    def read(self) -> Reading:
        """Return the joules so far; they never decrease.

        Raises:
            EnvironmentLacks: the counter cannot be read (any more), or ran backwards.
        """

    def close(self) -> None:
        """Give back what the meter holds; may be called twice."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where meters look: this machine, unless a test describes another.

    Attributes:
        gpu: Position of the GPU as CUDA programs count.
        gpu_uuid: Its UUID; wins over the position.
        cpu_tdp: Thermal design power of the processor as the user states it, W.
        target: Description of the device whose thermal design power is used; default the catalogue's by name.
        powercap: Folder of the RAPL counters.
        events: Folder of the event sources of the kernel.
        root: Root of ``proc`` and ``sys`` for everything else.
        clock: Clock of the readings, ns.
        process_time: Processor time of this process, ns.
        nvml: The NVML library; None imports ``pynvml``.
        open_event: Opens a counter of the kernel (``perf.open_event`` where None).
        visible: Value of CUDA_VISIBLE_DEVICES.
        background: Whether a meter may sample in a thread of its own.
    """

    gpu: int = 0
    gpu_uuid: str | None = None
    cpu_tdp: float | None = None
    target: Target | None = None
    powercap: Path = POWERCAP
    events: Path = EVENT_SOURCES
    root: Path = Path("/")
    clock: Clock = time.perf_counter_ns
    process_time: Clock = time.process_time_ns
    nvml: Any = None
    open_event: Any = None
    visible: str | None = None
    background: bool = True
