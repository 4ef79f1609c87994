"""Digests of what a search was asked and given: a run is continued only where they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec


def digests(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> digest of each input, given as JSON types or structs of them."""
    return {
        name: hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
        for name, value in inputs.items()
    }
