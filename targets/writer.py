"""Writing targets and overlays as the YAML files that every command accepts: read back, they give the same target."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from codesign.errors import DataError, UsageError
from codesign.quantity import Origin
from codesign.targets.schema import SCHEMA
from codesign.targets.target import OPERATOR_LAYOUT, Calibration, OperatorCalibration, Target, Value
from codesign.units import UNITS, parse_quantity

_USUAL = frozenset(("TFLOP/s", "GB/s", "W", "us", "MHz", "MiB", "GiB", "kgCO2e", "mm2", "$/h"))
_UNUSUAL = frozenset(("g", "kg", "t", "min", "h", "Wh", "kWh", "cm2", "%", "years", "KiB/s", "MiB/s", "GiB/s", "TiB/s"))


def target_text(target: Target) -> str:
    """Return the YAML text of ``target``; its calibration belongs to an overlay and is left out."""
    lines = [
        f"schema: {SCHEMA}",
        f"id: {target.id}",
        f"name: {_quoted(target.name)}",
        f"vendor: {_quoted(target.vendor)}",
    ]
    lines += [f"kind: {target.kind}", f"architecture: {_quoted(target.architecture)}"]
    lines += [f"year: {target.year}"] if target.year is not None else []
    lines += [f"aliases: {_list(target.aliases)}"] if target.aliases else []
    lines += [f"process: {_quoted(target.process)}"] if target.process else []
    lines += _entry("die_area", target.die_area)
    power = target.power
    lines += ["power:", *_entry("  tdp", power.tdp), *_entry("  idle", power.idle), *_entry("  context", power.context)]
    lines += [*_entry("price", target.price_per_hour), *_entry("embodied", target.embodied)]
    lines += ["machine:", *_machine(target)]
    lines += [f"notes: {_list(target.notes)}"] if target.notes else []
    return "\n".join(lines) + "\n"


def overlay_text(target: str, factors: Iterable[Calibration], operators: Iterable[OperatorCalibration] = ()) -> str:
    """Return the YAML text of a calibration overlay of the target with id ``target``."""
    lines = [f"schema: {SCHEMA}", f"target: {target}", "factors:"]
    for factor in factors:
        lines.append(f"  {_quoted(factor.name)}:")
        lines.append(f"    scale: {_number(factor.scale)}")
        lines.append(f"    sigma: {_number(factor.sigma)}")
        lines.append(f"    method: {factor.method.value}")
        lines.append(f"    source: {_quoted(factor.source)}")
    lines = lines if len(lines) > 3 else [*lines[:2], "factors: {}"]
    for position, found in enumerate(operators):
        lines += [f"layout: {OPERATOR_LAYOUT}", "operators:"] if position == 0 else []
        lines.append(f"  {found.expert}:")
        lines.append(f"    change: [{', '.join(map(_number, found.change))}]")
        lines.append(f"    level: {_number(found.level)}")
        lines.append(f"    trust: {_number(found.trust)}")
        lines += [f"    formats: [{', '.join(found.formats)}]"] if found.formats else []
        lines.append(f"    half: {_number(found.half)}")
        lines.append(f"    rows: {found.rows}")
        lines.append(f"    source: {_quoted(found.source)}")
    return "\n".join(lines) + "\n"


def write_text(path: str | Path, text: str, force: bool = False) -> Path:
    """Write ``text`` to a new file and return its path.

    Raises:
        UsageError: the file exists and ``force`` is not given.
        DataError: the file cannot be written.
    """
    file = Path(path)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists", "choose another name, or overwrite it with --force") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
    return file


def write_target(target: Target, path: str | Path, force: bool = False) -> Path:
    """Write ``target`` as a YAML file and return its path; an existing file is kept unless ``force`` is given."""
    return write_text(path, target_text(target), force)


def _machine(target: Target) -> list[str]:
    lines = [
        *_entry("  cores", target.core_count),
        *_entry("  clock", target.clock_rate),
        *_entry("  exponentials", target.exponentials),
    ]
    for unit_ in target.units:
        lines.append(f"  {unit_.name}:")
        for dtype, peak in unit_.peak.items():
            lines += _entry(f"    {dtype}", peak)
    for memory in target.memories:
        lines += [
            f"  {memory.name}:",
            *_entry("    capacity", memory.capacity),
            *_entry("    bandwidth", memory.bandwidth),
        ]
    lines += ["  links:"] if target.links else []
    for link in target.links:
        lines += [f"    {link.place}:", f"      name: {_quoted(link.name)}"]
        lines += [*_entry("      bandwidth", link.bandwidth), *_entry("      latency", link.latency)]
    return [*lines, f"  devices_per_node: {target.devices_per_node}", *_entry("  host", target.host.dispatch)]


def _entry(key: str, value: Value | None) -> list[str]:
    if value is None:
        return []
    parts = [f"value: {quantity_text(value.value, value.unit)}", f"source: {_quoted(value.source or 'unknown')}"]
    parts += ["verified: true"] if value.verified else []
    parts += [f"origin: {value.origin.value}"] if value.origin is not Origin.PUBLISHED else []
    parts += [f"low: {quantity_text(value.low, value.unit)}"] if value.low is not None else []
    parts += [f"high: {quantity_text(value.high, value.unit)}"] if value.high is not None else []
    return [f"{key}: {{{', '.join(parts)}}}"]


def quantity_text(value: float, unit: str) -> str:
    """Return the most readable text that ``parse_quantity`` reads back as exactly ``value``."""
    best, score = f"{value!r} {unit}".rstrip(), (True, True, 99)
    for name, (si, scale) in UNITS.items():
        if si != unit or name in _UNUSUAL or (name.endswith("OP/s") and "FLOP/s" not in name):
            continue
        for digits in (3, 6, 9, 12, 15, 17):
            number = f"{value / scale:.{digits}g}"
            text = f"{number} {name}".rstrip()
            if "e" not in number and parse_quantity(text, unit) == value:
                handy = 0.1 <= value / scale < 100_000.0
                if (rank := (not handy, name not in _USUAL, len(text))) < score:
                    best, score = text, rank
                break
    return best


def _number(value: float) -> str:
    """Return a number as YAML reads it: without a point, 1e-05 would be text."""
    text = repr(float(value))
    return text if "." in text or "e" not in text else text.replace("e", ".0e")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(text) for text in texts) + "]"
