"""The space of plans of one module: a box with the widths of every layer, and how weights share scales.

All layers of a plan share granularity and zero points; the widths of their weights and inputs are free one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from codesign.search.parameters import Categorical, Ordinal, Parameter
from codesign.search.quantization.laboratory import Laboratory
from codesign.search.quantization.sensitivity import Row, Widths, path, sensitivity
from codesign.search.quantization.spec import QuantizationSpec, granularity_of
from codesign.search.space import BoxSpace
from codesign.workload.quantization import QuantizationPlan

UNIFORM = ((16, 16), (8, 16), (8, 8), (6, 8), (4, 16), (4, 8), (4, 4), (3, 8), (2, 8))
"""Widths of weights and activations that are tried for all layers alike."""

ALONG = 24
"""Points of the path of least sensitivity that seed a search."""


class PlanSpace:
    """The box of a module's plans, and the way from its points to plans."""

    def __init__(self, laboratory: Laboratory, asked: QuantizationSpec) -> None:
        self.laboratory, self.asked = laboratory, asked
        parameters: list[Parameter] = [Categorical("granularity", asked.granularities)]
        if asked.zero_points:
            parameters.append(Categorical("zero_points", ("no", "yes")))
        if laboratory.task.kv_layers:
            parameters.append(Ordinal("kv", asked.kv, "bit"))
        for layer in laboratory.layers:
            parameters.append(Ordinal(f"{layer}.weights", asked.weights, "bit"))
            if layer in laboratory.called:
                parameters.append(Ordinal(f"{layer}.activations", asked.activations, "bit"))
        self.box = BoxSpace(parameters)

    def plan(self, values: Mapping[str, Any]) -> QuantizationPlan:
        """Return the plan of parameter values, with the calibrated ranges of its activations."""
        granularity, size = granularity_of(str(values["granularity"]))
        laboratory = self.laboratory
        layers = {
            name: laboratory.scheme(
                name, int(values[f"{name}.weights"]), int(values.get(f"{name}.activations", 32)),
                granularity=granularity, group_size=size, symmetric=values.get("zero_points", "no") == "no",
            )
            for name in laboratory.layers
        }  # fmt: skip
        kv_layers = laboratory.task.kv_layers
        kv_bits = int(values.get("kv", 32)) if kv_layers else 32
        return QuantizationPlan(layers, kv_bits, kv_layers, self.asked.model)  # type: ignore[arg-type]

    def values(self, weights: int, activations: int) -> dict[str, Any]:
        """Return the parameter values of a plan with the same widths everywhere, as near as the space has them."""
        return self._values(
            {(layer, part): bits for layer in self.laboratory.layers
             for part, bits in (("weights", weights), ("activations", activations))}
        )  # fmt: skip

    def _values(self, widths: Widths) -> dict[str, Any]:
        found: dict[str, Any] = {}
        narrowest = min(widths.values())
        for parameter in self.box.parameters:
            layer, _, part = parameter.name.rpartition(".")
            if (layer, part) in widths:
                found[parameter.name] = _nearest(getattr(parameter, "values", ()), widths[layer, part])
            elif parameter.name == "kv":
                found["kv"] = next((bits for bits in reversed(self.asked.kv) if bits >= max(narrowest, 4)), 32)
            else:
                found[parameter.name] = getattr(parameter, "values", ("",))[0]
        return found

    @property
    def original(self) -> dict[str, Any]:
        """Values of the plan that changes nothing."""
        return self.values(32, 32)

    def seeds(self) -> list[dict[str, Any]]:
        """Return the plans that a search starts from: uniform ones, and points along the path of least sensitivity."""
        steps = path(self.laboratory, self.rows, self._widths)
        picks = sorted({round(place * (len(steps) - 1) / ALONG) for place in range(1, ALONG + 1)})
        return [*(self.values(*pair) for pair in UNIFORM), *(self._values(steps[place]) for place in picks)]

    @property
    def _widths(self) -> dict[str, Sequence[int]]:
        return {"weights": self.asked.weights, "activations": self.asked.activations}

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Sensitivity of every layer alone, found out when first asked for."""
        return sensitivity(self.laboratory, self._widths)


def _nearest(offered: Sequence[int], bits: int) -> int:
    return min(offered, key=lambda one: (abs(one - bits), one))
