"""Searching mappings: how fast, how good for how many evaluations, and against ZigZag in the same run.

python benchmarks/mapping.py                          # speeds, and best EDP against evaluations
python benchmarks/mapping.py --zigzag FOLDER          # and ZigZag's LOMA on its nine cases (see mapping_peer.py)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mapping_designs import DESIGNS, PROBLEMS

from codesign.costmodels.accelerator import Problem, parse_problem
from codesign.search.mapping.inner import MappingFront, best_mappings
from codesign.search.mapping.problem import MappingProblem
from codesign.targets.spatial import Architecture

BATCH = 4096
QUICK = 200
"""Mappings priced for each case where the time counts."""

REPEATS = 5


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zigzag", type=Path, help="folder of ZigZag's input files; zigzag must be importable")
    parser.add_argument("--budget", type=int, default=20_000, help="mappings priced for each case against ZigZag")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    speeds()
    curves(asked.seeds)
    if asked.zigzag is not None:
        against_zigzag(asked.zigzag, asked.budget)


def speeds() -> None:
    """Print mappings per second of every step of a search, one core."""
    for text, target in (("conv:K64C64P56Q56R3S3", "eyeriss-like"), ("gemm:1024x1024x1024", "tpu-like")):
        problem = MappingProblem(problem=text, target=target, objectives=("energy", "latency", "edp"))
        space, generator = problem.space, np.random.Generator(np.random.Philox(1))
        points = space.sample(generator, BATCH)
        steps: dict[str, Callable[[], object]] = {
            "drawing random ones that fit": lambda space=space, g=generator: space.sample(g, BATCH),
            "mutating": lambda space=space, g=generator, points=points: space.mutate(g, points),
            "crossing": lambda space=space, g=generator, points=points: space.crossover(g, points, points[::-1]),
            "pricing, all skeletons mixed": lambda problem=problem, points=points: problem.evaluate(points),
        }
        print(f"\n{text} on {target}, {space.skeletons.count} skeletons: mappings/s")
        for name, step in steps.items():
            step()
            print(f"  {name:<30} {BATCH / min(_seconds(step) for _ in range(5)):>12,.0f}")
        front = best_mappings(
            problem.einsum, problem.architecture, ("energy", "latency", "edp"), 100_000, baseline=False
        )
        print(f"  {'whole search, 100,000':<30} {front.evaluations / front.seconds:>12,.0f}")


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def curves(seeds: int) -> None:
    """Print the best EDP against evaluations, over the best that any run found, for the search and for random ones."""
    print(f"\nbest EDP over the best known, mean and worst of {seeds} seeds: islands | random")
    for text, target in (
        ("conv:K64C64P56Q56R3S3", "eyeriss-like"), ("gemm:1024x1024x1024", "eyeriss-like"),
        ("gemm:1024x1024x1024", "tpu-like"), ("conv:K64C64P56Q56R3S3", "gemmini-like"),
    ):  # fmt: skip
        problem = MappingProblem(problem=text, target=target)
        found: dict[int, list[MappingFront]] = {
            budget: [
                best_mappings(problem.einsum, problem.architecture, ("edp",), budget, seed) for seed in range(seeds)
            ]
            for budget in (2_000, 8_000, 32_000, 128_000)
        }
        known = min(front.best[0] for fronts in found.values() for front in fronts)
        print(f"  {text} on {target}")
        for budget, fronts in found.items():
            ours, random = (np.array([one[0] for one in side]) / known for side in
                            ([f.best for f in fronts], [f.random for f in fronts]))  # fmt: skip
            wall = np.mean([front.seconds for front in fronts])
            print(f"    {budget:>8,}  {ours.mean():.3f} {ours.max():.3f} | {random.mean():.3f} {random.max():.3f}"
                  f"  {wall:.2f} s")  # fmt: skip


def against_zigzag(folder: Path, budget: int) -> None:
    """Print EDP (pJ cycles) and wall time of both on the nine cases, ours at a budget and at ``QUICK`` mappings.

    The third column prices ZigZag's own best mapping by our model: the fair comparison. Our spatial mapping is free,
    ZigZag's is the one of its mapping file. Times of the quick search are medians, set-up included.
    """
    from mapping_peer import run_peer

    print("\ncase: EDP of ZigZag by itself | its mapping by our model | ours, ratio: quick, whole budget | "
          "seconds: ZigZag, quick, share, whole budget")  # fmt: skip
    met = 0
    for name, design in DESIGNS.items():
        for case, text in PROBLEMS.items():
            problem = parse_problem(text)
            peer = run_peer(folder, case, problem, design)
            theirs = peer.energy_pj * peer.cycles
            same = None if peer.ours is None else float(peer.ours.energy[1, 0] * peer.ours.cycles[0]) * 1e12
            rival = theirs if same is None else same
            runs = [_ours(problem, design, QUICK) for _ in range(REPEATS)]
            quick, seconds = runs[0][0], float(np.median([one for _, one in runs]))
            best, longer = _ours(problem, design, budget)
            met += quick <= rival and seconds <= peer.seconds / 10.0
            print(
                f"  {name:<13}{case:<9} {theirs:.4g} | {'-' if same is None else f'{same:.4g}'} | "
                f"{quick:.4g} {quick / rival:.3f}, {best:.4g} {best / rival:.3f} | "
                f"{peer.seconds:.2f} {seconds:.3f} {seconds / peer.seconds:.1%} {longer:.2f}",
                flush=True,
            )
    print(f"  no worse in a tenth of the time: {met} of {len(DESIGNS) * len(PROBLEMS)}")


def _ours(problem: Problem, design: Architecture, budget: int) -> tuple[float, float]:
    """Return (EDP in pJ cycles, seconds) of a search of ragged mappings."""
    began = time.perf_counter()
    front = best_mappings(problem, design, ("edp",), budget, 0, baseline=False, ragged=True)
    return front.best[0] * 1e12, time.perf_counter() - began


if __name__ == "__main__":
    main()
