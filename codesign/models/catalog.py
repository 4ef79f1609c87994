"""Finding a model by what the user writes: a bare name is a preset, a prefix anything else."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from codesign.errors import UsageError, nearest
from codesign.models.model import ArchitectureModel, Model
from codesign.models.presets import list_presets, load_preset

FORMS: dict[str, tuple[str, str]] = {  # nothing is imported until chosen
    "hf": ("codesign.models.hf_config", "load_config"),
    "py": ("codesign.models.capture", "load_factory"),
    "pt2": ("codesign.models.capture", "load_program"),
}


def list_models() -> list[str]:
    """Return the names of the shipped presets, sorted."""
    return list_presets()


def load_model(source: str, **options: Any) -> Model:
    """Return the model that ``source`` names.

    Args:
        source: A preset's name, ``hf:PATH``, ``py:package.module:factory`` or ``pt2:FILE``.
        options: Options of the form (a captured module takes ``inputs``); presets take none.
    """
    name = source.strip()
    if not name:
        raise UsageError("no model named", nearest("", list_presets()))
    prefix, separator, rest = name.partition(":")
    if not separator:
        if options:
            raise UsageError(f"preset {name!r} takes no {', '.join(sorted(options))}", "leave it out")
        return preset_model(name.lower())
    if prefix not in FORMS:
        raise UsageError(f"model form {prefix + ':'!r} is unknown", nearest(prefix, FORMS))
    module, function = FORMS[prefix]
    load: Callable[..., Model] = getattr(import_module(module), function)
    return load(rest, **options)


def preset_model(name: str) -> ArchitectureModel:
    """Return the preset called ``name``."""
    return ArchitectureModel(name=name, source=name, preset=load_preset(name))
