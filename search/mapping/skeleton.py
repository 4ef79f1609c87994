"""Which skeletons a mapping search chooses from: where loops may stand, and for every tensor which levels keep it.

All skeletons of a search share one list of slots, so that mappings of different skeletons can be crossed. What differs
is the *holdings* of every tensor, one of a list of options: the sets of levels that keep the tensor (all others are
bypassed), and with uneven tiling the slot at which each of its tiles is cut. The outermost memory always keeps
everything. Levels between two arrays form a *zone*: only there may cuts move, since a tile cannot reach across an
array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement, product
from math import prod

import msgspec

from codesign.costmodels.accelerator import Problem, Slots
from codesign.costmodels.accelerator.mapping import Holding, Slot
from codesign.errors import UsageError
from codesign.targets.spatial import Fanout, Spine, Storage

MOST_OPTIONS = 4096
"""Options of one tensor: more are a mistake, not a search space."""

Option = tuple[Holding, ...]
Keeps = Mapping[str, Sequence[str]]


class Skeletons(msgspec.Struct, frozen=True):
    """All skeletons of a search.

    Attributes:
        unit: Compute unit.
        ranks: Ranks of the problem.
        slots: Places for loops, outermost first.
        options: For every tensor the holdings that it may have; the first keeps it wherever it may be kept.
    """

    unit: str
    ranks: tuple[str, ...]
    slots: tuple[Slot, ...]
    options: tuple[tuple[Option, ...], ...]

    @property
    def temporal(self) -> tuple[int, ...]:
        """Return the indices of the temporal slots."""
        return tuple(index for index, slot in enumerate(self.slots) if slot.direction == "temporal")

    @property
    def spatial(self) -> tuple[int, ...]:
        """Return the indices of the spatial slots."""
        return tuple(index for index, slot in enumerate(self.slots) if slot.direction != "temporal")

    @property
    def count(self) -> int:
        """Return how many skeletons there are."""
        return prod(len(options) for options in self.options)

    def skeleton(self, chosen: Sequence[int]) -> Slots:
        """Return the skeleton in which every tensor has the option of this number."""
        holdings = tuple(options[index] for options, index in zip(self.options, chosen, strict=True))
        return Slots(self.unit, self.ranks, self.slots, holdings)


def make_skeletons(
    problem: Problem, spine: Spine, *, keeps: Keeps | None = None, must: Keeps | None = None, bypass: bool = True,
    uneven: bool = False,
) -> Skeletons:  # fmt: skip
    """Return the skeletons of a search.

    Args:
        problem: What is mapped.
        spine: What it is mapped onto.
        keeps: Level -> the only tensors that it may keep, beside what the accelerator reserves it for.
        must: Level -> the tensors that it has to keep.
        bypass: Whether tensors may pass by levels that could keep them.
        uneven: Whether tiles of different tensors at one level may be cut at different loops.

    Raises:
        UsageError: the outermost memory may not keep a tensor, or there are too many ways to keep one.
    """
    zones = _zones(spine)
    slots: list[Slot] = []
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    for zone in zones:
        if isinstance(zone, Fanout):
            slots += [Slot(zone.name, "x"), Slot(zone.name, "y")]
            continue
        for storage in zone:
            starts[storage.name] = len(slots)
            # two slots a level let the tiles of a level be cut at different loops
            slots += [Slot(storage.name)] * (2 if uneven and storage is not spine.storages[0] else 1)
        ends |= dict.fromkeys((storage.name for storage in zone), len(slots))
    options = []
    for tensor in problem.tensors:
        operand = problem.operand(tensor)
        may = [storage.name for storage in spine.storages if not storage.keeps or operand in storage.keeps]
        may = [name for name in may if tensor.name in (keeps or {}).get(name, (tensor.name,))]
        if not may or may[0] != _home(spine, operand):
            raise UsageError(f"{tensor.name}: the outermost memory keeps no {operand}", "let it keep every tensor")
        held = {level for level, names in (must or {}).items() if tensor.name in names}
        if lacking := held - set(may):
            message = f"{tensor.name}: {sorted(lacking)[0]} has to keep it and may not"
            raise UsageError(message, "let the level keep it, or take the constraint out")
        found = _options(may, starts, ends, bypass=bypass, uneven=uneven)
        options.append(tuple(one for one in found if held <= {holding.level for holding in one}))
        if len(options[-1]) > MOST_OPTIONS:
            message = f"{tensor.name}: {len(options[-1])} ways to keep it, more than {MOST_OPTIONS}"
            raise UsageError(message, "search with fewer levels, or without bypass or uneven tiles")
    return Skeletons(spine.compute.name, tuple(problem.ranks), tuple(slots), tuple(options))


def _zones(spine: Spine) -> list[Fanout | list[Storage]]:
    """Return the arrays, and the runs of memories between them, outermost first."""
    zones: list[Fanout | list[Storage]] = []
    for node in spine.nodes:
        if isinstance(node, Fanout):
            zones.append(node)
        elif zones and isinstance(zones[-1], list):
            zones[-1].append(node)
        else:
            zones.append([node])
    return zones


def _home(spine: Spine, operand: str) -> str:
    """Return the outermost level for an operand: the first level before any array that may keep it."""
    outermost = _zones(spine)[0]
    assert isinstance(outermost, list)
    return next((one.name for one in outermost if not one.keeps or operand in one.keeps), "")


def _options(
    may: Sequence[str], starts: dict[str, int], ends: dict[str, int], *, bypass: bool, uneven: bool
) -> tuple[Option, ...]:
    home, *inner = may
    kept = [tuple(name for name, keep in zip(inner, flags, strict=True) if keep)
            for flags in product((True, False), repeat=len(inner))] if bypass else [tuple(inner)]  # fmt: skip
    found: list[Option] = []
    for names in kept:
        plain = tuple(starts[name] for name in names)
        found.append(_option(home, names, plain))
        if not uneven:
            continue
        by_end: dict[int, list[str]] = {}
        for name in names:
            by_end.setdefault(ends[name], []).append(name)
        # the outermost level stands in front of its zone's first loop, all others may be cut anywhere in their zone
        ways = [
            combinations_with_replacement(range(_zone_start(end, starts, ends, home), end + 1), len(group))
            for end, group in by_end.items()
        ]
        cuts = {tuple(cut for part in way for cut in part) for way in product(*ways)} - {plain}
        found += [_option(home, names, one) for one in sorted(cuts)]
    return tuple(found)


def _zone_start(end: int, starts: dict[str, int], ends: dict[str, int], home: str) -> int:
    first = min(starts[name] for name in starts if ends[name] == end)
    return first + 1 if ends[home] == end else first


def _option(home: str, names: Sequence[str], cuts: Sequence[int]) -> Option:
    return (Holding(home, 0), *(Holding(name, cut) for name, cut in zip(names, cuts, strict=True)))
