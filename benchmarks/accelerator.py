"""Mappings priced per second on one core: the full eyeriss-like model with a stride-2 convolution of seven ranks.

python benchmarks/accelerator.py                # even tiles, then tiles cut apart for every tensor
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from codesign.costmodels.accelerator import conv2d, evaluate, make_slots
from codesign.costmodels.accelerator.draw import random_mappings
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


def _seconds(*arguments: object) -> float:
    start = time.perf_counter()
    evaluate(*arguments)  # type: ignore[arg-type]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
