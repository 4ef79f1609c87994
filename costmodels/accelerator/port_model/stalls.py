"""Stalls: cycles by which shared ports delay the computation.

A transfer that needs more cycles of its port than its window has stalls the computation by the difference, every period
but the first. Where several transfers share a port, those that are late add up; those with slack may give it up, as far
as their windows overlap in time: the port needs all of its work done within the union of the windows. All ports work at
the same time, so the slowest one counts.

Mei et al., "A uniform latency model for DNN accelerators with diverse architectures and dataflows", DATE 2022, section
III, steps 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codesign.costmodels.accelerator.port_model.machine import PortedMachine, PortedMemory
from codesign.costmodels.accelerator.port_model.nest import Array, Mask
from codesign.costmodels.accelerator.port_model.transfers import Chain, Transfer

Flags = dict[str, list[Mask]]
"""Operand -> for the units and each of its memories, (B,) whether there is room for two tiles."""

HALF = 0.5


def doubled(machine: PortedMachine, chains: dict[str, Chain]) -> Flags:
    """Return where a memory has room for the next tile while the present one is used.

    All tensors of a memory may double where together they take half of it; else, in order, those that fit into what the
    others leave free. A tile that its outermost loops replace piece by piece counts with one piece.
    """
    count = next(iter(chains.values())).orders.count
    flags: Flags = {operand: [np.zeros(count, dtype=np.bool_)] for operand in chains}
    shares: dict[tuple[str, int], Array] = {}
    taken: dict[str, Array] = {memory.name: np.zeros(count) for memory in machine.memories}
    for operand, chain in chains.items():
        pieces = chain.reuse(chain.view.fresh)
        for place, memory in enumerate(machine.chain(operand)):
            held = chain.words[place + 1] * chain.bits[place + 1]
            shares[operand, place] = np.floor(held / pieces[place + 1]) / memory.bits
            taken[memory.name] = taken[memory.name] + shares[operand, place]
    for operand in chains:
        for place, memory in enumerate(machine.chain(operand)):
            whole, mine = taken[memory.name], shares[operand, place]
            room = mine <= 1.0 - whole
            flags[operand].append((whole <= HALF) | room)
            if len([one for one in memory.operands if one in chains]) > 1:
                taken[memory.name] = whole + np.where((whole > HALF) & room, mine, 0.0)
    return flags


def served(machine: PortedMachine, memory: PortedMemory, transfers: Sequence[Transfer]) -> list[list[Transfer]]:
    """Return for every port of a memory the transfers that it serves, in the order of the memory's operands."""
    here = [one for one in transfers if machine.chain(one.operand)[one.memory] is memory]
    found = []
    for port in memory.ports:
        turns = sorted(port.serves, key=lambda pair: memory.operands.index(pair[0]))
        found.append([one for turn in turns for one in here if (one.operand, one.move) == turn])
    return found


def port_cycles(transfer: Transfer, wide: int) -> Array:
    """Return (B,) cycles of a port that one transfer takes."""
    cycles: Array = np.ceil(transfer.words * transfer.bits / wide)
    return cycles


def stalls(machine: PortedMachine, transfers: Sequence[Transfer], count: int) -> Array:
    """Return (B,) cycles that the computation waits for ports, the first and last transfers apart."""
    worst = np.zeros(count)
    for memory in machine.memories:
        for port, moves in zip(memory.ports, served(machine, memory, transfers), strict=True):
            if moves:
                worst = np.maximum(worst, _port_stall(moves, port.wide))
    return worst


def _port_stall(moves: list[Transfer], wide: int) -> Array:
    """Return (B,) cycles that one port delays the computation; negative where it has slack."""
    runs = np.stack([move.times > 0 for move in moves])
    late, early, windows = (np.zeros(runs.shape[1]) for _ in range(3))
    for move, run in zip(moves, runs, strict=True):
        behind = (port_cycles(move, wide) - move.window) * (move.times - 1.0)
        late += np.where(run & (behind > 0), behind, 0.0)
        early += np.where(run & (behind <= 0), behind, 0.0)
        windows += np.where(run, move.window * (move.times - 1.0), 0.0)
    alone = runs.sum(axis=0) == 1
    shared = late + np.maximum(0.0, early + windows - covered(moves, runs))
    return np.where(alone, late + early, np.where(runs.any(axis=0), shared, 0.0))


def covered(moves: list[Transfer], runs: Mask) -> Array:
    """Return (B,) cycles of the run that lie in the window of at least one of the moves.

    Each window begins with its period; of any two periods one divides the other, as both are iterations of the first
    loops of one sequence. The union over the longest period follows from the shorter ones, level by level.
    """
    periods = np.stack([np.where(run, move.period, 1.0) for move, run in zip(moves, runs, strict=True)])
    windows = np.stack([np.where(run, move.window, 0.0) for move, run in zip(moves, runs, strict=True)])
    times = np.stack([np.where(run, move.times, 0.0) for move, run in zip(moves, runs, strict=True)])
    order = np.argsort(periods, axis=0, kind="stable")
    periods, windows = (np.take_along_axis(one, order, axis=0) for one in (periods, windows))
    union: list[Array] = []
    inner: list[Array] = []
    for place in range(len(periods)):
        inner.append(_within(place, windows[place], periods, windows, union, inner))
        shorter = _within(place, periods[place], periods, windows, union, inner)
        union.append(windows[place] + shorter - inner[place])
    longest = np.take_along_axis(times, order, axis=0)[-1]
    whole = ((windows == periods) & (np.take_along_axis(runs, order, axis=0))).any(axis=0)
    total = (periods * np.take_along_axis(times, order, axis=0)).max(axis=0)
    found: Array = np.where(whole, total, union[-1] * longest)
    return found


def _within(
    place: int, until: Array, periods: Array, windows: Array, union: list[Array], inner: list[Array]
) -> Array:  # fmt: skip
    """Return (B,) cycles among the first ``until`` that lie in the windows of the moves before ``place``."""
    found, left = np.zeros_like(until), until
    for shorter in reversed(range(place)):
        times, left = np.divmod(left, periods[shorter])
        found = found + times * union[shorter]
        # what is left of the last period: all of it inside of the window, or the window and what shorter ones add
        inside = left <= windows[shorter]
        if shorter == 0:
            return found + np.where(inside, left, windows[0])
        found = found + np.where(inside, left, windows[shorter] - inner[shorter])
        left = np.where(inside, 0.0, left)
    return found
