"""What a trace's top-level fields say that is safe to repeat: a fixed list, nothing else.

Such files can hold the whole environment of their author's process, with host names, paths and tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

SAFE = (
    "schemaVersion", "cuda_runtime_version", "cuda_driver_version", "cupti_version", "hip_runtime_version",
    "hip_driver_version", "roctracer_version", "record_shapes", "with_stack", "with_flops", "with_modules",
    "profile_memory", "displayTimeUnit",
)  # fmt: skip
WANTED = (*SAFE, "distributedInfo", "deviceProperties")
"""The fields that are looked at."""

OWN = ("nsys_schema_version", "torch")
"""Facts that other readers and our collectors add."""

DISTRIBUTED = ("backend", "rank", "world_size")
LONGEST = 64
"""Characters of a text that are kept."""
MOST_DEVICES = 64
LARGEST_FIELD = 1 << 20
"""Bytes of a field that are looked at; real ones have some hundred."""


def facts(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the safe fields as short text; values may be decoded or ``msgspec.Raw``."""
    found = {name: _value(fields[name]) for name in SAFE if name in fields}
    distributed = _value(fields.get("distributedInfo"))
    if isinstance(distributed, str):  # some writers put the object as JSON text
        distributed = _decoded(distributed)
    if isinstance(distributed, dict):
        found |= {f"distributed {name}": distributed[name] for name in DISTRIBUTED if name in distributed}
    shown = {
        name: _shown(str(value)) for name, value in found.items() if isinstance(value, int | float | Decimal | str)
    }
    return {name: text for name, text in shown.items() if text}


def kept(given: Mapping[str, str]) -> dict[str, str]:
    """Return those of the facts of a recording that a reader or collector of ours writes, as short text."""
    known = {*SAFE, *(f"distributed {name}" for name in DISTRIBUTED), *OWN}
    return {name: _shown(text) for name, text in given.items() if name in known}


def shown(texts: Iterable[str]) -> tuple[str, ...]:
    """Return short texts without what cannot be shown."""
    return tuple(_shown(text) for text in texts)


def device_names(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the distinct names of the devices that the file describes, in its order."""
    listed = _value(fields.get("deviceProperties"))
    devices = listed[:MOST_DEVICES] if isinstance(listed, list) else []
    names = [_shown(d["name"]) for d in devices if isinstance(d, dict) and isinstance(d.get("name"), str)]
    return tuple(dict.fromkeys(name for name in names if name))


def _value(field: Any) -> Any:
    """Return the value of a field, None where it is too large to be what it should be."""
    if not isinstance(field, msgspec.Raw):
        return field
    return _decoded(field) if memoryview(field).nbytes <= LARGEST_FIELD else None


def _decoded(text: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):  # msgspec's and Unicode's errors are ValueErrors
        return None


def _shown(text: str) -> str:
    """Return ``text`` without what cannot be shown, cut to a length that no version or flag exceeds."""
    return "".join(c for c in text[:LONGEST] if c.isprintable())
