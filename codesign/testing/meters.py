"""Conformance of energy meters: what every meter must do, whatever it counts with.

Use it from a test: ``for check in CHECKS.values(): check(make)`` where ``make(steps)`` describes a machine on which
those steps happen (``codesign.testing.counters`` has one for each of our backends). Each check raises
``AssertionError`` with what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import pytest

from codesign.errors import EnvironmentLacks
from codesign.profilers.energy import Finding, Meter, check_live, measure_energy

Step = tuple[float, float | None]
"""Seconds that pass, and the watts drawn meanwhile; None: the counter disappears."""


class Clock:
    """A clock that moves only when told, in ns."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        """Return the time."""
        return self.now


class Machine(Protocol):
    """A machine with one meter, on which prepared steps happen one by one."""

    clock: Clock

    def open(self) -> Meter:
        """Open its meter."""

    def step(self) -> None:
        """Let the next step happen."""


Make = Callable[[Sequence[Step]], Machine]


def judge(machine: Machine) -> Finding:
    """Return what the liveness test says of the machine's meter, its next step being the load."""
    meter = machine.open()
    finding = check_live({"meter": meter}, load=lambda seconds: machine.step())["meter"]
    meter.close()
    return finding


def check_description(make: Make) -> None:
    """A meter says what its numbers are; a rule has an interval, a counter claims no more than its quantum."""
    about = make([]).open().about
    assert about.backend, "no name"
    assert about.source, "no source"
    assert about.period > 0.0, "no period"
    assert 0.0 < about.low <= 1.0 <= about.high, "the interval leaves the value out"
    assert (about.low < about.high) == (about.kind == "estimated"), "only an estimate has an interval of its own"


def check_monotonic(make: Make) -> None:
    """Joules never decrease and the clock advances, whatever is drawn."""
    machine = make([(0.5, watts) for watts in (20.0, 80.0, 10.0, 50.0)])
    meter = machine.open()
    readings = [meter.read()]
    for _ in range(4):
        machine.step()
        readings.append(meter.read())
    for before, after in pairwise(readings):
        assert after.time > before.time, "the clock stood still"
        assert after.joules > before.joules, "joules did not increase"


def check_amount(make: Make) -> None:
    """Four seconds at 50 W are 200 J, however often the meter is read: nothing is counted twice or dropped."""
    for reads in (1, 4):
        machine = make([(1.0, 50.0)] * 4)
        meter = machine.open()
        first = last = meter.read()
        for step in range(1, 5):
            machine.step()
            if step % (4 // reads) == 0:
                last = meter.read()
        found = last.joules - first.joules
        assert found == pytest.approx(200.0, rel=1e-3), f"{found} J of 200 J in {reads} reads"


def check_live_one(make: Make) -> None:
    """A meter that moves at a believable power is live, and the power is the one drawn."""
    finding = judge(make([(1.1, 50.0)]))
    assert finding.status == "live", finding.reason
    assert finding.power_w == pytest.approx(50.0, rel=1e-3), f"{finding.power_w} W of 50 W"


def check_frozen(make: Make) -> None:
    """A counter that stands still under load is rejected, with the reason."""
    _rejected(make, 0.0, "did not advance")


def check_absurd(make: Make) -> None:
    """A counter that implies more than hardware draws is rejected."""
    _rejected(make, 50_000.0, "over")


def check_faint(make: Make) -> None:
    """A counter that implies less than any processor draws is rejected."""
    _rejected(make, 0.05, "under")


def _rejected(make: Make, watts: float, reason: str) -> None:
    if make([]).open().about.kind == "estimated":
        return  # a rule of TDP follows no counter
    finding = judge(make([(1.1, watts)]))
    assert finding.status == "rejected", f"{watts} W passed as {finding.status}"
    assert finding.power_w is None, "a rejected meter has no power"
    assert reason in finding.reason, finding.reason


def check_vanished(make: Make) -> None:
    """A counter that disappears during a measurement costs the number, not the run, and says so."""
    machine = make([(0.5, 50.0), (0.5, None)])
    meter = machine.open()
    if meter.about.kind == "estimated":
        return
    energy = measure_energy(machine.step, meter, passes=1, clock=machine.clock)
    assert energy.joules is None, "a number without a counter"
    assert energy.reason, "no reason"
    with pytest.raises(EnvironmentLacks):
        meter.read()
    meter.close()


def check_per_pass(make: Make) -> None:
    """Passes of half a second at 50 W are 25 J each, over a window of at least two seconds."""
    machine = make([(0.5, 50.0)] * 20)
    waits: list[int] = []
    meter = machine.open()
    energy = measure_energy(machine.step, meter, clock=machine.clock, synchronise=lambda: waits.append(1))
    assert energy.joules is not None, energy.reason
    assert energy.joules.value == pytest.approx(25.0, rel=1e-3), f"{energy.joules.value} J of 25 J"
    assert energy.joules.low < 25.0 < energy.joules.high, "the interval leaves the truth out"
    assert energy.window >= 2.0, "the window is too short"
    assert len(waits) >= 2, "no synchronisation before the readings"
    assert energy.kind == meter.about.kind, "the kind was lost"


def check_short_window(make: Make) -> None:
    """A window shorter than the counter's period has no energy: null, not zero."""
    tick = make([]).open().about.period / 10.0
    machine = make([(tick, 50.0)] * 4)
    energy = measure_energy(machine.step, machine.open(), passes=1, clock=machine.clock)
    assert energy.joules is None, "a number from a window that the counter cannot resolve"
    assert "shorter" in energy.reason, energy.reason


def check_still_window(make: Make) -> None:
    """A counter that stands still during the passes gives no number."""
    machine = make([(3.0, 50.0), (3.0, 0.0)])
    meter = machine.open()
    if meter.about.backend == "nvml-power" or meter.about.kind == "estimated":
        return  # a rule never stands still, and power read between two values is their mean
    energy = measure_energy(machine.step, meter, passes=1, clock=machine.clock)
    assert energy.joules is None, f"{energy.joules} from a counter that stood still"
    assert "did not advance" in energy.reason, energy.reason


def check_close(make: Make) -> None:
    """Closing twice is no error."""
    meter = make([]).open()
    meter.close()
    meter.close()


CHECKS: dict[str, Callable[[Make], None]] = {
    "description": check_description,
    "monotonic": check_monotonic,
    "amount": check_amount,
    "live": check_live_one,
    "frozen": check_frozen,
    "absurd": check_absurd,
    "faint": check_faint,
    "vanished": check_vanished,
    "per pass": check_per_pass,
    "short window": check_short_window,
    "still window": check_still_window,
    "close": check_close,
}
"""Name -> check."""
