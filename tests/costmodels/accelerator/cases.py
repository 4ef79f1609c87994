"""The published loop nests of ``cases.json`` as problems, accelerators and mappings of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codesign.costmodels.accelerator import Mappings, Problem, make_slots, one_mapping
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Node, Operation, Storage
from codesign.targets.target import Value
from codesign.workload import Axis, Tensor

CASES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "timeloop_cases.json").read_text(encoding="utf-8")
)
PICO = 1e-12


def problem_of(case: dict[str, Any]) -> Problem:
    made = [
        Tensor(
            one["name"], tuple(Axis(tuple((term["rank"], term["coef"]) for term in axis)) for axis in one["axes"]), bits=8
        )
        for one in case["tensors"]
    ]
    written = [one["read_write"] for one in case["tensors"]]
    (output,) = (tensor for tensor, flag in zip(made, written) if flag)
    inputs = tuple(tensor for tensor, flag in zip(made, written) if not flag)
    return Problem(name=case["case"], ranks=case["ranks"], inputs=inputs, output=output)


def architecture_of(case: dict[str, Any]) -> Architecture:
    nodes: list[Node] = []
    levels = case["architecture"]
    for level, inner in zip(levels, [*levels[1:], levels[-1]]):
        if level["class"] == "dummy_storage":
            x, y = inner["mesh_x"] // level["mesh_x"], inner["mesh_y"] // level["mesh_y"]
            nodes.append(Fanout(name=level["name"], x=x, y=y))
        elif level is levels[-1]:
            energy = Value(level["action_pj"]["compute"] * PICO, "J")
            nodes.append(ComputeUnit(name=level["name"], operations={"mac": Operation(energy)}))
        else:
            energies = {key: Value(pj * PICO, "J") for key, pj in level["action_pj"].items()}
            nodes.append(
                Storage(
                    name=level["name"], kind="sram", width_bits=level["width"], word_bits=level["datawidth"],
                    depth=level.get("depth"), cluster=level["cluster_size"],
                    read_bandwidth=level.get("read_bandwidth"), write_bandwidth=level.get("write_bandwidth"), **energies,
                )
            )  # fmt: skip
            if (inner["mesh_x"], inner["mesh_y"]) != (level["mesh_x"], level["mesh_y"]):
                raise ValueError("a fan-out without a name")
    return Architecture(id=case["case"], name=case["case"], nodes=tuple(nodes))


def mapping_of(case: dict[str, Any], problem: Problem, architecture: Architecture) -> Mappings:
    spine = architecture.spine()
    keeps = {entry["level"]: list(entry["keeps"]) for entry in case["nest"]}
    stored = {storage.name for storage in spine.storages}
    slots = make_slots(problem, spine, {level: names for level, names in keeps.items() if level in stored})
    loops = []
    for entry in case["nest"]:
        for loop in entry["loops"]:
            direction = loop.get("spatial", "temporal").lower()
            loops.append((slots.find(entry["level"], direction), loop["rank"], loop["bound"]))
    return one_mapping(slots, loops)
