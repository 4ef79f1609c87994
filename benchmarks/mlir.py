"""Edits of programs: how many mutants a second are proposed, repaired and verified, and how many of them are valid.

python benchmarks/mlir.py             # one core: taskset -c 0
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from codesign.search.mlir.graph import Refused
from codesign.search.mlir.programs import AtenProgram, StableHloProgram
from codesign.search.mlir.propose import Proposals
from codesign.search.mlir.space import EditSpace
from tests.search.mlir.nets import conv_net, mlp, training_step

Program = AtenProgram | StableHloProgram


def main() -> None:
    """Print the rates of every step for every program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=300, help="mutants a step and round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name, program in programs().items():
        print(f"\n{name}: {len(program.graph.operations)} operations, {len(program.weights)} weights; mutants/s")
        report(program, asked.mutants, asked.rounds)


def programs() -> dict[str, Program]:
    """Return the digits CNN, MLP and training step, in the dialects that are here."""
    net, x = conv_net()
    dense, row = mlp(), torch.zeros(16, 64)
    step, weights, data = training_step()
    kinds: dict[str, type[Program]] = {"ATen": AtenProgram}
    if find_spec("torch_mlir"):
        kinds["StableHLO"] = StableHloProgram
    else:
        print("torch-mlir is not installed (codesign[mlir]): ATen alone")
    found: dict[str, Program] = {}
    for dialect, kind in kinds.items():
        found[f"CNN, {dialect}"] = kind.from_module(net, (x,))
        found[f"MLP, {dialect}"] = kind.from_module(dense, (row,))
        found[f"MLP training step, {dialect}"] = kind.from_training_step(step, weights, data)
    return found


def report(program: Program, count: int, rounds: int) -> None:
    """Print the median rate of each step over some rounds, and the share of valid proposals."""
    space, generator = EditSpace(program.graph), np.random.default_rng(0)
    points = space.mutate(generator, space.sample(generator, count))
    edits = [space.edits(point) for point in points]
    valid = made = 0

    def whole() -> None:
        nonlocal valid, made
        proposals = Proposals(program.graph, ())
        for _ in range(count):
            made += 1
            edit = proposals.one(generator)
            try:
                valid += edit is not None and program.realise([edit]) is not None
            except Refused:
                continue

    def realised() -> None:
        for one in edits:
            program.realise(one)

    steps: dict[str, Callable[[], object]] = {
        "random points (1 to 3 edits)": lambda: space.sample(generator, count),
        "mutating points": lambda: space.mutate(generator, points),
        "crossing points": lambda: space.crossover(generator, points, points[::-1]),
        "realising points (apply, repair, write, verify)": realised,
        "an edit from proposal to verified program": whole,
    }
    for name, step in steps.items():
        step()
        print(f"  {name:<48} {count / median(seconds(step) for _ in range(rounds)):>8,.0f}")
    print(f"  valid proposals of {made:,}: {100 * valid / made:.1f} %")


def seconds(step: Callable[[], object]) -> float:
    """Return how long a step takes, s."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
