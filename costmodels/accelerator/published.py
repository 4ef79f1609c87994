"""Published loop nests with their counts: eleven reference outputs of Timeloop, normalised.

Source: Timeloop and Accelergy exercises (MIT licence, see ``published.json``). Arrays are the levels of class
``dummy_storage``, as in Timeloop's own dumps. Energies of the file are pJ, ours are J.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from codesign.costmodels.accelerator.mapping import Direction, Mappings, make_slots, one_mapping
from codesign.costmodels.accelerator.problem import Problem
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Node, Operation, Spine, Storage
from codesign.targets.target import Value
from codesign.workload import Axis, Role, Tensor

PICOJOULE = 1e-12
SOURCE = "Timeloop and Accelergy exercises at 2d551080, reference output"


class Case(NamedTuple):
    """One published nest: what was mapped onto what and how, and what Timeloop printed."""

    name: str
    problem: Problem
    architecture: Architecture
    mappings: Mappings
    expected: Mapping[str, Any]


@lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    """Return the published cases."""
    text = files("codesign.costmodels.accelerator").joinpath("published.json").read_text(encoding="utf-8")
    return tuple(_case(name, written) for name, written in json.loads(text)["cases"].items())


def _case(name: str, written: dict[str, Any]) -> Case:
    problem = _problem(name, written)
    architecture = Architecture(id=name, name=name, nodes=tuple(_nodes(written["architecture"])), origin=SOURCE)
    mappings = _mapping(written["nest"], problem, architecture.spine())
    return Case(name, problem, architecture, mappings, written["expected"])


def _problem(name: str, written: dict[str, Any]) -> Problem:
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for one in written["tensors"]:
        axes = tuple(Axis(tuple((term["rank"], term["coef"]) for term in axis)) for axis in one["axes"])
        role = Role.WEIGHT if one["name"] == "Weights" else Role.ACTIVATION
        (outputs if one["read_write"] else inputs).append(Tensor(one["name"], axes, role, 8))
    return Problem(name=name, ranks=written["ranks"], inputs=tuple(inputs), output=outputs[0])


def _nodes(levels: list[dict[str, Any]]) -> list[Node]:
    nodes: list[Node] = []
    for level, inner in zip(levels, [*levels[1:], levels[-1]], strict=True):
        if level["class"] == "dummy_storage":
            x, y = inner["mesh_x"] // level["mesh_x"], inner["mesh_y"] // level["mesh_y"]
            nodes.append(Fanout(name=level["name"], x=x, y=y, source=SOURCE))
            continue
        energies = {action: Value(pico * PICOJOULE, "J", SOURCE) for action, pico in level["action_pj"].items()}
        if level is levels[-1]:
            operations = {"mac": Operation(energies["compute"])}
            nodes.append(ComputeUnit(name=level["name"], operations=operations, source=SOURCE))
        else:
            nodes.append(_storage(level, energies))
    return nodes


def _storage(level: dict[str, Any], energies: dict[str, Value]) -> Storage:
    return Storage(
        name=level["name"],
        kind="dram" if level["class"] == "DRAM" else "sram",
        width_bits=level["width"],
        word_bits=level["datawidth"],
        depth=level.get("depth"),
        cluster=level["cluster_size"],
        read_bandwidth=level.get("read_bandwidth"),
        write_bandwidth=level.get("write_bandwidth"),
        read=energies["read"],
        write=energies["write"],
        update=energies["update"],
        leak=energies["leak"],
        source=SOURCE,
    )


def _mapping(nest: list[dict[str, Any]], problem: Problem, spine: Spine) -> Mappings:
    stored = {storage.name for storage in spine.storages}
    slots = make_slots(problem, spine, {entry["level"]: entry["keeps"] for entry in nest if entry["level"] in stored})
    directions: dict[str | None, Direction] = {None: "temporal", "X": "x", "Y": "y"}
    loops = [
        (slots.find(entry["level"], directions[loop.get("spatial")]), loop["rank"], loop["bound"])
        for entry in nest
        for loop in entry["loops"]
    ]
    return one_mapping(slots, loops)
