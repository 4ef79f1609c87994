"""What no mapping can beat: the energy and the cycles that a problem takes at least.

Every operation costs its energy. The outermost level reads every word of every input that is visited, and takes in
every word of the output, at least once (compulsory traffic); its words take their time over its ports, and the
operations take their cycles on all compute units at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.counts import ends
from codesign.targets.spatial import Architecture, Storage
from codesign.workload import Tensor


class Bounds(NamedTuple):
    """Lower bounds: energy in J, cycles, and the bits that cross the outermost level."""

    energy: float
    cycles: float
    bits: float


def bounds_of(problem: Problem, architecture: Architecture, unit: str = "") -> Bounds:
    """Return the lower bounds of a problem on an accelerator."""
    spine = architecture.spine(unit)
    home = spine.storages[0]
    held = spine.compute.operations[problem.operation]
    energy = problem.operations * ends(held.energy)[1]
    read = write = bits = 0.0
    for tensor in problem.tensors:
        if home.keeps and problem.operand(tensor) not in home.keeps:
            continue  # another outermost level keeps it
        words = visited(problem, tensor)
        rows = math.ceil(words / home.block(float(tensor.bits)) - 1e-9)
        update = home.update if home.update is not None else home.write
        energy += rows * ends(update if tensor is problem.output else home.read)[1]
        size = home.element_bits(float(tensor.bits))
        bits += words * size
        if tensor is problem.output:
            write += words * size
        else:
            read += words * size
    cycles = problem.operations / spine.compute_instances * held.cycles
    return Bounds(energy, max(cycles, _port_cycles(home, read, write)), bits)


def visited(problem: Problem, tensor: Tensor) -> int:
    """Return the elements of a tensor that are touched at all; a stride beyond the window leaves holes out."""
    return math.prod(int(axis.extent(problem.ranks)) if _dense(problem, axis.terms) else
                     max(problem.ranks[rank] for rank, _ in axis.terms) for axis in tensor.axes)  # fmt: skip


def _dense(problem: Problem, terms: tuple[tuple[str, int], ...]) -> bool:
    """Say whether the terms of an axis reach every coordinate between the first and the last."""
    reach = 0
    for rank, step in sorted(terms, key=lambda term: term[1]):
        if problem.ranks[rank] == 1:
            continue
        if step > reach + 1:
            return False
        reach += step * (problem.ranks[rank] - 1)
    return True


def _port_cycles(home: Storage, read: float, write: float) -> float:
    """Return the cycles that bits of reads and writes take over the ports of a level."""
    pairs = ((home.read_bandwidth, read), (home.write_bandwidth, write), (home.shared_bandwidth, read + write))
    return max((moved / home.reference_bits / limit for limit, moved in pairs if limit), default=0.0)
