"""Numbers for people: SI prefixes where the unit takes them, a unit beside every number."""

from __future__ import annotations

import math

PREFIXED = ("B", "B/s", "J", "W", "Hz", "FLOP", "FLOP/s", "g", "gCO2e", "m", "bit", "bit/s")
"""Units that take every prefix; seconds take the small ones only."""

_BIG = ("", "k", "M", "G", "T", "P", "E")
_SMALL = ("", "m", "µ", "n", "p", "f")


def prefix_of(value: float, unit: str) -> tuple[float, str]:
    """Return (factor, prefix): ``value * factor`` is the number to show before prefix and unit."""
    size = abs(value)
    if size == 0.0 or not math.isfinite(size) or not (unit in PREFIXED or unit == "s"):
        return 1.0, ""
    step = math.floor(math.log10(float(f"{size:.3e}")) / 3)
    step = min(max(step, 1 - len(_SMALL)), 0 if unit == "s" else len(_BIG) - 1)
    if unit.startswith("B"):
        step = max(step, 0)
    return 1000.0**-step, _BIG[step] if step >= 0 else _SMALL[-step]


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
    factor, prefix = prefix_of(float(value), unit)
    if isinstance(value, int) and factor == 1.0:
        return f"{value:,}" + (f" {unit}" if unit else "")
    text = digits(value * factor, significant)
    if unit == "$":
        return f"${text}"
    return f"{text} {prefix}{unit}".rstrip()


def column_scale(values: list[float], unit: str) -> tuple[float, str]:
    """Return one (factor, unit with prefix) for a whole column, chosen by its median size."""
    sizes = sorted(abs(v) for v in values if v and math.isfinite(v))
    if not sizes:
        return 1.0, unit
    factor, prefix = prefix_of(sizes[len(sizes) // 2], unit)
    return factor, f"{prefix}{unit}"
