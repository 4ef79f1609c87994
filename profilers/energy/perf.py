"""Processor packages by the kernel's ``power/energy-pkg/`` event, without the ``perf`` program.

The event source describes itself in sysfs: ``type``, ``events/energy-pkg`` (its configuration),
``events/energy-pkg.scale`` (joules per count) and ``cpumask`` (one processor of each package).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from codesign.errors import EnvironmentLacks
from codesign.profilers.energy.meter import About, Reading, Site

PERIOD = 0.001
SYSTEM_CALL = {"x86_64": 298, "aarch64": 241}
"""Number of perf_event_open."""

ATTRIBUTE_BYTES = 64
"""Size of the first version of ``struct perf_event_attr``; its remaining fields are zero here."""


class Counter(Protocol):
    """An open counter of the kernel."""

    def read(self) -> int:
        """Return the counts so far."""

    def close(self) -> None:
        """Close it."""


Opener = Callable[[int, int, int], Counter]
"""(type, configuration, processor) -> counter."""


class PerfMeter:
    """The sum over one counter per package."""

    def __init__(self, counters: list[Counter], scale: float, site: Site) -> None:
        self._counters, self._scale, self._clock = counters, scale, site.clock
        self._first = self._last = self._counts()
        self.about = About(
            backend="perf", kind="measured", covers="package", period=PERIOD,
            source=f"perf event power/energy-pkg/ of {len(counters)} package{'s' * (len(counters) > 1)}",
            notes=("the whole processor package: what else runs on it counts too",),
        )  # fmt: skip

    def read(self) -> Reading:
        """Return the joules of all packages since the meter was opened."""
        counts, now = self._counts(), self._clock()
        if counts < self._last:
            raise EnvironmentLacks("power/energy-pkg/ ran backwards", "measure again")
        self._last = counts
        return Reading(now, (counts - self._first) * self._scale)

    def close(self) -> None:
        """Close the counters."""
        while self._counters:
            self._counters.pop().close()

    def _counts(self) -> int:
        try:
            return sum(counter.read() for counter in self._counters)
        except OSError as error:
            raise EnvironmentLacks(f"power/energy-pkg/ cannot be read: {error.strerror}", "the event is gone") from None


def open_meter(site: Site) -> PerfMeter:
    """Open the package event below ``site.events``.

    Raises:
        EnvironmentLacks: the kernel offers none here, or not to this user.
    """
    folder = site.events / "power"
    if not (folder / "events" / "energy-pkg").is_file():
        raise EnvironmentLacks("the kernel offers no power/energy-pkg/ event", "virtual machines rarely have it")
    kind, event = _field(folder / "type"), _field(folder / "events" / "energy-pkg")
    scale, cpus = _field(folder / "events" / "energy-pkg.scale"), _field(folder / "cpumask")
    config = re.fullmatch(r"event=(0x[0-9a-fA-F]+|\d+)", event)
    processors = _processors(cpus)
    try:
        factor = float(scale)
    except ValueError:
        factor = 0.0
    if not kind.isdecimal() or config is None or not 0.0 < factor < 1.0 or not processors:
        found = f"type {kind!r}, event {event!r}, scale {scale!r}, cpumask {cpus!r}"
        raise EnvironmentLacks(f"power/energy-pkg/ describes itself in an unknown way: {found}", "use another meter")
    opener: Opener = site.open_event or open_event
    counters: list[Counter] = []
    try:
        counters.extend(opener(int(kind), int(config.group(1), 0), processor) for processor in processors)
    except OSError as error:
        for counter in counters:
            counter.close()
        if error.errno in (errno.EACCES, errno.EPERM):
            hint = "grant it: sudo sysctl kernel.perf_event_paranoid=0"
            raise EnvironmentLacks("no permission to open power/energy-pkg/", hint) from None
        raise EnvironmentLacks(f"power/energy-pkg/ cannot be opened: {error.strerror}", "use another meter") from None
    return PerfMeter(counters, factor, site)


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def read(self) -> int:
        """Return the counts so far."""
        return int(struct.unpack("q", os.read(self._number, 8))[0])

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)


def open_event(kind: int, config: int, processor: int) -> Counter:
    """Open a counter of everything that runs on ``processor``.

    Raises:
        OSError: the kernel refuses.
    """
    number = SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    attribute = ctypes.create_string_buffer(struct.pack("IIQ", kind, ATTRIBUTE_BYTES, config), ATTRIBUTE_BYTES)
    library = ctypes.CDLL(None, use_errno=True)
    every_process, no_group, close_on_exec = -1, -1, 8
    opened = library.syscall(
        ctypes.c_long(number), attribute, ctypes.c_int(every_process), ctypes.c_int(processor),
        ctypes.c_int(no_group), ctypes.c_ulong(close_on_exec),
    )  # fmt: skip
    if opened < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return _Descriptor(opened)


def _field(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _processors(mask: str) -> list[int]:
    """Return the processors of a list such as ``0,32-33``; empty where it is none."""
    found: list[int] = []
    for part in mask.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        if match is None:
            return []
        found.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found
