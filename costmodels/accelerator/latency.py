"""Cycles of a mapping: steps of the array, its fill and drain, and how transfers join them.

Work on the array, by ``mode``:

``ideal``
    one step a cycle.
``systolic``
    operands enter skewed by one cycle a row and a column (SCALE-Sim [1]_, section III). The tensor of which every
    element of the array holds its own part is stationary. Each time that it changes, a *fold* ends: fill and drain
    take ``2 R + C - 2`` cycles beside the steps of the fold. Folds are the iterations of all loops down to the
    innermost one that moves the stationary tensor. Of several such tensors the one that stays longest counts, of equal
    ones the output; where there is none, each step is a fold.
``scalesim-compat``
    as SCALE-Sim 3.0.0 prints it: ``R + C - 2`` with stationary outputs, and one cycle less for each product.

Transfers hide behind work, or work behind transfers: the latency is the longest of all. Flags: ``single-buffered``
adds the transfers of the outermost memory instead; ``ramp-up`` adds the time of the first tiles, which nothing hides;
``pipelined`` lets compute units of a cascade work at once. Cycles are cycles of the clock.

.. [1] Samajdar et al., A systematic methodology for characterizing scalability of DNN accelerators using SCALE-Sim,
   ISPASS 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.costs import Array
from codesign.costmodels.accelerator.mapping import Slots
from codesign.costmodels.accelerator.nest import Nest, View, last_row, product
from codesign.errors import UsageError, nearest
from codesign.targets.spatial import Spine, Storage

MODES = ("ideal", "systolic", "scalesim-compat")
FLAGS = ("pipelined", "single-buffered", "ramp-up")

CYCLE_ROUNDING = 1e-15
"""Relative error of a quotient of counts: cycles are rounded up beyond it only."""


class Latency(msgspec.Struct, frozen=True):
    """How cycles are counted; fields as of the module's description."""

    mode: str = "ideal"
    pipelined: bool = False
    double_buffered: bool = True
    ramp_up: bool = False


IDEAL = Latency()
"""One step a cycle, transfers hidden."""


def parse_latency(text: str) -> Latency:
    """Return what a line such as ``systolic,ramp-up`` says: a mode, flags, or both.

    Raises:
        UsageError: an unknown word, or two modes.
    """
    words = [word.strip() for word in text.split(",")]
    known = (*MODES, *FLAGS)
    for word in words:
        if word not in known:
            hint = f"{nearest(word, known)}; all: {', '.join(known)}"
            raise UsageError(f"latency {text[:60]!r}: unknown {word[:40]!r}", hint)
    modes = [word for word in words if word in MODES]
    if len(modes) > 1:
        raise UsageError(f"latency {text[:60]!r}: found {len(modes)} modes, expected one of {', '.join(MODES)}")
    return Latency(
        modes[0] if modes else MODES[0], "pipelined" in words, "single-buffered" not in words, "ramp-up" in words
    )


def single(text: str) -> Latency:
    """Return the latency of one Einsum.

    Raises:
        UsageError: as of ``parse_latency``; or pipelined, which takes a cascade.
    """
    found = parse_latency(text)
    if found.pipelined:
        raise UsageError(f"latency {text!r}: one Einsum has nothing to overlap with", "pipelined is for cascades")
    return found


class Grid(NamedTuple):
    """The two-dimensional array of a spine: its sides, and the slots of loops that spread over them."""

    rows: int
    columns: int
    slots: tuple[int, ...]


def grid_of(spine: Spine, slots: Slots) -> Grid:
    """Return the innermost array: its rows are the innermost ``y``, its columns the innermost ``x``, above 1."""
    sides = {"y": 1, "x": 1}
    found: dict[str, int] = {}
    fanouts = {node.name: node for node in spine.nodes if not isinstance(node, Storage)}
    for index, slot in enumerate(slots.slots):
        if slot.direction != "temporal" and (side := getattr(fanouts[slot.node], slot.direction)) > 1:
            sides[slot.direction], found[slot.direction] = side, index
    return Grid(sides["y"], sides["x"], tuple(found.values()))


def array_cycles(latency: Latency, nest: Nest, views: Sequence[View], grid: Grid, step: float) -> Array:
    """Return the cycles of the array, (B,); ``step`` cycles an operation. The last of ``views`` is the output."""
    steps: Array = nest.steps[-1] * step
    if latency.mode == "ideal":
        return steps
    folds, outputs_stay = nest.steps[-1], np.zeros(nest.count, dtype=np.bool_)
    for view in views:
        moved = ((nest.moved & view.bit) != 0) * nest.numbers
        changes = nest.steps[last_row(moved, nest.count), nest.columns]
        # not shared between elements: every loop over the array moves the tensor
        others = [rank for rank in range(nest.rank_count) if rank not in view.ranks]
        own = product([nest.bounds[slot, rank] for slot in grid.slots for rank in others], nest.count) == 1.0
        longer = own & (changes <= folds)
        folds, outputs_stay = np.where(longer, changes, folds), np.where(longer, view is views[-1], outputs_stay)
    compat = latency.mode == "scalesim-compat"
    skew = np.where(outputs_stay & compat, 1.0, 2.0) * grid.rows + grid.columns - 2.0
    cycles: Array = steps + folds * skew - (_products(nest, views) if compat else 0.0)
    return cycles


def _products(nest: Nest, views: Sequence[View]) -> Array:
    """Return the independent products that run one after the other: over ranks that move every tensor."""
    common = set(range(nest.rank_count)).intersection(*(view.ranks for view in views))
    return product([nest.bounds[slot, rank] for slot in nest.slots.temporal for rank in sorted(common)], nest.count)


def port_cycles(storage: Storage, reads: Array, writes: Array) -> Array:
    """Return the cycles that the ports of a level take for words of ``reference_bits``, (B,); 0 where not limited."""
    limits = (storage.read_bandwidth, storage.write_bandwidth, storage.shared_bandwidth)
    needs = (reads, writes, reads + writes)
    taken = [need / limit for limit, need in zip(limits, needs, strict=True) if limit is not None]
    longest: Array = np.max(taken, axis=0) if taken else np.zeros_like(reads)
    return longest


def joined(latency: Latency, work: Array, transfers: Array, first: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return (cycles, index of the level that limits most; -1 for none), each (B,).

    Args:
        latency: How they join.
        work: (B,) cycles of the array.
        transfers: (L, B) cycles of the ports of every level, outermost first.
        first: (B,) cycles of the outermost ports until all first tiles are there; part of their transfers.
    """
    exposed = transfers[0] if not latency.double_buffered else first
    longest, place = work, np.full(len(work), -1)
    for level, taken in enumerate(transfers):
        if not taken.any():
            continue  # its ports are not limited
        hidden = taken if level else taken - exposed
        waits = hidden > longest
        longest, place = np.where(waits, hidden, longest), np.where(waits, level, place)
    if exposed.any():
        place = np.where((place < 0) & (exposed > 0.0), 0, place)
    whole = longest + exposed
    return np.where(place >= 0, np.ceil(whole * (1.0 - CYCLE_ROUNDING)), work), place
