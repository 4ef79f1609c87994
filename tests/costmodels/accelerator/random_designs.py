"""Random problems, accelerators and mappings for hypothesis: small enough to be walked step by step."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Mappings, Problem, make_slots
from codesign.costmodels.accelerator.draw import random_mappings
from codesign.errors import UsageError
from codesign.targets.spatial import Architecture, ComputeUnit, Fanout, Node, Operation, Storage
from codesign.targets.target import Value
from codesign.workload import Axis, Tensor, axes

PICO = 1e-12
LARGEST = 144


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw an Einsum of 2 to 4 ranks: a window over one or two axes, weights, and an output that reduces some."""
    extents = st.sampled_from((1, 2, 2, 3, 4, 6))
    if draw(st.integers(0, 3)) == 0:
        return two_windows({name: draw(extents) for name in "PRQS"}, draw(st.integers(1, 2)))
    ranks = {name: draw(extents) for name in "PRKC"[: draw(st.integers(2, 4))]}
    while prod(ranks.values()) > LARGEST:
        largest = max(ranks, key=ranks.__getitem__)
        ranks[largest] = 2
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    window = Axis((("P", stride), ("R", dilation)))
    plain = draw(st.booleans())
    inputs = [Tensor("Inputs", (*(axes("P R") if plain else (window,)), *axes(" ".join(r for r in ranks if r == "C"))))]
    inputs.append(Tensor("Weights", axes(" ".join(r for r in ranks if r != "P"))))
    output = Tensor("Outputs", axes(" ".join(r for r in ranks if r in "PK")))
    return Problem(name="random", ranks=ranks, inputs=tuple(inputs), output=output)


def two_windows(ranks: dict[str, int], stride: int) -> Problem:
    """Return a filter over an image: two sliding axes of one tensor."""
    while prod(ranks.values()) > LARGEST:
        ranks[max(ranks, key=ranks.__getitem__)] = 2
    image = Tensor("Inputs", (Axis((("P", stride), ("R", 1))), Axis((("Q", 1), ("S", stride)))))
    taps = Tensor("Weights", axes("R S"))
    return Problem(name="filter", ranks=ranks, inputs=(image, taps), output=Tensor("Outputs", axes("P Q")))


def energy(value: float) -> Value:
    return Value(value * PICO, "J", low=0.5 * value * PICO, high=2.0 * value * PICO)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Draw two to four memories with up to two arrays anywhere between and below them."""
    count = draw(st.integers(1, 3))
    nodes: list[Node] = [memory("M0", draw)]
    arrays = 0
    for place in range(1, count + 1):
        if arrays < 2 and draw(st.booleans()):
            nodes.append(Fanout(name=f"A{arrays}", x=1000, y=1000))
            arrays += 1
        if place < count or draw(st.booleans()):
            nodes.append(memory(f"M{place}", draw))
    nodes.append(ComputeUnit(name="unit", operations={"mac": Operation(energy(1.0))}))
    return Architecture(id="random", name="random", nodes=tuple(nodes))


def memory(name: str, draw: st.DrawFn) -> Storage:
    return Storage(
        name=name, kind="sram", width_bits=8 * draw(st.sampled_from((1, 2, 8))), word_bits=8,
        read=energy(2.0), write=energy(3.0), update=energy(4.0), leak=energy(0.1),
    )  # fmt: skip


@st.composite
def designs(draw: st.DrawFn, count: int = 1) -> tuple[Problem, Architecture, Mappings]:
    """Draw a problem, an accelerator and ``count`` mappings, some of them uneven, with bypass."""
    problem, architecture = draw(problems()), draw(architectures())
    spine = architecture.spine()
    names = [tensor.name for tensor in problem.tensors]
    levels = [storage.name for storage in spine.storages]
    keeps = {level: [name for name in names if level == "M0" or draw(st.booleans())] for level in levels}
    splits = {level: draw(st.integers(1, 2)) for level in levels}
    cuts = {(name, level): draw(st.integers(0, splits[level])) for level in levels[1:] for name in keeps[level]}
    try:
        slots = make_slots(problem, spine, keeps, splits, cuts)
    except UsageError:  # a cut behind the cut of an inner level
        slots = make_slots(problem, spine, keeps, splits)
    generator = np.random.Generator(np.random.Philox(draw(st.integers(0, 2**32))))
    return problem, architecture, random_mappings(problem, slots, count, generator)
