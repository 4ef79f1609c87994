"""Mappings of a problem onto the spine of an accelerator, thousands at a time.

A *skeleton* (``Slots``) is what all mappings of one batch share: an outermost-first list of slots that loops may
stand in, and for every tensor the levels that keep it, each with a *cut*: the first slot that lies inside its tile. A
temporal slot belongs to a memory level, an ``x`` or ``y`` slot to an array. Where all tensors of a level are cut at
the same slot the mapping is even (as in Timeloop); a level with several temporal slots lets tensors be cut at
different ones, which is the general, uneven case. Levels that a tensor bypasses are simply absent from its list.

The *numbers* (``Mappings``) are integer arrays with the mapping as the last axis:

- ``factors`` (slots, ranks, B): loop bound of a rank in a slot.
- ``orders`` (temporal slots, ranks, B): rank index at each position of a temporal slot, outermost first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.problem import Problem
from codesign.errors import UsageError, nearest
from codesign.targets.spatial import Fanout, Spine, Storage

Integers = NDArray[np.int64]
Direction = Literal["temporal", "x", "y"]


class Slot(msgspec.Struct, frozen=True):
    """A place for loops: of the level or array ``node``, in time or along a direction of an array."""

    node: str
    direction: Direction = "temporal"


class Holding(msgspec.Struct, frozen=True):
    """A level that keeps a tensor, and the first slot inside its tile there."""

    level: str
    cut: int


class Slots(msgspec.Struct, frozen=True):
    """The skeleton of a batch of mappings.

    Attributes:
        unit: Compute unit that the problem runs on.
        ranks: Rank names, in the order of the arrays.
        slots: Places for loops, outermost first.
        holdings: For every tensor of the problem (inputs, then output) the levels that keep it, outermost first.
    """

    unit: str
    ranks: tuple[str, ...]
    slots: tuple[Slot, ...]
    holdings: tuple[tuple[Holding, ...], ...]

    @property
    def temporal(self) -> tuple[int, ...]:
        """Return the indices of the temporal slots."""
        return tuple(index for index, slot in enumerate(self.slots) if slot.direction == "temporal")

    def find(self, node: str, direction: Direction = "temporal") -> int:
        """Return the index of the first slot of ``node`` in a direction.

        Raises:
            UsageError: there is none.
        """
        for index, slot in enumerate(self.slots):
            if slot.node == node and slot.direction == direction:
                return index
        names = sorted({slot.node for slot in self.slots})
        raise UsageError(f"mapping: no {direction} loops at {node!r}", nearest(node, names))


class Mappings(msgspec.Struct, frozen=True, eq=False):
    """A batch of mappings of one skeleton: shapes as in the module's description."""

    slots: Slots
    factors: Integers
    orders: Integers

    def __len__(self) -> int:
        return int(self.factors.shape[-1])

    def take(self, index: Any) -> Mappings:
        """Return the mappings that ``index`` selects."""
        chosen = np.atleast_1d(np.arange(len(self))[index])
        return Mappings(self.slots, self.factors[..., chosen], self.orders[..., chosen])


def make_slots(
    problem: Problem,
    spine: Spine,
    keeps: Mapping[str, Sequence[str]] | None = None,
    splits: Mapping[str, int] | None = None,
    cuts: Mapping[tuple[str, str], int] | None = None,
) -> Slots:
    """Return a skeleton.

    Args:
        problem: What is mapped.
        spine: What it is mapped onto.
        keeps: Level -> names of the tensors that it keeps; a level left out keeps what it may.
        splits: Level -> temporal slots that it has; 1 where left out.
        cuts: (tensor, level) -> temporal slots of the level that lie outside of the tensor's tile; 0 where left out.

    Raises:
        UsageError: unknown levels or tensors, a tensor that no level keeps or that a level must not keep, and cuts
            that cross an array or another level of the same tensor.
    """
    keeps, splits, cuts = keeps or {}, splits or {}, cuts or {}
    levels = [storage.name for storage in spine.storages]
    for level in (*keeps, *splits, *(level for _, level in cuts)):
        if level not in levels:
            raise UsageError(f"mapping: no level {level!r}", nearest(level, levels))
    slots: list[Slot] = []
    starts: dict[str, int] = {}
    for node in spine.nodes:
        starts[node.name] = len(slots)
        if isinstance(node, Fanout):
            slots += [Slot(node.name, "x"), Slot(node.name, "y")]
        else:
            slots += [Slot(node.name)] * splits.get(node.name, 1)
    holdings = tuple(_holdings(problem, spine, tensor.name, keeps, starts, cuts, slots) for tensor in problem.tensors)
    return Slots(spine.compute.name, tuple(problem.ranks), tuple(slots), holdings)


def _holdings(
    problem: Problem, spine: Spine, tensor: str, keeps: Mapping[str, Sequence[str]], starts: Mapping[str, int],
    cuts: Mapping[tuple[str, str], int], slots: Sequence[Slot],
) -> tuple[Holding, ...]:  # fmt: skip
    names = [one.name for one in problem.tensors]
    operand = next(problem.operand(one) for one in problem.tensors if one.name == tensor)
    found: list[Holding] = []
    for storage in spine.storages:
        for name in keeps.get(storage.name, ()):
            if name not in names:
                raise UsageError(f"mapping: {storage.name} keeps unknown tensor {name!r}", nearest(name, names))
        may = not storage.keeps or operand in storage.keeps
        if tensor not in keeps.get(storage.name, (tensor,) if may else ()):
            continue
        if not may:
            raise UsageError(
                f"mapping: {storage.name} keeps {tensor}, an {operand}; it holds {', '.join(storage.keeps)} only",
                f"let {tensor} bypass {storage.name}",
            )
        cut = starts[storage.name] + cuts.get((tensor, storage.name), 0)
        between = slots[starts[storage.name] : cut]
        if cut > len(slots) or any(slot.direction != "temporal" for slot in between):
            raise UsageError(f"mapping: the cut of {tensor} at {storage.name} lies inside an array")
        if found and cut < found[-1].cut:
            raise UsageError(f"mapping: the tile of {tensor} at {storage.name} is larger than at {found[-1].level}")
        found.append(Holding(storage.name, cut))
    if not found:
        raise UsageError(f"mapping: no level keeps {tensor}", f"the outermost level is {spine.storages[0].name}")
    return tuple(found)


def stack(mappings: Sequence[Mappings]) -> Mappings:
    """Return mappings of one skeleton as one batch.

    Raises:
        UsageError: their skeletons differ.
    """
    first = mappings[0]
    if any(one.slots != first.slots for one in mappings):
        raise UsageError("mappings of different skeletons cannot be one batch", "price each skeleton by itself")
    return Mappings(
        first.slots,
        np.concatenate([one.factors for one in mappings], axis=-1),
        np.concatenate([one.orders for one in mappings], axis=-1),
    )


def one_mapping(slots: Slots, loops: Sequence[tuple[int, str, int]]) -> Mappings:
    """Return one mapping from its loops (slot, rank, bound), outermost first within a slot.

    Raises:
        UsageError: an unknown rank, a bound below 1, or a rank twice in one slot.
    """
    factors = np.ones((len(slots.slots), len(slots.ranks), 1), dtype=np.int64)
    given: dict[int, list[int]] = {slot: [] for slot in slots.temporal}
    seen: set[tuple[int, str]] = set()
    for slot, rank, bound in loops:
        if rank not in slots.ranks:
            raise UsageError(f"mapping: {slots.slots[slot].node}: unknown rank {rank!r}", nearest(rank, slots.ranks))
        if bound < 1:
            raise UsageError(f"mapping: {slots.slots[slot].node}: bound {bound} of {rank}, expected 1 or more")
        if (slot, rank) in seen:
            raise UsageError(f"mapping: {slots.slots[slot].node}: rank {rank} twice")
        seen.add((slot, rank))
        index = slots.ranks.index(rank)
        factors[slot, index, 0] = bound
        if slot in given:
            given[slot].append(index)
    count = range(len(slots.ranks))
    orders = [[*(r for r in count if r not in given[slot]), *given[slot]] for slot in slots.temporal]
    return Mappings(slots, factors, np.asarray(orders, dtype=np.int64).reshape(len(orders), len(slots.ranks), 1))


def loops_of(mappings: Mappings, index: int = 0) -> list[tuple[int, str, int]]:
    """Return the loops (slot, rank, bound) of one mapping with a bound above 1, outermost first."""
    slots, found = mappings.slots, []
    places = {slot: position for position, slot in enumerate(slots.temporal)}
    for slot in range(len(slots.slots)):
        if slot in places:
            order = [int(rank) for rank in mappings.orders[places[slot], :, index]]
        else:
            order = list(range(len(slots.ranks)))
        bounds = mappings.factors[slot, :, index]
        found += [(slot, slots.ranks[rank], int(bounds[rank])) for rank in order if bounds[rank] > 1]
    return found


def level_of(spine: Spine, name: str) -> Storage:
    """Return the memory level ``name``."""
    return next(storage for storage in spine.storages if storage.name == name)
