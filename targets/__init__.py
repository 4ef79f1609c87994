"""Targets: hardware, power, price and embodied carbon as data, and this machine measured into the same form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codesign.targets.loader import list_targets, load_target, with_overlay
from codesign.targets.schema import parse_target
from codesign.targets.target import Calibration, OperatorCalibration, Target, Value
from codesign.targets.writer import overlay_text, target_text, write_target

if TYPE_CHECKING:
    from codesign.targets.detection import detect as detect

__all__ = [
    "Calibration",
    "OperatorCalibration",
    "Target",
    "Value",
    "detect",
    "list_targets",
    "load_target",
    "overlay_text",
    "parse_target",
    "target_text",
    "with_overlay",
    "write_target",
]


def __getattr__(name: str) -> Any:
    """Import ``detect`` on first use: it needs torch."""
    if name == "detect":
        from codesign.targets.detection import detect

        return detect
    raise AttributeError(name)
