"""What mappings cost on a machine with ports: energy, and latency with stalls, loading and unloading.

Energy counts accesses as wide as a port (a narrow one counts its share), the same for every period. Latency is the
iterations of the nest, the stalls of the slowest port, and what comes before and after [1]_.

References:
    [1] Mei et al., "ZigZag: enlarging joint architecture-mapping design space exploration for DNN accelerators", IEEE
        TC 70(8), 2021, section 4 (energy, uneven mappings); Mei et al., DATE 2022 (latency).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator.port_model.allocation import Cuts
from codesign.costmodels.accelerator.port_model.loading import Head, loading
from codesign.costmodels.accelerator.port_model.machine import PortedMachine
from codesign.costmodels.accelerator.port_model.nest import ROUNDING, Array, Orders, Spread
from codesign.costmodels.accelerator.port_model.stalls import doubled, stalls
from codesign.costmodels.accelerator.port_model.transfers import Chain, chains
from codesign.costmodels.accelerator.problem import Problem


class PortCosts(NamedTuple):
    """Costs of B mappings; arrays are (B,).

    Attributes:
        energy: J, all memories and operations.
        level_energy: (operand, memory) -> J of its accesses there.
        ideal: Cycles of the nest.
        stalls: Cycles that the computation waits for ports.
        before: Cycles before the first step.
        after: Cycles after the last step.
    """

    energy: Array
    level_energy: Mapping[tuple[str, str], Array]
    ideal: Array
    stalls: Array
    before: Array
    after: Array

    @property
    def cycles(self) -> Array:
        """Return (B,) cycles of the whole run."""
        return self.ideal + self.stalls + self.before + self.after


def port_costs(
    problem: Problem, machine: PortedMachine, spread: Spread, orders: Orders, cuts: Cuts, final_bits: int,
    head: Head = "step",
) -> PortCosts:  # fmt: skip
    """Return what a batch of mappings costs.

    Args:
        problem: What is mapped.
        machine: What it is mapped onto.
        spread: What stands on the array.
        orders: Loops in time, innermost first.
        cuts: For every operand and memory, the loops inside.
        final_bits: Bits of an output element without partial sums.
        head: What the first step waits for, see ``loading``.
    """
    mean = chains(problem, machine, spread, orders, cuts, final_bits, whole=False)
    full = chains(problem, machine, spread, orders, cuts, final_bits, whole=True)
    levels = {
        (operand, memory.name): _accesses(machine, chain, operand, place)
        for operand, chain in mean.items() for place, memory in enumerate(machine.chain(operand))
    }  # fmt: skip
    room = doubled(machine, mean)
    moves = [move for operand, chain in full.items() for move in chain.transfers(room[operand])]
    ideal = orders.cycles[-1]
    waiting = stalls(machine, moves, orders.count)
    before, after = loading(machine, full, moves, ideal + waiting, head)
    energy = np.sum(list(levels.values()), axis=0) + machine.operation * problem.operations
    return PortCosts(energy, levels, ideal, waiting, before, after)


def _accesses(machine: PortedMachine, chain: Chain, operand: str, place: int) -> Array:
    """Return (B,) J of the accesses of one operand at one memory."""
    memory = machine.chain(operand)[place]
    energy = np.zeros(chain.orders.count)
    single = [np.zeros(chain.orders.count, dtype=np.bool_)] * (len(chain.cuts) + 1)
    for move in chain.transfers(single):
        if move.memory != place:
            continue
        port = memory.port(operand, move.move)
        if port is None:
            continue
        bits = np.floor(move.words + ROUNDING) * move.bits if chain.output else move.words * move.bits
        wide = np.ceil(bits / port.narrow) * (port.narrow / port.wide)
        accesses = np.floor(wide * move.times * chain.copies[place] + ROUNDING)
        joules = memory.read if move.move in ("to_inside", "to_outside") else memory.write
        energy += np.where(move.bits > 0, accesses, 0.0) * joules
    return energy
