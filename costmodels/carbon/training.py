"""Carbon of a training run from its size: ``6 N D`` FLOP, time, energy, carbon.

N counts active parameters, D tokens; forward and backward pass take 6 FLOP a parameter and token (Kaplan et al., arXiv
2001.08361; LLMCarbon, arXiv 2309.14393). Energy is that of the facility: devices times power times time times PUE.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.carbon.accounting import JOULES_PER_KWH, facility_grams
from codesign.costmodels.carbon.domains import positive, positive_share
from codesign.quantity import Array

FLOP_PER_PARAMETER_AND_TOKEN = 6.0


class Training(NamedTuple):
    """A training run: time in s, energy of the facility in kWh, operational carbon in g."""

    seconds: Array
    facility_kwh: Array
    carbon_g: Array


def training(
    active_parameters: Any, tokens: Any, devices: Any, peak_flops: Any, efficiency: Any, power_w: Any, pue: Any, ci: Any
) -> Training:
    """Return what a training run takes; arguments broadcast.

    Args:
        active_parameters: Parameters that a token passes; of a mixture of experts not all.
        tokens: Tokens that are trained on.
        devices: Number of devices.
        peak_flops: Of a device, FLOP/s.
        efficiency: Achieved over peak, above 0 and at most 1.
        power_w: Mean power of a device, W.
        pue: Facility energy over that of the devices, at least 1.
        ci: Grid intensity, g/kWh.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    flop = FLOP_PER_PARAMETER_AND_TOKEN * positive("params", active_parameters) * positive("tokens", tokens)
    count = positive("devices", devices)
    seconds = flop / (count * positive("peak_flops", peak_flops) * positive_share("efficiency", efficiency))
    devices_kwh = count * positive("power_w", power_w) * seconds / JOULES_PER_KWH
    return Training(np.asarray(seconds), np.asarray(devices_kwh * pue), facility_grams(devices_kwh, ci, pue))
