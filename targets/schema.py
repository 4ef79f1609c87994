"""How target files and calibration overlays are written, and their strict reading.

A number in a file is ``{value: 3350 GB/s, source: ..., verified: true}`` with optional ``low``, ``high`` and
``origin`` (published, measured, assumed). Unknown keys, wrong units and missing fields are errors that name the
file, the field, what was found and what was expected. A file is a header and a machine; a machine is a device
graph. Other kinds of machine will stand beside it under the same header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from codesign.errors import CodesignError, DataError, nearest
from codesign.quantity import Method, Origin
from codesign.strict_yaml import decode_yaml
from codesign.targets.target import (
    OPERATOR_LAYOUT,
    Calibration,
    Host,
    Link,
    Memory,
    OperatorCalibration,
    Power,
    Target,
    Unit,
    Value,
)
from codesign.units import parse_quantity

SCHEMA = 1
DTYPES = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
LARGEST_CHANGE = 14.0
"""Logarithm of a million: larger changes in an overlay are taken for mistakes."""

MOST_DEVICES = 4096
"""Devices that one node may have."""

_IDENTITY = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value as a file writes it, unit in the text."""

    value: str | int | float
    source: str
    verified: bool = False
    origin: Literal["published", "measured", "assumed"] = "published"
    low: str | int | float | None = None
    high: str | int | float | None = None


class WrittenLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link as a file writes it."""

    name: str
    bandwidth: Written
    latency: Written


class WrittenMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A memory as a file writes it."""

    capacity: Written
    bandwidth: Written | None = None


class WrittenMachine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A device graph as a file writes it."""

    memory: WrittenMemory
    host: Written
    matrix: dict[str, Written] = {}
    vector: dict[str, Written] = {}
    cache: WrittenMemory | None = None
    links: dict[Literal["node", "pair", "network", "host"], WrittenLink] = {}
    cores: Written | None = None
    clock: Written | None = None
    exponentials: Written | None = None
    devices_per_node: int = 1


class WrittenPower(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Power as a file writes it."""

    tdp: Written
    idle: Written | None = None
    context: Written | None = None


class WrittenTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole target file."""

    schema: int
    id: str
    name: str
    vendor: str
    kind: Literal["gpu", "cpu", "tpu", "npu", "superchip"]
    architecture: str
    machine: WrittenMachine
    power: WrittenPower
    year: int | None = None
    aliases: tuple[str, ...] = ()
    price: Written | None = None
    embodied: Written | None = None
    process: str = ""
    die_area: Written | None = None
    notes: tuple[str, ...] = ()


class WrittenFactor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One calibrated factor of an overlay file: a multiplier of the model's seconds or joules."""

    scale: float
    sigma: float
    source: str
    method: Literal["measured", "calibrated", "interpolated"] = "calibrated"


class WrittenOperators(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What measured operators tell of one fitted model of operators; attributes as of ``OperatorCalibration``."""

    change: tuple[float, ...]
    level: float
    half: float
    rows: int
    source: str
    trust: float = 1.0
    formats: tuple[str, ...] = ()


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A calibration overlay of one target, kept apart from its file: factors, and models of operators."""

    schema: int
    target: str
    factors: dict[str, WrittenFactor]
    operators: dict[str, WrittenOperators] = {}
    layout: int = 3
    """Of the models that the operators are of; files of before it was written are of this one."""


def parse_target(text: str, name: str) -> Target:
    """Return the target that the YAML ``text`` describes; ``name`` is the file named in errors.

    Raises:
        DataError: naming file, line or field, found and expected.
    """
    written = decode_yaml(text, WrittenTarget, name)
    _check_header(written, name)
    memories, links, units = (
        _memories(written.machine, name),
        _links(written.machine, name),
        _units(written.machine, name),
    )
    m, power = written.machine, written.power
    return Target(
        id=written.id,
        name=written.name,
        vendor=written.vendor,
        kind=written.kind,
        architecture=written.architecture,
        units=units,
        memories=memories,
        links=links,
        host=Host(read_value(m.host, "s", name, "machine.host")),
        power=Power(
            read_value(power.tdp, "W", name, "power.tdp"),
            _optional(power.idle, "W", name, "power.idle"),
            _optional(power.context, "W", name, "power.context"),
        ),
        year=written.year,
        aliases=written.aliases,
        core_count=_optional(m.cores, "", name, "machine.cores"),
        clock_rate=_optional(m.clock, "Hz", name, "machine.clock"),
        exponentials=_optional(m.exponentials, "", name, "machine.exponentials"),
        devices_per_node=m.devices_per_node,
        price_per_hour=_optional(written.price, "$/h", name, "price"),
        embodied=_optional(written.embodied, "gCO2e", name, "embodied"),
        process=written.process,
        die_area=_optional(written.die_area, "mm2", name, "die_area"),
        notes=written.notes,
    )


def parse_overlay(text: str, name: str) -> Overlay:
    """Return the calibration overlay that the YAML ``text`` describes.

    Raises:
        DataError: naming file, line or field, found and expected.
    """
    overlay = decode_yaml(text, Overlay, name)
    if overlay.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {overlay.schema}, expected {SCHEMA}")
    for label, factor in overlay.factors.items():
        if not 1e-6 < factor.scale < 1e6:
            raise DataError(
                f"{name}: factors.{label}.scale: found {factor.scale}, expected a positive multiplier near 1"
            )
        if not 0.0 <= factor.sigma < 10.0:
            raise DataError(f"{name}: factors.{label}.sigma: found {factor.sigma}, expected 0 to 10")
    if overlay.operators and overlay.layout != OPERATOR_LAYOUT:
        raise DataError(
            f"{name}: layout: operators of layout {overlay.layout} of the models, expected {OPERATOR_LAYOUT}",
            "calibrate again: their numbers mean something else now",
        )
    for label, found in overlay.operators.items():
        if any(not abs(value) < LARGEST_CHANGE for value in (*found.change, found.level)):
            raise DataError(
                f"{name}: operators.{label}: found a change of {max(map(abs, (*found.change, found.level)))}",
                f"expected logarithms below {LARGEST_CHANGE:g}",
            )
        if not 0.0 < found.half < LARGEST_CHANGE:
            raise DataError(f"{name}: operators.{label}.half: found {found.half}, expected 0 to {LARGEST_CHANGE:g}")
        if not 0.0 <= found.trust <= 1.0:
            raise DataError(f"{name}: operators.{label}.trust: found {found.trust}, expected 0 to 1")
    return overlay


def calibrations(overlay: Overlay, name: str) -> tuple[Calibration, ...]:
    """Return the factors of an overlay, each naming the file it came from."""
    return tuple(
        Calibration(
            label, factor.scale, factor.sigma, Method(factor.method), f"{factor.source} (overlay {Path(name).name})"
        )
        for label, factor in sorted(overlay.factors.items())
    )


def operator_calibrations(overlay: Overlay, name: str) -> tuple[OperatorCalibration, ...]:
    """Return the models of operators of an overlay, each naming the file it came from."""
    return tuple(
        OperatorCalibration(
            label,
            found.change,
            found.level,
            found.half,
            found.rows,
            f"{found.source} (overlay {Path(name).name})",
            found.trust,
            found.formats,
        )
        for label, found in sorted(overlay.operators.items())
    )


def _check_header(written: WrittenTarget, name: str) -> None:
    if written.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {written.schema}, expected {SCHEMA}")
    if not _IDENTITY.fullmatch(written.id):
        raise DataError(f"{name}: id: found {written.id!r}, expected lower-case letters, digits and dashes")
    if written.year is not None and not 1950 <= written.year <= 2100:
        raise DataError(f"{name}: year: found {written.year}, expected 1950 to 2100")
    count = written.machine.devices_per_node
    if not 1 <= count <= MOST_DEVICES:
        raise DataError(f"{name}: machine.devices_per_node: found {count}, expected 1 to {MOST_DEVICES}")


def read_value(entry: Written, unit: str, name: str, field: str) -> Value:
    """Return a written value in the SI ``unit``; ``name`` and ``field`` are the place named in errors.

    Raises:
        DataError: no source, not positive, another dimension, or an interval that misses the value.
    """

    def read(part: str, given: str | int | float | None) -> float | None:
        if given is None:
            return None
        try:
            number = parse_quantity(given, unit, f"{name}: {field}.{part}")
        except CodesignError as error:
            raise DataError(error.message, error.hint) from None
        if number <= 0.0:
            hint = "leave out what is not known"
            raise DataError(f"{name}: {field}.{part}: found {given!r}, expected a positive quantity", hint)
        return number

    value, low, high = read("value", entry.value), read("low", entry.low), read("high", entry.high)
    assert value is not None
    if (low is not None and low > value) or (high is not None and high < value):
        raise DataError(f"{name}: {field}: the interval [{entry.low}, {entry.high}] misses the value {entry.value}")
    if not entry.source.strip():
        raise DataError(f"{name}: {field}.source: found nothing, expected where the number comes from")
    return Value(value, unit, entry.source, entry.verified, Origin(entry.origin), low, high)


def _optional(entry: Written | None, unit: str, name: str, field: str) -> Value | None:
    return None if entry is None else read_value(entry, unit, name, field)


def _units(machine: WrittenMachine, name: str) -> tuple[Unit, ...]:
    units = []
    peaks: Mapping[str, Written]
    for unit, peaks in (("matrix", machine.matrix), ("vector", machine.vector)):
        for dtype in peaks:
            if dtype not in DTYPES:
                raise DataError(f"{name}: machine.{unit}: unknown dtype {dtype!r}", nearest(dtype, DTYPES))
        if peaks:
            entries = {d: read_value(w, "FLOP/s", name, f"machine.{unit}.{d}") for d, w in peaks.items()}
            units.append(Unit(unit, entries))
    if not units:
        raise DataError(f"{name}: machine: no peak given", "add machine.matrix or machine.vector")
    return tuple(units)


def _memories(machine: WrittenMachine, name: str) -> tuple[Memory, ...]:
    given = [("memory", machine.memory), ("cache", machine.cache)]
    return tuple(
        Memory(
            label,
            read_value(memory.capacity, "B", name, f"machine.{label}.capacity"),
            _optional(memory.bandwidth, "B/s", name, f"machine.{label}.bandwidth"),
        )
        for label, memory in given
        if memory is not None
    )


def _links(machine: WrittenMachine, name: str) -> tuple[Link, ...]:
    return tuple(
        Link(
            place,
            link.name,
            read_value(link.bandwidth, "B/s", name, f"machine.links.{place}.bandwidth"),
            read_value(link.latency, "s", name, f"machine.links.{place}.latency"),
        )
        for place, link in machine.links.items()
    )
