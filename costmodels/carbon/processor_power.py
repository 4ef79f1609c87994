"""Power of a processor over its utilisation where a fitted curve is known: ``a ln(b (u + c)) + d``.

u is utilisation in percent, a to d are coefficients of one processor (form and one worked set: documentation of
Boavizta, as facts). Watts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.costmodels.carbon.domains import between
from codesign.errors import UsageError
from codesign.quantity import Array


def log_power(utilisation_pct: Any, a: Any, b: Any, c: Any, d: Any) -> Array:
    """Return the power at ``utilisation_pct``, W; arguments broadcast.

    Raises:
        UsageError: a utilisation outside 0 to 100, a logarithm of nothing, or a power below 0.
    """
    inside = np.asarray(b * (between("utilisation_pct", utilisation_pct, 0.0, 100.0) + c), np.float64)
    if not (inside > 0.0).all():
        raise UsageError("b (utilisation + c) is not positive", "the curve has no value there")
    watts = np.asarray(a * np.log(inside) + d)
    if not (watts >= 0.0).all():
        raise UsageError(f"the curve falls to {float(watts.min()):g} W", "check the coefficients a, b, c, d")
    return watts
