"""Reading fields of decoded JSON, with errors that name file, field, found and expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from codesign.errors import DataError, printable

LARGEST = 1e15


def number(record: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return a number that may be written as text; None where it is absent or null.

    Raises:
        DataError: it is something else, negative or not finite.
    """
    found = record.get(name)
    if found is None:
        return None
    try:
        value = float(found) if isinstance(found, int | float | str) and not isinstance(found, bool) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not 0.0 <= value <= LARGEST:
        raise DataError(f"{where}: {name} is {printable(repr(found), 60)}", "expected a number of at least 0")
    return value


def positive(record: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return a number above 0; None where it is absent or null.

    Raises:
        DataError: it is 0 or no such number.
    """
    value = number(record, name, where)
    if value == 0.0:
        raise DataError(f"{where}: {name} is 0", "expected a number above 0: measure again")
    return value


def whole(record: Mapping[str, Any], name: str, where: str) -> int | None:
    """Return a whole number above 0; None where it is absent or null."""
    value = positive(record, name, where)
    if value is not None and value != int(value):
        raise DataError(f"{where}: {name} is {value:g}", "expected a whole number")
    return None if value is None else int(value)


def inside(record: Any, *path: str) -> Any:
    """Return the value at ``path`` of nested objects; None where any step is missing."""
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record
