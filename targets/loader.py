"""Finding targets: the shipped catalogue, targets of other packages, and files of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from codesign.errors import DataError, UsageError, nearest
from codesign.registry import Registry
from codesign.strict_yaml import read_text
from codesign.targets.schema import calibrations, operator_calibrations, parse_overlay, parse_target
from codesign.targets.target import Target

ENTRY_POINTS = "codesign.targets"
"""Group by which other packages add targets: a ``Target``, or a function without arguments that returns one."""


def catalog_path() -> Traversable:
    """Return the folder of shipped target files."""
    return files("codesign.targets").joinpath("catalog")


@lru_cache(maxsize=1)
def shipped() -> tuple[str, ...]:
    """Return the ids of the shipped targets; no file is read."""
    names = (entry.name for entry in catalog_path().iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@lru_cache(maxsize=1)
def _registry() -> Registry[object]:
    return Registry("target", {identity: _thunk(identity) for identity in shipped()}, ENTRY_POINTS)


def _thunk(identity: str) -> Callable[[], Target]:
    return lambda: _shipped(identity)


@lru_cache(maxsize=64)
def _shipped(identity: str) -> Target:
    file = f"{identity}.yaml"
    return parse_target(catalog_path().joinpath(file).read_text(encoding="utf-8"), file)


def list_targets() -> tuple[str, ...]:
    """Return the ids of all targets, shipped and of other packages; nothing is parsed."""
    return tuple(_registry().names())


@lru_cache(maxsize=1)
def aliases() -> dict[str, str]:
    """Return alias -> id over the shipped targets, without parsing: aliases stand on one line of each file."""
    found: dict[str, str] = {}
    for identity in shipped():
        text = catalog_path().joinpath(f"{identity}.yaml").read_text(encoding="utf-8")
        line = next((line for line in text.splitlines() if line.startswith("aliases:")), "")
        for alias in re.findall(r'"([^"]+)"', line):
            found[normal(alias)] = identity
        found[normal(identity)] = identity
    return found


def normal(name: str) -> str:
    """Return a name without case, blanks and punctuation: the form in which aliases are compared."""
    return re.sub(r"[^a-z0-9.+]", "", name.lower())


def load_target(name: str, overlay: str | None = None) -> Target:
    """Return a target by id, alias or path of a YAML file, with a calibration overlay if one is given.

    Args:
        name: ``h100-sxm``, ``H100-SXM5-80GB``, ``./mine.yaml``.
        overlay: Path of a file of calibrated factors; it changes the target it names and no other.

    Raises:
        UsageError: no such target; the nearest names follow.
        DataError: the file or the overlay is wrong.
    """
    target = _find(str(name))
    return target if overlay is None else with_overlay(target, str(overlay))


def _find(name: str) -> Target:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        _refuse_spatial(name)
        return parse_target(read_text(name), name)
    if name not in shipped() and normal(name) in aliases():
        return _shipped(aliases()[normal(name)])
    registry = _registry()
    if name not in registry:
        _refuse_spatial(name)
        raise UsageError(f"unknown target {name!r}", f"{_nearest(name)} (a path of a YAML file works too)")
    found = registry.get(name)
    found = found() if callable(found) else found
    if not isinstance(found, Target):
        raise DataError(f"target {name!r} of another package is a {type(found).__name__}, expected a Target")
    return found


def _refuse_spatial(name: str) -> None:
    from codesign.targets.spatial.loader import is_spatial

    if is_spatial(name):
        hint = "give it a problem and a mapping: codesign estimate --target A --problem P --mapping M"
        raise UsageError(f"{name} is a spatial accelerator, and a device is needed here", hint)


def _nearest(name: str) -> str:
    """Return a hint naming the ids whose name or alias is nearest to ``name``."""
    from codesign.targets.spatial.loader import list_architectures

    names = (*list_targets(), *list_architectures())
    spelled = {**aliases(), **{normal(identity): identity for identity in names}}
    close = get_close_matches(normal(name), spelled, n=6, cutoff=0.7)
    ids = list(dict.fromkeys(spelled[found] for found in close))[:3]
    return "did you mean " + " or ".join(ids) + "?" if ids else nearest(name, list_targets())


def with_overlay(target: Target, path: str) -> Target:
    """Return ``target`` with the factors of the overlay file, if the overlay is of this target."""
    overlay = parse_overlay(read_text(path), path)
    if overlay.target != target.id:
        return target
    return msgspec.structs.replace(
        target, calibration=calibrations(overlay, path), operators=operator_calibrations(overlay, path)
    )
