"""Units in text: exact round trips, and nothing guessed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.units import UNITS, format_si, parse_quantity

SCALED = sorted(name for name, (unit, _) in UNITS.items() if name and unit)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("3350 GB/s", "B/s", 3.35e12),
        ("989.4 TFLOP/s", "FLOP/s", 989.4e12),
        ("1978.9 TOP/s", "FLOP/s", 1978.9e12),
        ("80 GB", "B", 80e9),
        ("80 GiB", "B", 80 * 2**30),
        ("700 W", "W", 700.0),
        ("0.5 s", "s", 0.5),
        ("50 ms", "s", 0.05),
        ("12us", "s", 12e-6),
        ("12 µs", "s", 12e-6),
        ("369 gCO2e/kWh", "gCO2e/kWh", 369.0),
        ("$2.5/h", "$/h", 2.5),
        ("2.5 $/h", "$/h", 2.5),
        ("814 mm2", "mm2", 814.0),
        ("8.14 cm²", "mm2", 814.0),
        ("164 kg", "gCO2e", 164e3),
        ("1 kWh", "J", 3.6e6),
        ("1,500 ms", "s", 1.5),
        ("50 %", "", 0.5),
        ("8", "", 8.0),
        (8, "token", 8.0),
        ("1e3 W", "W", 1000.0),
    ],
)
def test_known_quantities(text: object, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1,5 s", "s"),  # a decimal comma must not become 15 s
        ("1__000 s", "s"),
        ("5", "s"),
        (5, "s"),
        ("nan s", "s"),
        ("inf s", "s"),
        ("1e999 s", "s"),
        ("1e300 TB", "B"),
        ("0.5 s", "B"),
        ("3350 Gb/s", "B/s"),
        ("80 gb", "B"),
        ("5 mw", "W"),
        ("s", "s"),
        ("", "s"),
        ("5 ms ms", "s"),
        (True, "s"),
        (None, "s"),
        ([1], "s"),
        ("x" * 1000, "s"),
        ("5 s", ""),
    ],
)
def test_refused(text: object, unit: str) -> None:
    with pytest.raises(UsageError, match="ttft: "):
        parse_quantity(text, unit, "ttft")


def test_error_names_expected_and_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse_quantity("3350 gb/s", "B/s", "memory.bandwidth")
    assert "memory.bandwidth" in str(caught.value)
    assert "'3350 GB/s'" in str(caught.value)
    assert "did you mean GB/s" in caught.value.hint


@given(st.floats(1e-6, 1e6), st.sampled_from(SCALED))
def test_number_times_scale(number: float, name: str) -> None:
    unit, scale = UNITS[name]
    assert parse_quantity(f"{number!r} {name}", unit) == float(f"{number!r}") * scale


@given(st.floats(1e-3, 1e12), st.sampled_from(["B", "B/s", "FLOP/s", "W", "J", "gCO2e", "token/s", "Hz"]))
def test_display_reads_back(value: float, unit: str) -> None:
    shown = format_si(value, unit, digits=4)
    assert parse_quantity(shown, unit) == pytest.approx(value, rel=1e-3)


@given(st.floats(1e-9, 1e4))
def test_display_of_seconds_reads_back(value: float) -> None:
    assert parse_quantity(format_si(value, "s", digits=4), "s") == pytest.approx(value, rel=1e-3)


def test_display_of_the_absent() -> None:
    assert format_si(math.nan, "s") == "-"
    assert format_si(math.inf, "s") == "inf"
    assert format_si(0.0, "s") == "0 s"


def test_carbon_above_a_megagram_is_shown_in_tonnes() -> None:
    assert format_si(67.8e6, "gCO2e") == "67.8 tCO2e"
    assert format_si(3.2e9, "gCO2e") == "3.20 ktCO2e"
    assert format_si(940e3, "gCO2e") == "940 kgCO2e"
    assert parse_quantity("3.2 ktCO2e", "gCO2e") == pytest.approx(3.2e9)
