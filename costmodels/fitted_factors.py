"""How sure the fitted models of operators make the shared error factors of a target."""

from __future__ import annotations

import numpy as np

from codesign.costmodels.factors import F
from codesign.costmodels.operators.device import device_of
from codesign.costmodels.operators.lookup import ANALYTICAL_GROUPS, Served, served_by, shipped_model
from codesign.errors import UsageError
from codesign.quantity import Method, Origin
from codesign.targets import Target

SIXTEEN_BIT = ("bf16", "fp16")

BANDWIDTH_SIGMA, FLOOR_SIGMA = 0.10, 0.30
"""Spread of the sustained share of memory bandwidth and of floors between accelerators, where kernels are fitted
(assumed)."""

IN_A_MODEL = 0.12
"""Standard deviation of the logarithm of what processors' operators take within a model over alone: threads, caches and
pages are as other operators left them (assumed). Measured models tell its mean, and never what it is of the next."""

Uncertainty = tuple[float, Method, Origin]
"""Standard deviation of the logarithm, and where the factor comes from."""


def fitted_factors(target: Target) -> dict[F, Uncertainty]:
    """Return the factors that fitted models of operators decide on ``target``; empty where none does."""
    try:
        device = device_of(target)
    except UsageError:
        return {}
    form = next((dtype for dtype in SIXTEEN_BIT if dtype in device.matrix and target.kind != "cpu"), "fp32")
    matrix = _served("gemm", form, target)
    attention = _served("prefill", form, target)
    vector = _served("vector", form, target)
    found: dict[F, Uncertainty] = {}
    if matrix is not None:
        found[F.MATRIX] = _uncertainty(matrix)
        measured_here = matrix.method is Method.CALIBRATED
        for factor, sigma in ((F.BANDWIDTH, BANDWIDTH_SIGMA), (F.FLOOR, FLOOR_SIGMA)):
            found[factor] = _uncertainty(matrix) if measured_here else (sigma, matrix.method, Origin.PUBLISHED)
    if attention is not None:
        found[F.ATTENTION] = _uncertainty(attention)
    if vector is not None and vector.method is Method.CALIBRATED:
        found[F.VECTOR] = _uncertainty(vector)
    return found


def _served(family: str, form: str, target: Target) -> Served | None:
    found = served_by(shipped_model(trees=False), family, form, target)
    return None if found.method is Method.ANALYTICAL else found


def _uncertainty(served: Served) -> Uncertainty:
    origin = Origin.MEASURED if served.method is Method.CALIBRATED else Origin.PUBLISHED
    # accelerators run a kernel alike wherever it stands
    beside = IN_A_MODEL if served.name.endswith(f"-{ANALYTICAL_GROUPS[0]}") else 0.0
    return float(np.hypot(served.shared, beside)), served.method, origin
