"""What a proxy computes with: the parameters of a box, each by its kind.

Choices become one column a value (1 where chosen), ordered values and ranges one number, its logarithm where it spans a
factor of 8 or more: costs are mostly products of powers of such numbers, which are straight lines in logarithms. A
conditional parameter adds a column that says where it is active. What cannot vary adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.regression import Features
from codesign.errors import DataError, UsageError, nearest
from codesign.search.parameters import Categorical, Integer, Ordinal, Parameter, Real
from codesign.search.space import BoxSpace, Codes

WIDE = 8.0
"""Ratio of the largest to the smallest value from which on a parameter counts in logarithms: 1, 2, 4, 8 does."""
MOST_FEATURES = 4096
"""Columns of a proxy; a choice among more values than this is refused."""


class Feature(msgspec.Struct, frozen=True):
    """One column.

    Attributes:
        parameter: Index of the parameter.
        kind: ``number`` (its value), ``log`` (natural logarithm of it), ``rank`` (place among ordered words),
            ``is`` (1 where it has value number ``place``), ``active`` (1 where it is active).
        place: See ``kind``.
    """

    parameter: int
    kind: Literal["number", "log", "rank", "is", "active"]
    place: int = 0


def features_of(space: BoxSpace) -> tuple[Feature, ...]:
    """Return the columns for the parameters of ``space``.

    Raises:
        UsageError: they are more than ``MOST_FEATURES``.
    """
    found: list[Feature] = []
    for index, parameter in enumerate(space.parameters):
        if parameter.when is not None:
            found.append(Feature(index, "active"))
        if isinstance(parameter, Categorical):
            # two values need one column, not two that are each other's complement
            shown = range(len(parameter.values) if len(parameter.values) > 2 else len(parameter.values) - 1)
            found += [Feature(index, "is", place) for place in shown]
            continue
        low, high = _range(parameter)
        if low < high:
            found.append(Feature(index, _scale(parameter, low, high)))
    if len(found) > MOST_FEATURES:
        raise UsageError(
            f"the parameters of this space make {len(found)} features", f"a proxy takes at most {MOST_FEATURES}"
        )
    return tuple(found)


def _range(parameter: Ordinal | Integer | Real) -> tuple[float, float]:
    """Return the least and the largest number that the parameter's column has, before any logarithm."""
    if not isinstance(parameter, Ordinal):
        return float(parameter.low), float(parameter.high)
    numbers = _numbers(parameter)
    return (min(numbers), max(numbers)) if numbers else (0.0, len(parameter.values) - 1.0)


def _numbers(parameter: Ordinal) -> list[float]:
    """Return the values of ``parameter``; none where not all are numbers."""
    numbers = [float(v) for v in parameter.values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(parameter.values) else []


def _scale(parameter: Ordinal | Integer | Real, low: float, high: float) -> Literal["number", "log", "rank"]:
    if isinstance(parameter, Ordinal) and not _numbers(parameter):
        return "rank"
    logs = low > 0.0 and (high >= WIDE * low or (isinstance(parameter, Real) and parameter.log))
    return "log" if logs else "number"


def matrix(space: BoxSpace, features: Sequence[Feature], points: Codes) -> Features:
    """Return the columns ``features`` (F) of ``points`` (N, D), shape (N, F)."""
    found = np.empty((len(points), len(features)), np.float32)
    active = space.active(points) if space.conditional else np.ones(points.shape, np.bool_)
    for column, feature in enumerate(features):
        codes = points[:, feature.parameter]
        if feature.kind == "active":
            found[:, column] = active[:, feature.parameter]
        elif feature.kind == "is":
            found[:, column] = (codes == feature.place) & active[:, feature.parameter]
        elif feature.kind == "rank":
            found[:, column] = codes
        else:
            values = space.parameters[feature.parameter].decode(codes).astype(np.float64)
            found[:, column] = np.log(values) if feature.kind == "log" else values
    return found


def codes_of(space: BoxSpace, columns: Mapping[str, Sequence[Any] | NDArray[Any]], name: str = "designs") -> Codes:
    """Return the points (N, D) of columns parameter -> N values, None or NaN where inactive.

    A parameter that has one value only may be left out.

    Raises:
        UsageError: a parameter is missing.
        DataError: a value is none that the parameter can have; the row is named.
    """
    given = {key: list(values) for key, values in columns.items() if key in space.names}
    count = len(next(iter(given.values()), []))
    points = np.tile(space.low, (count, 1))
    known = np.ones((count, space.dimensions), np.bool_)
    for index, parameter in enumerate(space.parameters):
        values = given.get(parameter.name)
        if values is None:
            if parameter.when is not None or _range_of_any(parameter):
                raise UsageError(
                    f"{name} lack the parameter {parameter.name!r}", nearest(parameter.name, list(columns))
                )
            continue
        if len(values) != count:
            raise DataError(f"{name}: {parameter.name!r} has {len(values)} rows, others {count}", "one value a design")
        known[:, index] = [v is not None and v == v for v in values]
        rows = np.flatnonzero(known[:, index])
        points[rows, index] = _codes(parameter, [values[row] for row in rows.tolist()], rows, name)
    missing = np.argwhere(space.active(points) & ~known)
    if len(missing):
        row, index = (int(v) for v in missing[0])
        raise DataError(f"{name}, row {row}: {space.names[index]!r} has no value", "it is active there: give one")
    return space.repair(points)


def _range_of_any(parameter: Parameter) -> bool:
    return parameter.low < parameter.high if isinstance(parameter, Real) else (parameter.count or 0) > 1


def _codes(parameter: Parameter, values: list[Any], rows: NDArray[np.intp], name: str) -> NDArray[np.float64]:
    """Return the codes of ``values``, which stand in ``rows``."""

    def refuse(place: int, expected: str) -> DataError:
        return DataError(f"{name}, row {int(rows[place])}: {parameter.name!r} is {values[place]!r}", expected)

    if isinstance(parameter, Categorical | Ordinal):
        table = {same: index for index, v in enumerate(parameter.values) for same in (_plain(v), str(v))}
        places = [table.get(_plain(v), table.get(str(v), -1)) for v in values]
        for place, code in enumerate(places):
            if code < 0:
                raise refuse(place, nearest(str(values[place]), [str(v) for v in parameter.values]))
        return np.array(places, np.float64)
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError):
        wrong = next(place for place, v in enumerate(values) if not isinstance(v, int | float))
        raise refuse(wrong, "expected a number") from None
    inside = (numbers >= parameter.low) & (numbers <= parameter.high)
    codes = (numbers - parameter.low) / parameter.step if isinstance(parameter, Integer) else numbers
    fits = inside & (codes == np.rint(codes)) if isinstance(parameter, Integer) else inside
    if not fits.all():
        step = f" in steps of {parameter.step}" if isinstance(parameter, Integer) else ""
        raise refuse(int(np.argmin(fits)), f"it was searched from {parameter.low} to {parameter.high}{step}")
    return codes


def _plain(value: Any) -> Any:
    """Return a key under which 1 and 1.0 are the same, but True and 1 are not."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    return float(value) if isinstance(value, int | float | np.number) and math.isfinite(value) else str(value)
