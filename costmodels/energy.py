"""Energy of a phase: static power for the time, active power for the busy time, terms for bytes and FLOP on top.

``P = idle + (active - idle) * busy + TDP * (flop_share * FLOP rate / peak + byte_share * byte rate / bandwidth)``, at
most the thermal design power (the energy roofline of Choi et al., IPDPS 2013). The shares are a published
least-squares fit (``efficiency.yaml``); with busy = 1 it is the form ``P / TDP = a + b u_byte + c u_flop``.
Units: joules, watts, seconds.
"""

from __future__ import annotations

import numpy as np

from codesign.costmodels.efficiency import table
from codesign.costmodels.estimate import Estimate
from codesign.costmodels.factors import F
from codesign.costmodels.latency import PhaseCost
from codesign.costmodels.machine import Machine
from codesign.quantity import Array, Column


def device_energy(
    cost: PhaseCost, seconds: Column, machine: Machine, runs: Array | float = 1.0, most: Array | None = None
) -> Column:
    """Return the joules one device draws while the phase occupies it for ``seconds``.

    ``runs`` is how many times ``cost`` runs within ``seconds`` (pipeline stages run once per microbatch); ``most`` is
    the mean power that the device may draw, W (None: its thermal design power).
    """
    power = table().power
    design = machine.thermal_power
    limit = np.asarray(design if most is None else most, np.float64)
    active = power.active_share * design - machine.idle_power
    at_peak = power.flop_share * cost.peak_seconds + power.byte_share * cost.bytes / machine.bandwidth
    work = Column.exact(runs * at_peak * design, len(machine.factors))
    drawn = seconds * machine.idle_power + cost.busy * (runs * active) + work
    capped = drawn.value > limit * seconds.value
    energy = Column(
        np.where(capped, limit * seconds.value, drawn.value),
        np.where(capped, limit * seconds.slopes, drawn.slopes),
        np.where(capped, limit**2 * seconds.variance, drawn.variance),
    )
    # the power factor multiplies all of it
    slopes = energy.slopes.copy()
    slopes[F.POWER] += energy.value
    return Column(energy.value, slopes, energy.variance)


def naive_energy(estimate: Estimate, machine: Machine) -> tuple[str, Array] | None:
    """Return the thermal design power times the time of each point, and the name of the energy that it stands beside.

    Returns:
        Name of the metric and joules in its functional unit, shape (n,); None where the estimate holds no energy.
    """
    name = next((name for name in ("energy_per_token", "energy") if name in estimate.columns), None)
    if name is None or "power" not in estimate.columns:
        return None
    # mean power is joules over time: the same time at the design power
    return name, estimate.columns[name].value * machine.thermal_power / estimate.columns["power"].value
