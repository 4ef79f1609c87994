"""Reading and writing target files: strict YAML in, typed ``Target`` out.

A number in a file is ``{value: 3350 GB/s, source: ..., verified: true}`` with optional ``low``, ``high`` and
``origin`` (published, measured, assumed). Unknown keys, wrong units and missing fields are errors that name the
file, the field, what was found and what was expected.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from codesign.errors import CodesignError, DataError, UsageError, nearest
from codesign.quantity import Method, Origin
from codesign.strict_yaml import convert, load_yaml, read_text
from codesign.targets.target import Calibration, Host, Link, Memory, Power, Target, Unit, Value
from codesign.units import parse_quantity

SCHEMA = 1
DTYPES = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "fp4", "nvfp4", "mxfp4")


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
    links: dict[Literal["node", "network", "host"], WrittenLink] = {}
    cores: Written | None = None
    clock: Written | None = None
    devices_per_node: int = 1


class WrittenPower(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Power as a file writes it."""

    tdp: Written
    idle: Written | None = None


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
    """One calibrated factor of an overlay file."""

    scale: float
    sigma: float
    source: str
    method: Literal["measured", "calibrated", "interpolated"] = "calibrated"


class Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A calibration overlay: factors of one target, kept apart from its file."""

    schema: int
    target: str
    factors: dict[str, WrittenFactor]


def parse_target(text: str, name: str) -> Target:
    """Return the target that the YAML ``text`` describes; ``name`` is the file named in errors."""
    return _target(convert(load_yaml(text, name), WrittenTarget, name), name)


def _target(written: WrittenTarget, name: str) -> Target:
    if written.schema != SCHEMA:
        raise DataError(f"{name}: schema: found {written.schema}, expected {SCHEMA}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", written.id):
        raise DataError(f"{name}: id: found {written.id!r}, expected lower-case letters, digits and dashes")

    def value(field: str, entry: Written, unit: str) -> Value:
        numbers = []
        for part in ("value", "low", "high"):
            given = getattr(entry, part)
            label = f"{name}: {field}.{part}"
            try:
                numbers.append(None if given is None else parse_quantity(given, unit, label))
            except CodesignError as error:
                raise DataError(error.message, error.hint) from None
        number, low, high = numbers
        assert number is not None
        if number <= 0:
            raise DataError(f"{name}: {field}.value: found {entry.value!r}, expected a positive quantity")
        if (low is not None and low > number) or (high is not None and high < number):
            raise DataError(f"{name}: {field}: the interval [{entry.low}, {entry.high}] misses the value {entry.value}")
        return Value(number, unit, entry.source, entry.verified, Origin(entry.origin), low, high)

    def optional(field: str, entry: Written | None, unit: str) -> Value | None:
        return None if entry is None else value(field, entry, unit)

    m = written.machine
    units = []
    for unit, peaks in (("matrix", m.matrix), ("vector", m.vector)):
        for dtype in peaks:
            if dtype not in DTYPES:
                raise DataError(f"{name}: machine.{unit}: unknown dtype {dtype!r}", nearest(dtype, DTYPES))
        if peaks:
            units.append(Unit(unit, {d: value(f"machine.{unit}.{d}", w, "FLOP/s") for d, w in peaks.items()}))
    if not units:
        raise DataError(f"{name}: machine: no peak given", "add machine.matrix or machine.vector")
    memories = []
    for label, memory in (("memory", m.memory), ("cache", m.cache)):
        if memory is not None:
            capacity = value(f"machine.{label}.capacity", memory.capacity, "B")
            memories.append(Memory(label, capacity, optional(f"machine.{label}.bandwidth", memory.bandwidth, "B/s")))
    links = tuple(
        Link(place, link.name, value(f"machine.links.{place}.bandwidth", link.bandwidth, "B/s"),
             value(f"machine.links.{place}.latency", link.latency, "s"))
        for place, link in m.links.items()
    )  # fmt: skip
    cores = optional("machine.cores", m.cores, "")
    clock = optional("machine.clock", m.clock, "Hz")
    return Target(
        written.id, written.name, written.vendor, written.kind, written.architecture, tuple(units), tuple(memories),
        links, Host(value("machine.host", m.host, "s")),
        Power(value("power.tdp", written.power.tdp, "W"), optional("power.idle", written.power.idle, "W")),
        written.year, written.aliases, cores.value if cores else None, clock.value if clock else None,
        m.devices_per_node, optional("price", written.price, "$/h"), optional("embodied", written.embodied, "gCO2e"),
        written.process, optional("die_area", written.die_area, "mm2"), (), written.notes,
    )  # fmt: skip


def catalog_path() -> Any:
    """Return the folder of shipped target files."""
    return files("codesign.targets").joinpath("catalog")


@lru_cache(maxsize=1)
def list_targets() -> tuple[str, ...]:
    """Return the ids of the shipped targets."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in catalog_path().iterdir() if entry.name.endswith(".yaml")))


@lru_cache(maxsize=1)
def aliases() -> dict[str, str]:
    """Return alias -> id over the catalogue, without parsing it: aliases stand on one line of each file."""
    found: dict[str, str] = {}
    for identity in list_targets():
        text = catalog_path().joinpath(f"{identity}.yaml").read_text(encoding="utf-8")
        line = next((line for line in text.splitlines() if line.startswith("aliases:")), "")
        for alias in re.findall(r'"([^"]+)"', line):
            found[normal(alias)] = identity
        found[normal(identity)] = identity
    return found


def normal(name: str) -> str:
    """Return a name without case, blanks and punctuation: the form in which aliases are compared."""
    return re.sub(r"[^a-z0-9.+]", "", name.lower())


@lru_cache(maxsize=64)
def _shipped(identity: str) -> Target:
    file = f"{identity}.yaml"
    return parse_target(catalog_path().joinpath(file).read_text(encoding="utf-8"), file)


def load_target(name: str, overlay: str | None = None) -> Target:
    """Return a target by id, alias or path of a YAML file, with a calibration overlay if one is given.

    Raises:
        UsageError: no such target; the nearest names follow.
        DataError: the file or the overlay is wrong.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        target = parse_target(read_text(name), name)
    elif name in list_targets():
        target = _shipped(name)
    elif normal(name) in aliases():
        target = _shipped(aliases()[normal(name)])
    else:
        raise UsageError(f"unknown target {name!r}", f"{nearest(name, list_targets())}; or give a YAML file")
    return target if overlay is None else with_overlay(target, overlay)


def with_overlay(target: Target, path: str) -> Target:
    """Return ``target`` with the factors of the overlay file, if the overlay is of this target."""
    overlay = convert(load_yaml(read_text(path), path), Overlay, path)
    if overlay.target != target.id:
        return target
    for name, factor in overlay.factors.items():
        if not (factor.scale > 0 and factor.sigma >= 0):
            raise DataError(f"{path}: factors.{name}: scale {factor.scale}, sigma {factor.sigma}", "expected positive numbers")
    entries = tuple(
        Calibration(name, factor.scale, factor.sigma, Method(factor.method), f"{factor.source} (overlay {Path(path).name})")
        for name, factor in sorted(overlay.factors.items())
    )
    return msgspec.structs.replace(target, calibration=entries)
