"""What evaluations have found out so far, shared by the worker processes of one search: a small file a fact.

A mutant that is the same program as one before, gives the same outputs on fixed inputs, or became the same machine
code need not be judged, or timed, again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec


class Store:
    """Facts by kind and key in a directory; several processes may write it at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return what is known, None where nothing is."""
        try:
            found: dict[str, Any] = msgspec.json.decode((self._directory / f"{kind}-{key}.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return found

    def put(self, kind: str, key: str, fact: dict[str, Any]) -> None:
        """Note a fact; the last writer of a key wins."""
        draft = self._directory / f"{kind}-{key}.{os.getpid()}.draft"
        draft.write_bytes(msgspec.json.encode(fact))
        draft.replace(self._directory / f"{kind}-{key}.json")
