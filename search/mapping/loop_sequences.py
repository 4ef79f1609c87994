"""Uneven mappings by enumeration: every order of the loops, cut where the memories are full.

A machine with ports (``costmodels.accelerator.port_model``) is mapped by one sequence of loops. Given what stands on
the array, the iterations that are left are split into primes; the smallest are multiplied together until no more than
``limit`` loops are left (never fewer than there are ranks), and all distinct orders of these are priced, thousands at
once. Cuts follow from the order [1]_.

References:
    [1] Symons, Mei, Verhelst, "LOMA: fast auto-scheduling on DNN accelerators through loop-order-based memory
        allocation", AICAS 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import factorial, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.draw import primes
from codesign.costmodels.accelerator.port_model import Orders, PortedMachine, Spread, allocate, port_costs
from codesign.costmodels.accelerator.port_model.loading import Head
from codesign.errors import LimitCrossed, UsageError

Integers = NDArray[np.int64]
Loop = tuple[str, int]

LIMIT = 6
"""Loops whose orders are enumerated, where none is asked for: 720 orders at most."""

MOST_ORDERS = 50_000
"""Orders of one problem that are enumerated at most."""

CHUNK = 2048

OBJECTIVES = ("energy", "latency", "edp")


class LoopSequence(NamedTuple):
    """The best mapping of a problem.

    Attributes:
        loops: (Rank, iterations), innermost first.
        cuts: Operand -> loops inside of each of its memories, innermost memory first.
        energy: J.
        cycles: Cycles.
        ideal: Cycles of the nest alone.
        orders: Orders that were priced.
    """

    loops: tuple[Loop, ...]
    cuts: Mapping[str, tuple[int, ...]]
    energy: float
    cycles: float
    ideal: float
    orders: int


def split(steps: Mapping[str, int], limit: int) -> list[Loop]:
    """Return the loops of every rank: its primes, the smallest multiplied together until ``limit`` loops are left."""
    loops = {rank: sorted(primes(count)) for rank, count in steps.items() if count > 1}
    while sum(map(len, loops.values())) > limit:
        longest = max(loops, key=lambda rank: len(loops[rank]))
        if len(loops[longest]) == 1:
            break
        first, second, *rest = loops[longest]
        loops[longest] = sorted([first * second, *rest])
    return [(rank, bound) for rank, bounds in loops.items() for bound in bounds]


def distinct_orders(loops: Sequence[Loop]) -> tuple[Integers, list[Loop]]:
    """Return (N, B) every distinct order of ``loops`` as numbers of the kinds of loop, and the kinds."""
    kinds = sorted(set(loops))
    left = np.array([[loops.count(kind)] for kind in kinds], dtype=np.int64).reshape(len(kinds), 1)
    orders = np.zeros((0, 1), dtype=np.int64)
    for _ in range(len(loops)):
        kind, before = np.nonzero(left > 0)
        left = left[:, before]
        left[kind, np.arange(len(kind))] -= 1
        orders = np.concatenate([orders[:, before], kind[None, :]])
    return orders, kinds


def count_orders(loops: Sequence[Loop]) -> int:
    """Return how many distinct orders there are."""
    return factorial(len(loops)) // prod(factorial(loops.count(kind)) for kind in set(loops))


def best_sequence(
    problem: Problem, machine: PortedMachine, spread: Mapping[str, Mapping[str, int]], *, final_bits: int | None = None,
    objective: str = "latency", limit: int = LIMIT, order: Sequence[tuple[str, int | None]] = (), head: Head = "step",
) -> LoopSequence:  # fmt: skip
    """Return the best mapping over all orders of the loops; of equals the one of least energy, or of fewest cycles.

    Args:
        problem: What is mapped.
        machine: What it is mapped onto.
        spread: Dimension of the array -> rank -> copies.
        final_bits: Bits of an output element without partial sums; those of the output where None.
        objective: energy, latency or edp.
        limit: Loops whose orders are enumerated.
        order: The order, innermost first, where it is given: (rank, iterations, or None for all that is left).
        head: What the first step waits for (``port_model.loading``).

    Raises:
        UsageError: an unknown objective, more orders than are enumerated, or an order that does not cover the loops.
        LimitCrossed: no order fits the memories.
    """
    if objective not in OBJECTIVES:
        raise UsageError(f"unknown objective {objective!r}", ", ".join(OBJECTIVES))
    put = Spread(problem, machine, spread)
    loops = given_order(put.steps, order) if order else split(put.steps, limit)
    if not order and count_orders(loops) > MOST_ORDERS:
        raise UsageError(
            f"{count_orders(loops):,} orders of {len(loops)} loops", f"at most {MOST_ORDERS:,}: lower limit"
        )
    numbers, kinds = (np.arange(len(loops))[:, None], list(loops)) if order else distinct_orders(loops)
    names, final = tuple(problem.ranks), problem.output.bits if final_bits is None else final_bits
    ranks = np.array([names.index(rank) for rank, _ in kinds], dtype=np.int64)
    bounds = np.array([bound for _, bound in kinds], dtype=np.int64)
    found: list[LoopSequence] = []
    for start in range(0, numbers.shape[1], CHUNK):
        part = numbers[:, start : start + CHUNK]
        orders = Orders(names, ranks[part], bounds[part])
        cuts, fits = allocate(problem, machine, put, orders, int(final))
        if not fits.any():
            continue
        costs = port_costs(problem, machine, put, orders, cuts, int(final), head)
        keys = _keys(objective, costs.energy, costs.cycles)
        at = int(np.lexsort((*reversed(keys), ~fits))[0])
        found.append(
            LoopSequence(
                tuple(kinds[one] for one in part[:, at].tolist()),
                {operand: tuple(int(cut[at]) for cut in chain) for operand, chain in cuts.items()},
                float(costs.energy[at]), float(costs.cycles[at]), float(costs.ideal[at]), numbers.shape[1],
            )
        )  # fmt: skip
    if not found:
        raise LimitCrossed(f"{problem.name} on {machine.name}: no order of its loops fits the memories", "enlarge them")
    return min(found, key=lambda one: tuple(float(key) for key in _keys(objective, one.energy, one.cycles)))


def _keys(objective: str, energy: Any, cycles: Any) -> tuple[Any, ...]:
    """Return what is least first, then what decides between equals."""
    return {"energy": (energy, cycles), "latency": (cycles, energy), "edp": (energy * cycles, energy)}[objective]


def given_order(steps: Mapping[str, int], order: Sequence[tuple[str, int | None]]) -> list[Loop]:
    """Return a given order of loops with their iterations; ranks that take no time are left out.

    Raises:
        UsageError: the loops of a rank do not multiply to its iterations.
    """
    left = {rank: count for rank, count in steps.items() if count > 1}
    loops: list[Loop] = []
    for rank, count in order:
        if rank not in left:
            continue
        taken = left[rank] if count is None else count
        if taken < 1 or left[rank] % taken:
            raise UsageError(
                f"order: {rank} {taken}: {left[rank]} iterations are left", "loops multiply to all of them"
            )
        left[rank] //= taken
        loops += [(rank, taken)] if taken > 1 else []
    if missing := {rank: count for rank, count in left.items() if count > 1}:
        rank, count = next(iter(missing.items()))
        raise UsageError(f"order: {count} iterations of {rank} are left", "loops multiply to all of them")
    return loops
