"""What a report shows of one mapping: energy by level, loop nest, accesses, and files that hold it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Costs, Mappings
from codesign.costmodels.accelerator.drawing import draw
from codesign.costmodels.accelerator.timeloop import mapping_text
from codesign.errors import CodesignError
from codesign.search.problem import Breakdown, Command, Details, Item

if TYPE_CHECKING:
    from codesign.search.mapping.problem import MappingProblem


def details(problem: MappingProblem, point: NDArray[Any]) -> Details:
    """Return the details of one mapping (a 1-row matrix)."""
    mappings = problem.space.mappings(point)[0][1]
    costs = problem.costs(mappings)
    commands = [
        Command("Loop nest", "\n".join(draw(costs, mappings)), ("a level names the words of its tiles",)),
        Command("Accesses", "\n".join(access_lines(costs)), ("words of each instance over the whole run",)),
    ]
    exported = _timeloop(problem, mappings)
    if exported is not None:
        commands.append(exported)
    return Details(
        breakdowns=(energy_by_level(costs), energy_by_tensor(costs)),
        commands=tuple(commands),
        notes=tuple(gap_lines(problem, costs)),
    )


def energy_by_level(costs: Costs) -> Breakdown:
    """Return the energy of every level, the networks and the compute units, J."""
    levels = costs.level_energy[:, 0].tolist()
    parts = [*zip(costs.levels, levels, strict=True), ("networks", float(costs.network_energy[1, 0]))]
    parts.append((costs.architecture.spine(costs.slots.unit).compute.name, float(costs.compute_energy[1, 0])))
    return Breakdown("Energy by level", "J", tuple(Item(name, value) for name, value in parts if value))


def energy_by_tensor(costs: Costs) -> Breakdown:
    """Return the energy of the accesses of every tensor, all levels together, J."""
    found: dict[str, float] = {}
    for (_, tensor), energy in zip(costs.entries, costs.entry_energy[:, 0].tolist(), strict=True):
        found[tensor] = found.get(tensor, 0.0) + energy
    return Breakdown("Energy by tensor", "J", tuple(Item(name, value) for name, value in found.items()))


def access_lines(costs: Costs) -> list[str]:
    """Return the accesses of every level and tensor as aligned lines, outermost level first."""
    heads = ("level", "tensor", "tile", "reads", "fills", "updates", "instances")
    order = sorted(range(len(costs.entries)), key=lambda row: costs.levels.index(costs.entries[row][0]))
    rows = [heads]
    for row in order:
        level, tensor = costs.entries[row]
        numbers = [getattr(costs, name)[row, 0] for name in ("tile", "reads", "fills", "updates")]
        numbers.append(costs.instances[costs.levels.index(level), 0])
        rows.append((level, tensor, *(f"{number:,.0f}" for number in numbers)))  # type: ignore[arg-type]
    return aligned(rows, (0, 1))


def aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Return rows of cells as lines in columns: those at the places ``left`` to the left, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(size) if place in left else cell.rjust(size)
                  for place, (cell, size) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip


def gap_lines(problem: MappingProblem, costs: Costs) -> list[str]:
    """Return how far a mapping is from what no mapping can beat."""
    energy, cycles = float(costs.energy[1, 0]), float(costs.cycles[0])
    bound = problem.bounds
    lines = [f"cycles {cycles:,.0f}, at least {np.ceil(bound.cycles):,.0f}: {cycles / bound.cycles - 1.0:+.1%}"]
    if bound.energy:
        lines.append(
            f"energy {energy:.4g} J, at least {bound.energy:.4g} J (operations and compulsory traffic): "
            f"{energy / bound.energy - 1.0:+.1%}"
        )
    limiting = int(costs.limiting[0])
    if limiting >= 0:
        lines.append(
            f"bandwidth of {costs.levels[limiting]} limits: {float(costs.ideal_cycles[0]):,.0f} cycles without"
        )
    return lines


def _timeloop(problem: MappingProblem, mappings: Mappings) -> Command | None:
    """Return the mapping as Timeloop reads it; None where Timeloop cannot say it."""
    try:
        return Command("Timeloop mapping", mapping_text(problem.einsum, mappings))
    except CodesignError:
        return None
