"""What a report shows of the mappings of a whole network.

Its layers in a table and on a roofline, where energy and time go, every loop nest, a Timeloop mapping of every layer,
and the comparison with the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Costs
from codesign.costmodels.accelerator.drawing import draw
from codesign.costmodels.accelerator.timeloop import mapping_text
from codesign.errors import CodesignError
from codesign.search.mapping.details import aligned, energy_by_level
from codesign.search.problem import Breakdown, Command, Details, Item, Roofline, Spot
from codesign.units import format_si

if TYPE_CHECKING:
    from codesign.search.mapping.network import ModelMapping

MOST_LAYERS = 12
"""Layers that a breakdown names; the rest is summed."""

HEADS = ("layer", "runs", "MACs", "cycles", "energy", "used", "bound")


class View(NamedTuple):
    """One shape of layer with one of its mappings.

    Attributes:
        energy: Level -> J of one run.
        bound: What limits its cycles: a memory's bandwidth, ``compute`` where every unit works, or ``array``.
        nest: Its loop nest.
        timeloop: Its mapping as Timeloop reads it.
    """

    energy: dict[str, float]
    bound: str
    nest: str
    timeloop: str


class Views:
    """The details of networks: what one layer shows with one mapping is made once."""

    def __init__(self, problem: ModelMapping) -> None:
        self.problem = problem
        self._views: dict[tuple[int, int], View] = {}

    def details(self, chosen: NDArray[np.int64]) -> Details:
        """Return the details of the network whose layers have the mappings ``chosen`` (L,)."""
        last = self.problem.network.last()[0].astype(np.int64)
        levels = [self._by_level(row) for row in (chosen, last)]
        breakdowns = (
            Breakdown("Energy by level", "J", levels[0]),
            Breakdown("Energy by level, baseline", "J", levels[1]),
            self._by_layer("Energy by layer", "J", "energy", chosen),
            self._by_layer("Time by layer", self.problem.units["latency"], "latency", chosen),
        )
        commands = (
            Command("Layers", "\n".join(self._table(chosen)), (
                "bound: compute where every unit works, array where some stand idle, or the memory whose bandwidth "
                "limits the cycles",
            )),
            Command("Mapping of each layer", "\n\n".join(self._named(chosen, "nest"))),
            Command("Timeloop mappings", "\n---\n".join(self._named(chosen, "timeloop")), ("one document a layer",)),
        )  # fmt: skip
        return Details(
            breakdowns, commands, tuple(self._notes(chosen, last)), rooflines=(self._roofline(chosen, last),)
        )

    # --- one layer ----------------------------------------------------------------------------------------------

    def _view(self, place: int, mapping: int) -> View:
        if (place, mapping) not in self._views:
            choice = self.problem.choices[place]
            problem = choice.layer.problem
            mappings = choice.layer.front.problem.space.mappings(choice.points[mapping : mapping + 1])[0][1]
            costs = choice.layer.front.problem.costs(mappings)
            try:
                text = mapping_text(problem, mappings)
            except CodesignError as error:
                text = f"# not expressible: {error.message}\n"
            energy = {item.label: item.value for item in energy_by_level(costs).items}
            self._views[place, mapping] = View(energy, bound_of(costs), "\n".join(draw(costs, mappings)), text.rstrip())
        return self._views[place, mapping]

    def _named(self, chosen: NDArray[np.int64], field: str) -> list[str]:
        return [
            f"# {', '.join(choice.layer.names)}\n{getattr(self._view(place, int(mapping)), field)}"
            for place, (choice, mapping) in enumerate(zip(self.problem.choices, chosen, strict=True))
        ]

    def _values(self, name: str, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (L,) a column of the layers, one run each."""
        return np.array([one.columns[name][at] for one, at in zip(self.problem.choices, chosen, strict=True)])

    @cached_property
    def _runs(self) -> NDArray[np.float64]:
        return np.array([float(one.layer.runs) for one in self.problem.choices])

    # --- parts of the details -----------------------------------------------------------------------------------

    def _by_level(self, chosen: NDArray[np.int64]) -> tuple[Item, ...]:
        found: dict[str, float] = {}
        for place, mapping in enumerate(chosen.tolist()):
            for level, energy in self._view(place, mapping).energy.items():
                found[level] = found.get(level, 0.0) + float(self._runs[place]) * energy
        return tuple(Item(name, value) for name, value in found.items())

    def _by_layer(self, title: str, unit: str, name: str, chosen: NDArray[np.int64]) -> Breakdown:
        whole = self._runs * self._values(name, chosen)
        order = np.argsort(-whole, kind="stable")
        items = [Item(self.problem.choices[at].layer.label, float(whole[at])) for at in order[:MOST_LAYERS].tolist()]
        rest = float(whole[order[MOST_LAYERS:]].sum())
        return Breakdown(title, unit, (*items, *([Item("others", rest)] if rest else [])))

    def _table(self, chosen: NDArray[np.int64]) -> list[str]:
        """Return the layers as aligned lines; numbers of one run of a layer."""
        cycles, energy, used = (self._values(name, chosen) for name in ("cycles", "energy", "utilisation"))
        rows: list[Sequence[str]] = [HEADS]
        for place, choice in enumerate(self.problem.choices):
            rows.append((
                choice.layer.label, f"{choice.layer.runs}", f"{choice.layer.problem.operations:,}",
                f"{cycles[place]:,.0f}", format_si(float(energy[place]), "J"), f"{100.0 * used[place]:.0f} %",
                self._view(place, int(chosen[place])).bound,
            ))  # fmt: skip
        return aligned(rows, (0, len(HEADS) - 1))

    def _roofline(self, chosen: NDArray[np.int64], last: NDArray[np.int64]) -> Roofline:
        """Return the layers by their FLOP a byte of the outermost memory; a multiply-add is two."""
        spine = self.problem.architecture.spine()
        clock = self.problem.architecture.clock
        unit = self.problem.units["latency"]
        rate = 1.0 if clock is None else clock.value
        home = spine.storages[0]
        words = home.shared_bandwidth or home.read_bandwidth
        share = self._runs * self._values("latency", chosen)
        share /= share.sum()
        here, there = self._at(chosen), self._at(last)
        spots = tuple(
            Spot(
                choice.layer.label, *here[place], float(share[place]),
                self._view(place, int(chosen[place])).bound, there[place],
            )
            for place, choice in enumerate(self.problem.choices)
        )  # fmt: skip
        return Roofline(
            title="Roofline of the layers", x_unit="FLOP/B", y_unit=f"FLOP/{unit}",
            peak=2.0 * spine.compute_instances / spine.compute.operations["mac"].cycles * rate,
            slope=None if words is None else words * home.reference_bits / 8.0 * rate, slope_unit=f"B/{unit}",
            spots=spots,
        )  # fmt: skip

    def _at(self, chosen: NDArray[np.int64]) -> list[tuple[float, float]]:
        """Return (FLOP a byte, FLOP a unit of time) of every layer."""
        flop = np.array([2.0 * float(one.layer.problem.operations) for one in self.problem.choices])
        intensity, speed = flop / self._values("traffic", chosen), flop / self._values("latency", chosen)
        return list(zip(intensity.tolist(), speed.tolist(), strict=True))

    def _notes(self, chosen: NDArray[np.int64], last: NDArray[np.int64]) -> list[str]:
        """Return the comparison with the baseline, and with what no mapping can beat."""
        mine, base = (self.problem.columns(row[None, :]) for row in (chosen, last))
        ratios = [f"{name} x {float(mine[name][0] / base[name][0]):.3g}" for name in ("energy", "latency", "traffic")]
        bounds = [one.layer.front.bounds for one in self.problem.choices]
        energy = float(self._runs @ np.array([one.energy for one in bounds]))
        cycles = float(self._runs @ np.array([one.cycles for one in bounds]))
        lines = [
            "over the baseline (each layer the best of as many random mappings by energy x latency): "
            + ", ".join(ratios),
            f"cycles {mine['cycles'][0]:,.0f}, at least {np.ceil(cycles):,.0f}: "
            f"{mine['cycles'][0] / cycles - 1.0:+.1%}",
        ]
        if energy:
            lines.append(
                f"energy {mine['energy'][0]:.4g} J, at least {energy:.4g} J (operations and compulsory traffic): "
                f"{mine['energy'][0] / energy - 1.0:+.1%}"
            )
        return lines


def bound_of(costs: Costs) -> str:
    """Return what limits the cycles of one mapping: a memory's bandwidth, the compute units, or an array part idle."""
    limiting = int(costs.limiting[0])
    if limiting >= 0:
        return f"bandwidth of {costs.levels[limiting]}"
    return "compute" if float(costs.utilisation[0]) > 0.999 else "array"
