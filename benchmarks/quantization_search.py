"""Quantization searches under several seeds beside random plans: hypervolume, and what the selected plans are worth.

python benchmarks/quantization_search.py digits-cnn
python benchmarks/quantization_search.py tiny-transformer --data docs --evaluations 300
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from codesign.run import Run
from codesign.search.driver import run_search
from codesign.search.hypervolume import hypervolume
from codesign.search.quantization.details import selected
from codesign.search.quantization.problem import QuantizationProblem

ENGINES = (
    ("nsga2", "sensitivity"),
    ("random", "none"),
    ("optuna:tpe", "sensitivity"),
    ("optuna:nsga2", "sensitivity"),
    ("nsga2", "none"),
)
LARGEST_LOSS = {"error": 1.0, "perplexity": 20.0, "mse": 1.0}
"""Quality of the reference point; its memory is the original's."""


def main() -> None:
    """Print a line for each engine and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", default="")
    parser.add_argument("--target", default="xeon-8480")
    parser.add_argument("--evaluations", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--engines", type=int, default=len(ENGINES), help="the first so many of the list")
    asked = parser.parse_args()
    for engine, seeding in ENGINES[: asked.engines]:
        problem = QuantizationProblem(
            model=asked.model, data=asked.data, target=asked.target, objectives=("quality", "memory"), seeding=seeding
        )
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                run = run_search(
                    problem, engine=engine, evaluations=asked.evaluations, seed=seed, directory=Path(folder) / "run"
                )
                spent = time.perf_counter() - began
                print(f"{engine:12} {seeding:11} seed {seed}: {summary(problem, run)}; {spent:.0f} s", flush=True)


def summary(problem: QuantizationProblem, run: Run) -> str:
    """Return the hypervolume of a run as a share of its reference box, and its selected plan."""
    measure, original = problem.task.measure, problem.laboratory.original
    start = problem.baseline()
    assert start is not None
    memory = float(problem.evaluate(start).objectives[0, 1])
    box = np.array([LARGEST_LOSS[measure], memory])
    columns = run.front["columns"]
    front = np.array([columns[one.name] for one in problem.objectives]).T
    volume = hypervolume(front[(front < box).all(axis=1)], box) / box.prod()
    trials = run.trials().to_dict(as_series=False)
    row = selected(problem, trials)
    if row is None:
        return f"hypervolume {volume:.4f}; no plan selected"
    return (
        f"hypervolume {volume:.4f}; selected {trials['weight_bits'][row]:.2f} bits a weight, "
        f"{trials['activation_bits'][row]:.2f} an activation, memory {trials['memory'][row] / memory:.3f} of the "
        f"original's; unseen {measure} {trials[f'unseen_{measure}'][row]:.4f} (original {original['report'].value:.4f})"
    )


if __name__ == "__main__":
    main()
