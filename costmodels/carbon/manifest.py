"""A footprint as a manifest of the Green Software Foundation's Impact Framework (manifest files of version 1).

Each system in each grid is a node whose pipeline repeats the arithmetic of the SCI specification with built-in plugins:
energy times intensity times PUE, plus embodied carbon, over the functional unit. Inputs and outputs are those of the
footprint, so that running the manifest checks it. Energy in kWh, carbon in g, duration in s.
"""

from __future__ import annotations

from typing import Any

import yaml

from codesign.costmodels.carbon.accounting import JOULES_PER_KWH
from codesign.costmodels.carbon.footprint_spec import Asked
from codesign.costmodels.carbon.footprints import Result, SystemFootprint
from codesign.run.directory import slug

ENERGY, FACILITY = "energy", "facility-energy"
INTENSITY, PUE = "grid/carbon-intensity", "pue"
OPERATIONAL, EMBODIED, CARBON = "carbon-operational", "carbon-embodied", "carbon"
TIMESTAMP = "2023-01-01T00:00:00.000Z"
"""Nodes are of a functional unit, not of a moment: the year of the shipped intensities stands for it."""


def manifest(asked: Asked, result: Result) -> str:
    """Return the manifest as YAML; systems without a grid, or without a functional unit, have no node."""
    rows = [row for row in result.footprints if "sci" in row.figures and row.grid]
    unit = slug(asked.spec.functional_unit.name) if asked.spec.functional_unit is not None else "functional-unit"
    content = {
        "name": slug(result.title or "footprint"),
        "description": f"{result.title}; boundary: {result.boundary}".strip("; "),
        "tags": {
            "boundary": result.boundary, "functional-unit": result.functional_unit,
            "methods": "; ".join(f"{name}: {method}" for name, method in result.method.items()),
            "intensity": "location-based; " + "; ".join(f"{g.id} {g.kind}" for g in asked.grids),
        },
        "initialize": {"plugins": _plugins(unit)},
        "tree": {"children": {slug(f"{row.system} {row.grid}"): _node(asked, row, unit) for row in rows}},
    }  # fmt: skip
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text


def _plugins(unit: str) -> dict[str, Any]:
    def builtin(method: str, inputs: list[str], output: str) -> dict[str, Any]:
        return {"path": "builtin", "method": method,
                "config": {"input-parameters": inputs, "output-parameter": output}}  # fmt: skip

    return {
        "facility": builtin("Multiply", [ENERGY, PUE], FACILITY),
        "operational": builtin("Multiply", [FACILITY, INTENSITY], OPERATIONAL),
        "total": builtin("Sum", [OPERATIONAL, EMBODIED], CARBON),
        "sci": {"path": "builtin", "method": "Sci", "config": {"functional-unit": unit}},
    }


def _node(asked: Asked, row: SystemFootprint, unit: str) -> dict[str, Any]:
    grid = next(grid for grid in asked.grids if grid.id == row.grid)
    embodied = row.figures.get("embodied")
    given: dict[str, Any] = {
        "timestamp": TIMESTAMP, "duration": row.figures["delay"].value,
        ENERGY: row.figures["energy"].value / JOULES_PER_KWH, INTENSITY: grid.intensity.value, PUE: asked.pue.value,
        EMBODIED: 0.0 if embodied is None else embodied.value, unit: 1,
    }  # fmt: skip
    found: dict[str, Any] = {FACILITY: given[ENERGY] * asked.pue.value, OPERATIONAL: row.figures["operational"].value}
    found |= {CARBON: found[OPERATIONAL] + given[EMBODIED], "sci": row.figures["sci"].value}
    node: dict[str, Any] = {
        "pipeline": {"compute": ["facility", "operational", "total", "sci"]}, "inputs": [given],
        "outputs": [{**given, **found}],
    }  # fmt: skip
    if embodied is None:  # the schema asks for a number; what it stands for is said
        node["defaults"] = {"embodied-carbon": "not declared: operational only"}
    return node
