"""Which shapes an operator can have: extents in range, and such as fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.families import Shapes
from codesign.costmodels.operators.tables import Mask, Rows
from codesign.costmodels.operators.vector_kinds import KINDS
from codesign.errors import DataError

LARGEST = float(2**31)
"""Extents from here on are taken for mistakes."""

NONE_AT_ALL = {"prefill": {"cached", "window"}, "decode": {"window"}, "convolution": {"padding"}}
"""Family -> extents that may be 0."""

FRACTIONS = frozenset({"kv_bytes", "skew"})
"""Columns that are no extents: positive, but not whole."""


class Fault(NamedTuple):
    """Rows of a shape that no operator has.

    Attributes:
        column: Of the family that is wrong.
        rows: Mask of those rows.
        expected: Of the column, in a few words.
    """

    column: str
    rows: Mask
    expected: str


def faults(family: str, shapes: Shapes) -> Iterator[Fault]:
    """Yield what is wrong with the shapes of some operators of ``family``; nothing where all are possible."""
    for column, values in shapes.items():
        if column == "kind":
            right, expected = np.isin(values, KINDS), "expected a kind of vector operator"
        elif column in FRACTIONS:
            right, expected = (values > 0.0) & (values < LARGEST), "expected a positive number"
        else:
            least = 0.0 if column in NONE_AT_ALL.get(family, ()) else 1.0
            right = (values >= least) & (values < LARGEST) & (values == np.floor(values))
            expected = whole_number(least)
        if not right.all():
            yield Fault(column, ~right, expected)
            return  # what fits together is not asked of numbers that are none
    for small, large, expected in _pairs(family, shapes):
        if (shapes[small] > large).any():
            yield Fault(small, shapes[small] > large, expected)


def whole_number(least: float) -> str:
    """Return what is expected of an extent, for a message."""
    return f"expected a whole number from {int(least)} to {int(LARGEST) - 1:,}"


def _pairs(family: str, s: Shapes) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield columns that are at most something, and what."""
    if family == "convolution":
        yield "kernel", s["size"] + 2.0 * s["padding"], "expected at most the size with its padding"
    if family in ("prefill", "decode"):
        yield "kv_heads", s["heads"], "expected at most the number of heads"
    if family == "moe":
        yield "topk", s["experts"], "expected at most the number of experts"
        yield "ep", s["experts"], "expected at most the number of experts"
        yield "tp", s["inter"], "expected at most the inner size"


def check_shapes(rows: Rows) -> None:
    """Refuse rows of which one has an impossible shape.

    Raises:
        DataError: names the first such row, its column and what was expected.
    """
    for fault in faults(rows.family, rows.shapes):
        row = int(np.flatnonzero(fault.rows)[0])
        value = float(rows.shapes[fault.column][row])
        raise DataError(f"{rows.family}: row {row + 1}, {fault.column} is {value:g}", fault.expected)
