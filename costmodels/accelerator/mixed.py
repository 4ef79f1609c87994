"""Pricing mappings of many skeletons in one array computation.

Mappings that a search compares share their slots but keep their tensors differently: levels are bypassed, tiles cut at
other loops. What a tensor moves depends on how *it* is kept, not on the others, so a batch is laid out once and every
tensor is counted option by option: a handful of options instead of all their combinations. The counting rules are those
of ``counts``; rows of ``Costs`` for levels that a mapping passes by are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.costs import Array, Costs
from codesign.costmodels.accelerator.counts import Pricing
from codesign.costmodels.accelerator.latency import IDEAL, Latency
from codesign.costmodels.accelerator.mapping import Holding, Mappings
from codesign.costmodels.accelerator.nest import Nest, View
from codesign.costmodels.accelerator.problem import Problem
from codesign.targets.spatial import Architecture

Options = Sequence[Sequence[tuple[Holding, ...]]]
"""For every tensor the ways to keep it; the first names every level that any of the others names."""


def evaluate_mixed(
    problem: Problem, architecture: Architecture, mappings: Mappings, options: Options, chosen: NDArray[np.int64],
    latency: Latency = IDEAL,
) -> Costs:  # fmt: skip
    """Return what a batch of mappings costs, each with its own way to keep each tensor.

    Args:
        problem: The Einsum.
        architecture: The accelerator.
        mappings: B mappings; the holdings of their skeleton are the first options.
        options: Ways to keep the tensors.
        chosen: (tensors, B) which of them a mapping has.
        latency: How cycles are counted.
    """
    return _MixedPricing(problem, architecture, mappings, options, chosen, latency).costs(mappings)


class _MixedPricing(Pricing):
    """The pricing of one skeleton, with counts and tiles taken option by option."""

    def __init__(
        self, problem: Problem, architecture: Architecture, mappings: Mappings, options: Options,
        chosen: NDArray[np.int64], latency: Latency,
    ) -> None:  # fmt: skip
        spine = architecture.spine(mappings.slots.unit)
        super().__init__(problem, architecture, spine, mappings.slots, False, latency)
        self.options, self.chosen = options, chosen
        self.row = {entry: place for place, entry in enumerate(self.entries)}
        self.delivers = any(array.energy is not None for array in self.fanouts.values())
        self.part = slice(None)

    def price(self, mappings: Mappings, part: slice) -> dict[str, Array]:
        """Return the arrays of ``Costs`` for the mappings ``part``."""
        self.part = part
        return super().price(mappings, part)

    def _occurring(self, tensor: int) -> list[tuple[tuple[Holding, ...], Any]]:
        """Return (holdings, which mappings have them) of every option that occurs."""
        chosen = self.chosen[tensor, self.part]
        distinct = np.unique(chosen).tolist()
        if len(distinct) == 1:
            return [(self.options[tensor][distinct[0]], slice(None))]
        return [(self.options[tensor][one], np.flatnonzero(chosen == one)) for one in distinct]

    def _counts(self, nest: Nest) -> tuple[Array, Array]:
        counts = np.zeros((3, len(self.entries), nest.count))
        network = np.zeros((3, nest.count))
        latched, end = nest.latched(), len(self.slots.slots)
        for tensor, view in enumerate(self.views):
            below = nest.operations
            if latched.any():
                below = np.where(latched, nest.inflow(view, end), below)
            self._count_tensor(nest, tensor, below, counts, network)
        return counts, network

    def _count_tensor(self, nest: Nest, tensor: int, below: Array, counts: Array, network: Array) -> None:
        view, end, name = self.views[tensor], len(self.slots.slots), self.problem.tensors[tensor].name
        writes = view is self.views[-1]
        shared = self.reduction if writes else self.multicast
        inflow = cache(lambda cut: nest.inflow(view, cut))
        streams = cache(lambda outer, inner: nest.streams(view, outer, inner, shared))
        distinct = cache(lambda cut: nest.distinct(view, cut))
        for holdings, at in self._occurring(tensor):
            for place, holding in enumerate(holdings):
                innermost = place + 1 == len(holdings)
                inner = end if innermost else holdings[place + 1].cut
                flow = below[at] if innermost else inflow(inner)[at]
                served = flow * streams(holding.cut, inner)[at]
                row = self.row[holding.level, name]
                if writes:
                    new = distinct(holding.cut)[at]
                    counts[2, row, at] = served
                    counts[0, row, at] = np.maximum(served - new, 0.0)
                    if place:
                        counts[1, row, at] = np.maximum(inflow(holding.cut)[at] - new, 0.0)
                else:
                    counts[0, row, at] = served
                    if place:
                        counts[1, row, at] = inflow(holding.cut)[at]
                if self.delivers:
                    carried = np.zeros(nest.count)
                    carried[at] = flow + (np.maximum(flow - distinct(inner)[at], 0.0) if writes else 0.0)
                    self._deliver(nest, view, (holding.cut, inner), carried, network)

    def _first_words(self, nest: Nest, tensor: int, view: View) -> Array:
        words = np.zeros(nest.count)
        for holdings, at in self._occurring(tensor):
            words[at] = self._first_tile(nest, view, holdings)[at]
        return words

    def _tiles(self, nest: Nest) -> Array:
        tiles = np.zeros((len(self.entries), nest.count))
        perfect = nest.perfect()
        for tensor, view in enumerate(self.views):
            footprint = cache(_footprint(nest, view, perfect))
            for holdings, at in self._occurring(tensor):
                for holding in holdings:
                    row = self.row[holding.level, self.problem.tensors[tensor].name]
                    tiles[row, at] = footprint(holding.cut)[at]
        return tiles


def _footprint(nest: Nest, view: View, perfect: bool) -> Any:
    return lambda cut: view.footprint(nest.inside[cut] if perfect else nest.largest(cut))
