"""Program searches compared: with random edits, with and without a learned cost model, and on real runs.

python benchmarks/program_runs.py engines [MODEL ...]     # FLOPs and error on torch: hypervolume over random edits
python benchmarks/program_runs.py screen                  # what a cost model of other programs saves
python benchmarks/program_runs.py real MODEL [--backend torch]   # runtime and error, measured again
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from codesign.search.driver import run_search
from codesign.search.engines import make_engine
from codesign.search.hypervolume import hypervolume
from codesign.search.mlir.asked import search_programs
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.screen import screened
from codesign.search.mlir.store import Store
from codesign.search.mlir.worker import Worker
from codesign.search.problem import Results
from codesign.search.space import Space

MODELS = ("digits-mlp", "digits-cnn", "digits-mlp-planted")
OTHERS = ("digits-mlp", "digits-mlp-planted", "digits-mlp-train", "digits-cnn-train")
"""Programs that teach the cost model of ``screen``; the CNN is searched."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("engines", "screen", "real"))
    parser.add_argument("models", nargs="*")
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--backend", default="xla", help="of real")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    print(f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors")
    if asked.what == "engines":
        for model in asked.models or MODELS:
            engines(model, seeds, asked.evaluations)
    elif asked.what == "screen":
        screen(seeds, asked.evaluations)
    else:
        for model in asked.models:
            for seed in seeds:
                real(model, asked.backend, seed, asked.evaluations)


class Direct:
    """Searches of one program for FLOPs and error, in this process: the same result for the same seed."""

    def __init__(self, model: str, place: str) -> None:
        import torch

        torch.set_num_threads(1)  # as in a worker
        self.problem = ProgramSearch(model=model, backend="torch", objectives=("flops", "error"))
        self.problem._worker = Worker(self.problem.asked, self.problem.prepared, Store(Path(place)))
        self.original = self.problem.evaluate(self.problem.baseline())
        task = self.problem.prepared.task
        self.corner = [1.05 * self.original.objectives[0, 0], task.judge.trivial(task.samples("search").y).value]
        self._known: dict[bytes, Results] = {}

    def run(self, engine: str, seed: int, evaluations: int, space: Space | None = None) -> np.ndarray[Any, Any]:
        """Return the objectives (N, 2) of what an engine evaluates, in order; infinite where invalid."""
        search = make_engine(
            engine, space or self.problem.space, seed=seed, evaluations=evaluations, objectives=2, options={}
        )
        search.tell(self.problem.baseline(), self.original)
        found, spent = [self.original.objectives], 1
        while spent < evaluations:
            points = search.ask(min(search.batch, evaluations - spent))
            results = Results.concatenate([self._result(point) for point in points])
            search.tell(points, results)
            found.append(np.where(results.ok[:, None], results.objectives, np.inf))
            spent += len(points)
        return np.concatenate(found)

    def _result(self, point: np.ndarray[Any, Any]) -> Results:
        key = point.tobytes()
        if key not in self._known:
            self._known[key] = self.problem.evaluate(point[None])
        return self._known[key]

    def volume(self, values: np.ndarray[Any, Any]) -> float:
        """Return the hypervolume below 1.05 times the original's FLOPs and the error of not looking, 1 in all."""
        scale = np.array(self.corner)
        return hypervolume(values / scale, [1.0, 1.0])


def engines(model: str, seeds: Sequence[int], evaluations: int) -> None:
    """Print the hypervolume of each engine over that of random edits, seed by seed."""
    with tempfile.TemporaryDirectory() as place:
        direct = Direct(model, place)
        random = [direct.volume(direct.run("random", seed, evaluations)) for seed in seeds]
        print(
            f"{model}: random edits {np.mean(random):.4f} of the volume, {evaluations} evaluations, {len(seeds)} seeds"
        )
        for engine in ("nsga2", "gevo"):
            runs = [direct.run(engine, seed, evaluations) for seed in seeds]
            ratio = np.array([direct.volume(run) for run in runs]) / random
            right = direct.original.objectives[0] + [0.0, 0.01]
            least = [run[run[:, 1] <= right[1], 0].min() / right[0] for run in runs]
            print(
                f"  {engine}: median {np.median(ratio):.2f}, lowest {ratio.min():.2f}, {(ratio > 1.0).sum()} of "
                f"{len(ratio)} larger; valid {np.mean([np.isfinite(run[:, 0]).mean() for run in runs]):.0%}; least "
                f"FLOPs at one point of error {np.median(least):.2f} (best {min(least):.2f})",
                flush=True,
            )


def screen(seeds: Sequence[int], evaluations: int) -> None:
    """Print the scores of a model of other programs, and what screening the CNN's mutants by it saves."""
    with tempfile.TemporaryDirectory() as place:
        for model in OTHERS:
            problem = ProgramSearch(model=model, backend="torch", objectives=("flops", "error"), steps=20)
            run_search(problem, engine="gevo", evaluations=evaluations, workers=2, timeout=30.0, keep="all",
                       directory=Path(place) / model)  # fmt: skip
        runs = ",".join(str(Path(place) / model) for model in OTHERS)
        fitted = Path(place) / "model.npz"
        command = [sys.executable, "-m", "codesign", "costmodels", "fit", "--from-run", runs, "--out", str(fitted)]
        subprocess.run(command, check=True)
        store = Path(place) / "store"
        store.mkdir()
        direct = Direct("digits-cnn", str(store))
        chosen = screened(direct.problem.edits, str(fitted))
        for seed in seeds:
            plain = direct.run("gevo", seed, evaluations)
            helped = direct.run("gevo", seed, evaluations, chosen)
            goal = 0.95 * min(direct.volume(plain), direct.volume(helped))
            needed = [_reached(direct, run, goal) for run in (plain, helped)]
            print(
                f"seed {seed}: volume {direct.volume(plain):.4f} plain, {direct.volume(helped):.4f} screened; 95 % of "
                f"the smaller after {needed[0]} and {needed[1]} evaluations",
                flush=True,
            )


def _reached(direct: Direct, values: np.ndarray[Any, Any], goal: float) -> int:
    return next(count for count in range(1, len(values) + 1) if direct.volume(values[:count]) >= goal)


def real(model: str, backend: str, seed: int, evaluations: int) -> None:
    """Print what the command finds and believes."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        asked = {"model": model, "backend": backend}
        run = search_programs(asked, evaluations=evaluations, seed=seed, directory=Path(place) / "run", seconds=2.0)
        print(f"{model}, {backend}, seed {seed}, {evaluations} mutants, load {before:.0f} to {os.getloadavg()[0]:.0f}:")
        told = run.front["verification"]
        for name in ("claim", "original", "winner", "random edits", "search", "noise", "other work"):
            if name in told:
                print(f"  {name}: {told[name]}", flush=True)
        near = [row["speed-up"] for row in told["rows"] if _allowed(row, told["rows"][0]["selection"])]
        print(f"  fastest of {len(near)} members within two points: {max(near, default=float('nan')):.3g}x", flush=True)
        for line in told.get("notes", ()):
            print(f"  edit: {line}", flush=True)


def _allowed(row: dict[str, Any], original: float) -> bool:
    known = row["speed-up"] is not None and row["selection"] is not None and row["member"] != "#0"
    return known and row["selection"] <= original + 0.02


if __name__ == "__main__":
    main()
