"""What mappings cost: arrays over levels, tensors and mappings.

Counts are words per instance over the whole run; energies J; cycles are cycles of the clock. The mapping is the last
axis.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.mapping import Slots
from codesign.costmodels.accelerator.problem import Problem
from codesign.errors import DataError, UsageError, nearest
from codesign.targets.spatial import Architecture

Array = NDArray[np.float64]


ROUNDING = 1e-9
"""Share of a row by which a mean count may exceed a whole row through rounding."""


def whole_rows(words: Array, block: float) -> Array:
    """Return the row accesses that move ``words``, ``block`` of them each: rounded up once for the whole run."""
    rows: Array = np.ceil(words * (1.0 / block) - ROUNDING)
    return rows


class Costs(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Costs of B mappings of one problem on one accelerator.

    Attributes:
        problem: What was mapped.
        architecture: What it was mapped onto.
        slots: Skeleton of the mappings.
        levels: Names of the L memory levels, outermost first.
        entries: The K pairs (level, tensor) that a level keeps, by tensor, outermost first.
        unpriced: Levels and units whose energies are not known; their joules below are 0 and must not be shown.
        tile: (K, B) words of the largest tile.
        reads: (K, B) words read.
        fills: (K, B) words written from the level above.
        updates: (K, B) words accumulated or drained from below.
        entry_energy: (K, B) J of the accesses of all instances.
        instances: (L, B) instances that are used.
        occupancy: (L, B) share of the capacity that tiles take; 0 where the capacity is not limited.
        overflow_words: (L, B) words by which tiles exceed the capacity.
        leak_energy: (L, B) J leaked.
        level_low: (L, B) J of a level, accesses and leakage, low end.
        level_high: (L, B) J of a level, high end.
        network_energy: (3, B) J of the networks: low, value, high.
        compute_energy: (3, B) J of the operations: low, value, high.
        units: (B,) compute units that are used.
        ideal_cycles: (B,) cycles of the array, without limits of bandwidth.
        transfer_cycles: (L, B) cycles that the ports of a level take; 0 where they are not limited.
        first_cycles: (B,) cycles until the first tiles of all inputs are there; 0 where ramp-up is not asked for.
        cycles: (B,) cycles with them.
        limiting: (B,) index of the level whose bandwidth limits most; -1 for none.
        idle: (B,) copies asked of an array beyond those there are; 0 where it fits.
        uncovered: (B,) operations that the loops do not reach; 0 where they cover the problem.
    """

    problem: Problem
    architecture: Architecture
    slots: Slots
    levels: tuple[str, ...]
    entries: tuple[tuple[str, str], ...]
    unpriced: tuple[str, ...]
    tile: Array
    reads: Array
    fills: Array
    updates: Array
    entry_energy: Array
    instances: Array
    occupancy: Array
    overflow_words: Array
    leak_energy: Array
    level_low: Array
    level_high: Array
    network_energy: Array
    compute_energy: Array
    units: Array
    ideal_cycles: Array
    transfer_cycles: Array
    first_cycles: Array
    cycles: Array
    limiting: NDArray[np.int64]
    idle: Array
    uncovered: Array

    def __len__(self) -> int:
        return len(self.cycles)

    def entry(self, level: str, tensor: str) -> int:
        """Return the index of a (level, tensor) pair.

        Raises:
            UsageError: the level does not keep the tensor.
        """
        if (level, tensor) not in self.entries:
            kept = [f"{one} at {home}" for home, one in self.entries]
            raise UsageError(f"{level} keeps no {tensor}", nearest(f"{tensor} at {level}", kept))
        return self.entries.index((level, tensor))

    @property
    def level_energy(self) -> Array:
        """Return (L, B) J of every level, accesses and leakage."""
        found = self.leak_energy.copy()
        for index, (level, _) in enumerate(self.entries):
            found[self.levels.index(level)] += self.entry_energy[index]
        return found

    @property
    def rows(self) -> Array:
        """Return (3, K, B) row accesses of one instance: reads, fills, updates."""
        spine = self.architecture.spine(self.slots.unit)
        storages = {storage.name: storage for storage in spine.storages}
        bits = {tensor.name: float(tensor.bits) for tensor in self.problem.tensors}
        blocks = [storages[level].block(bits[tensor]) for level, tensor in self.entries]
        counts = np.stack([self.reads, self.fills, self.updates])
        return np.stack([whole_rows(counts[:, row], block) for row, block in enumerate(blocks)], axis=1)

    @property
    def energy(self) -> Array:
        """Return (3, B) J of the whole run: low, value, high; all parts at their low or high ends at once.

        Raises:
            DataError: the energy of a part is not known.
        """
        if self.unpriced:
            hint = "add read and write energies, or the operation's: with Timeloop files, an ERT"
            raise DataError(f"{self.architecture.id}: no energy known for {', '.join(self.unpriced)}", hint)
        accesses = self.entry_energy.sum(axis=0) + self.leak_energy.sum(axis=0)
        levels = np.stack([self.level_low.sum(axis=0), accesses, self.level_high.sum(axis=0)])
        whole: Array = levels + self.network_energy + self.compute_energy
        return whole

    @property
    def utilisation(self) -> Array:
        """Return (B,) operations over the operation slots of all compute units."""
        spine = self.architecture.spine(self.slots.unit)
        held = spine.compute.operations[self.problem.operation].cycles
        share: Array = self.problem.operations * held / (self.cycles * spine.compute_instances)
        return share

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Return (B,) whether loops cover the problem, fit the arrays, and tiles fit the memories."""
        fits: NDArray[np.bool_] = (
            (self.overflow_words <= 0.0).all(axis=0) & (self.idle <= 0.0) & (self.uncovered <= 0.0)
        )
        return fits

    @property
    def seconds(self) -> Array | None:
        """Return (B,) latency in s; None where the design has no clock."""
        return None if self.architecture.clock is None else self.cycles / self.architecture.clock.value

    @property
    def footprint_words(self) -> dict[str, int]:
        """Return tensor -> words of the whole tensor: no mapping moves less from the outermost level."""
        return {tensor.name: self.problem.words(tensor) for tensor in self.problem.tensors}
