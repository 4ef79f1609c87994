"""Units in text: ``3350 GB/s`` to SI floats and back, strictly.

A quantity in a file is a number and a unit; the unit must have the dimension that its field asks for, and
nothing is guessed. Inside everything is SI: B, B/s, FLOP/s, s, W, J, Hz, m2 stays mm2 (silicon), g of CO2e.
"""

from __future__ import annotations

import math
import re
from difflib import get_close_matches

from codesign.errors import UsageError

PREFIXES = dict(zip(("", *"pnumkMGTPE"), (1.0, 1e-12, 1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18), strict=True))
TONNES = {"M": "", "G": "k", "T": "M", "P": "G", "E": "T"}
"""Prefix of grams -> prefix of tonnes: a megagram of CO2e is written a tonne."""
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def _family(unit: str, prefixes: str, dimension: str | None = None) -> dict[str, tuple[str, float]]:
    names = {f"{p}{unit}": (dimension or unit, PREFIXES[p]) for p in ("", *prefixes)}
    if unit in ("B", "B/s"):
        names |= {f"{p}{unit}": (dimension or unit, scale) for p, scale in BINARY.items()}
    return names


UNITS: dict[str, tuple[str, float]] = {
    **_family("B", "kMGTPE"),
    **_family("B/s", "kMGTPE"),
    **_family("FLOP/s", "kMGTPE"),
    **_family("OP/s", "kMGTPE", "FLOP/s"),
    **_family("FLOP", "kMGTPE"),
    **_family("s", "pnum"),
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
    **_family("W", "pnumkMGTPE"),
    **_family("J", "pnumkMGTPE"),
    "kWh": ("J", 3.6e6),
    "Wh": ("J", 3600.0),
    **_family("Hz", "kMGTPE"),
    "mm2": ("mm2", 1.0),
    "cm2": ("mm2", 100.0),
    "nm": ("nm", 1.0),
    **_family("V", "m"),
    **_family("gCO2e", "pnumkMGTPE"),
    "tCO2e": ("gCO2e", 1e6),
    "ktCO2e": ("gCO2e", 1e9),
    "MtCO2e": ("gCO2e", 1e12),
    "g": ("gCO2e", 1.0),
    "kg": ("gCO2e", 1e3),
    "t": ("gCO2e", 1e6),
    **{name: (name, 1.0) for name in ("gCO2e s", "J s", "gCO2e J", "gCO2e2 J", "gCO2e J2", "gCO2e/EFLOP")},
    "gCO2e/kWh": ("gCO2e/kWh", 1.0),
    "kgCO2e/kWh": ("gCO2e/kWh", 1e3),
    "$": ("$", 1.0),
    "$/h": ("$/h", 1.0),
    "%": ("", 0.01),
    "": ("", 1.0),
    **_family("token/s", "kMGTPE"),
    "token": ("token", 1.0),
    "device": ("device", 1.0),
    "year": ("year", 1.0),
    "years": ("year", 1.0),
}
"""Unit text -> (SI unit, how many SI units it is)."""

_DIGITS = r"(?:[0-9]{1,3}(?:[_,][0-9]{3})+|[0-9]+)"  # separators of thousands only: "1,5 s" is refused, not 15 s
_NUMBER = rf"[-+]?(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_QUANTITY = re.compile(rf"\s*(\$?)\s*({_NUMBER})(?![0-9._,])\s*(.*?)\s*")
LONGEST = 200
"""Characters of a quantity: anything longer is not one."""


def parse_quantity(text: object, unit: str, where: str = "value") -> float:
    """Return ``text`` (``"50 ms"``) in the SI ``unit`` (``"s"``).

    A bare number is accepted only where ``unit`` is dimensionless or a count.

    Raises:
        UsageError: no number, not finite, or a unit of another dimension.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UsageError(f"{where}: found {text!r}, expected {_expected(unit)}")
    written = str(text)
    match = _QUANTITY.fullmatch(written) if len(written) <= LONGEST else None
    if match is None:
        raise UsageError(f"{where}: found {_short(written)}, expected {_expected(unit)}")
    dollar, digits, name = match.groups()
    name = (f"${name}" if dollar else name).replace("µ", "u").replace("μ", "u").replace("²", "2")
    if name == "" and unit not in ("", "token", "device", "%"):
        raise UsageError(f"{where}: {_short(written)} has no unit, expected {_expected(unit)}")
    si, scale = UNITS.get(name, (None, 1.0)) if name else (unit, 1.0)
    if si != unit:
        problem = f"unknown unit {_short(name)}" if si is None else f"unit {name!r} measures something else"
        raise UsageError(
            f"{where}: {problem} in {_short(written)}, expected {_expected(unit)}", _nearest_unit(name, unit)
        )
    number = float(digits.replace("_", "").replace(",", "")) * scale
    if not math.isfinite(number):
        raise UsageError(f"{where}: {_short(written)} is not finite, expected {_expected(unit)}")
    return number


def _expected(unit: str) -> str:
    return f"a quantity such as {example(unit)}" if unit else "a plain number such as '8'"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _nearest_unit(name: str, unit: str) -> str:
    """Return a hint naming the spellings of ``unit`` nearest to ``name``, whatever their case."""
    fitting = [known for known, (si, _) in UNITS.items() if si == unit and known]
    close = get_close_matches(name.lower(), {known.lower() for known in fitting}, n=2, cutoff=0.5)
    named = [known for found in close for known in fitting if known.lower() == found]
    return "did you mean " + " or ".join(named) + "?" if named else ""


def example(unit: str) -> str:
    """Return an example quantity of a unit, for error hints."""
    examples = {
        "s": "'50 ms'", "B": "'80 GiB'", "B/s": "'3350 GB/s'", "FLOP/s": "'989 TFLOP/s'", "FLOP": "'16 GFLOP'",
        "W": "'700 W'", "J": "'0.2 J'", "Hz": "'1.83 GHz'", "$": "'2.5 $'", "$/h": "'2.5 $/h'",
        "gCO2e": "'164 kgCO2e'", "gCO2e/kWh": "'369 gCO2e/kWh'", "mm2": "'814 mm2'", "nm": "'5 nm'",
        "token/s": "'50 token/s'", "year": "'4 years'",
    }  # fmt: skip
    return examples.get(unit, "'8'")


def scale_of(value: float, unit: str) -> tuple[float, str]:
    """Return (how many SI units one shown unit is, its text) for a readable display of ``value``."""
    magnitude = abs(value)
    if unit == "B":
        steps = [("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0)]
        return next(((scale, name) for name, scale in steps if magnitude >= scale), (1.0, "B"))
    if unit not in ("s", "J", "W", "B/s", "FLOP/s", "op/s", "FLOP", "Hz", "gCO2e", "token/s") or magnitude == 0.0:
        return 1.0, unit
    large = [] if unit == "s" else [("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)]
    small = [("m", 1e-3), ("u", 1e-6), ("n", 1e-9), ("p", 1e-12)] if unit in ("s", "J", "W", "gCO2e") else []
    steps = [*large, ("", 1.0), *small]
    prefix, scale = next((step for step in steps if magnitude >= step[1] * 0.9995), steps[-1])
    if unit == "gCO2e" and prefix in TONNES:
        return scale, f"{TONNES[prefix]}tCO2e"
    return scale, f"{prefix}{unit}"


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits and a prefix that keeps it readable."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    scale, name = scale_of(value, unit)
    return f"{format_digits(value / scale, digits)} {name}".rstrip()


def format_digits(value: float, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits and thousands separators."""
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12))
    return f"{value:,.{decimals}f}"
