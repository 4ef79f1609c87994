"""The bare roofline of a phase, the bar beside every prediction (Williams, Waterman and Patterson, CACM 2009).

Each kernel takes the longer of its FLOP at the peak of their dtypes and its bytes at the bandwidth of main memory; no
floor, no host, no links.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.latency import PhaseCost
from codesign.costmodels.machine import Machine


def roofline_seconds(cost: PhaseCost, machine: Machine) -> Any:
    """Return the roofline of one pass or mean step of a phase over points, s."""
    total: Any = 0.0
    for group in cost.groups:
        bound = np.maximum(group.peak_seconds, np.asarray(group.bytes) / machine.bandwidth) * group.repeat
        # steps of a sweep lie along a first axis of their own
        total = total + (np.mean(bound, axis=0) if np.ndim(bound) > 1 else bound)
    return np.asarray(total)
