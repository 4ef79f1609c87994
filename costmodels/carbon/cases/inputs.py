"""Reading the inputs of a case: strict structs of numbers in their domains; unknown keys are refused.

The bounds refuse what cannot be meant, so that a slip of a unit is an error and not a footprint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from codesign.errors import DataError
from codesign.strict_yaml import convert

T = TypeVar("T", bound=msgspec.Struct)

Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
PositiveShare = Annotated[float, msgspec.Meta(gt=0, le=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Abatement = Annotated[float, msgspec.Meta(ge=95, le=99)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Overhead = Annotated[float, msgspec.Meta(ge=1)]
"""Power usage effectiveness."""

_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def read_inputs(inputs: Mapping[str, Any], kind: type[T]) -> T:
    """Return ``inputs`` as the struct ``kind``.

    Raises:
        DataError: a key is unknown or missing, or a value outside its domain; names the field and what was found.
    """
    try:
        return convert(dict(inputs), kind, "inputs")
    except DataError as error:
        exponent = _EXPONENT.search(error.message.partition("found '")[2])
        if exponent and not error.hint:  # YAML 1.1 reads 1e9 as text
            raise DataError(error.message, "YAML reads 1e9 as text: write 1.0e+9") from None
        raise
