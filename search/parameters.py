"""Typed parameters of a box space, each with a unit and an optional condition.

A parameter's *code* is a float64: the index of the value for categorical, ordinal and integer
parameters, the value itself for real ones. ``When`` makes a parameter conditional on an earlier one.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError

Value = str | int | float | bool


class When(msgspec.Struct, frozen=True):
    """The condition of a parameter: active only where ``parameter`` has one of ``values``."""

    parameter: str
    values: tuple[Value, ...]


class Categorical(msgspec.Struct, frozen=True, tag_field="kind", tag="categorical"):
    """A choice without order."""

    name: str
    values: tuple[Value, ...]
    unit: str = ""
    when: When | None = None

    @property
    def count(self) -> int | None:
        """Number of values."""
        return len(self.values)

    def decode(self, codes: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of ``codes``."""
        return _table(self.values)[codes.astype(np.intp)]


class Ordinal(msgspec.Struct, frozen=True, tag_field="kind", tag="ordinal"):
    """A choice among ordered values, such as 1, 2, 4, 8."""

    name: str
    values: tuple[Value, ...]
    unit: str = ""
    when: When | None = None

    @property
    def count(self) -> int | None:
        """Number of values."""
        return len(self.values)

    def decode(self, codes: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of ``codes``."""
        return _table(self.values)[codes.astype(np.intp)]


class Integer(msgspec.Struct, frozen=True, tag_field="kind", tag="integer"):
    """An integer from ``low`` to ``high``, both included, in steps of ``step``."""

    name: str
    low: int
    high: int
    step: int = 1
    unit: str = ""
    when: When | None = None

    @property
    def count(self) -> int | None:
        """Number of values."""
        return (self.high - self.low) // self.step + 1

    def decode(self, codes: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of ``codes``."""
        return self.low + self.step * codes.astype(np.int64)


class Real(msgspec.Struct, frozen=True, tag_field="kind", tag="real"):
    """A real number from ``low`` to ``high``; ``log`` varies it on a logarithmic scale."""

    name: str
    low: float
    high: float
    log: bool = False
    unit: str = ""
    when: When | None = None

    @property
    def count(self) -> int | None:
        """None: not finite."""
        return None

    def decode(self, codes: NDArray[np.float64]) -> NDArray[Any]:
        """Return the values of ``codes``."""
        return codes


Parameter = Categorical | Ordinal | Integer | Real


def check(parameters: tuple[Parameter, ...]) -> None:
    """Raise ``UsageError`` for an empty or inverted range, a repeated name, or a condition on nothing earlier."""
    earlier: dict[str, Parameter] = {}
    for p in parameters:
        if p.name in earlier:
            raise UsageError(f"parameter {p.name!r} is given twice", "rename or remove one")
        if isinstance(p, Categorical | Ordinal):
            if not p.values:
                raise UsageError(f"parameter {p.name!r} has no values", "give at least one")
            if len(set(map(repr, p.values))) != len(p.values):
                raise UsageError(f"parameter {p.name!r} repeats a value", f"values: {list(p.values)}")
        elif not (math.isfinite(p.low) and math.isfinite(p.high) and p.low <= p.high):
            raise UsageError(f"parameter {p.name!r}: low {p.low} and high {p.high} are no range", "need low <= high")
        if isinstance(p, Integer) and p.step < 1:
            raise UsageError(f"parameter {p.name!r}: step {p.step}", "the step is at least 1")
        if isinstance(p, Real) and p.log and p.low <= 0.0:
            raise UsageError(f"parameter {p.name!r}: a logarithmic scale from {p.low}", "low must be above 0")
        if p.when is not None:
            _check_condition(p, p.when, earlier)
        earlier[p.name] = p


def _check_condition(p: Parameter, when: When, earlier: dict[str, Parameter]) -> None:
    parent = earlier.get(when.parameter)
    if parent is None or isinstance(parent, Real):
        raise UsageError(
            f"parameter {p.name!r} depends on {when.parameter!r}",
            "the condition names an earlier categorical, ordinal or integer parameter",
        )
    known = list(parent.decode(np.arange(parent.count or 0, dtype=np.float64)))
    missing = [v for v in when.values if v not in known]
    if missing:
        raise UsageError(f"parameter {p.name!r}: {when.parameter!r} never is {missing[0]!r}", f"values: {known[:24]}")


def condition_table(parent: Parameter, when: When) -> NDArray[np.bool_]:
    """Return for every code of ``parent`` whether the condition holds."""
    values = parent.decode(np.arange(parent.count or 0, dtype=np.float64))
    return np.array([v in when.values for v in values.tolist()], dtype=np.bool_)


def _table(values: tuple[Value, ...]) -> NDArray[Any]:
    kinds = {type(v) for v in values}
    if len(kinds) == 1 or kinds == {int, float}:
        return np.array(values)
    table = np.empty(len(values), dtype=object)
    table[:] = values
    return table
