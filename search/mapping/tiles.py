"""Which mappings fit the memories: sizes of tiles from loop bounds alone, whatever the order of loops.

Tiles are those of the cost model: bounding boxes over the loops inside a cut, no rank beyond its extent. Sizes are
bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.nest import View
from codesign.search.mapping.genome import Genome, Integers, Mask
from codesign.search.mapping.skeleton import Option, Skeletons
from codesign.targets.spatial import Spine

Array = NDArray[np.float64]

NOWHERE = np.iinfo(np.int64).max
"""The cut of a tensor that a level passes by."""


class Tiles:
    """The memories of limited capacity, and what every option of every tensor puts there."""

    def __init__(self, problem: Problem, spine: Spine, skeletons: Skeletons) -> None:
        self.views = [View(tensor, skeletons.ranks, place) for place, tensor in enumerate(problem.tensors)]
        self.extents = np.array([float(problem.ranks[rank]) for rank in skeletons.ranks])[:, None]
        self.limited = [storage for storage in spine.storages if storage.capacity_bits is not None]
        self.capacities = np.array([(storage.capacity_bits or 0.0) / storage.buffers for storage in self.limited])
        self.bits = [
            [storage.element_bits(float(tensor.bits)) for tensor in problem.tensors] for storage in self.limited
        ]
        self.cuts = [
            [np.array([_cut(option, storage.name) for option in options]) for options in skeletons.options]
            for storage in self.limited
        ]
        self.distinct = [[[cut for cut in np.unique(table).tolist() if cut >= 0] for table in one] for one in self.cuts]
        self.always = [[bool((table == table[0]).all()) for table in one] for one in self.cuts]

    def taken(self, genome: Genome) -> Array:
        """Return (limited memories, B) bits that the tiles take."""
        factors = genome.factors
        inside = np.ones((factors.shape[0] + 1, *factors.shape[1:]))
        for slot in reversed(range(factors.shape[0])):
            np.multiply(inside[slot + 1], factors[slot], out=inside[slot])
        np.minimum(inside, self.extents, out=inside)
        sizes: dict[tuple[int, int], Array] = {}
        taken = np.zeros((len(self.limited), genome.size))
        for place, (bits, tables) in enumerate(zip(self.bits, self.cuts, strict=True)):
            for tensor, table in enumerate(tables):
                cuts = table[genome.options[tensor]]
                for cut in self.distinct[place][tensor]:
                    if (tensor, cut) not in sizes:
                        sizes[tensor, cut] = self.views[tensor].footprint(inside[cut])
                    size = sizes[tensor, cut] * bits[tensor]
                    taken[place] += size if self.always[place][tensor] else size * (cuts == cut)
        return taken

    def overflow(self, genome: Genome) -> Mask:
        """Return (limited memories, B) whether the tiles exceed the capacity."""
        over: Mask = self.taken(genome) > self.capacities[:, None]
        return over

    def first_cuts(self, genome: Genome) -> Integers:
        """Return (limited memories, B) the outermost cut of the tiles there; a huge number where it keeps nothing."""
        cuts = [
            np.min(
                [np.where(table < 0, NOWHERE, table)[genome.options[tensor]] for tensor, table in enumerate(one)],
                axis=0,
            )
            for one in self.cuts
        ]
        return np.stack(cuts)


def _cut(option: Option, level: str) -> int:
    return next((holding.cut for holding in option if holding.level == level), -1)
