"""What plans cost on a target: the module's captured workload with the bits of every layer written in.

The compute dtypes of the layers decide the graph; bits are arrays over the plans that share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign.costmodels.deployment import Priced
from codesign.costmodels.impact import Site
from codesign.costmodels.single_pass import price_workload
from codesign.costmodels.structure import Load, Structure
from codesign.errors import UsageError
from codesign.quantity import Array, headline
from codesign.search.quantization.task import Task
from codesign.targets import Target
from codesign.workload.graph import Workload
from codesign.workload.quantization import (
    LayerBits,
    QuantizationPlan,
    compute_of,
    effective_bits,
    store,
    stored_layers,
)

COSTS = {
    "memory": ("B", "device"),
    "latency": ("s", "run"),
    "energy": ("J", ""),
    "carbon": ("gCO2e", ""),
    "cost": ("$", ""),
}
"""Numbers of a plan -> (unit, functional unit; empty for the task's)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Numbers of N plans: name -> (N,), the ends of their 90 % intervals, their sources, why a plan cannot run."""

    value: dict[str, Array]
    low: dict[str, Array]
    high: dict[str, Array]
    source: dict[str, list[str]]
    refused: list[str]


class Pricer:
    """Prices plans of one task on one target."""

    def __init__(self, task: Task, target: Target, site: Site, batch: int) -> None:
        """Capture one run of the original.

        Raises:
            UsageError: its control flow depends on data, or an operator cannot be captured.
        """
        self.target, self.site = target, site
        self.workload: Workload = task.priced.workload(batch=batch)
        self._structure = Structure("fp32")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Layers that the priced run computes; the others cost nothing in it."""
        return tuple(stored_layers(self.workload))

    def costs(self, plans: Sequence[QuantizationPlan]) -> Costs:
        """Return the costs of ``plans``; one that needs a dtype the target lacks is refused with the reason."""
        count = len(plans)
        value, low, high = ({name: np.full(count, np.nan) for name in COSTS} for _ in range(3))
        source = {name: [""] * count for name in COSTS}
        refused = [""] * count
        structures: dict[tuple[str, ...], list[int]] = {}
        for place, plan in enumerate(plans):
            try:
                structures.setdefault(self._dtypes(plan), []).append(place)
            except UsageError as error:
                refused[place] = error.message
        for dtypes, index in structures.items():
            try:
                priced = self._priced(dtypes, [plans[place] for place in index])
            except UsageError as error:
                for place in index:
                    refused[place] = error.message
                continue
            estimate = priced.estimate
            for name in estimate.columns.keys() & COSTS.keys():
                column = estimate.columns[name]
                ends = (column.value, *estimate.interval(name))
                for column_of, values in zip((value, low, high), ends, strict=True):
                    column_of[name][index] = np.broadcast_to(values, len(index))
                slopes = np.abs(column.slopes).reshape(len(estimate.factors), -1).mean(axis=1)
                text = headline(slopes, estimate.factors) if slopes.any() else "counted"
                for place in index:
                    source[name][place] = text
            for place, code in zip(index, np.broadcast_to(estimate.reason, len(index)).tolist(), strict=True):
                refused[place] = estimate.reasons[code]
        return Costs(value, low, high, source, refused)

    def priced(self, plan: QuantizationPlan) -> Priced:
        """Return one plan priced, with its kernels and its memory by role."""
        return self._priced(self._dtypes(plan), [plan])

    def _dtypes(self, plan: QuantizationPlan) -> tuple[str, ...]:
        """Return the compute dtypes of the layers: the structure of a plan."""
        return tuple(
            compute_of(scheme.weight_bits, scheme.activation_bits, self.target.dtypes)
            for scheme in (plan.layers.get(name) for name in self.names)
            if scheme is not None
        )

    def _priced(self, dtypes: tuple[str, ...], plans: Sequence[QuantizationPlan]) -> Priced:
        known = stored_layers(self.workload)
        layers = {}
        computed = iter(dtypes)
        for name in self.names:
            schemes = [plan.layers[name] for plan in plans if name in plan.layers]
            if not schemes:
                continue
            stored = known[name]
            bits = effective_bits(
                np.array([float(s.weight_bits) for s in schemes]),
                np.array([float(s.groups(stored.elements, stored.channels)) for s in schemes]),
                stored.elements,
                np.array([s.symmetric for s in schemes]),
            )
            layers[name] = LayerBits(bits, np.array([float(s.activation_bits) for s in schemes]), next(computed))
        kv_bits = None
        cached = tuple(name for name in plans[0].kv_layers if name in known)
        if cached:
            kv = np.array([float(plan.kv_bits) for plan in plans])
            kv_bits = effective_bits(kv, 1.0, known[cached[0]].channels, symmetric=False)
        work = store(self.workload, layers, kv_bits, cached)
        return price_workload(work, self.target, self._structure, Load(np.ones(len(plans)), None, None), self.site)
