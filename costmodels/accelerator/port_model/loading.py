"""Before the first step and after the last: cycles in which data come in and results go out.

A tile that stays for the whole run is needed in parts: the computation may begin with what its first step needs, and
the rest follows through whatever the port has to spare meanwhile. Other tiles come in whole. Links that both inputs
share take turns; links of their own work at the same time. Results leave link by link.

``head`` says what the first step needs: ``step`` the elements of one step, ``tile`` the tile of the innermost memory,
as release 3.9.1 of ZigZag has it.

Mei et al., "A uniform latency model for DNN accelerators with diverse architectures and dataflows", DATE 2022, section
III, on- and off-loading phases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from codesign.costmodels.accelerator.port_model.machine import Move, Port, PortedMachine
from codesign.costmodels.accelerator.port_model.nest import Array
from codesign.costmodels.accelerator.port_model.stalls import port_cycles, served
from codesign.costmodels.accelerator.port_model.transfers import Chain, Transfer

Head = Literal["step", "tile"]
Waits = dict[tuple[str, int, Move], tuple[Array, bool]]
"""(Operand, memory, move) -> (B,) cycles before or after the computation, and whether both inputs share the port."""

PARTIAL_MOVES = ("to_inside", "from_outside")
"""Moves of outputs that bring partial sums back: none of them runs before the first or after the last step."""


def loading(
    machine: PortedMachine, chains: Mapping[str, Chain], transfers: Sequence[Transfer], busy: Array, head: Head
) -> tuple[Array, Array]:
    """Return (B,) cycles before the first step and after the last.

    Args:
        machine: The machine.
        chains: The chain of every operand.
        transfers: All moves.
        busy: (B,) cycles of the computation with its stalls.
        head: What the first step needs.
    """
    waits: Waits = {}
    for memory in machine.memories:
        for port, moves in zip(memory.ports, served(machine, memory, transfers), strict=True):
            waits |= _port_waits(port, chains, moves, busy, head)
    inputs = [operand for operand, chain in chains.items() if not chain.output]
    output = next(operand for operand, chain in chains.items() if chain.output)
    before = _onloading({one: _links(waits, one, len(chains[one].cuts)) for one in inputs}, len(busy))
    after = np.zeros(len(busy))
    for place in range(len(chains[output].cuts) - 1):
        out, into = waits[output, place, "to_outside"][0], waits[output, place + 1, "from_inside"][0]
        after = after + np.maximum(out, into)
    return before, after


def _port_waits(port: Port, chains: Mapping[str, Chain], moves: list[Transfer], busy: Array, head: Head) -> Waits:
    """Return what the transfers of one port take before or after the computation."""
    moves = [one for one in moves if not (chains[one.operand].output and one.move in PARTIAL_MOVES)]
    if not moves:
        return {}
    shared = len({one for one, _ in port.serves} & {"input", "weight"}) > 1
    cycles = np.stack([port_cycles(move, port.wide) for move in moves])
    once = np.stack([move.times == 1 for move in moves])
    used = np.zeros(len(busy))
    for move, alone in zip(moves, once, strict=True):
        rate = np.floor(move.words * move.bits / move.period)
        used += np.where((move.times > 1) & ~alone, rate, 0.0)
    spare = np.maximum(0.0, (port.wide - used) / port.wide * busy)
    least = np.stack([_least(chains[move.operand], move, port.wide, head) for move in moves])
    left = _reduced(np.where(once, cycles, 0.0), np.where(once, least, 0.0), spare)
    waiting = np.where(once, left, np.stack([np.where(move.times > 1, one, 0.0)
                                             for move, one in zip(moves, cycles, strict=True)]))  # fmt: skip
    return {(move.operand, move.memory, move.move): (waiting[row], shared) for row, move in enumerate(moves)}


def _least(chain: Chain, move: Transfer, wide: int, head: Head) -> Array:
    """Return (B,) cycles of a port that the first step waits for."""
    if head == "step":
        return np.ceil(move.first * move.bits / wide)
    return np.ceil(chain.words[1] * chain.bits[1] / wide)


def _reduced(cycles: Array, least: Array, spare: Array) -> Array:
    """Return (moves, B) cycles after the longest moves gave up what ``spare`` allows, each down to its least."""
    order = np.argsort(-cycles, axis=0, kind="stable")
    found, left = cycles.copy(), spare.copy()
    columns = np.arange(cycles.shape[1])
    for place in order:
        given = np.minimum(np.maximum(0.0, cycles[place, columns] - least[place, columns]), left)
        found[place, columns] -= given
        left = left - given
    return found


def _links(waits: Waits, operand: str, memories: int) -> tuple[Array, Array, Array]:
    """Return (B,) cycles of an input on links that both inputs share at both ends, at one end, and at none."""
    shared: Array | float = 0.0
    half: Array | float = 0.0
    own: Array | float = 0.0
    for memory in range(memories - 1):
        into, out = waits[operand, memory, "from_outside"], waits[operand, memory + 1, "to_inside"]
        cycles = np.maximum(into[0], out[0])
        if into[1] and out[1]:
            shared = shared + cycles
        elif into[1] or out[1]:
            half = cycles  # one memory feeds several: of such links the outermost counts
        else:
            own = own + cycles
    return tuple(np.asarray(one, np.float64) for one in (shared, half, own))  # type: ignore[return-value]


def _onloading(links: Mapping[str, tuple[Array, Array, Array]], count: int) -> Array:
    """Return (B,) cycles before the first step: shared links in turn, in the better of both turns."""
    parts = list(links.values())
    if len(parts) == 1:
        return np.zeros(count) + parts[0][2]
    (shared, half, own), (other_shared, other_half, other_own) = parts
    one = shared + np.maximum(other_shared + other_half + other_own, half + own)
    two = other_shared + np.maximum(shared + half + own, other_half + other_own)
    return np.zeros(count) + np.minimum(one, two)
