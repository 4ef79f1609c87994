"""Cases of kind ``zigzag``: ZigZag's files through our search, for ``codesign validate --cases``.

Inputs: ``hardware``, ``workload`` and ``mapping`` (files beside the case file); ``objective`` (latency), ``lpf_limit``
(6), ``head`` (step) and ``pin_cycles`` where given. Values: ``energy_pj`` and ``latency_cycles`` of all layers, one
after the other, a row a layer, and ``worse_by``: the share by which the latency exceeds the pin, 0 where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from codesign.cases import file_beside
from codesign.costmodels.accelerator.zigzag import read_hardware, read_spatial, read_workload
from codesign.search.mapping.loop_sequences import LIMIT, best_sequence
from codesign.strict_yaml import convert

PICO = 1e-12


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The inputs of a case."""

    hardware: str
    workload: str
    mapping: str
    objective: Literal["energy", "latency", "edp"] = "latency"
    lpf_limit: int = LIMIT
    head: Literal["step", "tile"] = "step"
    pin_cycles: float | None = None


def zigzag(inputs: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the values of a case of kind ``zigzag``.

    Raises:
        DataError: an unknown input, or a file that is wrong.
        UsageError: more orders of loops than are enumerated.
        LimitCrossed: a layer that does not fit.
    """
    given = convert(dict(inputs), Inputs, "inputs")
    files = (given.hardware, given.workload, given.mapping)
    paths = [str(file_beside(folder, name, field)) for name, field in
             zip(files, ("hardware", "workload", "mapping"), strict=True)]  # fmt: skip
    machine, spatial = read_hardware(paths[0]), read_spatial(paths[2])
    rows: list[dict[str, Any]] = []
    for layer in read_workload(paths[1]):
        chosen = spatial.of(layer)
        found = best_sequence(
            layer.problem, machine, chosen.spread, final_bits=layer.final_bits, objective=given.objective,
            limit=given.lpf_limit, order=chosen.order, head=given.head,
        )  # fmt: skip
        rows.append({"layer": layer.name, "energy_pj": found.energy / PICO, "latency_cycles": found.cycles})
    cycles = sum(row["latency_cycles"] for row in rows)
    values: dict[str, Any] = {"energy_pj": sum(row["energy_pj"] for row in rows), "latency_cycles": cycles}
    if given.pin_cycles is not None:
        values["worse_by"] = max(0.0, cycles / given.pin_cycles - 1.0)
    return {**values, "rows": rows}
