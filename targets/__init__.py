"""Targets: hardware, power, price and embodied carbon as data, and this machine measured into the same form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codesign.targets.loader import list_targets, load_target, parse_target
from codesign.targets.target import Calibration, Target, Value

if TYPE_CHECKING:
    from codesign.targets.detect import detect as detect

__all__ = ["Calibration", "Target", "Value", "detect", "list_targets", "load_target", "parse_target"]


def __getattr__(name: str) -> Any:
    """Import ``detect`` on first use: it needs torch."""
    if name == "detect":
        from codesign.targets.detect import detect

        return detect
    raise AttributeError(name)
