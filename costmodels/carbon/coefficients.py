"""Every coefficient of embodied carbon, once, with range, unit and source (``coefficients.yaml``).

The formulas beside this file take numbers or arrays and look nothing up: what is read here goes in as an argument, so
that a draw of a Monte Carlo run can stand in for the published value. Units are those of the file: g of CO2e, kWh, cm2,
mm2, GB of 1e9 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

import msgspec

from codesign.errors import DataError, UsageError, nearest, printable
from codesign.quantity import Origin, Quantity
from codesign.strict_yaml import decode_yaml

FILE = "coefficients.yaml"
SCHEMA = 1

Corner = Literal["low", "value", "high"]


class Coefficient(msgspec.Struct, frozen=True, kw_only=True):
    """One coefficient.

    Attributes:
        name: Its name in its group.
        value: Nominal, in ``unit``.
        low: Low end of its range.
        high: High end of its range.
        unit: Empty for a ratio.
        source: Publication of the value.
        range_source: Where the range is from.
        origin: Whether the value is published or assumed.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    source: str
    range_source: str
    origin: Origin

    def at(self, corner: Corner) -> float:
        """Return the low end, the value, or the high end."""
        return {"low": self.low, "value": self.value, "high": self.high}[corner]

    def quantity(self) -> Quantity:
        """Return the coefficient as a number at the edge."""
        return Quantity(self.value, self.low, self.high, self.unit, f"{self.origin.value}: {self.source}")


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Coefficients of one kind by name, and what they are."""

    name: str
    what: str
    licence: str
    values: Mapping[str, Coefficient]


class WrittenCoefficient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A coefficient that states a unit or a source of its own."""

    value: float
    low: float
    high: float
    source: str
    unit: str | None = None


class WrittenGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group as the file writes it."""

    what: str
    unit: str
    source: str
    values: dict[str, float | tuple[float, float, float] | WrittenCoefficient]
    licence: str = ""
    origin: Literal["published", "assumed"] = "published"
    spread: tuple[float, float] = (1.0, 1.0)
    range: str


class WrittenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: int
    groups: dict[str, WrittenGroup]


@cache
def groups() -> Mapping[str, Group]:
    """Return all coefficients by group; read at the first call."""
    return read_groups(files("codesign.costmodels.carbon").joinpath(FILE).read_text(encoding="utf-8"), FILE)


def read_groups(text: str, name: str) -> Mapping[str, Group]:
    """Return the groups that the YAML ``text`` holds; ``name`` is the file named in errors.

    Raises:
        DataError: an unknown key, another schema, or a range that misses its value.
    """
    written = decode_yaml(text, WrittenFile, name)
    if written.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {written.schema}, expected {SCHEMA}")
    return MappingProxyType({
        label: Group(
            name=label, what=group.what, licence=group.licence,
            values=MappingProxyType({
                entry: _coefficient(entry, value, group, f"{name}: {label}.{entry}")
                for entry, value in group.values.items()
            }),
        )
        for label, group in written.groups.items()
    })  # fmt: skip


def _coefficient(
    entry: str, written: float | tuple[float, float, float] | WrittenCoefficient, group: WrittenGroup, where: str
) -> Coefficient:
    unit, source = group.unit, group.source
    if isinstance(written, WrittenCoefficient):
        low, value, high = written.low, written.value, written.high
        unit, source = group.unit if written.unit is None else written.unit, written.source
    elif isinstance(written, tuple):
        low, value, high = written
    else:
        low, value, high = written * group.spread[0], written, written * group.spread[1]
    if not 0.0 <= low <= value <= high < float("inf"):
        raise DataError(f"{where}: the range {low:g} to {high:g} misses the value {value:g}", "expected low to high")
    return Coefficient(
        name=entry, value=value, low=low, high=high, unit=unit, source=source, range_source=group.range,
        origin=Origin(group.origin),
    )  # fmt: skip


def group(name: str) -> Group:
    """Return the group called ``name``.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    if name not in groups():
        raise UsageError(f"group of coefficients {name!r} is unknown", nearest(name, groups()))
    return groups()[name]


def coefficient(group_name: str, name: str | float, what: str = "") -> Coefficient:
    """Return one coefficient; letter case, blanks, dashes and underscores do not matter.

    Args:
        group_name: Its group.
        name: Its name; a number for tables by node or by layers.
        what: What is asked for, in the error.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    return find((group_name,), name, what)


def find(group_names: Iterable[str], name: str | float, what: str = "") -> Coefficient:
    """Return the coefficient called ``name`` of the first of the groups that has it.

    Raises:
        UsageError: none has; the hint names the nearest.
    """
    found = [group(label) for label in group_names]
    key = plain_name(name)
    for one in found:
        if key in one.values:
            return one.values[key]
    known = [entry for one in found for entry in one.values]
    shown = printable(name, 60) if isinstance(name, str) else f"{name:g}"
    raise UsageError(f"{what or found[0].what}: found {shown!r}, which has no data", _nearest(name, known))


def plain_name(name: str | float) -> str:
    """Return the spelling that the tables use: ``7.0`` is ``7``, ``BarraCuda Pro`` is ``barracuda_pro``."""
    if isinstance(name, str):
        return "_".join(name.lower().replace("-", " ").replace("_", " ").split())
    return f"{name:g}"


def _nearest(name: str | float, known: list[str]) -> str:
    if isinstance(name, str):
        return nearest(plain_name(name), known)
    numbers = sorted((float(k) for k in known if k.replace(".", "", 1).isdigit()), key=lambda k: (abs(k - name), k))
    closest = f"the nearest is {numbers[0]:g}; " if numbers else ""
    return f"{closest}known: {', '.join(f'{k:g}' for k in sorted(numbers))}; nothing is extrapolated"
