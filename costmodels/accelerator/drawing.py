"""A mapping as text: its loops with the tiles that each level keeps."""

from __future__ import annotations

from codesign.costmodels.accelerator.costs import Costs
from codesign.costmodels.accelerator.mapping import Mappings, loops_of

DIRECTIONS = {"x": "spatial X", "y": "spatial Y"}


def draw(costs: Costs, mappings: Mappings, index: int = 0) -> list[str]:
    """Return the lines of a loop nest, outermost first; a line of a level names tiles in words.

    A tile stands above the first loop that it holds, so an uneven mapping shows as tiles of one level on several lines.
    """
    slots, lines, depth = mappings.slots, [], 0
    loops = loops_of(mappings, index)
    for slot in range(len(slots.slots) + 1):
        kept: dict[str, list[str]] = {}
        for tensor, holdings in zip(costs.problem.tensors, slots.holdings, strict=True):
            for holding in holdings:
                if holding.cut == slot:
                    words = float(costs.tile[costs.entry(holding.level, tensor.name), index])
                    kept.setdefault(holding.level, []).append(f"{tensor.name} {words:,.0f}")
        lines += [f"{'  ' * depth}[{level}: {', '.join(tiles)}]" for level, tiles in kept.items()]
        for place, rank, bound in loops:
            if place == slot:
                direction = slots.slots[slot].direction
                note = f"  ({DIRECTIONS[direction]} of {slots.slots[slot].node})" if direction in DIRECTIONS else ""
                lines.append(f"{'  ' * depth}for {rank} in 0..{bound}{note}")
                depth += 1
    inputs = " * ".join(tensor.name for tensor in costs.problem.inputs)
    sign = "+=" if costs.problem.operation == "mac" else f"<- {costs.problem.operation}"
    lines.append(f"{'  ' * depth}{costs.problem.output.name} {sign} {inputs}")
    return lines
