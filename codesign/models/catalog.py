"""Finding a model by what the user writes: a bare name is a preset, a prefix anything else.

Other packages add names with an entry point of the group ``codesign.models``, whose value is a ``Model`` or a callable
without arguments that returns one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from inspect import signature
from typing import Any

from codesign.errors import UsageError, nearest
from codesign.models.model import ArchitectureModel, Model
from codesign.models.presets import list_presets, load_preset
from codesign.registry import Registry

GROUP = "codesign.models"

FORMS: dict[str, tuple[str, str]] = {  # nothing is imported until chosen
    "hf": ("codesign.models.hf_config", "load_config"),
    "py": ("codesign.models.capture", "load_factory"),
    "pt2": ("codesign.models.capture", "load_program"),
}


@cache
def registry() -> Registry[Any]:
    """Return the named models: the shipped presets and what installed packages add."""
    return Registry("model", {name: partial(preset_model, name) for name in list_presets()}, GROUP)


def list_models() -> list[str]:
    """Return the names of all named models, sorted."""
    return registry().names()


def load_model(source: str, **options: Any) -> Model:
    """Return the model that ``source`` names.

    Args:
        source: A preset's name, ``hf:PATH``, ``py:package.module:factory``, ``py:FILE.py:factory`` or
            ``pt2:FILE``.
        options: Options of the form (a captured module takes ``inputs``); presets take none. None counts as not given.
    """
    name = source.strip()
    given = {key: value for key, value in options.items() if value is not None}
    if not name:
        raise UsageError("no model named", nearest("", list_models()))
    prefix, separator, rest = name.partition(":")
    if not separator:
        return _named(name, given)
    if prefix not in FORMS:
        raise UsageError(f"model form {prefix + ':'!r} is unknown", nearest(prefix, FORMS))
    module, function = FORMS[prefix]
    load: Callable[..., Model] = getattr(import_module(module), function)
    wrong = [key for key in given if key not in signature(load).parameters]
    if wrong:
        raise UsageError(f"{prefix}: models take no {', '.join(wrong)}", "leave it out")
    return load(rest, **given)


def _named(name: str, options: dict[str, Any]) -> Model:
    if options:
        raise UsageError(f"model {name!r} takes no {', '.join(sorted(options))}", "it is for captured modules")
    known = registry()
    chosen = name if name in known else name.lower()
    if chosen not in known:
        near = nearest(name, known)
        stop = "" if near.endswith(("?", ".")) else "."
        hint = f"{near}{stop} Other forms: {', '.join(f'{form}:' for form in FORMS)}"
        raise UsageError(f"model {name!r} is unknown", hint)
    entry = known.get(chosen)
    if not hasattr(entry, "workload") and callable(entry):
        entry = entry()
    model: Model = entry
    return model


def preset_model(name: str) -> ArchitectureModel:
    """Return the shipped preset called ``name``."""
    return ArchitectureModel(name=name, source=name, preset=load_preset(name))
