"""Reading preset files: strict, by name, from the package."""

from __future__ import annotations

from functools import cache
from importlib import resources

from codesign.errors import UsageError, nearest
from codesign.models.figures import Preset, check

FOLDER = "presets"


def list_presets() -> list[str]:
    """Return the names of the shipped presets, sorted."""
    folder = resources.files("codesign.models").joinpath(FOLDER)
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@cache
def load_preset(name: str) -> Preset:
    """Return the preset called ``name``."""
    known = list_presets()
    if name not in known:
        raise UsageError(f"preset {name!r} is unknown", nearest(name, known))
    text = resources.files("codesign.models").joinpath(FOLDER, f"{name}.yaml").read_text(encoding="utf-8")
    preset = decode(text, f"{name}.yaml")
    check(preset.figures, f"{name}.yaml")
    return preset


def decode(text: str, where: str) -> Preset:
    """Return the preset that ``text`` states; ``where`` names the file in errors."""
    # imported here: reading YAML costs more than the rest of this package
    from codesign.strict_yaml import decode_yaml

    return decode_yaml(text, Preset, where)
