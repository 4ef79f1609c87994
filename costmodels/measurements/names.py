"""Which model and target the spellings of measured files mean.

Files name checkpoints (``meta-llama/Llama-3.1-8B-Instruct``), presets are architectures (``llama-3.1-8b``). A spelling
means a preset if it is its name, but for the organisation ahead and words behind that change no shape. Precisions do
change the cost, so ``-FP8`` is for the user to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from codesign.errors import DataError, UsageError, printable
from codesign.models import Model, list_models, load_model
from codesign.targets import Target, load_target

BENIGN = re.compile(r"(instruct|chat|base|hf|it|bf16|fp16|v\d+(\.\d+)?|\d{4})")
"""Words of a checkpoint's name that change neither shape nor precision."""

AHEAD = ("meta",)


def preset_of(spelling: str) -> str | None:
    """Return the preset that a checkpoint's name means; None where none or several do."""
    names = list_models()
    if spelling in names:
        return spelling
    words = _words(spelling.rstrip("/").rpartition("/")[2])
    if words and words[0] in AHEAD:
        words = words[1:]
    found = []
    for name in names:
        own = _words(name)
        if words[: len(own)] == own and all(BENIGN.fullmatch(word) for word in words[len(own) :]):
            found.append(name)
    return max(found, key=len) if found else None


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[-_\s]+", name.lower()) if word]


def model_of(spellings: Iterable[str], asked: str | Model | None) -> tuple[Model, tuple[str, ...]]:
    """Return the one model that was measured, and what had to be taken on trust.

    Raises:
        DataError: the files hold several models, or another than ``asked``.
        UsageError: none is stated, or the name is unknown.
    """
    stated = sorted({spelling for spelling in spellings if spelling})
    known = {spelling: preset_of(spelling) for spelling in stated}
    if len({name for name in known.values() if name is not None}) > 1:
        shown = ", ".join(printable(s, 60) for s in stated[:4])
        raise DataError(f"the measurements are of several models: {shown}", "calibrate with one at a time")
    if asked is not None:
        model = load_model(asked) if isinstance(asked, str) else asked
        other = next((s for s in stated if known[s] in list_models() and known[s] != model.name), None)
        if other is not None and model.name in list_models():
            raise DataError(f"the measurements are of {printable(other, 80)}, not of {model.name}", "check --model")
        unsure = [printable(s, 80) for s in stated if known[s] != model.name and s != model.source]
        return model, tuple(f"measurements of {s} are taken for {model.name}, as asked" for s in unsure)
    if not stated:
        raise UsageError("no file states its model", "give --model")
    unknown = next((s for s in stated if known[s] is None), None)
    if unknown is not None:
        # a file never makes us load code or configurations: only presets are found by what a file says
        raise UsageError(
            f"no preset is known to be {printable(unknown, 80)}", "give --model: a preset, or hf: and its config.json"
        )
    return load_model(str(next(iter(known.values())))), ()


def check_target(spelling: str, target: Target, where: str) -> str:
    """Return what has to be taken on trust about where a measurement was made, or an empty string.

    Raises:
        DataError: it was made on another target.
    """
    if spelling in ("", target.id):
        return ""
    if (spelling == "cpu") != (target.kind == "cpu"):
        raise DataError(
            f"{where}: measured on {printable(spelling, 60)}, not on {target.id}", "check --target and --from"
        )
    if spelling == "cpu":
        return f"measurements on a processor are taken for {target.id}"
    try:
        if "/" in spelling or spelling.endswith((".yaml", ".yml")):
            raise UsageError("a path")
        found = load_target(spelling).id
    except (UsageError, DataError):
        return f"measurements on {printable(spelling, 60)} are taken for {target.id}"
    if found != target.id:
        raise DataError(f"{where}: measured on {found}, not on {target.id}", "check --target and --from")
    return ""
