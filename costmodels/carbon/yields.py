"""The share of dies that work, from area and defect density.

With ``x = A * D0``, area in cm2 and defects in 1/cm2: Poisson ``e^-x``; Murphy (triangular density of defects)
``((1 - e^-x) / x)^2``; exponential density ``1 / (1 + x)`` (Seeds); negative binomial ``(1 + x / alpha)^-alpha``
(Stapper). For x > 0 the order is Poisson < Murphy < exponential; the binomial tends to Poisson as alpha grows and is
the exponential at alpha 1. All are 1 at x = 0. Arguments broadcast.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from codesign.costmodels.carbon.domains import non_negative, positive, positive_share
from codesign.errors import UsageError, nearest
from codesign.quantity import Array

YieldModel = Literal["fixed", "poisson", "murphy", "exponential", "negative_binomial"]
MODELS: tuple[YieldModel, ...] = ("fixed", "poisson", "murphy", "exponential", "negative_binomial")

ECO_CHIP_ALPHA = 10.0
"""Clustering of defects in ECO-CHIP; 3 is usual elsewhere."""

USUAL_ALPHA = 3.0


def poisson(area_cm2: Any, d0_cm2: Any) -> Array:
    """Return the yield where defects fall independently."""
    return np.exp(-_defects(area_cm2, d0_cm2))


def murphy(area_cm2: Any, d0_cm2: Any) -> Array:
    """Return the yield under a triangular density of defects."""
    x = _defects(area_cm2, d0_cm2)
    safe = np.where(x > 0.0, x, 1.0)
    # expm1 keeps all digits where 1 - exp(-x) has none left
    return np.asarray(np.where(x > 0.0, (-np.expm1(-safe) / safe) ** 2, 1.0))


def exponential(area_cm2: Any, d0_cm2: Any) -> Array:
    """Return the yield under an exponential density of defects."""
    return 1.0 / (1.0 + _defects(area_cm2, d0_cm2))


def negative_binomial(area_cm2: Any, d0_cm2: Any, alpha: Any = USUAL_ALPHA) -> Array:
    """Return the yield where defects cluster; ``alpha`` is small for strong clusters."""
    alpha = positive("alpha", alpha)
    return np.asarray(np.exp(-alpha * np.log1p(_defects(area_cm2, d0_cm2) / alpha)))


def die_yield(model: str, area_cm2: Any, d0_cm2: Any, alpha: Any = USUAL_ALPHA, fixed: Any = None) -> Array:
    """Return the yield by the name of its model.

    Args:
        model: One of ``MODELS``.
        area_cm2: Of a die.
        d0_cm2: Defects per cm2.
        alpha: Of the negative binomial.
        fixed: The yield itself, of the model ``fixed``.

    Raises:
        UsageError: the model is unknown, or an argument lies outside its domain.
    """
    if model == "fixed":
        if fixed is None:
            raise UsageError("yield: the model fixed states no yield", "give fixed=, above 0 and at most 1")
        return positive_share("yield", fixed)
    if model == "negative_binomial":
        return negative_binomial(area_cm2, d0_cm2, alpha)
    simple = {"poisson": poisson, "murphy": murphy, "exponential": exponential}
    if model not in simple:
        raise UsageError(f"yield model {model!r} is unknown", nearest(model, MODELS))
    return simple[model](area_cm2, d0_cm2)


def _defects(area_cm2: Any, d0_cm2: Any) -> Array:
    return np.asarray(non_negative("area_cm2", area_cm2) * non_negative("d0_cm2", d0_cm2))
