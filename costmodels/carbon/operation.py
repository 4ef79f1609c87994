"""What using a system costs per unit of what it delivers: energy, time reserved, delay; estimated or as stated.

A system states its runs (energy and delay of one, by a meter or a model of the user's), or is a model on a target,
which ``codesign.costmodels.estimate`` prices. The errors of an estimate are kept apart by their factor and target, so
that two systems on one target share them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.api import estimate
from codesign.costmodels.carbon.accounting import EnergyMethod
from codesign.costmodels.carbon.draws import Uncertain
from codesign.costmodels.carbon.uncertain import Take, written
from codesign.costmodels.deployment import Priced
from codesign.errors import CodesignError, DataError
from codesign.quantity import Column
from codesign.targets import Target

REFUSED = ("grid", "pue", "lifetime_years", "utilisation", "replicas")
"""Options of ``estimate`` that the spec states elsewhere, or that change no footprint of a unit."""


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of a system, as its user states it.

    Attributes:
        energy: Of a run, J, or
        power: mean power while it runs, W; one of the two.
        delay: Time of a run, s.
        units: What a run delivers, in natural units.
        reserved: Time for which a run holds the system, s; None is the delay (runs one after the other).
        method: How the energy came about.
        flop: Work that a run executes, FLOP; None where unknown.
    """

    delay: Any
    energy: Any = None
    power: Any = None
    units: float = 1.0
    reserved: Any = None
    method: EnergyMethod = "modelled"
    flop: Any = None


class Use(NamedTuple):
    """What a unit takes; numbers, or draws of shape (count,).

    Attributes:
        energy_j: Energy of a unit.
        reserved_s: Time for which a unit holds the whole system, s.
        delay_s: Of a run: a request, a pass.
        flop: Of a unit; None where unknown.
    """

    energy_j: Any
    reserved_s: Any
    delay_s: Any
    flop: Any


class Operated(NamedTuple):
    """How a system is used.

    Attributes:
        use: Function of what answers for uncertain inputs.
        unit: Natural unit that it delivers.
        method: How the energy came about.
        source: Where energy and time come from, as a number's source.
        target: Hardware, where it is of the catalogue.
        devices: How many of it.
        notes: For people.
    """

    use: Any
    unit: str
    method: EnergyMethod
    source: str
    target: Target | None
    devices: float
    notes: tuple[str, ...]


def stated(run: Run, where: str) -> Operated:
    """Return the use that a run states.

    Raises:
        DataError: neither energy nor power, or both; a number without its unit or out of its domain.
    """
    if (run.energy is None) == (run.power is None):
        raise DataError(f"{where}: found {'neither' if run.energy is None else 'both'} of energy and power", "give one")
    if not 0.0 < run.units < 1e18:
        raise DataError(f"{where}.units: found {run.units:g}, expected above 0")
    delay = _positive(run.delay, "s", f"{where}.delay")
    reserved = delay if run.reserved is None else _positive(run.reserved, "s", f"{where}.reserved")
    drawn, unit = ("energy", "J") if run.power is None else ("power", "W")
    asked = _positive(getattr(run, drawn), unit, f"{where}.{drawn}")
    flop = None if run.flop is None else _positive(run.flop, "FLOP", f"{where}.flop")

    def use(take: Take) -> Use:
        seconds = take(f"{where}.delay", delay)
        held = seconds if run.reserved is None else take(f"{where}.reserved", reserved)
        joules = take(f"{where}.{drawn}", asked) * (1.0 if unit == "J" else held)
        work = None if flop is None else take(f"{where}.flop", flop) / run.units
        return Use(joules / run.units, held / run.units, seconds, work)

    return Operated(use, "unit", run.method, f"as stated, {run.method}", None, 1.0, ())


def estimated(options: dict[str, Any], where: str) -> Operated:
    """Return the use that an estimate of one design gives.

    Raises:
        DataError: no model or target, an option that the spec states elsewhere, or whatever the estimate refuses.
    """
    given = dict(options)
    stray = next((name for name in REFUSED if name in given), None)
    if stray is not None:
        raise DataError(
            f"{where}.{stray}: is not of a system", "grids and site stand at the top; replicas change nothing"
        )
    try:
        model, target = (str(given.pop(name)) for name in ("model", "target"))
    except KeyError as missing:
        raise DataError(f"{where}: {missing.args[0]} is missing", "a system is a model on a target") from None
    try:
        priced = estimate(model, target, **given)
    except CodesignError as error:
        raise DataError(f"{where}: {error.message}", error.hint) from None
    found = priced.estimate
    if not bool(np.all(found.feasible)):
        raise DataError(
            f"{where}: cannot run: {found.reasons[int(np.ravel(found.reason)[0])]}", "see codesign estimate"
        )
    return _of_estimate(priced, where)


def _of_estimate(priced: Priced, where: str) -> Operated:
    """Return the use of the one point of an estimate."""
    found, target = priced.estimate, priced.machine.target
    served = "energy_per_token" in found.columns
    energy = "energy_per_token" if served else "energy"
    delay = "request_latency" if served else "latency"
    rate = "throughput"
    devices = float(np.ravel(found.columns["devices"].value)[0]) if "devices" in found.columns else 1.0

    def column(name: str, take: Take) -> Any:
        return drawn_column(found.columns[name].take(slice(0, 1)), found, target.id, f"{where} {name}", take)

    def use(take: Take) -> Use:
        return Use(column(energy, take), 1.0 / column(rate, take), column(delay, take), flop)

    flop = None
    if priced.executed_flop is not None:
        flop = float(np.ravel(priced.executed_flop)[0])
    unit = found.metrics[energy].per
    return Operated(use, unit, "modelled", found.quantity(energy).source, target, devices, found.notes)


def drawn_column(column: Column, found: Any, target: str, own: str, take: Take) -> Any:
    """Return a column of one point under the errors of its factors, each shared by all systems on ``target``."""
    value = float(np.ravel(column.value)[0])
    exponent: Any = 0.0
    for factor, slope in zip(found.factors, column.slopes.reshape(len(found.factors), -1)[:, 0], strict=True):
        if slope:
            exponent = exponent + slope / value * factor.sigma * take.normal(f"{factor.name} of {target}")
    apart = float(np.sqrt(np.ravel(column.variance)[0])) / value if np.size(column.variance) else 0.0
    if apart:
        exponent = exponent + apart * take.normal(own)
    return value * np.exp(exponent)


def _positive(given: Any, unit: str, where: str) -> Uncertain:
    found = written(given, unit, where)
    if found.low <= 0.0:
        raise DataError(f"{where}: found {found.low:g}, expected above 0")
    return found
