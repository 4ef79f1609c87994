"""All layers of a model on one accelerator: every Einsum of its workload, equal shapes searched once.

Elements have the bits that the accelerator computes with (8-bit operands and 16-bit partial sums unless told
otherwise), not those of the model's checkpoint. What is no multiply-add on integer extents (norms, activations,
lookups) is not mapped and is counted as left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.accelerator import Problem, from_einsum
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.quantity import Array
from codesign.search.mapping.inner import MappingFront, best_mappings
from codesign.targets.spatial import Architecture
from codesign.workload import Einsum, Op, Phase, Tensor, Workload

LAYER_BUDGET = 8_000
"""Evaluations of one layer: a whole network is a table, not a study."""

OBJECTIVES = ("energy", "latency")
"""What a layer is searched for where nothing else is asked; their front holds the least product too."""


class Layer(NamedTuple):
    """Layers of one shape.

    Attributes:
        names: Their names, in order.
        problem: What one of them computes.
        runs: How often the shape runs in one run of the model.
        front: What the search found.
    """

    names: tuple[str, ...]
    problem: Problem
    runs: int
    front: MappingFront

    @property
    def label(self) -> str:
        """Return the first name, and how many more there are."""
        return self.names[0] + (f" +{len(self.names) - 1}" if len(self.names) > 1 else "")

    def place(self, by: str) -> int:
        """Return the place on the front of its best mapping by an objective; ``edp`` is energy times latency."""
        return int(_column(self.front.objectives, self.front.values, by).argmin())

    def value(self, objective: str, by: str) -> float:
        """Return an objective of the best mapping by another."""
        return float(_column(self.front.objectives, self.front.values, objective)[self.place(by)])

    @property
    def random_edp(self) -> float:
        """Return the least energy times latency of the random mappings; infinite where limits refuse them all."""
        return float(_column(self.front.objectives, self.front.random_values, "edp").min(initial=np.inf))


class MappedModel(NamedTuple):
    """A model, layer by layer: energies in J, latencies as of ``MappingFront``, layers one after the other.

    Attributes:
        model: Name.
        architecture: What it is mapped onto.
        layers: One entry a shape.
        left_out: Why operators are not mapped -> how many.
        macs: Multiply-adds of one run, those of all layers.
    """

    model: str
    architecture: Architecture
    layers: tuple[Layer, ...]
    left_out: dict[str, int]
    macs: int

    def total(self, objective: str, by: str) -> float:
        """Return an objective summed over the layers, each with its best mapping ``by`` an objective."""
        return sum(layer.runs * layer.value(objective, by) for layer in self.layers)

    @property
    def evaluations(self) -> int:
        """Return how many mappings were priced, random ones apart."""
        return sum(layer.front.evaluations for layer in self.layers)


def _column(objectives: Sequence[str], values: Array, name: str) -> Array:
    if name == "edp" and name not in objectives:
        return _column(objectives, values, "energy") * _column(objectives, values, "latency")
    column: Array = values[:, objectives.index(name)]
    return column


def map_model(
    model: str,
    architecture: Architecture,
    objectives: Sequence[str] = OBJECTIVES,
    *,
    budget: int = LAYER_BUDGET,
    seed: int = 0,
    bits: tuple[int, int, int] = (8, 8, 16),
    where: Sequence[str] = (),
    bypass: bool = True,
    uneven: bool = False,
    ragged: bool = False,
    latency: str = "ideal",
    sizes: Mapping[str, int] | None = None,
) -> MappedModel:
    """Return the best mappings of every layer of a model.

    Args:
        model: A preset, or any other spelling of a model.
        architecture: What it is mapped onto.
        objectives: What every layer is searched for.
        budget: Mappings to price for each shape.
        seed: All randomness derives from it.
        bits: Bits of an element of inputs, weights, outputs.
        where: Limits on every layer.
        bypass: Whether tensors may pass by levels that could keep them.
        uneven: Whether tiles of one level may be cut at different loops.
        ragged: Whether bounds may exceed the extents.
        latency: How cycles are counted.
        sizes: Sizes of the run, such as ``batch``; the rest as the model has them.

    Raises:
        UsageError: unknown model or size, or a model without a layer that can be mapped.
        LimitCrossed: a layer that no mapping fits, or none within the limits.
    """
    workload = load_model(model).workload(**(sizes or {}))
    problems, left_out = problems_of(workload, bits)
    shapes: dict[bytes, list[tuple[Problem, int]]] = {}
    for problem, count in problems:
        shapes.setdefault(signature(problem), []).append((problem, count))
    if not shapes:
        raise UsageError(f"{model}: no layer is a multiply-add on integer extents", "choose another model")
    layers = []
    for same in shapes.values():
        front = best_mappings(
            same[0][0], architecture, objectives, budget, seed, where=where, bypass=bypass, uneven=uneven,
            ragged=ragged, latency=latency,
        )  # fmt: skip
        names = tuple(problem.name for problem, _ in same)
        layers.append(Layer(names, same[0][0], sum(count for _, count in same), front))
    macs = sum(layer.runs * layer.problem.operations for layer in layers)
    return MappedModel(model, architecture, tuple(layers), left_out, macs)


def problems_of(
    workload: Workload, bits: tuple[int, int, int]
) -> tuple[list[tuple[Problem, int]], dict[str, int]]:  # fmt: skip
    """Return (problem, how often it runs) of every layer, and how many operators are left out for which reason."""
    found: list[tuple[Problem, int]] = []
    left_out: dict[str, int] = {}
    for phase in workload.phases:
        for block in phase.blocks:
            for op in (op for group in block.groups for op in group.ops):
                reason = _unmapped(op, phase)
                if reason or not isinstance(op, Einsum):
                    left_out[reason] = left_out.get(reason, 0) + 1
                else:
                    found.append((_with_bits(from_einsum(op), bits), int(np.rint(block.repeat))))
    return found, left_out


def _unmapped(op: Op, phase: Phase) -> str:
    """Return why an operator is not mapped; empty where it is."""
    if not isinstance(op, Einsum) or op.compute.unit != "tensor":
        return "no multiply-adds"
    if phase.steps is not None:
        return "extents change from step to step"
    if op.density != 1:
        return "only a share of the iterations runs (causal mask, experts)"
    return ""


def _with_bits(problem: Problem, bits: tuple[int, int, int]) -> Problem:
    """Return a problem whose elements have the accelerator's bits, and without ranks of extent 1."""
    kept = {rank: extent for rank, extent in problem.ranks.items() if extent > 1} or dict(problem.ranks)
    size = dict(zip(("input", "weight", "output"), bits, strict=True))

    def retyped(one: Tensor) -> Tensor:
        axes = tuple(
            msgspec.structs.replace(axis, terms=terms)
            for axis in one.axes
            if (terms := tuple(term for term in axis.terms if term[0] in kept))
        )
        return msgspec.structs.replace(one, axes=axes, bits=size[problem.operand(one)])

    return msgspec.structs.replace(
        problem, ranks=kept, inputs=tuple(map(retyped, problem.inputs)), output=retyped(problem.output)
    )


def signature(problem: Problem) -> bytes:
    """Return what layers share that cost the same on any accelerator: loops in order, tensors by place, operation."""
    place = {rank: index for index, rank in enumerate(problem.ranks)}
    tensors = [
        [
            problem.operand(one),
            float(one.bits),
            [[[place[rank], step] for rank, step in axis.terms] for axis in one.axes],
        ]
        for one in problem.tensors
    ]
    return msgspec.json.encode([list(problem.ranks.values()), tensors, problem.operation])
