"""Profilers: measurement of real models, and what the traces mean."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codesign.profilers.api import profile as profile
    from codesign.profilers.results import Profile as Profile

_HOMES = {"Profile": "codesign.profilers.results", "profile": "codesign.profilers.api"}

__all__ = ["Profile", "profile"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: measuring one pass needs none of the others."""
    if name not in _HOMES:
        raise AttributeError(f"module 'codesign.profilers' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
