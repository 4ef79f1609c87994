"""Mappings priced per second on one core: the full eyeriss-like model with a stride-2 convolution of seven ranks.

python benchmarks/accelerator.py                # even tiles, tiles cut apart for every tensor, a fused cascade
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import msgspec
import numpy as np

from codesign.costmodels.accelerator import Mappings, conv2d, evaluate, make_slots
from codesign.costmodels.accelerator.cascade_files import fusion_of
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.cascade_text import parse_cascade
from codesign.costmodels.accelerator.draw import random_mappings
from codesign.costmodels.accelerator.fused import evaluate_cascade
from codesign.targets.spatial import load_architecture

CUTS = {("Inputs", "shared_glb"): 1, ("Outputs", "shared_glb"): 0, ("Outputs", "psum_spad"): 0}


def main() -> None:
    """Print mappings per second, best of the repeats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mappings", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    problem = conv2d(n=1, k=32, c=3, p=112, q=112, r=3, s=3, stride=2)
    architecture = load_architecture("eyeriss-like")
    spine = architecture.spine()
    skeletons = {
        "even": make_slots(problem, spine),
        "uneven": make_slots(problem, spine, splits={"shared_glb": 2}, cuts=CUTS),
    }
    for name, slots in skeletons.items():
        generator = np.random.Generator(np.random.Philox(1))
        mappings = random_mappings(problem, slots, asked.mappings, generator)
        evaluate(problem, architecture, mappings.take(slice(0, 1000)))
        best = min(_seconds(problem, architecture, mappings) for _ in range(asked.repeats))
        temporal = len(slots.temporal)
        print(
            f"{name}: {asked.mappings / best:,.0f} mappings/s ({len(slots.ranks)} ranks, {temporal} temporal and "
            f"{len(slots.slots) - temporal} spatial slots, {sum(map(len, slots.holdings))} tiles)"
        )

    cascade, parts = fused(asked.mappings // 4)
    best = min(_seconds(cascade, architecture, parts, call=evaluate_cascade) for _ in range(asked.repeats))
    print(f"fused: {asked.mappings // 4 / best:,.0f} mappings/s ({cascade.name}, {len(parts)} Einsums)")


def fused(count: int) -> tuple[CascadeProblem, list[Mappings]]:
    """Return two products and mappings that share a loop over rows, with the intermediate on the chip."""
    cascade, spine = parse_cascade("mlp:P64D64M128N64"), load_architecture("eyeriss-like").spine()
    generator = np.random.Generator(np.random.Philox(1))
    parts = []
    for at, problem in enumerate(cascade.problems):
        slots, _ = fusion_of(cascade, at, (("P", 8),), {"A": "shared_glb"}).slots(problem, spine)
        inside = msgspec.structs.replace(problem, ranks={**problem.ranks, "P": 8})
        drawn = random_mappings(inside, slots, count, generator)
        factors = drawn.factors.copy()
        factors[1] *= factors[0]  # the first slot is that of the shared loop
        factors[0] = 1
        factors[0, slots.ranks.index("P")] = 8
        parts.append(Mappings(slots, factors, drawn.orders))
    return cascade, parts


def _seconds(*arguments: object, call: Callable[..., object] = evaluate) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
