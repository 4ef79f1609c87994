"""What operators take within a model over what they take alone, learnt from whole passes of small models.

Alone, an operator finds its activations where its last call left them, and its calibrated form is right on average over
shapes. In a model others used the caches in between, and a few shapes take most of the time. So passes of small models
update the shared factors of the target, whose prior is how sure the calibrated operators are. Models differ in this, by
``IN_A_MODEL``, which is what a factor is uncertain by at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codesign.costmodels.api import estimate
from codesign.costmodels.calibration import Posterior, calibrations, update
from codesign.costmodels.factors import COUNT, F
from codesign.costmodels.fitted_factors import IN_A_MODEL
from codesign.costmodels.machine import machine
from codesign.costmodels.machine_validation import METRICS
from codesign.profilers.operators import PassTiming
from codesign.profilers.operators.small_models import DTYPE, TOKENS, small_model
from codesign.quantity import Array, Column
from codesign.targets import Calibration, Target

LEARNT = (F.MATRIX, F.ATTENTION, F.VECTOR, F.BANDWIDTH)
"""Factors that passes may move; launches are measured by themselves, and floors with the operators."""


def factors_within(
    target: Target, passes: Sequence[PassTiming], how: str, disturbed: float = 0.0
) -> tuple[Calibration, ...]:
    """Return the calibrated factors of ``target``, those that ``passes`` tell something of included.

    Args:
        target: This machine, with the calibration of its operators and of its launches.
        passes: Of small models; none leaves the factors as they are.
        how: Software and threads.
        disturbed: Standard deviation that other work added to every logarithm.
    """
    passes = [timing for timing in passes if not timing.reason]
    if not passes:
        return target.calibration
    predicted = [expected(target, timing) for timing in passes]
    value = np.array([float(column.value[0]) for column in predicted])
    slopes = np.array([column.slopes[:, 0] for column in predicted])
    own = np.array([float(column.variance[0]) for column in predicted]) / value**2

    def scaled(scales: Array) -> tuple[Array, Array]:
        terms = slopes * scales
        seconds = value + (terms - slopes).sum(axis=1)
        return seconds, terms / seconds[:, None]

    prior = np.where(np.isin(np.arange(COUNT), LEARNT), machine(target).sigmas, 0.0)
    noise = np.sqrt(own + disturbed**2 + (np.array([timing.drift for timing in passes]) / 2.0) ** 2)
    found = update(scaled, np.array([timing.median for timing in passes]), noise, prior)
    # the prior holds already what models differ by and what other work adds
    left = np.minimum(np.hypot(found.sigmas, np.hypot(IN_A_MODEL, disturbed)), prior)
    known = Posterior(found.scales, left, found.identified)
    return calibrations(target, known, f"measured here: {len(passes)} passes of small models, {how}")


def expected(target: Target, timing: PassTiming) -> Column:
    """Return what ``target`` is expected to take for a pass, s; shape (1,)."""
    asked = timing.asked
    model = small_model(asked.model)
    options: dict[str, Any] = {"batch": asked.batch, "dtype": DTYPE, "execution": "eager"}
    if "prompt" in model.sizes:
        options |= {"prompt": TOKENS, "generate": 2}  # the second token is the one decode step
    return estimate(model, target, **options).estimate.columns[METRICS[asked.phase]]
