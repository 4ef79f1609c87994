"""A phase under a power limit: what ``power_cap`` says of a load, said of the cost of a phase.

Each phase is slowed down by its own power: a prompt that draws the design power meets the limit long before a decode
step does. The share of the time that stretches with the clock is that of the fitted runs, whatever binds the phase.
Units: watts, seconds.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.efficiency import table
from codesign.costmodels.energy import device_energy
from codesign.costmodels.latency import PhaseCost
from codesign.costmodels.machine import Machine
from codesign.costmodels.power_cap import Capped, capped
from codesign.errors import UsageError
from codesign.quantity import Z90, Array, Column
from codesign.targets import Target

LEAST = 0.35
"""Of the design power: the measured runs go down to 0.38 to 0.4 of it."""


def check_limit(limit: Any, target: Target) -> Array:
    """Return the power limits of ``target`` as an array, W.

    Raises:
        UsageError: a limit lies above the design power, below what was measured, or is of no GPU.
    """
    watts, most = np.atleast_1d(np.asarray(limit, np.float64)), target.power.tdp.value
    if target.kind != "gpu" and (watts < most).any():
        raise UsageError(f"a power limit on {target.id}", "what limits do was measured on GPUs only")
    wrong = ~((watts >= LEAST * most) & (watts <= most))
    if wrong.any():
        raise UsageError(
            f"power limit is {watts[wrong][0]:g} W on {target.id}",
            f"expected {LEAST * most:.0f} W to its design power of {most:.0f} W",
        )
    return watts


def limited(cost: PhaseCost, machine: Machine, limit: Array) -> tuple[PhaseCost, Capped]:
    """Return ``cost`` under a limit, and what the limit does to it.

    Time grows by the slowdown. Idle power lasts longer with it, so that what stands for power above idle (busy time,
    bytes, arithmetic) is scaled by what leaves the energy that the limit gives.

    Args:
        cost: Of a phase at the rated limit.
        machine: That it runs on.
        limit: W, shape (n,).
    """
    seconds = cost.seconds
    joules = device_energy(cost, seconds, machine).value
    form = table().power.capping(machine.target.id)
    found = capped(joules / seconds.value, limit, machine.thermal_power, form=form)
    idle = machine.idle_power * seconds.value
    above = np.maximum((found.energy * joules - idle * found.slowdown) / np.maximum(joules - idle, 1e-30), 0.0)
    sigma = np.log(found.slowdown_high / found.slowdown) / Z90
    slower = seconds * found.slowdown
    return (
        msgspec.structs.replace(
            cost,
            seconds=Column(slower.value, slower.slopes, slower.variance + (sigma * slower.value) ** 2),
            busy=cost.busy * above,
            bytes=cost.bytes * above,
            peak_seconds=cost.peak_seconds * above,
        ),
        found,
    )


def sentence(limit: Array, machine: Machine, effects: dict[str, Capped]) -> str:
    """Return in words what the limit does to the first point of each phase."""
    told = []
    for name, found in effects.items():
        value, low, high = (float(np.reshape(end, -1)[0]) for end in found[1:4])
        told.append(f"{name} {value:.2f} times as long" + (f" ({low:.2f} to {high:.2f})" if high > value else ""))
    watts = f"{float(limit[0]):.0f} W of {machine.thermal_power:.0f} W"
    own = machine.target.id in table().power.cap_of_device
    fitted = "runs of this card" if own else "runs of older cards"
    return f"power limit {watts}: {', '.join(told)}, by {fitted}; kernels are shown without it"
