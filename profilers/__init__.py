"""Profilers: measurement of real models, and what the traces mean."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codesign.profilers.analysis import analyse as analyse
    from codesign.profilers.api import profile as profile
    from codesign.profilers.readers import read_trace as read_trace
    from codesign.profilers.results import Profile as Profile

_HOMES = {
    "Profile": "codesign.profilers.results",
    "analyse": "codesign.profilers.analysis",
    "profile": "codesign.profilers.api",
    "read_trace": "codesign.profilers.readers",
}

__all__ = ["Profile", "analyse", "profile", "read_trace"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: measuring one pass needs none of the others."""
    if name not in _HOMES:
        raise AttributeError(f"module 'codesign.profilers' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
