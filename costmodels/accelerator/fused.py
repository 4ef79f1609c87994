"""Costs of a cascade of Einsums whose intermediates stay on the chip, thousands of mappings at a time.

A mapping of a cascade is a mapping of every Einsum. An intermediate that an Einsum does not keep at the outermost level
never travels there: it is read where its producer put it, and both run inside the loops outside of that tile
(``fused_loops`` says when they can). Nothing else is special: accesses are those of every Einsum by itself.

**Groups.** Einsums that are linked, and all between them, run together. **Occupancy**: while one of them runs, a level
holds its tiles, the intermediates that are alive, and tiles of the others that outlast an iteration (those that loops
move less often than the group iterates). **Latency**: a group takes the work of its Einsums in turn, or with
``pipelined`` of the busiest kind of compute unit, and not less than any level's ports take for all of them; groups
follow each other. Pipelined Einsums hold their tiles at once, and intermediates twice. **Leakage** lasts as long as
all of it.

Energy J, cycles of the clock, words and bits as of ``counts``. After LoopTree (Gilbert et al., 2024) and FuseMax (Nayak
et al., MICRO 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.costs import Array, Costs
from codesign.costmodels.accelerator.counts import ends, evaluate
from codesign.costmodels.accelerator.fused_loops import Link, links_of, violations
from codesign.costmodels.accelerator.latency import CYCLE_ROUNDING, Latency, parse_latency
from codesign.costmodels.accelerator.mapping import Mappings
from codesign.costmodels.accelerator.nest import Nest, View, last_row
from codesign.errors import DataError, UsageError
from codesign.targets.spatial import Architecture, Storage


class FusedCosts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Costs of B mappings of a cascade; L levels are all that any Einsum uses.

    Attributes:
        cascade: What was mapped.
        architecture: What it was mapped onto.
        parts: Costs of every Einsum by itself.
        links: What stays on the chip.
        groups: Indices of the Einsums of each group: (first, last).
        levels: Names of the L levels, outermost first.
        occupancy: (L, B) share of the capacity at the fullest moment; 0 where it is not limited.
        overflow_bits: (L, B) bits beyond the capacity.
        joules: (3, B) low, value, high; parts without known energies are 0 in it, see ``energy``.
        cycles: (B,) of the whole cascade.
        leak_energy: (L, B) J leaked.
        broken: (B,) whether the loops of linked Einsums do not fit each other.
    """

    cascade: CascadeProblem
    architecture: Architecture
    parts: tuple[Costs, ...]
    links: tuple[Link, ...]
    groups: tuple[tuple[int, int], ...]
    levels: tuple[str, ...]
    occupancy: Array
    overflow_bits: Array
    joules: Array
    cycles: Array
    leak_energy: Array
    broken: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cycles)

    @property
    def retained(self) -> dict[str, str]:
        """Return tensor -> the level at which it stays."""
        return {link.use.tensor: link.level for link in self.links}

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Return (B,) whether loops cover and fit each other, the arrays and the memories."""
        fits = ~self.broken & (self.overflow_bits <= 0.0).all(axis=0)
        for part in self.parts:
            fits &= (part.idle <= 0.0) & (part.uncovered <= 0.0)
        return fits

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Return the levels and units whose energies are not known."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.unpriced))

    @property
    def energy(self) -> Array:
        """Return (3, B) J of the whole cascade: low, value, high.

        Raises:
            DataError: the energy of a part is not known.
        """
        if self.unpriced:
            raise DataError(f"{self.architecture.id}: no energy known for {', '.join(self.unpriced)}", "add it")
        return self.joules

    @property
    def traffic(self) -> Array:
        """Return (B,) bytes over the outermost level."""
        whole: Array = np.sum(list(self.moved.values()), axis=0) / 8.0
        return whole

    @property
    def moved(self) -> dict[str, Array]:
        """Return tensor -> (B,) bits that cross the outermost level."""
        found: dict[str, Array] = {}
        for part, names in zip(self.parts, self.cascade.tensors, strict=True):
            root = self.architecture.spine(part.slots.unit).storages[0]
            bits = {tensor.name: root.element_bits(float(tensor.bits)) for tensor in part.problem.tensors}
            for row, (level, view) in enumerate(part.entries):
                if level == root.name:
                    words = part.reads[row] + part.fills[row] + part.updates[row]
                    found[names[view]] = found.get(names[view], 0.0) + words * bits[view]
        return found

    @property
    def level_energy(self) -> dict[str, Array]:
        """Return level -> (B,) J, accesses and leakage."""
        found = dict(zip(self.levels, self.leak_energy, strict=True))
        for part in self.parts:
            for row, (level, _) in enumerate(part.entries):
                found[level] = found[level] + part.entry_energy[row]
        return found

    @property
    def seconds(self) -> Array | None:
        """Return (B,) latency in s; None where the design has no clock."""
        return None if self.architecture.clock is None else self.cycles / self.architecture.clock.value


def evaluate_cascade(
    cascade: CascadeProblem, architecture: Architecture, parts: Sequence[Mappings], latency: str = "ideal"
) -> FusedCosts:
    """Return what a batch of mappings of a cascade costs.

    Args:
        cascade: The Einsums.
        architecture: The accelerator.
        parts: For each Einsum B mappings of one skeleton; the b-th of all belong together.
        latency: How cycles are counted: a mode and flags.

    Raises:
        UsageError: as of ``evaluate``; batches of different sizes; a tensor that is read where nobody puts it.
    """
    how = parse_latency(latency)
    if len(parts) != len(cascade.problems) or len({len(part) for part in parts}) != 1:
        sizes = ", ".join(str(len(part)) for part in parts)
        raise UsageError(f"{cascade.name}: {len(cascade.problems)} Einsums, mappings of {sizes}", "as many for each")
    own = ",".join(word for word in latency.split(",") if word.strip() != "pipelined") or "ideal"
    costs = tuple(
        evaluate(problem, architecture, part, latency=own)
        for problem, part in zip(cascade.problems, parts, strict=True)
    )
    links = links_of(cascade, architecture, parts)
    broken = np.zeros(len(parts[0]), dtype=np.bool_)
    for _, wrong in violations(cascade, links, parts):
        broken |= wrong
    groups = groups_of(len(parts), links)
    storages = _storages(architecture, costs)
    cycles = np.sum([_group_cycles(costs[first : last + 1], storages, how) for first, last in groups], axis=0)
    bits = np.max([_group_bits(cascade, parts, costs, links, group, storages, how) for group in groups], axis=0)
    capacity = np.array([np.inf if one.capacity_bits is None else one.capacity_bits for one in storages.values()])[
        :, None
    ]
    energy, leak = _energy(costs, storages, cycles)
    return FusedCosts(
        cascade=cascade, architecture=architecture, parts=costs, links=links, groups=groups, levels=tuple(storages),
        occupancy=bits / capacity, overflow_bits=np.maximum(bits - capacity, 0.0), joules=energy, cycles=cycles,
        leak_energy=leak, broken=broken,
    )  # fmt: skip


def groups_of(count: int, links: Sequence[Link]) -> tuple[tuple[int, int], ...]:
    """Return the (first, last) Einsums of every group: links that overlap, and Einsums without any by themselves."""
    groups: list[tuple[int, int]] = []
    for at in range(count):
        reach = [link.last for link in links if link.first == at]
        if groups and at <= groups[-1][1]:
            groups[-1] = (groups[-1][0], max([groups[-1][1], *reach]))
        else:
            groups.append((at, max([at, *reach])))
    return tuple(groups)


def _storages(architecture: Architecture, costs: Sequence[Costs]) -> dict[str, Storage]:
    found: dict[str, Storage] = {}
    for part in costs:
        found |= {one.name: one for one in architecture.spine(part.slots.unit).storages if one.name not in found}
    return found


def _group_cycles(costs: Sequence[Costs], storages: Mapping[str, Storage], how: Latency) -> Array:
    """Return the cycles of a group: its work, the ports of every level, and what nothing hides."""
    busy: dict[str, Array] = {}
    ports = np.zeros((len(storages), len(costs[0])))
    for part in costs:
        inner = np.maximum(part.ideal_cycles, part.transfer_cycles[1:].max(axis=0, initial=0.0))
        lane = part.slots.unit if how.pipelined else ""
        busy[lane] = busy.get(lane, 0.0) + inner
        for level, taken in zip(part.levels, part.transfer_cycles, strict=True):
            ports[list(storages).index(level)] += taken
    work = np.max(list(busy.values()), axis=0)
    exposed = costs[0].first_cycles if how.double_buffered else ports[0]
    hidden = np.maximum(work, ports[1:].max(axis=0, initial=0.0))
    whole: Array = np.maximum(hidden, ports[0] - exposed) + exposed
    return np.where(whole > work, np.ceil(whole * (1.0 - CYCLE_ROUNDING)), work)


def _group_bits(
    cascade: CascadeProblem, parts: Sequence[Mappings], costs: Sequence[Costs], links: Sequence[Link],
    group: tuple[int, int], storages: Mapping[str, Storage], how: Latency,
) -> Array:  # fmt: skip
    """Return the bits that every level holds at the fullest moment of a group, (L, B)."""
    inside = range(group[0], group[1] + 1)
    mine = [link for link in links if group[0] <= link.first <= group[1]]
    shape = (len(storages), len(parts[0]))
    own, stays = ({at: np.zeros(shape) for at in inside} for _ in range(2))
    alive: dict[tuple[str, str], Array] = {}
    places = {name: place for place, name in enumerate(storages)}
    for at in inside:
        outlasts = _outlasts(cascade, parts[at], at, mine)
        kept = {(link.level, link.use.view) for link in mine if link.use.consumer == at}
        kept |= {(link.level, cascade.written(link.use.tensor).name) for link in mine if link.use.producer == at}
        for row, (level, view) in enumerate(costs[at].entries):
            element = next(float(one.bits) for one in cascade.problems[at].tensors if one.name == view)
            storage = storages[level]
            bits = costs[at].tile[row] * storage.element_bits(element) * storage.buffers
            if (level, view) in kept:
                key = (level, cascade.tensors[at][view])
                alive[key] = np.maximum(alive.get(key, 0.0), bits)
            else:
                own[at][places[level]] += bits
                stays[at][places[level]] += np.where(outlasts[row], bits, 0.0)
    if how.pipelined:
        return _at_once(cascade, parts, own, stays, alive, storages)
    everywhere = np.sum(list(stays.values()), axis=0)
    fullest = np.zeros(shape)
    for at in inside:
        held = own[at] + everywhere - stays[at]
        for (level, tensor), bits in alive.items():
            held[places[level]] += bits if at in _life(tensor, mine, inside) else 0.0
        fullest = np.maximum(fullest, held)
    return fullest


def _at_once(
    cascade: CascadeProblem, parts: Sequence[Mappings], own: Mapping[int, Array], stays: Mapping[int, Array],
    alive: Mapping[tuple[str, str], Array], storages: Mapping[str, Storage],
) -> Array:  # fmt: skip
    """Return the bits of a group whose units work at once: Einsums of one unit in turn, units beside each other."""
    units = dict.fromkeys(parts[at].slots.unit for at in own)
    whole = np.zeros_like(next(iter(own.values())))
    for unit in units:
        same = [at for at in own if parts[at].slots.unit == unit]
        everywhere = np.sum([stays[at] for at in same], axis=0)
        whole = whole + np.max([own[at] + everywhere - stays[at] for at in same], axis=0)
    for (level, _), bits in alive.items():
        # one copy is written while the other is read
        whole[list(storages).index(level)] += bits * (2.0 / min(2, storages[level].buffers))
    return whole


def _life(tensor: str, links: Sequence[Link], inside: range) -> range:
    """Return the Einsums during which a tensor is held: all of the group where the next iteration reads it."""
    mine = [link for link in links if link.use.tensor == tensor]
    if any(link.use.consumer <= link.use.producer for link in mine):
        return inside
    return range(min(link.first for link in mine), max(link.last for link in mine) + 1)


def _outlasts(cascade: CascadeProblem, part: Mappings, at: int, links: Sequence[Link]) -> list[NDArray[np.bool_]]:
    """Say for every entry of an Einsum whether its tile outlasts an iteration of the loops that the Einsum shares."""
    problem = cascade.problems[at]
    views = [View(tensor, part.slots.ranks, place) for place, tensor in enumerate(problem.tensors)]
    nest = Nest(part, problem, views)
    cuts = [link.inner for link in links if link.use.consumer == at]
    cuts += [link.outer for link in links if link.use.producer == at]
    cuts += [_depth(part) for link in links if link.first < at < link.last]
    shared = np.max([nest.last_running(cut) for cut in cuts], axis=0) if cuts else np.zeros(nest.count, np.intp)
    found = []
    for view, holdings in zip(views, part.slots.holdings, strict=True):
        for holding in holdings:
            rows = nest.prefix(holding.cut)
            last = last_row(((nest.moved[:rows] & view.bit) != 0) * nest.numbers[:rows], nest.count)
            # a window that slides with the shared loop keeps its overlap
            found.append((last < shared) | ((last == shared) & (shared > 0) & bool(view.slides)))
    return found


def _depth(part: Mappings) -> int:
    """Return the cut of an Einsum in between: all loops outside of its arrays are taken as shared."""
    spatial = [slot for slot, place in enumerate(part.slots.slots) if place.direction != "temporal"]
    return min(spatial, default=len(part.slots.slots))


def _energy(costs: Sequence[Costs], storages: Mapping[str, Storage], cycles: Array) -> tuple[Array, Array]:
    """Return ((3, B) J of the cascade, (L, B) J of leakage): every level leaks for the whole time."""
    whole = np.zeros((3, len(cycles)))
    most = np.zeros((len(storages), len(cycles)))
    places = {name: place for place, name in enumerate(storages)}
    for part in costs:
        accesses = part.entry_energy.sum(axis=0) + part.leak_energy.sum(axis=0)
        whole += np.stack([part.level_low.sum(axis=0), accesses, part.level_high.sum(axis=0)])
        whole += part.network_energy + part.compute_energy
        for level, used in zip(part.levels, part.instances, strict=True):
            whole -= np.outer(ends(storages[level].leak), part.cycles * used)
            most[places[level]] = np.maximum(most[places[level]], used)
    leaks = np.array([ends(one.leak) for one in storages.values()])
    leaked = leaks.T[:, :, None] * (most * cycles)
    return whole + leaked.sum(axis=1), leaked[1]
