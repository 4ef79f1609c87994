"""Energy of one pass of a workload: repeat it until the counter can resolve it, read before and after, divide.

A counter updates every so often; the error of a window of length T by its quantisation is about period / T of its
energy (period * P / E). A window shorter than the period shows nothing, which is not zero. Idle power is measured
and shown where asked for, and never subtracted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec

from codesign.errors import EnvironmentLacks, UsageError
from codesign.profilers.energy.estimate import memory_energy
from codesign.profilers.energy.liveness import doubt
from codesign.profilers.energy.meter import About, Clock, Meter, Reading
from codesign.quantity import Quantity

LEAST_WINDOW = 2.0
"""Seconds; twenty updates of the slowest counter."""

DISAGREEMENT = 0.15
"""Difference of two meters of one window above which a note says so."""


MOST_AT_ONCE = 10_000
"""Passes between two looks at the clock."""


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Energy of one pass.

    Attributes:
        backend: Meter that counted.
        kind: ``measured`` or ``estimated``.
        covers: ``gpu``, ``package`` (neighbours included) or ``process``.
        source: The counter, or the rule with its inputs.
        joules: J per pass with its interval; None where unknown, and then ``reason`` says why.
        reason: Why there is no number.
        window: Seconds between the two readings.
        passes: Passes in the window.
        power: Mean power of the window, W.
        idle_power: Power with nothing running, W, measured before; None where it was not. Contained in ``joules``.
        memory: J per pass of the memory beside the processor, estimated; not contained in ``joules``.
        notes: What a reader has to know.
    """

    backend: str
    kind: str
    covers: str
    source: str
    joules: Quantity | None
    reason: str
    window: float
    passes: int
    power: float | None
    idle_power: float | None
    memory: Quantity | None
    notes: tuple[str, ...]


def measure_energy(
    run: Callable[[], Any],
    meter: Meter,
    *,
    window: float = LEAST_WINDOW,
    passes: int | None = None,
    synchronise: Callable[[], Any] | None = None,
    idle: float = 0.0,
    against: Meter | None = None,
    clock: Clock = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Energy:
    """Return the energy of one call of ``run``.

    Args:
        run: One pass; called once to warm up, then as often as the window needs.
        meter: An open meter, best from ``choose_meter``.
        window: Seconds that the passes have to fill.
        passes: Run exactly so many instead, however short the window.
        synchronise: Waits until the device is done; called before each reading.
        idle: Seconds of idling measured before the passes; 0 measures none.
        against: A second meter of the same device; a note says where the two differ by over 15 %.
        clock: Clock that times the passes, ns.
        sleep: Idles for so many seconds.

    Raises:
        UsageError: a window, idle time or number of passes that makes no sense.
    """
    if not 0.0 < window <= 3600.0 or not 0.0 <= idle <= 3600.0 or (passes is not None and passes < 1):
        raise UsageError(f"window {window:g} s, idle {idle:g} s, {passes} passes", "give a positive window and passes")
    wait = synchronise or (lambda: None)
    start = clock()
    run()
    wait()
    once = max(clock() - start, 1) / 1e9
    beside: list[Reading] = []
    try:
        idle_power = _idle_power(meter, idle, sleep) if idle > 0.0 else None
        _read_beside(against, beside)
        first = meter.read()
        done = _repeat(run, wait, once, window, passes, clock)
        last = meter.read()
        _read_beside(against, beside)
    except EnvironmentLacks as lack:
        return _energy(meter.about, reason=f"the meter failed: {lack}")
    return _result(meter.about, first, last, done, idle_power, _compared(against, beside, first, last))


def _repeat(
    run: Callable[[], Any], wait: Callable[[], Any], once: float, window: float, passes: int | None, clock: Clock
) -> int:
    """Run until the window is full, the device never more than a quarter of it behind; return the passes."""
    if passes is not None:
        for _ in range(passes):
            run()
        wait()
        return passes
    start, done = clock(), 0
    while (left := window - (clock() - start) / 1e9) > 0.0:
        batch = min(MOST_AT_ONCE, max(1, math.ceil(min(left, window / 4.0) / once)))
        for _ in range(batch):
            run()
        wait()
        done += batch
        once = max((clock() - start) / 1e9 / done, 1e-9)
    return done


def _idle_power(meter: Meter, seconds: float, sleep: Callable[[float], None]) -> float | None:
    """Return the power of doing nothing, W; None where the counter does not resolve it, or is no counter."""
    if meter.about.kind == "estimated":
        return None
    first = meter.read()
    sleep(seconds)
    last = meter.read()
    lasted = (last.time - first.time) / 1e9
    return None if lasted < meter.about.period or doubt(meter.about, first, last) else _watts(first, last)


def _watts(first: Reading, last: Reading) -> float:
    return (last.joules - first.joules) / (last.time - first.time) * 1e9


def _read_beside(meter: Meter | None, readings: list[Reading]) -> None:
    """Read the second meter; its failure must not cost the first one's number."""
    if meter is None:
        return
    try:
        readings.append(meter.read())
    except EnvironmentLacks:
        return


def _compared(meter: Meter | None, readings: list[Reading], first: Reading, last: Reading) -> tuple[str, ...]:
    """Return a note on what a second meter said of the same window."""
    if meter is None:
        return ()
    name = meter.about.backend
    if len(readings) < 2 or (reason := doubt(meter.about, readings[0], readings[1])):
        return (f"{name} could not be compared: {reason if len(readings) == 2 else 'it could not be read'}",)
    if last.time <= first.time or last.joules <= first.joules:
        return ()
    ratio = _watts(readings[0], readings[1]) / _watts(first, last)
    if abs(ratio - 1.0) <= DISAGREEMENT:
        return (f"{name} agrees: {ratio:.2f} times this",)
    return (f"{name} disagrees: {ratio:.2f} times this; trust neither below that",)


def _result(
    about: About, first: Reading, last: Reading, passes: int, idle_power: float | None, notes: tuple[str, ...]
) -> Energy:
    seconds = (last.time - first.time) / 1e9
    if seconds < about.period:
        reason = f"the window of {seconds:.3g} s is shorter than the counter's period of {about.period:g} s"
    else:
        reason = doubt(about, first, last)
    if reason:
        return _energy(about, reason=reason, window=seconds, passes=passes, idle_power=idle_power, notes=notes)
    joules, quantum = (last.joules - first.joules) / passes, about.period / seconds
    quantity = Quantity(joules, joules * max(0.0, 1.0 - quantum) * about.low, joules * (1.0 + quantum) * about.high,
                        "J", about.kind)  # fmt: skip
    memory = memory_energy(about.memory_power, seconds / passes) if about.memory_power else None
    return _energy(
        about, joules=quantity, window=seconds, passes=passes, power=_watts(first, last), idle_power=idle_power,
        memory=memory, notes=notes,
    )  # fmt: skip


def _energy(
    about: About,
    *,
    joules: Quantity | None = None,
    reason: str = "",
    window: float = 0.0,
    passes: int = 0,
    power: float | None = None,
    idle_power: float | None = None,
    memory: Quantity | None = None,
    notes: tuple[str, ...] = (),
) -> Energy:
    return Energy(
        backend=about.backend, kind=about.kind, covers=about.covers, source=about.source, joules=joules,
        reason=reason, window=window, passes=passes, power=power, idle_power=idle_power, memory=memory,
        notes=(*about.notes, *notes),
    )  # fmt: skip
