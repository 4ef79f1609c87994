"""Decimal microseconds, as traces write them, to the nearest integer nanoseconds: exactly, ties to the even one.

A double near 1.7e15 us resolves 0.25 us; differences of such stamps are wrong by up to that. Where a double still tells
all nanoseconds apart, numbers are read as such; beyond, and where there are more decimals, the written digits are read
as one integer and shifted by the place of the point. All three ways give the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACES = 3
"""Decimals of a microsecond that are whole nanoseconds."""

LEAST_PLACES = 15
LARGEST = 2**62
"""Nanoseconds (146 years) that no stamp or duration may reach, so that the sum of two fits 64 bits."""

MOST_EXACT = float(2**42)
"""Microseconds (51 days) under which the double nearest to a decimal is at most 0.244 ns away from it."""

NEAR = 0.25
"""A double of less than ``MOST_EXACT`` this near to a whole nanosecond, in ns, stands for a decimal that rounds to it;
decimals with no more than ``PLACES`` places are always so near."""

_EXACT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_NANOSECOND = Decimal(10) ** -PLACES


class NotPlain(ValueError):
    """A number is not written as plain decimal digits within range."""


class NeedsText(ValueError):
    """A double may have lost nanoseconds of a stamp: its text must be read."""


def from_numbers(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return ns of microseconds decoded as ``int`` or ``float``, shape (n,).

    Raises:
        NeedsText: one of them is a float too large or too long to be exact.
        NotPlain: one of them is no number, or out of range.
    """
    if not values:
        return np.empty(0, np.int64)
    try:
        column = np.fromiter(values, np.float64, len(values))
    except TypeError:  # one is not given
        raise NotPlain from None
    if not np.abs(column).max() < MOST_EXACT:
        whole_numbers = np.array(values)
        if whole_numbers.dtype != np.int64:
            raise NeedsText if whole_numbers.dtype == np.float64 else NotPlain
        _check_range(whole_numbers, LARGEST // 1000)
        return np.asarray(whole_numbers * 1000, np.int64)
    whole = np.floor(column)
    fraction = (column - whole) * 1000.0
    nanoseconds = np.rint(fraction)
    if np.abs(fraction - nanoseconds).max() > NEAR:
        raise NeedsText
    return np.asarray(whole.astype(np.int64) * 1000 + nanoseconds.astype(np.int64), np.int64)


def from_texts(texts: Sequence[Any]) -> NDArray[np.int64]:
    """Return ns of decimal microseconds, each a bytes-like such as ``b"1712195495505582.988"``, shape (n,).

    Raises:
        NotPlain: one of them has an exponent, is no number, or is out of range.
    """
    if not texts:
        return np.empty(0, np.int64)
    try:
        text = b",".join([b"0" if given == 0 else given for given in texts])  # 0 is a duration that is not given
    except TypeError:  # a start that is not given
        raise NotPlain from None
    if text.translate(None, b"0123456789.,-"):
        raise NotPlain
    characters = np.frombuffer(text, np.uint8)
    ends = np.append(np.flatnonzero(characters == ord(",")), len(text))
    if len(ends) != len(texts):
        raise NotPlain
    points = np.flatnonzero(characters == ord("."))
    owners = np.searchsorted(ends, points)
    decimals = np.zeros(len(ends), np.int64)
    decimals[owners] = ends[owners] - points - 1
    if len(points) > 1 and (np.diff(owners) == 0).any():
        raise NotPlain
    digits = np.fromstring(text.replace(b".", b"").decode("ascii"), np.int64, sep=",")
    if len(digits) != len(ends):
        raise NotPlain
    return _shifted(digits, PLACES - decimals)


def from_nanoseconds(values: Sequence[int]) -> NDArray[np.int64]:
    """Return integers that are ns already, shape (n,)."""
    return np.array(values, np.int64)


def _shifted(digits: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``digits * 10**places``, rounded to the nearest, of two the even one."""
    lowest = int(places.min())
    if lowest < -LEAST_PLACES:
        raise NotPlain
    up = 10 ** np.maximum(places, 0)
    # digits past 64 bits were read as the largest number, which this refuses too
    _check_range(digits, LARGEST // up)
    if lowest >= 0:
        return np.asarray(digits * up, np.int64)
    down = 10 ** np.maximum(-places, 0)
    whole, rest = np.divmod(digits * up, down)
    return np.asarray(whole + (2 * rest + (whole & 1) > down), np.int64)


def _check_range(column: NDArray[np.int64], limit: Any) -> None:
    if ((column >= limit) | (column <= -limit)).any():
        raise NotPlain


def nanoseconds_of(value: Any) -> int | None:
    """Return ns of one number of microseconds of any spelling; None where it is none, or out of range."""
    if type(value) is int:
        return value * 1000 if abs(value) * 1000 < LARGEST else None
    if not isinstance(value, Decimal | str):
        return None
    try:
        exact = Decimal(value)
        if not exact.is_finite():
            return None
        nanoseconds = int(exact.quantize(_NANOSECOND, context=_EXACT).scaleb(PLACES))
    except ArithmeticError:
        return None
    return nanoseconds if abs(nanoseconds) < LARGEST else None
