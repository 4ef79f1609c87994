"""The mapping of a cascade as the file that ``cascade_files`` reads back: shared loops, what stays, a nest each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.files import SCHEMA
from codesign.costmodels.accelerator.mapping import Mappings, Slot, loops_of
from codesign.errors import UsageError


def fused_text(
    cascade: CascadeProblem, shared: Sequence[tuple[str, int]], stay: Mapping[str, str], parts: Sequence[Mappings],
    index: int = 0,
) -> str:  # fmt: skip
    """Return one mapping of a batch as the YAML text of a mapping file.

    Args:
        cascade: The Einsums.
        shared: Loops around all Einsums, outermost first, as the mappings have them.
        stay: Tensor -> the level where it stays.
        parts: For each Einsum a batch of mappings.
        index: Which one of the batches.

    Raises:
        UsageError: a level cuts tensors at different loops.
    """
    content = {
        "schema": SCHEMA,
        "shared": [loop_text(rank, bound) for rank, bound in shared],
        "stay": dict(stay),
        "einsums": {
            problem.name: {
                "unit": part.slots.unit,
                "nest": _nest(part, [tensor.name for tensor in problem.tensors], len(shared), index),
            }
            for problem, part in zip(cascade.problems, parts, strict=True)
        },
    }
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    return text


def loop_text(rank: str, bound: int) -> str:
    """Return a loop as files write it: ``M4``, or ``m1=4`` where the rank ends in a digit."""
    return f"{rank}={bound}" if rank[-1].isdigit() else f"{rank}{bound}"


def _nest(part: Mappings, tensors: Sequence[str], depth: int, index: int) -> list[dict[str, Any]]:
    slots = part.slots
    own = slots.slots[depth:]  # shared loops stand in slots of their own, before all others
    if len(set(own)) != len(own):
        raise UsageError("an uneven mapping of a cascade has no file form", "map with even tiles to export")
    loops: dict[Slot, list[str]] = {slot: [] for slot in own}
    for slot, rank, bound in loops_of(part, index):
        if slot >= depth:
            loops[slots.slots[slot]].append(loop_text(rank, bound))
    nest: list[dict[str, Any]] = []
    for node in dict.fromkeys(slot.node for slot in own):
        if Slot(node) in loops:
            kept = [
                name
                for name, holdings in zip(tensors, slots.holdings, strict=True)
                if any(holding.level == node for holding in holdings)
            ]
            nest.append({"level": node, "keep": kept, "loops": loops[Slot(node)]})
        else:
            nest.append({"array": node, "x": loops[Slot(node, "x")], "y": loops[Slot(node, "y")]})
    return nest
