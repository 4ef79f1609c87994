"""Finding spatial accelerators: the shipped catalogue, those of other packages, and files of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files

from codesign.errors import DataError, UsageError, nearest
from codesign.registry import Registry
from codesign.strict_yaml import read_text
from codesign.targets.loader import aliases, normal, shipped
from codesign.targets.spatial.architecture import Architecture
from codesign.targets.spatial.schema import parse_architecture

ENTRY_POINTS = "codesign.architectures"
"""Group by which other packages add accelerators: an ``Architecture``, or a function that returns one."""

_SPATIAL = re.compile(r"^kind:\s*spatial\s*(?:#.*)?$", re.MULTILINE)


def is_path(name: str) -> bool:
    """Say whether ``name`` is a file rather than a name of the catalogue."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def is_spatial(name: str) -> bool:
    """Say whether ``name`` is a spatial accelerator: a name of this catalogue, or a file that says so."""
    if not is_path(name):
        return name in _registry()
    return _SPATIAL.search(read_text(name)) is not None


def list_architectures() -> tuple[str, ...]:
    """Return the ids of all spatial accelerators; no file is read."""
    return tuple(_registry().names())


def load_architecture(name: str) -> Architecture:
    """Return an accelerator by id or path of a YAML file.

    Raises:
        UsageError: no such accelerator; the nearest names follow.
        DataError: the file is wrong.
    """
    if is_path(name):
        return parse_architecture(read_text(name), name)
    if name not in _registry():
        if name in shipped() or normal(name) in aliases():
            hint = f"accelerators: {', '.join(list_architectures())}, or a YAML file"
            raise UsageError(f"{name} is a device, and a spatial accelerator is needed here", hint)
        hint = f"{nearest(name, list_architectures())} (a path of a YAML file works too)"
        raise UsageError(f"unknown accelerator {name!r}", hint)
    found = _registry().get(name)
    found = found() if callable(found) else found
    if not isinstance(found, Architecture):
        raise DataError(f"accelerator {name!r} of another package is a {type(found).__name__}")
    return found


@lru_cache(maxsize=1)
def _registry() -> Registry[object]:
    folder = files("codesign.targets.spatial").joinpath("catalog")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return Registry("accelerator", {file.removesuffix(".yaml"): _thunk(file) for file in names}, ENTRY_POINTS)


def _thunk(file: str) -> Callable[[], Architecture]:
    return lambda: _shipped(file)


@lru_cache(maxsize=64)
def _shipped(file: str) -> Architecture:
    text = files("codesign.targets.spatial").joinpath("catalog").joinpath(file).read_text(encoding="utf-8")
    return parse_architecture(text, file)
