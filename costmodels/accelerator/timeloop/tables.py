"""Energy and area reference tables (ERT, ART): energies in pJ per action, areas in square micrometres.

A table is found by the last part of its name, ``system.level[1..168]`` being ``level``.
"""

from __future__ import annotations

from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.targets.target import Value

PICOJOULE = 1e-12
SQUARE_MICROMETRE = 1e-6

Energies = dict[str, dict[str, Value]]


def level_name(text: str) -> str:
    """Return the level that a table is of: counts can hold points, so they go first."""
    return text.partition("[")[0].split(".")[-1]


def energies(document: Section) -> Energies:
    """Return level -> action -> energy in J of the ERT of a document; empty where it has none.

    Raises:
        DataError: a table that cannot be read.
    """
    found: Energies = {}
    table = document.get("ERT")
    if table is None:
        return found
    table.keys(("tables",), ("version",))
    for entry in table.at("tables").items():
        entry.keys(("name", "actions"))
        actions = found.setdefault(level_name(entry.at("name").text()), {})
        for action in entry.at("actions").items():
            action.keys(("name", "energy"), ("arguments",))
            joules = action.at("energy").number() * PICOJOULE
            actions[action.at("name").text()] = Value(joules, "J", f"ERT of {document.file}")
    return found


def areas(document: Section) -> dict[str, Value]:
    """Return level -> area in mm2 of the ART of a document; empty where it has none.

    Raises:
        DataError: a table that cannot be read.
    """
    table = document.get("ART")
    if table is None:
        return {}
    table.keys(("tables",), ("version",))
    found = {}
    for entry in table.at("tables").items():
        entry.keys(("name", "area"))
        square = entry.at("area").number() * SQUARE_MICROMETRE
        found[level_name(entry.at("name").text())] = Value(square, "mm2", f"ART of {document.file}")
    return found
