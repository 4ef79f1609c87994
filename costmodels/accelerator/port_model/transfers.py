"""What moves through the memories of a sequence of loops: how much, how often, in how long a window.

A tile of a tensor stays for a *period*: the iterations inside of its cut. Each period its memory takes it in from
outside, and feeds the tiles inside of it; outputs go the other way, and come back in while partial sums are left to
add. A transfer may use the whole period where the memory has room for two tiles; else only the last part of it, after
the outermost loops that leave the tile in place have finished with it: its *window*.

Terms of Mei et al., "A uniform latency model for DNN accelerators with diverse architectures and dataflows", DATE 2022,
section III: period, updating window, required and real bandwidth of every data transfer link.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator.port_model.allocation import Cuts
from codesign.costmodels.accelerator.port_model.machine import Move, PortedMachine
from codesign.costmodels.accelerator.port_model.nest import (
    ROUNDING,
    Array,
    Integers,
    Mask,
    Orders,
    Spread,
    View,
)
from codesign.costmodels.accelerator.problem import Problem


class Transfer(NamedTuple):
    """One kind of move at one memory of one operand; arrays are (B,).

    Attributes:
        operand: The operand.
        memory: Number of the memory in the operand's chain, innermost 0.
        move: The move.
        words: Elements a period.
        bits: Bits of an element.
        period: Cycles between two transfers.
        times: Periods of the whole run; 0 where nothing moves.
        window: Cycles of a period in which the transfer may run.
        first: Elements of a transfer that the first step needs.
    """

    operand: str
    memory: int
    move: Move
    words: Array
    bits: Array
    period: Array
    times: Array
    window: Array
    first: float


class Chain:
    """The memories of one operand in a batch of mappings.

    Attributes:
        cuts: For every memory (B,) loops inside, moved outwards over loops that leave the tile in place.
        words: For the units and every memory, (B,) elements of a tile of one instance.
        fan: For every memory, how many different streams it feeds.
        copies: For every memory, instances that are used, a whole number.
        bits: For the units and every memory, (B,) bits of an element.
        partial: For the units and every memory, (B,) whether its elements are partial sums.
    """

    def __init__(
        self, problem: Problem, machine: PortedMachine, spread: Spread, orders: Orders, view: View,
        cuts: list[Integers], final_bits: int, *, whole: bool,
    ) -> None:  # fmt: skip
        self.operand, self.view, self.orders = problem.operand(view.tensor), view, orders
        self.output = view.tensor is problem.output
        stages = spread.stages(machine.chain(self.operand), whole)
        columns = orders.columns
        self.cuts = [view.outwards[cut, columns] for cut in cuts]
        counts = [float(np.prod(list(stage.values()))) for stage in stages]
        self.copies = [float(round(np.prod(counts[place + 1 :]))) for place in range(len(cuts))]
        below: dict[str, float] = {}
        self.words: list[Array] = [np.ones(orders.count)]
        unique = [1.0]
        for stage, cut in zip(stages, self.cuts, strict=False):
            for rank, count in stage.items():
                below[rank] = below.get(rank, 1.0) * count
            self.words.append(np.round(view.words(cut, below)))
            unique.append(view.unique(below))
        self.fan = [float(round(outer / inner)) for inner, outer in pairwise(unique)]
        self.first = [float(np.prod(self.fan[: place + 1])) for place in range(len(cuts))]
        self.partial = self._partial(stages)
        full = float(view.tensor.bits)
        last = float(final_bits) if self.output else full
        self.bits = [np.where(partial, full, last) for partial in self.partial]

    def _partial(self, stages: list[dict[str, float]]) -> list[Mask]:
        """Return for the units and every memory whether loops or copies outside of it still add to its elements."""
        found = []
        for place, cut in enumerate([np.zeros(self.orders.count, np.int64), *self.cuts]):
            if not self.output:
                found.append(np.zeros(self.orders.count, dtype=np.bool_))
                continue
            added = any(
                rank not in self.view.ranks and count > 1
                for stage in stages[place + 1 :]
                for rank, count in stage.items()
            )
            inner = self.view.outwards[cut, self.orders.columns] if place else cut
            found.append((self.view.last_still > inner) | added)
        return found

    def periods(self) -> list[Array]:
        """Return for the units and every memory the cycles that a tile stays."""
        still = self.view.outwards[0]
        first = np.ones(self.orders.count) if self.output else self.orders.at(self.orders.cycles, still)
        return [first, *(self.orders.at(self.orders.cycles, cut) for cut in self.cuts)]

    def reuse(self, inwards: Integers) -> list[Array]:
        """Return for the units and every memory the iterations of its outermost loops, as far as ``inwards`` goes."""
        cycles = self.orders.cycles
        found = [np.ones(self.orders.count)]
        for place, cut in enumerate(self.cuts):
            inner = self.cuts[place - 1] if place else np.zeros(self.orders.count, np.int64)
            start = np.maximum(inwards[cut, self.orders.columns], inner)
            found.append(self.orders.at(cycles, cut) / self.orders.at(cycles, np.minimum(start, cut)))
        return found

    def transfers(self, doubled: list[Mask]) -> list[Transfer]:
        """Return all moves; ``doubled`` says for the units and every memory whether it has room for two tiles."""
        periods, held = self.periods(), self.reuse(self.view.still)
        total = self.orders.cycles[-1]
        windows = [
            np.where(double, period, np.ceil(np.floor(period / stays + ROUNDING)))
            for double, period, stays in zip(doubled, periods, held, strict=True)
        ]
        found: list[Transfer] = []

        def add(move: Move, memory: int, place: int, words: Array, runs: Mask) -> None:
            times = np.where(runs, np.floor(total / periods[place] + ROUNDING), 0.0)
            found.append(
                Transfer(self.operand, memory, move, words, self.bits[place], periods[place], times, windows[place],
                         self.first[memory])
            )  # fmt: skip

        always, last = np.ones(self.orders.count, dtype=np.bool_), len(self.cuts) - 1
        for memory in range(len(self.cuts)):
            inner, outer = self.words[memory] * self.fan[memory], self.words[memory + 1]
            beyond = always & (memory < last)
            if self.output:
                add("from_inside", memory, memory, inner, always)
                add("to_inside", memory, memory, inner, self.partial[memory])
                add("to_outside", memory, memory + 1, outer, beyond)
                add("from_outside", memory, memory + 1, outer, beyond & self.partial[memory + 1])
            else:
                add("to_inside", memory, memory, inner, always)
                add("from_outside", memory, memory + 1, outer, beyond)
        return found


def chains(
    problem: Problem, machine: PortedMachine, spread: Spread, orders: Orders, cuts: Cuts, final_bits: int,
    *, whole: bool,
) -> dict[str, Chain]:  # fmt: skip
    """Return the chain of every operand of a problem, the output first."""
    tensors = (problem.output, *problem.inputs)
    return {
        problem.operand(tensor): Chain(
            problem, machine, spread, orders, View(problem, tensor, orders), cuts[problem.operand(tensor)], final_bits,
            whole=whole,
        )
        for tensor in tensors
    }  # fmt: skip
