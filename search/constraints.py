"""Constraints as the user writes them: ``ttft <= 0.5 s``, checked for metric and unit.

A violation is relative to the limit, so that constraints of different units add up (Deb's rules rank
points that break a limit by their total violation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError, nearest

Floats = NDArray[np.float64]
Operator = Literal["<=", ">=", "<", ">", "=="]

_PATTERN = re.compile(r"\s*([A-Za-z_][\w.\- ]*?)\s*(<=|>=|==|<|>|=)\s*(.+?)\s*")
_TINY = 1e-300


class Constraint(msgspec.Struct, frozen=True):
    """``metric op limit``, limit in ``unit`` (SI); ``text`` is what the user wrote."""

    text: str
    metric: str
    op: Operator
    limit: float
    unit: str = ""

    def violation(self, values: Floats) -> Floats:
        """Return by how much each value breaks the limit, relative to it; > 0 is violated, NaN counts as +inf."""
        scale = abs(self.limit) if self.limit else 1.0
        gap = (np.asarray(values, np.float64) - self.limit) / scale
        if self.op in (">=", ">"):
            gap = -gap
        elif self.op == "==":
            gap = np.abs(gap) - 1e-9
        if self.op in ("<", ">"):
            gap = np.where(gap == 0.0, _TINY, gap)
        return np.where(np.isnan(gap), np.inf, gap)


def parse_where(text: str, units: Mapping[str, str]) -> Constraint:
    """Return the constraint that ``text`` states.

    Args:
        text: such as ``ttft <= 0.5 s`` or ``batch >= 8``.
        units: the SI unit of every metric, objective and parameter that may be constrained.

    Raises:
        UsageError: unreadable, an unknown metric (nearest names follow), or a unit of another dimension.
    """
    from codesign.units import parse_quantity

    match = _PATTERN.fullmatch(text)
    if match is None:
        raise UsageError(
            f"cannot read the constraint {text!r}: expected METRIC <= LIMIT UNIT",
            "for example --where 'ttft <= 0.5 s'; operators are <=, >=, <, >, ==",
        )
    name, operator, limit = match.groups()
    metric = name if name in units else name.replace("-", "_")
    if metric not in units:
        raise UsageError(f"--where {text!r}: unknown metric {name!r}", nearest(name, units))
    if operator == "=":
        operator = "=="
    value = parse_quantity(limit, units[metric], f"--where {text!r}")
    return Constraint(text=text.strip(), metric=metric, op=operator, limit=value, unit=units[metric])  # type: ignore[arg-type]


def violations(constraints: Sequence[Constraint], columns: Mapping[str, Floats], count: int) -> Floats:
    """Return the (count, C) violations of ``constraints`` given the columns they name."""
    matrix = np.empty((count, len(constraints)))
    for index, constraint in enumerate(constraints):
        matrix[:, index] = constraint.violation(columns[constraint.metric])
    return matrix
