"""Numbers for people: SI prefixes where the unit takes them, a unit beside every number."""

from __future__ import annotations

import math

from codesign.units import scale_of


def digits(value: float, significant: int = 4) -> str:
    """Return ``value`` with so many significant digits, thousands grouped, no trailing zeros."""
    if not math.isfinite(value):
        return "n/a"
    if value == 0.0:
        return "0"
    if abs(value) >= 10.0**15 or abs(value) < 1e-4:
        return f"{value:.{significant - 1}e}"
    rounded = float(f"{value:.{significant - 1}e}")
    if abs(rounded) >= 10 ** (significant - 1):
        return f"{rounded:,.0f}"
    return f"{rounded:.{significant}g}"


def shown(value: object, unit: str = "", significant: int = 4) -> str:
    """Return any cell as text: numbers with prefix and unit, None as ``n/a``, the rest as it is."""
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    scale, name = scale_of(float(value), unit)
    if isinstance(value, int) and scale == 1.0:
        return f"{value:,}" + (f" {unit}" if unit else "")
    text = digits(value / scale, significant)
    if unit == "$":
        return f"${text}"
    return f"{text} {name}".rstrip()


def column_scale(values: list[float], unit: str) -> tuple[float, str]:
    """Return one (factor, unit with prefix) for a whole column, chosen by its median size."""
    sizes = sorted(abs(v) for v in values if v and math.isfinite(v))
    if not sizes:
        return 1.0, unit
    scale, name = scale_of(sizes[len(sizes) // 2], unit)
    return 1.0 / scale, name
