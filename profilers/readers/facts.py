"""What a trace's top-level fields say that is safe to repeat: a fixed list, nothing else.

Such files can hold the whole environment of their author's process, with host names, paths and tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

SAFE = (
    "schemaVersion", "cuda_runtime_version", "cuda_driver_version", "cupti_version", "hip_runtime_version",
    "hip_driver_version", "roctracer_version", "record_shapes", "with_stack", "with_flops", "with_modules",
    "profile_memory", "displayTimeUnit",
)  # fmt: skip
DISTRIBUTED = ("backend", "rank", "world_size")
LONGEST = 64
MOST_DEVICES = 64


def facts(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the safe fields as short text."""
    found = {name: fields[name] for name in SAFE if name in fields}
    distributed = fields.get("distributedInfo")
    if isinstance(distributed, str):  # some writers put the object as JSON text
        try:
            distributed = msgspec.json.decode(distributed)
        except (msgspec.DecodeError, RecursionError):
            distributed = None
    if isinstance(distributed, dict):
        found |= {f"distributed {name}": distributed[name] for name in DISTRIBUTED if name in distributed}
    return {name: str(value)[:LONGEST] for name, value in found.items() if isinstance(value, int | float | str)}


def device_names(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the distinct names of the devices that the file describes, in its order."""
    listed = fields.get("deviceProperties")
    devices = listed[:MOST_DEVICES] if isinstance(listed, list) else []
    names = [d["name"] for d in devices if isinstance(d, dict) and isinstance(d.get("name"), str)]
    return tuple(dict.fromkeys(name[:LONGEST] for name in names))
