"""What an Einsum of a cascade shares with the others: loops around all of them, and tensors that stay on the chip.

Shared loops stand in slots of the outermost level, one each, before its own. An Einsum runs in those down to the first
whose rank it lacks. A tensor that stays at a level has no tile outside of it, and its tile there lies inside the shared
loops down to the first whose rank it lacks: a tile that is complete in every iteration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

import msgspec

from codesign.costmodels.accelerator.mapping import Holding, Slots, make_slots
from codesign.costmodels.accelerator.problem import Problem, relevant
from codesign.errors import UsageError, nearest
from codesign.targets.spatial import Spine


class Fusion(msgspec.Struct, frozen=True):
    """What one Einsum shares.

    Attributes:
        shared: Loops (rank, bound) around all Einsums, outermost first.
        stays: View of the Einsum -> the level where its tensor stays.
        ranks: View -> ranks by which its tile is found, those of the tensor as its producer writes it.
    """

    shared: tuple[tuple[str, int], ...] = ()
    stays: Mapping[str, str] = {}
    ranks: Mapping[str, frozenset[str]] = {}

    @property
    def depth(self) -> int:
        """Return the slots of shared loops."""
        return len(self.shared)

    def slots(
        self, problem: Problem, spine: Spine, keeps: Mapping[str, Sequence[str]] | None = None,
        splits: Mapping[str, int] | None = None, cuts: Mapping[tuple[str, str], int] | None = None,
    ) -> tuple[Slots, list[tuple[int, str, int]]]:  # fmt: skip
        """Return the skeleton of the Einsum, and its shared loops (slot, rank, bound).

        Raises:
            UsageError: as of ``make_slots``; or a tensor that stays at a level that does not keep it.
        """
        root = spine.storages[0].name
        more = dict(splits or {})
        if self.depth:
            if any(level == root for _, level in cuts or {}):
                raise UsageError(f"mapping: outside: {root} has shared loops, all tensors lie inside of them")
            more[root] = self.depth + more.get(root, 1)
        made = make_slots(problem, spine, keeps, more, cuts)
        holdings = tuple(
            self._staying(tensor.name, relevant(tensor), chain) if tensor.name in self.stays else chain
            for tensor, chain in zip(problem.tensors, made.holdings, strict=True)
        )
        own = takewhile(lambda loop: loop[0] in problem.ranks, self.shared)
        loops = [(slot, rank, bound) for slot, (rank, bound) in enumerate(own) if bound > 1]
        return msgspec.structs.replace(made, holdings=holdings), loops

    def _staying(self, view: str, own: frozenset[str], chain: Sequence[Holding]) -> tuple[Holding, ...]:
        level = self.stays[view]
        levels = [holding.level for holding in chain]
        if level not in levels:
            raise UsageError(f"mapping: {view} stays at {level}, which does not keep it", nearest(level, levels))
        ranks = self.ranks.get(view, own)
        cut = len(list(takewhile(lambda loop: loop[0] in ranks, self.shared)))
        return (Holding(level, cut), *chain[levels.index(level) + 1 :])


ALONE = Fusion()
"""An Einsum that shares nothing."""
