"""Energy recorded before: a meter that reads a recording, and what makes one.

A recording is a small JSON file: what the meter was, and (ns, J) readings. Replayed, the counter shows at any moment
the last reading recorded until then, so it steps as the real one did, and everything above meters runs without
hardware.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import DataError, EnvironmentLacks
from codesign.profilers.energy.meter import About, Clock, Meter, Reading

SCHEMA_VERSION = 1
MOST_BYTES = 64 * 2**20
EXPECTED = "expected what `record` writes: schema_version, about, readings of [ns, J]"


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Readings of a meter, oldest first."""

    schema_version: int
    about: About
    readings: tuple[Reading, ...]


class ReplayMeter:
    """The counter of a recording; its first reading is now."""

    def __init__(self, recording: Recording, clock: Clock = time.perf_counter_ns) -> None:
        self.about = msgspec.structs.replace(recording.about, source=f"recording of {recording.about.source}")
        self._readings, self._clock = recording.readings, clock
        self._start = clock()
        self._times = [reading.time for reading in recording.readings]
        self._last = recording.readings[0].joules

    def read(self) -> Reading:
        """Return the last reading recorded until now, at the time of now."""
        now = self._clock()
        moment = now - self._start + self._times[0]
        if moment > self._times[-1]:
            raise EnvironmentLacks("the recording of the meter has ended", "replay less work, or record longer")
        joules = self._readings[bisect_right(self._times, moment) - 1].joules
        if joules < self._last:
            raise EnvironmentLacks("the recorded counter runs backwards", "record again")
        self._last = joules
        return Reading(now, joules)

    def close(self) -> None:
        """Hold nothing."""


def record(
    meter: Meter,
    seconds: float,
    *,
    between: Callable[[], Any] = lambda: time.sleep(0.1),
    clock: Clock = time.perf_counter_ns,
) -> Recording:
    """Return readings of ``meter`` over ``seconds``.

    Args:
        meter: An open meter.
        seconds: How long.
        between: Runs between two readings: a pass of what is recorded, synchronised; default sleeps 0.1 s.
        clock: Clock of ``seconds``, ns.
    """
    start = clock()
    readings = [meter.read()]
    while clock() - start < seconds * 1e9:
        between()
        readings.append(meter.read())
    return Recording(SCHEMA_VERSION, meter.about, tuple(readings))


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording as JSON."""
    path.write_bytes(msgspec.json.encode(recording) + b"\n")


def read_recording(path: Path) -> Recording:
    """Read a recording.

    Raises:
        DataError: the file cannot be read or holds none; the message names the field.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: over {MOST_BYTES // 2**20} MiB", "a recording of a meter is small")
        recording = msgspec.json.decode(path.read_bytes(), type=Recording)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "give the file of a recorded meter") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no recording of a meter: {error}", EXPECTED) from None
    if recording.schema_version != SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version is {recording.schema_version}, expected {SCHEMA_VERSION}", EXPECTED)
    if len(recording.readings) < 2:
        raise DataError(f"{path}: {len(recording.readings)} readings, expected at least 2", EXPECTED)
    if any(b.time <= a.time for a, b in pairwise(recording.readings)):
        raise DataError(f"{path}: times of readings do not increase", EXPECTED)
    about = recording.about
    if not (about.period > 0.0 and 0.0 < about.low <= about.high and (about.limit is None or about.limit > 0.0)):
        raise DataError(f"{path}: about: period, low, high and limit have to be positive, low <= high", EXPECTED)
    return recording
