"""Where the tensors of a sequence of loops are cut: memories filled from the inside out.

A memory takes for each of its tensors as many of the next loops as make the traffic to the memory outside of it least,
within its capacity [1]_. The traffic of a tensor is the iterations that remain outside times its tile. Memories that
several tensors share try all combinations of cuts. The outermost memory of a tensor holds all loops.

References:
    [1] Symons, Mei, Verhelst, "LOMA: fast auto-scheduling on DNN accelerators through loop-order-based memory
        allocation", AICAS 2021, section III.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from codesign.costmodels.accelerator.port_model.machine import PortedMachine, PortedMemory
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

Cuts = dict[str, list[Integers]]
"""Operand -> for each of its memories, innermost first, (B,) loops inside."""


def allocate(
    problem: Problem, machine: PortedMachine, spread: Spread, orders: Orders, final_bits: int
) -> tuple[Cuts, Mask]:  # fmt: skip
    """Return the cuts of a batch of orders, and (B,) whether all tiles fit.

    Args:
        problem: What is mapped.
        machine: What it is mapped onto.
        spread: What stands on the array.
        orders: The orders.
        final_bits: Bits of an element of the output once no partial sums are left to add.
    """
    tensors = {problem.operand(tensor): tensor for tensor in problem.tensors}
    views = {operand: View(problem, tensor, orders) for operand, tensor in tensors.items()}
    stages = {operand: spread.stages(machine.chain(operand), whole=False) for operand in tensors}
    cuts: Cuts = {operand: [] for operand in tensors}
    fits = np.ones(orders.count, dtype=np.bool_)
    for memory in machine.memories:
        operands = [operand for operand in memory.operands if operand in tensors]
        offers = []
        for operand in operands:
            bits = _bits(problem, views[operand], stages[operand], cuts[operand], final_bits)
            outermost = len(cuts[operand]) + 1 == len(machine.chain(operand))
            offers.append(_offer(memory, views[operand], stages[operand], cuts[operand], bits, outermost))
        if not operands:
            continue
        chosen, fit = _least(memory, orders, offers)
        fits &= fit
        for operand, cut in zip(operands, chosen, strict=True):
            cuts[operand].append(cut)
    return cuts, fits


def _bits(
    problem: Problem, view: View, stages: list[dict[str, float]], placed: list[Integers], final_bits: int
) -> Array:
    """Return (B,) bits of an element here: partial sums while loops or copies further out still add to them."""
    full = float(view.tensor.bits)
    if view.tensor is not problem.output:
        return np.full(view.orders.count, full)
    begun = placed[-1] if placed else np.zeros(view.orders.count, np.int64)
    spread_outside = any(rank not in view.ranks for stage in stages[len(placed) + 1 :] for rank in stage)
    return np.where((view.last_still > begun) | spread_outside, full, float(final_bits))


def _offer(
    memory: PortedMemory, view: View, stages: list[dict[str, float]], placed: list[Integers], bits: Array,
    outermost: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Return (N + 1, B) bits that a tile takes when cut there, and the traffic to the outside; infinite where not."""
    orders = view.orders
    begun = placed[-1] if placed else np.zeros(orders.count, np.int64)
    copies: dict[str, float] = {}
    for stage in stages[: len(placed) + 1]:
        for rank, count in stage.items():
            copies[rank] = copies.get(rank, 1.0) * count
    numbers = np.arange(orders.loops + 1)[:, None] * np.ones(orders.count, np.int64)
    size = np.stack([view.words(numbers[cut], copies) for cut in range(orders.loops + 1)]) * bits
    if memory.doubled:
        size = np.where((numbers < orders.loops) & (size < size[-1]), 2.0 * size, size)
    allowed = (numbers >= begun) & (size <= memory.bits + ROUNDING)
    traffic = orders.cycles[-1] / orders.cycles * size
    if outermost:
        allowed &= numbers == orders.loops
        traffic = np.zeros_like(traffic)
    return np.where(allowed, size, np.inf), np.where(allowed, traffic, np.inf)


def _least(memory: PortedMemory, orders: Orders, offers: list[tuple[Array, Array]]) -> tuple[list[Integers], Mask]:
    """Return the cuts of the tensors that share a memory, of least traffic; of equals the outermost."""
    best = np.full(orders.count, np.inf)
    chosen = [np.full(orders.count, orders.loops, np.int64) for _ in offers]
    open_cuts = [np.flatnonzero(np.isfinite(size).any(axis=1)).tolist() for size, _ in offers]
    for cut in product(*open_cuts):
        size = sum(offer[0][place] for offer, place in zip(offers, cut, strict=True))
        traffic = sum(offer[1][place] for offer, place in zip(offers, cut, strict=True))
        better = (size <= memory.bits + ROUNDING) & (traffic <= best)
        best = np.where(better, traffic, best)
        for one, place in zip(chosen, cut, strict=True):
            one[better] = place
    return chosen, np.isfinite(best)
