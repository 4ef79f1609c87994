"""The space of mappings of one problem onto one accelerator.

A point is a row of integers: for every tensor which levels keep it, then for every slot the bound of every rank,
then for every temporal slot the order of its loops. Orders that cost the same are one point (``loop_orders``), so
equal designs are equal rows. All points fit the arrays and the memories. Small spaces number their points; large
ones count as endless.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Mappings, Problem
from codesign.costmodels.accelerator.mapping import loops_of
from codesign.costmodels.accelerator.timeloop.constraints import Limit
from codesign.errors import DataError, LimitCrossed, UsageError
from codesign.search.mapping.genome import Genome, by_skeleton, from_rows, width
from codesign.search.mapping.level_fronts import level_fronts
from codesign.search.mapping.loop_factors import (
    Divisors,
    count_perfect,
    perfect_splits,
    ragged_splits,
    tighten,
)
from codesign.search.mapping.loop_limits import read_limits, splits_of
from codesign.search.mapping.loop_orders import canonical, relevance_of
from codesign.search.mapping.moves import Moves
from codesign.search.mapping.neighbours import neighbours
from codesign.search.mapping.numbering import MOST_LISTED, Numbering, seen
from codesign.search.mapping.skeleton import Keeps, Option, make_skeletons
from codesign.search.mapping.tiles import Tiles
from codesign.search.mapping.written import WrittenProblem, read_written, written_problem
from codesign.search.variation import mix
from codesign.targets.spatial import Architecture, Fanout, load_architecture

Rows = NDArray[np.int64]


class LevelFronts(NamedTuple):
    """Mappings of a pruned enumeration, best first, and whether it left out only what others dominate."""

    rows: Rows
    complete: bool


class MappingSpace:
    """Mappings of a problem onto the way to one compute unit; points are (N, D) int64 rows."""

    kind = "mapping"

    def __init__(
        self,
        problem: Problem,
        architecture: Architecture,
        *,
        unit: str = "",
        keeps: Keeps | None = None,
        must: Keeps | None = None,
        bypass: bool = True,
        uneven: bool = False,
        ragged: bool = False,
        limits: Sequence[Limit] = (),
    ) -> None:
        """Set up the space.

        Args:
            problem: What is mapped.
            architecture: What it is mapped onto.
            unit: Compute unit; the first one where empty.
            keeps: Level -> the only tensors that it may keep; all levels keep what they may where None.
            must: Level -> the tensors that it has to keep.
            bypass: Whether tensors may pass by levels that could keep them.
            uneven: Whether the tiles of a level may be cut at different loops.
            ragged: Whether bounds may multiply to more than the extent, with a short last tile.
            limits: Limits on the loops of levels and arrays, as Timeloop's constraints state them.

        Raises:
            UsageError: a memory that cannot be the outermost, too many ranks, or limits with uneven or ragged tiles.
            DataError: limits that name no level or rank, or that no mapping meets.
            LimitCrossed: even tiles of single elements do not fit the memories.
        """
        self.problem, self.architecture = problem, architecture
        given, held = ({level: list(names) for level, names in (one or {}).items()} for one in (keeps, must))
        self.arguments = {
            "unit": unit, "keeps": given, "must": held, "bypass": bypass, "uneven": uneven, "ragged": ragged,
            "limits": msgspec.to_builtins(tuple(limits)),
        }  # fmt: skip
        if limits and (uneven or ragged):
            message = f"{limits[0].place}: limits on loops do not go with {'uneven' if uneven else 'ragged'} tiles"
            raise UsageError(message, "leave that option out, or take the constraints out of the file")
        spine = architecture.spine(unit)
        self.skeletons = make_skeletons(problem, spine, keeps=keeps, must=must, bypass=bypass, uneven=uneven)
        self.ragged = ragged
        arrays = {node.name: node for node in spine.nodes if isinstance(node, Fanout)}
        self.limits = np.array(
            [
                0 if slot.direction == "temporal" else getattr(arrays[slot.node], slot.direction)
                for slot in self.skeletons.slots
            ],
            dtype=np.int64,
        )
        self.divisors = Divisors([problem.ranks[rank] for rank in self.skeletons.ranks])
        self.tiles = Tiles(problem, spine, self.skeletons)
        self.relevance = relevance_of(problem, self.skeletons.ranks)
        self.sees = [np.array([self._sees(option) for option in options]) for options in self.skeletons.options]
        self.loops = read_limits(limits, problem, spine, self.skeletons, self.limits) if limits else None
        self.moves = Moves(self.skeletons, self.divisors, self.limits, self.tiles, ragged, self.loops)
        # a random linear form of a row, then scattered: unequal rows collide once in 2^64
        self._weights = mix(np.arange(1, self.dimensions + 1, dtype=np.uint64)) | np.uint64(1)
        self._check_smallest()
        self._numbering = self._number()
        self.size = None if self._numbering is None else self._numbering.size

    @property
    def dimensions(self) -> int:
        """Length of a row."""
        return width(self.skeletons)

    def _sees(self, option: Option) -> list[int]:
        """Return for every temporal slot whether a tensor so kept sees the order of its loops.

        It does where one of its tiles is cut further inside, and in front of arrays, whose compute units may latch.
        """
        last_array = max(self.skeletons.spatial, default=-1)
        return [int(slot < last_array or any(one.cut > slot for one in option)) for slot in self.skeletons.temporal]

    def _check_smallest(self) -> None:
        """Refuse a problem of which not even single elements fit, with every skeleton."""
        radix = self.moves.choices
        most = min(int(radix.prod()), 65_536)
        options = np.stack(np.unravel_index(np.arange(most), radix)).astype(np.int64)
        shape = (len(self.skeletons.slots), len(self.skeletons.ranks), most)
        factors = np.ones(shape, dtype=np.int64)
        if self.loops is None:
            factors[0] = self.divisors.extents[:, None]
        else:
            factors[:] = self.loops.outermost(self.divisors.extents, self.limits)[..., None]
        orders = np.zeros((len(self.skeletons.temporal), shape[1], most), dtype=np.int64)
        over = self.tiles.overflow(Genome(options, factors, orders))
        if over.any(axis=0).all():
            level = self.tiles.limited[int(over.sum(axis=1).argmax())]
            if self.loops is not None:
                raise DataError(
                    f"{self.arguments['limits'][0][-1]} and the other constraints: no mapping meets them: their "
                    f"smallest tiles overflow {level.name}",
                    f"enlarge {level.name}, lower factors inside of it, or let tensors bypass it",
                )
            raise LimitCrossed(
                f"{self.problem.name} on {self.architecture.id}: no mapping fits: "
                f"single elements overflow {level.name}",
                f"enlarge {level.name}, narrow the elements, or let tensors bypass it",
            )

    def _number(self) -> Numbering | None:
        slots, extents = len(self.skeletons.slots), self.divisors.extents.tolist()
        listed = self.skeletons.count
        for extent in extents:
            listed *= min(extent**slots if self.ragged else count_perfect(extent, slots), MOST_LISTED + 1)
            if self.ragged and extent**slots > MOST_LISTED:
                return None
        if not self.ragged and listed > MOST_LISTED:
            return None
        make = ragged_splits if self.ragged else perfect_splits
        if self.loops is not None and self.loops.orders:
            return None  # classes of orders are listed freely
        if self.loops is None:
            splits = [make(extent, self.limits.tolist()) for extent in extents]
        else:
            splits = [splits_of(self.loops, rank, extent, self.limits) for rank, extent in enumerate(extents)]
        if self.skeletons.count * int(np.prod([len(one) for one in splits], dtype=np.float64)) > MOST_LISTED:
            return None
        return Numbering(self.skeletons, splits, self.limits, self.tiles, self.relevance, self.sees)

    # --- genomes and rows ---------------------------------------------------------------------------------------

    def genome(self, points: NDArray[Any]) -> Genome:
        """Return the batch that rows describe."""
        return from_rows(points, self.skeletons)

    def canonical(self, genome: Genome) -> Genome:
        """Return the same mappings with the order that stands for each class."""
        temporal, ranks, count = genome.orders.shape
        runs = np.take_along_axis(genome.factors[list(self.skeletons.temporal)], genome.orders, axis=1) > 1
        tensors = np.stack([seen(self.sees, genome.options, place) for place in range(temporal)])
        # all slots in one batch: small batches cost calls, not arithmetic
        flat = genome.orders.transpose(1, 0, 2).reshape(ranks, temporal * count)
        running = runs.transpose(1, 0, 2).reshape(ranks, temporal * count)
        found = canonical(self.relevance, flat, running, tensors.reshape(-1))
        orders = np.ascontiguousarray(found.reshape(ranks, temporal, count).transpose(1, 0, 2))
        if self.loops is not None:
            for place in self.loops.orders:
                orders[place] = self.loops.imposed(place, genome.orders[place], runs[place])
        return Genome(genome.options, genome.factors, orders)

    def rows_of(self, genome: Genome) -> Rows:
        """Return the rows of mappings, orders canonical."""
        return self.canonical(genome).rows()

    def repair(self, points: Rows) -> Rows:
        """Return rows with canonical orders, and ragged bounds tight."""
        genome = self.genome(points)
        if self.ragged:
            genome = Genome(genome.options, tighten(genome.factors, self.divisors.extents), genome.orders)
        return self.rows_of(genome)

    def mappings(self, points: NDArray[Any]) -> list[tuple[NDArray[np.intp], Mappings]]:
        """Return (their places, the mappings) of every skeleton among the rows."""
        return by_skeleton(self.genome(points), self.skeletons)

    # --- numbers ------------------------------------------------------------------------------------------------

    def at(self, numbers: NDArray[np.int64]) -> Rows:
        """Return the points of these numbers (0 .. size-1).

        Raises:
            UsageError: the space is too large to be numbered.
        """
        if self._numbering is None:
            raise UsageError("this space cannot be enumerated: too many mappings", "choose islands, nsga2 or random")
        return self._numbering.at(np.asarray(numbers, np.int64)).rows()

    def enumerate(self, start: int, stop: int) -> Rows:
        """Return points number ``start`` to ``stop`` (excluded)."""
        return self.at(np.arange(start, stop if self.size is None else min(stop, self.size), dtype=np.int64))

    def key(self, points: NDArray[Any]) -> NDArray[np.uint64]:
        """Return a 64-bit hash of each row; all rows that the space gives are canonical."""
        return mix(points.astype(np.uint64) @ self._weights)

    @cached_property
    def fronts(self) -> LevelFronts:
        """Mappings built from the inside out; none for uneven spaces, which begin with even ones, and under limits."""
        if self.arguments["uneven"] or self.loops is not None:
            return LevelFronts(np.zeros((0, self.dimensions), dtype=np.int64), False)
        genome, complete = level_fronts(self)
        rows = self.rows_of(genome)
        _, first = np.unique(self.key(rows), return_index=True)
        return LevelFronts(rows[np.sort(first)], complete)

    @property
    def enumerated(self) -> bool | None:
        """Whether the pruned enumeration that began a search was complete; None where none ran."""
        if self.arguments["uneven"] or self.loops is not None or "fronts" not in self.__dict__:
            return None
        return self.fronts.complete

    def starts(self) -> Rows:
        """Return the mappings of a pruned enumeration, best first."""
        return self.fronts.rows

    # --- variation ----------------------------------------------------------------------------------------------

    def sample(self, generator: np.random.Generator, count: int) -> Rows:
        """Return ``count`` random mappings: every prime in a random slot, what overflows moved outwards."""
        if not count:
            return np.zeros((0, self.dimensions), dtype=np.int64)
        return self.rows_of(self.moves.sample(generator, count))

    def mutate(self, generator: np.random.Generator, points: Rows, rate: float | None = None) -> Rows:
        """Return mappings changed by a step each: a prime moved, two loops swapped, a level bypassed or not."""
        return self.rows_of(self.moves.mutate(generator, self.genome(points), rate)) if len(points) else points

    def crossover(self, generator: np.random.Generator, first: Rows, second: Rows) -> Rows:
        """Return one child a pair: bounds by rank, orders by slot, kept levels by tensor, each of either parent."""
        if not len(first):
            return first
        return self.rows_of(self.moves.crossover(generator, self.genome(first), self.genome(second)))

    def breed(self, generator: np.random.Generator, first: Rows, second: Rows, pairs: NDArray[np.intp]) -> Rows:
        """Return ``first`` mutated, those at ``pairs`` crossed with ``second`` before; repaired once, at the end."""
        genome = self.genome(first).copy()
        if len(pairs):
            mothers, fathers = genome.take(pairs), self.genome(second)
            genome.put(pairs, self.moves.crossover(generator, mothers, fathers, fit=False))
        return self.rows_of(self.moves.mutate(generator, genome))

    def neighbours(self, point: Rows) -> Rows:
        """Return the distinct mappings one step away: every prime moved, every class of orders, every level toggled."""
        point = np.atleast_2d(point)
        around = self.rows_of(neighbours(self, self.genome(point)))
        keys, first = np.unique(self.key(around), return_index=True)
        others: Rows = around[np.sort(first[keys != self.key(point)[0]])]
        return others

    # --- files --------------------------------------------------------------------------------------------------

    def rows(self, points: NDArray[Any]) -> list[dict[str, Any]]:
        """Return each point as level -> its loops, outermost first, and tensor -> the levels that keep it."""
        found: list[dict[str, Any]] = [{} for _ in range(len(points))]
        for places, mappings in self.mappings(points):
            holdings = zip(self.problem.tensors, mappings.slots.holdings, strict=True)
            kept = {tensor.name: ", ".join(one.level for one in chain) for tensor, chain in holdings}
            for index, place in enumerate(places.tolist()):
                loops: dict[str, list[str]] = {name: [] for name in self._columns()}
                for slot, rank, bound in loops_of(mappings, index):
                    loops[self._column(slot)].append(f"{rank}{bound}")
                found[place] = {name: " ".join(parts) or "-" for name, parts in loops.items()} | kept
        return found

    def _column(self, slot: int) -> str:
        one = self.skeletons.slots[slot]
        if one.direction != "temporal":
            return f"{one.node} {one.direction}"
        twins = [index for index, other in enumerate(self.skeletons.slots) if other == one]
        return one.node if len(twins) == 1 else f"{one.node} {twins.index(slot) + 1}"

    def _columns(self) -> list[str]:
        return [self._column(slot) for slot in range(len(self.skeletons.slots)) if self.limits[slot] != 1]

    def describe(self) -> list[dict[str, Any]]:
        """Return what varies, as ``run.json`` lists it."""
        loops = [{"name": name, "kind": "loops", "unit": ""} for name in self._columns()]
        kept = [
            {"name": tensor.name, "kind": "categorical", "unit": "",
             "values": list(dict.fromkeys(", ".join(one.level for one in option) for option in options))}
            for tensor, options in zip(self.problem.tensors, self.skeletons.options, strict=True)
        ]  # fmt: skip
        return loops + kept

    def to_json(self) -> dict[str, Any]:
        """Return what makes the space, as JSON types: problem, accelerator and options."""
        return {
            "kind": self.kind, "problem": written_problem(self.problem), "target": self.architecture.id,
            **self.arguments,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any], architecture: Architecture | None = None) -> MappingSpace:
        """Return the space that ``to_json`` described; ``architecture`` where it is not of the catalogue.

        Raises:
            UsageError: an accelerator that the catalogue does not have.
        """
        problem = read_written(msgspec.convert(data["problem"], WrittenProblem))
        arguments = {name: data[name] for name in ("unit", "keeps", "must", "bypass", "uneven", "ragged")}
        arguments["limits"] = msgspec.convert(data["limits"], tuple[Limit, ...])
        return cls(problem, architecture or load_architecture(data["target"]), **arguments)
