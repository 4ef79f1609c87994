"""Whether one mapping can run, and if not why: which rank, which array, which level, by how much."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from codesign.costmodels.accelerator.costs import Costs
from codesign.costmodels.accelerator.fused import FusedCosts
from codesign.costmodels.accelerator.fused_loops import violations
from codesign.costmodels.accelerator.mapping import Mappings, loops_of
from codesign.costmodels.accelerator.problem import Problem
from codesign.errors import UsageError
from codesign.targets.spatial import Fanout, Spine


def check_cover(problem: Problem, mappings: Mappings, index: int = 0) -> None:
    """Refuse a mapping whose loops do not cover the problem, or run empty.

    Raises:
        UsageError: naming the rank, its extent, the product of its bounds, and the difference.
    """
    loops = loops_of(mappings, index)
    for rank, extent in problem.ranks.items():
        bounds = [bound for _, name, bound in loops if name == rank]
        reached = prod(bounds)
        if reached < extent:
            written = " x ".join(map(str, bounds)) or "1"
            raise UsageError(
                f"mapping: rank {rank} is not covered: factors {written} = {reached:,} of {extent:,}, "
                f"{extent - reached:,} missing",
                f"raise a factor of {rank}",
            )
        inside = reached
        for bound in bounds:
            inside //= bound
            if (bound - 1) * inside >= extent:
                raise UsageError(
                    f"mapping: rank {rank}: factors multiply to {reached:,}, {reached - extent:,} over {extent:,}; "
                    f"the loop of {bound} runs empty at its end",
                    f"at most {-(-extent // inside)} there",
                )


def check_arrays(spine: Spine, mappings: Mappings, index: int = 0) -> None:
    """Refuse a mapping that asks an array for more copies than it has.

    Raises:
        UsageError: naming the array, the direction and both counts.
    """
    arrays = {node.name: node for node in spine.nodes if isinstance(node, Fanout)}
    for slot, place in enumerate(mappings.slots.slots):
        if place.direction == "temporal":
            continue
        asked = prod(int(bound) for bound in mappings.factors[slot, :, index])
        there = arrays[place.node].x if place.direction == "x" else arrays[place.node].y
        if asked > there:
            message = (
                f"mapping: {place.node} spreads over {asked:,} copies along {place.direction}, there are {there:,}"
            )
            raise UsageError(message, "move a factor into time")


def check_capacity(costs: Costs, index: int = 0) -> None:
    """Refuse a mapping whose tiles do not fit a memory.

    Raises:
        UsageError: naming the level, the words asked, its capacity and the tiles.
    """
    for place, level in enumerate(costs.levels):
        over = float(costs.overflow_words[place, index])
        if over <= 0.0:
            continue
        tiles = {
            tensor: float(costs.tile[row, index]) for row, (home, tensor) in enumerate(costs.entries) if home == level
        }
        listed = ", ".join(f"{tensor} {words:,.0f}" for tensor, words in tiles.items())
        raise UsageError(
            f"mapping: tiles overflow {level} by {over:,.0f} words ({listed}; "
            f"{100.0 * float(costs.occupancy[place, index]):.4g} % of its capacity)",
            f"move a loop outside of {level}, or let a tensor bypass it",
        )


def check_fused(costs: FusedCosts, parts: Sequence[Mappings]) -> None:
    """Refuse a mapping of a cascade whose loops do not fit each other, or whose tiles do not fit a memory.

    Raises:
        UsageError: naming the Einsums and the tensor, or the level and its fill.
    """
    for why, wrong in violations(costs.cascade, costs.links, parts):
        if wrong.any():
            hint = "share loops over ranks of what is passed on, or let it go through the outermost level"
            raise UsageError(f"mapping: {why}", hint)
    for level, over, share in zip(costs.levels, costs.overflow_bits[:, 0], costs.occupancy[:, 0], strict=True):
        if over > 0.0:
            stays = ", ".join(tensor for tensor, home in costs.retained.items() if home == level)
            raise UsageError(
                f"mapping: tiles overflow {level} by {over / 8.0:,.0f} bytes ({100.0 * share:.4g} % of its capacity"
                + (f"; {stays} stay there)" if stays else ")"),
                f"share more loops, or let a tensor bypass {level}",
            )
