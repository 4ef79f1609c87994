"""Whether a counter can be believed: it has to move under load, at a power that hardware can draw.

That a counter exists says nothing: guests and kernels offer some that stand still or read zero for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from codesign.errors import EnvironmentLacks
from codesign.profilers.energy.meter import About, Meter, Reading

LOAD_SECONDS = 1.1
"""A little over the second of load that slow counters need."""

LEAST_WATTS = 0.5
MOST_WATTS = 2000.0
"""Highest believable power where the limit is unknown."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a backend: its power under a busy loop, W, where it is live; else why it is not used."""

    backend: str
    status: Literal["live", "rejected", "unavailable"]
    power_w: float | None = None
    reason: str = ""


def busy_loop(seconds: float) -> None:
    """Keep one processor busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(1000))


def doubt(about: About, first: Reading, last: Reading) -> str:
    """Return why the joules between two readings cannot be believed; empty where they can."""
    seconds, joules = (last.time - first.time) / 1e9, last.joules - first.joules
    if seconds <= 0.0:
        return "the clock did not advance"
    if joules < 0.0:
        return "the counter ran backwards"
    if joules == 0.0:
        return f"the counter did not advance in {seconds:.3g} s"
    watts, most = joules / seconds, 2.0 * about.limit if about.limit else MOST_WATTS
    if watts < LEAST_WATTS:
        return f"it implies {watts:.3g} W, under {LEAST_WATTS:g} W"
    if watts > most:
        known = f"twice the limit of {about.limit:g} W" if about.limit else f"{most:g} W"
        return f"it implies {watts:.4g} W, over {known}"
    return ""


def check_live(
    meters: Mapping[str, Meter], *, seconds: float = LOAD_SECONDS, load: Callable[[float], None] = busy_loop
) -> dict[str, Finding]:
    """Read all ``meters``, run one load of at least a second, read again, and judge each."""
    first = {name: _read(meter) for name, meter in meters.items()}
    if meters:
        load(seconds)
    return {name: _judge(name, meter, first[name], _read(meter)) for name, meter in meters.items()}


def _read(meter: Meter) -> Reading | EnvironmentLacks:
    try:
        return meter.read()
    except EnvironmentLacks as lack:
        return lack


def _judge(name: str, meter: Meter, first: Reading | EnvironmentLacks, last: Reading | EnvironmentLacks) -> Finding:
    for reading in (first, last):
        if isinstance(reading, EnvironmentLacks):
            return Finding(backend=name, status="rejected", reason=f"under a busy loop: {reading}")
    assert isinstance(first, Reading)
    assert isinstance(last, Reading)
    if reason := doubt(meter.about, first, last):
        return Finding(backend=name, status="rejected", reason=f"under a busy loop {reason}")
    watts = (last.joules - first.joules) / (last.time - first.time) * 1e9
    return Finding(backend=name, status="live", power_w=watts, reason=f"{meter.about.kind}: {meter.about.source}")
