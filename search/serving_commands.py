"""The command that realises a deployment point in a serving engine, and what it cannot express."""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from codesign.search.problem import Command
from codesign.strict_yaml import decode_yaml


class ServingEngine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one engine spells a deployment; versions differ in their flags, so the version is named."""

    name: str
    version: str
    command: str
    always: tuple[str, ...]
    when: dict[str, str]
    dtypes: dict[str, str]
    eager: str
    cannot: dict[str, str]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    engines: tuple[ServingEngine, ...]


@cache
def engines() -> tuple[ServingEngine, ...]:
    """Return the shipped engines."""
    text = files("codesign.search").joinpath("serving_engines.yaml").read_text()
    return decode_yaml(text, Table, "serving_engines.yaml").engines


def serving_command(engine: ServingEngine, point: dict[str, Any]) -> Command:
    """Return the command of one point: ``point`` has checkpoint, batch, context, degrees, dtype, execution, mode."""
    words = {**point, "checkpoint": shlex.quote(str(point["checkpoint"]))}
    flags = [flag.format(**words) for flag in engine.always]
    flags += [flag.format(**words) for name, flag in engine.when.items() if (words.get(name) or 1) != 1]
    notes = [text.format(**words) for name, text in engine.cannot.items() if (words.get(name) or 1) not in (1, "")
             and name in ("replicas", "nodes", "ep")]  # fmt: skip
    if words["dtype"] in engine.dtypes:
        flags.append(engine.dtypes[words["dtype"]])
    else:
        notes.append(engine.cannot["dtype"].format(**words))
    if words["execution"] == "eager":
        flags.append(engine.eager)
    if words["mode"] in ("static", "served"):
        notes.append(engine.cannot["static"])
    text = " \\\n  ".join([engine.command.format(**words), *flags])
    return Command(f"{engine.name} {engine.version}", text, tuple(notes))
