"""Writing a mapping as a Timeloop v0.4 mapping file, so that Timeloop can price it."""

from __future__ import annotations

from codesign.costmodels.accelerator.mapping import Direction, Mappings, Slot, loops_of
from codesign.costmodels.accelerator.problem import Problem
from codesign.errors import UsageError

DIRECTIONS: tuple[Direction, ...] = ("x", "y")


def mapping_text(problem: Problem, mappings: Mappings, index: int = 0) -> str:
    """Return one mapping of a batch as the YAML text of a Timeloop mapping file.

    Raises:
        UsageError: the mapping is uneven (Timeloop tiles all tensors of a level alike), or loops twice over one rank at
            one level or array (Timeloop has one factor there).
    """
    slots = mappings.slots
    levels = list(dict.fromkeys(slot.node for slot in slots.slots if slot.direction == "temporal"))
    arrays = list(dict.fromkeys(slot.node for slot in slots.slots if slot.direction != "temporal"))
    loops = loops_of(mappings, index)
    kept: dict[str, list[str]] = {level: [] for level in levels}
    for tensor, holdings in zip(problem.tensors, slots.holdings, strict=True):
        for holding in holdings:
            kept[holding.level].append(tensor.name)
            between = range(slots.find(holding.level), holding.cut)
            if any(slot in between for slot, _, _ in loops):
                raise UsageError(
                    f"the tile of {tensor.name} at {holding.level} leaves out loops that others hold",
                    "an uneven mapping has no Timeloop form; search with even tiles to export",
                )
    _check_once(mappings, loops)
    lines = ["mapping:"]
    names = [tensor.name for tensor in problem.tensors]
    for level in levels:
        bypassed = [name for name in names if name not in kept[level]]
        lines.append(f"  - {{target: {level}, type: dataspace, keep: {_list(kept[level])}, bypass: {_list(bypassed)}}}")
    for node in list(dict.fromkeys(slot.node for slot in slots.slots)):
        if node in arrays:
            x, y = (
                [(rank, bound) for slot, rank, bound in loops if slots.slots[slot] == Slot(node, direction)]
                for direction in DIRECTIONS
            )
            permutation = _permutation(
                [rank for rank, _ in reversed(x)], [rank for rank, _ in reversed(y)], slots.ranks
            )
            factors = _factors([*x, *y], slots.ranks)
            split = len(slots.ranks) if not y else len(x)
            lines.append(
                f"  - {{target: {node}, type: spatial, factors: {factors}, permutation: {permutation}, split: {split}}}"
            )
        else:
            own = [(rank, bound) for slot, rank, bound in loops if slots.slots[slot].node == node]
            permutation = _permutation([rank for rank, _ in reversed(own)], [], slots.ranks)
            factors = _factors(own, slots.ranks)
            lines.append(f"  - {{target: {node}, type: temporal, factors: {factors}, permutation: {permutation}}}")
    return "\n".join(lines) + "\n"


def _check_once(mappings: Mappings, loops: list[tuple[int, str, int]]) -> None:
    seen: set[tuple[str, str]] = set()
    for slot, rank, _ in loops:
        node = mappings.slots.slots[slot].node
        if (node, rank) in seen:
            raise UsageError(f"rank {rank} has two loops at {node}", "Timeloop's mappings hold one factor there")
        seen.add((node, rank))


def _list(names: list[str]) -> str:
    return f"[{', '.join(names)}]"


def _factors(loops: list[tuple[str, int]], ranks: tuple[str, ...]) -> str:
    bounds: dict[str, int] = dict.fromkeys(ranks, 1)
    for rank, bound in loops:
        bounds[rank] *= bound
    return _list([f"{rank}={bound}" for rank, bound in bounds.items()])


def _permutation(first: list[str], then: list[str], ranks: tuple[str, ...]) -> str:
    return _list([*first, *then, *(rank for rank in ranks if rank not in (*first, *then))])
