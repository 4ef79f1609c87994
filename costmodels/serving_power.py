"""Mean power of a whole serving job from its measured rate, before or beside a counter.

``P / (n TDP) = a + b u_byte + c u_flop``, at most 1 (the energy roofline of Choi et al., IPDPS 2013). ``u_flop`` is
``2 N_active * tokens/s`` over the peaks, ``u_byte`` the weights read in a step over the time between tokens and the
bandwidths, at most 1.2. A mixture of experts reads ``min(N_total, N_active max(1, batch / 4))`` parameters a step.
Static and clock power dominate: time is the first-order term. The shares are fitted on H100 (``efficiency.yaml``); for
another family the interval is wider. Watts, FLOP/s, B/s, s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.efficiency import ServingPower, table
from codesign.errors import UsageError
from codesign.quantity import Z90, Array, Method
from codesign.targets import list_targets, load_target

MOST_BYTE_SHARE = 1.2
FLOP_PER_PARAMETER = 2.0
TOKENS_PER_EXPERT_SET = 4.0
"""Batch at which a mixture of experts reads its active parameters about once more."""

SAME = 0.02
"""Relative difference below which the figures of a device are those of a target."""


class ServingJob(NamedTuple):
    """A serving job; fields may be arrays.

    Attributes:
        tdp_w: Thermal design power of a device, W.
        devices: Number of devices.
        peak_flops: Dense peak of a device in the format of the products, FLOP/s.
        bandwidth: Memory bandwidth of a device, B/s.
        total_params: Parameters of the model.
        active_params: Parameters that a token passes.
        bytes_per_param: Of the weights.
        batch: Requests in flight.
        itl_s: Time between tokens of a request, s.
        tokens_per_s: Of the whole job.
    """

    tdp_w: Any
    devices: Any
    peak_flops: Any
    bandwidth: Any
    total_params: Any
    active_params: Any
    bytes_per_param: Any
    batch: Any
    itl_s: Any
    tokens_per_s: Any


class JobPower(NamedTuple):
    """Mean power of the whole job with its 90 % interval, W."""

    power: Array
    low: Array
    high: Array


def serving_power(job: ServingJob, known_family: bool, fits: ServingPower | None = None) -> JobPower:
    """Return the mean power of a serving job.

    Args:
        job: What runs.
        known_family: Whether the devices are of the family that the shares were fitted on (``fitted_on``).
        fits: Other shares than the shipped ones.

    Raises:
        UsageError: a figure is not positive, or more parameters are active than there are.
    """
    fits = fits or table().power.serving
    for name, values in job._asdict().items():
        if not (np.isfinite(values) & (np.asarray(values) > 0.0)).all():
            raise UsageError(f"{name} of a serving job is not positive")
    total, active = np.asarray(job.total_params, np.float64), np.asarray(job.active_params, np.float64)
    if (active > total).any():
        raise UsageError("active_params of a serving job is more than total_params", "give active and total parameters")
    mixture = active < total
    experts = active * np.maximum(1.0, np.divide(job.batch, TOKENS_PER_EXPERT_SET))
    read = np.where(mixture, np.minimum(total, experts), total)
    byte = read * job.bytes_per_param / (job.itl_s * np.multiply(job.devices, job.bandwidth))
    flop = FLOP_PER_PARAMETER * active * job.tokens_per_s / np.multiply(job.devices, job.peak_flops)
    constant, at_flop, at_byte, error = (
        np.where(mixture, getattr(fits.mixture, name), getattr(fits.dense, name))
        for name in ("constant", "flop", "byte", "error_90")
    )
    limit = np.multiply(job.devices, job.tdp_w)
    power = limit * np.minimum(constant + at_byte * np.minimum(byte, MOST_BYTE_SHARE) + at_flop * flop, 1.0)
    if known_family:  # |predicted - measured| / measured <= e is measured between these two
        low, high = power / (1.0 + error), power / (1.0 - error)
    else:
        spread = np.exp(Z90 * table().power.other_sigma)
        low, high = power / spread, power * spread
    # a device keeps its mean power at its limit
    return JobPower(power, low, np.minimum(high, np.maximum(limit, power)))


def fitted_on(tdp_w: float, peak_flops: float, bandwidth: float) -> bool:
    """Return whether these figures are of a target of the families that the shares were fitted on."""
    targets = (load_target(name) for name in list_targets())
    return any(
        target.architecture in table().power.families
        and _same(tdp_w, target.power.tdp.value)
        and _same(bandwidth, target.memory_bandwidth)
        and any(_same(peak_flops, target.peak(dtype).value) for dtype in target.dtypes)
        for target in targets
        if target.kind == "gpu"
    )


def method_of(known_family: bool) -> Method:
    """Return how a power came about: on the family of the fit, or carried over to another."""
    return Method.SAME_FAMILY if known_family else Method.NEW_FAMILY


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * other
