"""Decimal microseconds, as traces write them, to integer nanoseconds, exactly.

A double near 1.7e15 us resolves 0.25 us; differences of such stamps are wrong by up to that. Where a double still tells
all nanoseconds apart, numbers are read as such; beyond, the written digits are read as one integer and shifted by the
place of the point.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACES = 3
"""Decimals of a microsecond that are whole nanoseconds."""

LEAST_PLACES = 15
LARGEST = 2**62
"""Nanoseconds (146 years) that no stamp or duration may reach, so that the sum of two fits 64 bits."""

MOST_EXACT = float(2**43)
"""Microseconds (102 days) under which neighbouring doubles are less than a nanosecond apart."""


class NotPlain(ValueError):
    """A number is not written as plain decimal digits within range."""


class NeedsText(ValueError):
    """A stamp is so large that a double may have lost nanoseconds: its text must be read."""


def from_numbers(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return ns of microseconds decoded as ``int`` or ``float``, shape (n,).

    Raises:
        NeedsText: one of them is a float too large to be exact.
        NotPlain: one of them is no number, or out of range.
    """
    column = np.array(values) if values else np.empty(0, np.int64)
    if column.dtype == np.int64:
        _check_range(column, LARGEST // 1000)
        return np.asarray(column * 1000, np.int64)
    if column.dtype != np.float64:
        raise NotPlain
    if not np.abs(column).max() < MOST_EXACT:
        raise NeedsText
    whole = np.floor(column)
    exact: NDArray[np.int64] = whole.astype(np.int64) * 1000 + np.rint((column - whole) * 1000.0).astype(np.int64)
    return exact


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
    """Return ``digits * 10**places``, rounded half up where places are negative."""
    if places.min() < -LEAST_PLACES:
        raise NotPlain
    up = 10 ** np.maximum(places, 0)
    # digits past 64 bits were read as the largest number, which this refuses too
    _check_range(digits, LARGEST // up)
    down = 10 ** np.maximum(-places, 0)
    return np.asarray((digits * up + down // 2) // down, np.int64)


def _check_range(column: NDArray[np.int64], limit: Any) -> None:
    if ((column >= limit) | (column <= -limit)).any():
        raise NotPlain


def nanoseconds_of(value: Any) -> int | None:
    """Return ns of one number of microseconds of any spelling; None where it is none, or out of range."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        exact = Decimal(value) * 1000
    except ArithmeticError:
        return None
    return round(exact) if exact.is_finite() and abs(exact) < LARGEST else None
