"""What a report shows of one mapping of a cascade: what stays, where energy and time go, its nests, its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.drawing import draw
from codesign.costmodels.accelerator.fused import FusedCosts
from codesign.costmodels.accelerator.fused_rows import einsum_rows, level_rows, traffic_rows
from codesign.costmodels.accelerator.latency import parse_latency
from codesign.search.mapping.details import aligned
from codesign.search.mapping.network_details import bound_of
from codesign.search.problem import Breakdown, Command, Details, Item, Roofline, Spot
from codesign.units import format_si

if TYPE_CHECKING:
    from codesign.search.mapping.cascade_mapping import CascadeMapping

Array = NDArray[np.float64]


def details(problem: CascadeMapping, point: NDArray[Any]) -> Details:
    """Return the details of one mapping (a 1-row matrix)."""
    _, parts, costs = problem.mapping(point)
    alone = problem.baseline()
    base = None if alone is None else problem.mapping(alone)[2]
    nests = "\n\n".join(
        f"# {part.problem.name}\n" + "\n".join(draw(part, one)) for part, one in zip(costs.parts, parts, strict=True)
    )
    commands = (
        Command("What stays on the chip", "\n".join(traffic_lines(costs)), (
            f"moved: over {costs.levels[0]}; at least: of tensors that come from outside or are results",
        )),
        Command("Einsums", "\n".join(einsum_lines(costs)), ("those of one group run together",)),
        Command("Loop nests", nests, ("a level names the words of its tiles",)),
        Command("Mapping file", problem.mapping_file(point).rstrip(), (
            f"read by codesign estimate --target {problem.architecture.id} --problem CASCADE --mapping FILE, with the "
            "--latency of the search",
        )),
    )  # fmt: skip
    breakdowns = [Breakdown("Energy by level", "J", energy_by_level(costs))]
    if base is not None:
        breakdowns.append(Breakdown("Energy by level, baseline", "J", energy_by_level(base)))
    breakdowns += [
        Breakdown("Energy by Einsum", "J", energy_by_einsum(costs)),
        Breakdown("Traffic by tensor", "B", tuple(
            Item(name, float(bits[0]) / 8.0) for name, bits in costs.moved.items() if bits[0]
        )),
    ]  # fmt: skip
    return Details(
        tuple(breakdowns), commands, tuple(notes(problem, costs, base)), rooflines=(roofline(problem, costs, base),)
    )


def energy_by_level(costs: FusedCosts) -> tuple[Item, ...]:
    """Return the energy of every level, the networks and the compute units, J: together that of the cascade."""
    return tuple(Item(row["level"], row["energy"]) for row in level_rows(costs) if row["energy"])


def energy_by_einsum(costs: FusedCosts) -> tuple[Item, ...]:
    """Return the energy of every Einsum, and what all levels leak meanwhile, J."""
    items = []
    for part in costs.parts:
        spent = part.entry_energy.sum(axis=0) + part.network_energy[1] + part.compute_energy[1]
        items.append(Item(part.problem.name, float(spent[0])))
    leaked = float(costs.leak_energy.sum())
    return (*items, Item("leakage", leaked)) if leaked else tuple(items)


def traffic_lines(costs: FusedCosts) -> list[str]:
    """Return what every tensor moves over the outermost level, and where it stays, as aligned lines."""
    rows = [("tensor", "moved", "at least", "stays at")]
    for row in traffic_rows(costs):
        least = row["least_bits"]
        rows.append((
            row["tensor"], format_si(row["bits"] / 8.0, "B"), "-" if least is None else format_si(least / 8.0, "B"),
            row["stays_at"] or "-",
        ))  # fmt: skip
    return aligned(rows, (0, 3))


def einsum_lines(costs: FusedCosts) -> list[str]:
    """Return the Einsums with their units, groups, operations and cycles as aligned lines."""
    rows = [("einsum", "unit", "group", "operations", "cycles", "bound")]
    for row, part in zip(einsum_rows(costs), costs.parts, strict=True):
        numbers = (f"{row['group']}", f"{row['operations']:,}", f"{row['cycles']:,}")
        rows.append((row["einsum"], row["unit"], *numbers, bound_of(part)))
    return aligned(rows, (0, 1, 5))


def notes(problem: CascadeMapping, costs: FusedCosts, base: FusedCosts | None) -> list[str]:
    """Return the comparison with what stays nowhere, and with the least that can move."""
    mine = problem.columns(costs)
    lines = []
    if base is None:
        lines.append("unfused: no such mapping runs, so nothing is compared")
    else:
        theirs = problem.columns(base)
        ratios = [f"{name} x {float(mine[name][0] / theirs[name][0]):.3g}" for name in ("energy", "latency", "traffic")]
        lines.append("over the baseline (the best mapping of which nothing stays): " + ", ".join(ratios))
    least = sum(problem.cascade.external.values()) / 8.0
    moved = float(costs.traffic[0])
    lines.append(f"traffic {format_si(moved, 'B')}, at least {format_si(least, 'B')}: {moved / least - 1.0:+.1%}")
    busy = busy_cycles(costs, problem.asked.latency)
    lines.append(f"cycles {costs.cycles[0]:,.0f}, at least {np.ceil(busy):,.0f}: {costs.cycles[0] / busy - 1.0:+.1%}")
    return lines


def busy_cycles(costs: FusedCosts, latency: str) -> float:
    """Return the cycles of the operations alone on full arrays, kinds of units side by side where they may be."""
    units: dict[str, float] = {}
    for part in costs.parts:
        spine = costs.architecture.spine(part.slots.unit)
        cycles = part.problem.operations * spine.compute.operations[part.problem.operation].cycles
        units[part.slots.unit] = units.get(part.slots.unit, 0.0) + cycles / spine.compute_instances
    return max(units.values()) if parse_latency(latency).pipelined else sum(units.values())


def roofline(problem: CascadeMapping, costs: FusedCosts, base: FusedCosts | None) -> Roofline:
    """Return the cascade by its operations a byte of the outermost memory, with where it stands unfused."""
    clock = problem.architecture.clock
    rate, unit = (1.0, "cycle") if clock is None else (clock.value, "s")
    home = problem.architecture.spine(costs.parts[0].slots.unit).storages[0]
    words = home.shared_bandwidth or home.read_bandwidth
    slope = None if words is None else words * home.reference_bits / 8.0
    busy, operations = busy_cycles(costs, problem.asked.latency), float(problem.cascade.operations)

    def at(one: FusedCosts) -> tuple[float, float]:
        return operations / float(one.traffic[0]), operations / float(one.cycles[0]) * rate

    if float(costs.cycles[0]) <= 1.001 * busy:
        bound = "compute"
    elif slope is not None and float(costs.traffic[0]) / slope >= 0.999 * float(costs.cycles[0]):
        bound = f"bandwidth of {home.name}"
    else:
        bound = bound_of(max(costs.parts, key=lambda part: float(part.cycles[0])))
    spot = Spot(problem.cascade.name, *at(costs), 1.0, bound, None if base is None else at(base))
    return Roofline(
        title="Roofline of the cascade", x_unit="op/B", y_unit=f"op/{unit}", peak=operations / busy * rate,
        slope=None if slope is None else slope * rate, slope_unit=f"B/{unit}", spots=(spot,),
    )  # fmt: skip
