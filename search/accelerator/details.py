"""What a report shows of one configuration: energy by level, area, carbon, roofline and mapping of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from codesign.costmodels.accelerator import Costs, Mappings, evaluate
from codesign.costmodels.accelerator.drawing import draw
from codesign.costmodels.accelerator.timeloop import mapping_text
from codesign.errors import CodesignError, UsageError
from codesign.search.accelerator.configure import ASSUMPTIONS, Configured
from codesign.search.accelerator.fused import FUSED_ASSUMPTIONS, FusedConfigured, fused_costs
from codesign.search.accelerator.layers import Layers
from codesign.search.accelerator.price import LayerCost, Priced
from codesign.search.accelerator.technologies import memory_device
from codesign.search.problem import Breakdown, Command, Details, Item, Roofline, Spot
from codesign.units import format_si

if TYPE_CHECKING:
    from codesign.search.accelerator.problem import AcceleratorProblem
    from codesign.search.problem import Points

MOST_LAYERS = 12
"""Layers that a breakdown of time names; the rest is summed."""

RATIOS = (
    ("latency", "run_latency"), ("energy", "run_energy"), ("carbon", "carbon"), ("tCDP", "tcdp"),
)  # fmt: skip


class RooflineRow(NamedTuple):
    """One layer on the roofline of the device.

    Attributes:
        names: What the models call it.
        runs: How often a run has it.
        intensity: FLOP a byte of DRAM traffic; a multiply-add is two.
        bound: ``compute`` or ``DRAM``: which roof is lower at that intensity.
        attainable: FLOP/s under the lower roof.
        achieved: FLOP/s of its mapping.
    """

    names: tuple[str, ...]
    runs: float
    intensity: float
    bound: str
    attainable: float
    achieved: float


def details(problem: AcceleratorProblem, point: Points) -> Details:
    """Return the details of one configuration (a 1-row matrix)."""
    design = problem.design(problem.box.rows(point)[0])
    configured, made, priced = problem.priced(design)
    area = Breakdown("Area by part", "mm2", _items(configured.core_areas, design.cores))
    carbon = Breakdown("Embodied carbon of the device", "gCO2e", _items(made.parts()))
    if isinstance(priced, str):
        return Details(breakdowns=(area, carbon), notes=(priced,))
    layers = problem.layers_at(design.bits)
    if isinstance(configured, FusedConfigured):
        return _fused(problem, configured, priced, layers, (carbon, area))
    chosen = _chosen(problem, configured, layers, priced)
    run = problem.weights @ layers.counts
    breakdowns = (
        energy_by_level(configured, priced, chosen, run),
        time_by_layer(layers, priced, run),
        Breakdown(
            "Carbon of a run", "gCO2e",
            (
                Item("operation", float(priced.operational.value)),
                Item("embodied share", float(priced.embodied_share.value)),
            ),
        ),
        carbon,
        area,
    )  # fmt: skip
    commands = [
        Command("Roofline of the layers", "\n".join(roofline_lines(roofline(configured, layers, priced.layers, run)))),
        Command("Mapping of each layer", "\n\n".join(_drawn(layers, place, *one) for place, one in enumerate(chosen))),
    ]
    exported = _timeloop(layers, chosen)
    if exported:
        commands.append(Command("Timeloop mappings", exported, ("one document a layer",)))
    return Details(
        breakdowns, tuple(commands), _notes(problem, priced, configured, layers),
        rooflines=(drawn_roofline(configured, layers, priced, run),),
    )  # fmt: skip


def _fused(
    problem: AcceleratorProblem, configured: FusedConfigured, priced: Priced, layers: Layers,
    known: tuple[Breakdown, ...],
) -> Details:  # fmt: skip
    """Return the details of a fused design, which has closed forms in place of mappings."""
    run = problem.weights @ layers.counts
    energy: dict[str, float] = {}
    for one, count in zip(fused_costs(configured, layers), run.tolist(), strict=True):
        for name, part in one.parts.items():
            energy[name] = energy.get(name, 0.0) + count * float(part.value)
    energy["leakage"] = float(configured.static_watts.value) * priced.run_latency
    items = tuple(Item(name.replace("_", " "), value) for name, value in energy.items() if value)
    carbon = (
        Item("operation", float(priced.operational.value)), Item("embodied share", float(priced.embodied_share.value)),
    )  # fmt: skip
    breakdowns = (
        Breakdown("Energy of a run by action", "J", items), time_by_layer(layers, priced, run),
        Breakdown("Carbon of a run", "gCO2e", carbon), *known,
    )  # fmt: skip
    return Details(breakdowns, (), _notes(problem, priced, configured, layers))


def energy_by_level(
    configured: Configured, priced: Priced, chosen: list[tuple[Costs, Mappings]], run: Any
) -> Breakdown:
    """Return the energy of a run by memory, networks, operations and leakage, J."""
    found: dict[str, float] = {}
    for (costs, _), count in zip(chosen, run.tolist(), strict=True):
        parts = [*zip(costs.levels, costs.level_energy[:, 0].tolist(), strict=True)]
        parts += [("networks", float(costs.network_energy[1, 0]))]
        parts += [(configured.architecture.spine().compute.name, float(costs.compute_energy[1, 0]))]
        for name, energy in parts:
            found[name] = found.get(name, 0.0) + count * energy
    found["leakage"] = float(configured.static_watts.value) * priced.run_latency
    return Breakdown(
        "Energy of a run by level", "J", tuple(Item(name, value) for name, value in found.items() if value)
    )


def time_by_layer(layers: Layers, priced: Priced, run: Any) -> Breakdown:
    """Return the time of a run by layer, longest first, s."""
    times = run * np.array([one.seconds for one in priced.layers])
    order = np.argsort(-times, kind="stable")
    items = [Item(_short(layers, int(place)), float(times[place])) for place in order[:MOST_LAYERS]]
    rest = float(times[order[MOST_LAYERS:]].sum())
    return Breakdown("Time of a run by layer", "s", (*items, *([Item("others", rest)] if rest else [])))


def roofline(configured: Configured, layers: Layers, costs: tuple[LayerCost, ...], run: Any) -> tuple[RooflineRow, ...]:
    """Return every layer on the roofline of the device."""
    spine = configured.architecture.spine()
    peak = 2.0 * spine.compute_instances / spine.compute.operations["mac"].cycles * configured.clock
    bandwidth = memory_device(configured.design.memory).bandwidth
    rows = []
    for place, one in enumerate(costs):
        flop = 2.0 * float(layers.operations[place])
        intensity = flop / one.traffic
        bound = "DRAM" if intensity * bandwidth < peak else "compute"
        rows.append(
            RooflineRow(
                layers.names[place], float(run[place]), intensity, bound, min(peak, intensity * bandwidth),
                flop / one.seconds,
            )
        )  # fmt: skip
    return tuple(rows)


def drawn_roofline(configured: Configured, layers: Layers, priced: Priced, run: Any) -> Roofline:
    """Return the same for the page, with the share of the time that every layer takes."""
    times = run * np.array([one.seconds for one in priced.layers])
    rows = roofline(configured, layers, priced.layers, run)
    spots = tuple(
        Spot(_short(layers, place), row.intensity, row.achieved, float(times[place] / times.sum()), row.bound)
        for place, row in enumerate(rows)
    )
    spine = configured.architecture.spine()
    peak = 2.0 * spine.compute_instances / spine.compute.operations["mac"].cycles * configured.clock
    bandwidth = memory_device(configured.design.memory).bandwidth
    return Roofline("Roofline of the layers", "FLOP/B", "FLOP/s", peak, bandwidth, "B/s", spots)


def roofline_lines(rows: tuple[RooflineRow, ...]) -> list[str]:
    """Return the roofline as aligned lines."""
    heads = ("layer", "runs", "FLOP/B", "bound", "attainable", "achieved", "of it")
    cells = [heads]
    for row in rows:
        cells.append((
            row.names[0], f"{row.runs:g}", f"{row.intensity:.3g}", row.bound, format_si(row.attainable, "FLOP/s"),
            format_si(row.achieved, "FLOP/s"), f"{row.achieved / row.attainable:.0%}",
        ))  # fmt: skip
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads))]
    left = (0, 3)
    return [
        "  ".join(cell.ljust(size) if place in left else cell.rjust(size)
                  for place, (cell, size) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in cells
    ]  # fmt: skip


def _chosen(
    problem: AcceleratorProblem, configured: Configured, layers: Layers, priced: Priced
) -> list[tuple[Costs, Mappings]]:
    """Return costs and mapping of every layer, each as a batch of one."""
    found = []
    for place, pool in enumerate(problem.pools.of(layers, configured.design)):
        assert pool.problem is not None
        row = pool.points[priced.layers[place].chosen][None, :]
        mapping = pool.problem.space.mappings(row)[0][1]
        found.append((evaluate(layers.problems[place], configured.architecture, mapping), mapping))
    return found


def _items(parts: Any, copies: int = 1) -> tuple[Item, ...]:
    return tuple(Item(name, float(one.value) * copies) for name, one in parts.items() if float(one.value))


def _short(layers: Layers, place: int) -> str:
    names = layers.names[place]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _drawn(layers: Layers, place: int, costs: Costs, mapping: Mappings) -> str:
    return "\n".join((f"# {', '.join(layers.names[place])}", *draw(costs, mapping)))


def _timeloop(layers: Layers, chosen: list[tuple[Costs, Mappings]]) -> str:
    """Return the mappings as documents that Timeloop reads; a comment in place of those it cannot say."""
    texts = []
    for place, (_, mapping) in enumerate(chosen):
        try:
            body = mapping_text(layers.problems[place], mapping)
        except CodesignError as error:
            body = f"# not expressible: {error.message}"
        texts.append(f"# {_short(layers, place)}\n{body}")
    return "\n---\n".join(texts)


def _notes(problem: AcceleratorProblem, priced: Priced, configured: Configured, layers: Layers) -> tuple[str, ...]:
    """Return the comparison with the baseline, and what the numbers leave out."""
    lines = _comparison(problem, priced, configured)
    lines += [
        f"{model}: {skipped} operators are no multiply-adds (norms, activations, lookups) and are not counted"
        for model, skipped in zip(layers.models, layers.left_out, strict=True) if skipped
    ]  # fmt: skip
    return (*lines, *(FUSED_ASSUMPTIONS if problem.template.fused else ASSUMPTIONS))


def _comparison(problem: AcceleratorProblem, priced: Priced, configured: Configured) -> list[str]:
    """Return the ratios to the baseline; nothing where the baseline itself cannot be made."""
    base = problem.baseline()
    if base is None:
        return []
    design = problem.design(problem.box.rows(base)[0])
    how = "as it is" if design == problem.template.design() else "as near as the knobs come"
    try:
        against, _, reference = problem.priced(design)
    except UsageError:
        return []
    if isinstance(reference, str):
        return []
    ratios = [f"{name} x {_number(priced, field) / _number(reference, field):.3g}" for name, field in RATIOS]
    ratios.append(f"area x {float(configured.area.value) / float(against.area.value):.3g}")
    return [f"over the baseline ({problem.template.architecture.id} {how}): {', '.join(ratios)}"]


def _number(priced: Priced, field: str) -> float:
    value = getattr(priced, field)
    return float(value.value) if hasattr(value, "value") else float(value)
