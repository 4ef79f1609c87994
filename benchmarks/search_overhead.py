"""What a search costs beside its evaluations: ours, journal included, against Optuna's in-memory NSGA-II.

A trivial problem of 8 parameters and 3 objectives (DTLZ2 with nuisance parameters), population 100, one core.

    python benchmarks/search_overhead.py                  # 10,000 evaluations of each, and the ratio
    python benchmarks/search_overhead.py --stream 100000000   # exhaustive, with peak memory
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from codesign.run import host_info, versions
from codesign.search.driver import Progress, run_search
from codesign.search.parameters import Categorical, Integer, Ordinal, Real
from codesign.search.problem import Objective, Points, Problem, Results
from codesign.search.space import BoxSpace


def objectives(x: Any, integers: Any, category: Any, order: Any) -> list[Any]:
    """Return the three objectives; plain arithmetic that serves scalars and arrays."""
    g = 1.0 + (x[2] - 0.5) ** 2 + (x[3] - 0.5) ** 2 + 0.01 * (integers[0] + integers[1]) + 0.1 * category + 0.05 * order
    a, b = x[0] * np.pi / 2.0, x[1] * np.pi / 2.0
    return [g * np.cos(a) * np.cos(b), g * np.cos(a) * np.sin(b), g * np.sin(a)]


class Trivial(Problem):
    """Four reals, two integers, a choice and an ordered value."""

    name = "trivial"
    objectives = (Objective("a"), Objective("b"), Objective("c"))

    def __init__(self) -> None:
        """Set up the space."""
        reals = [Real(f"x{i}", 0.0, 1.0) for i in range(4)]
        integers = [Integer(f"i{i}", 0, 20) for i in range(2)]
        self.space = BoxSpace([*reals, *integers, Categorical("t", ("p", "q", "r")), Ordinal("o", (1, 2, 4, 8))])

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return the objectives."""
        columns = points.T
        return Results.make(np.stack(objectives(columns[:4], columns[4:6], columns[6], columns[7]), axis=1))


class Grid(Problem):
    """A finite space of at least ``size`` points, two objectives: what remains is streaming."""

    name = "grid"
    objectives = (Objective("a"), Objective("b"), Objective("c"))
    block = 65_536

    def __init__(self, size: int) -> None:
        """Set up eight integers whose ranges multiply to ``size`` or more."""
        side = int(np.ceil(size ** (1.0 / 8.0)))
        self.space = BoxSpace([Integer(f"n{i}", 1, side) for i in range(8)])

    def evaluate(self, points: Points, stage: int = 0) -> Results:
        """Return three sums."""
        total = points @ np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
        other = points @ np.array([-1.0, 2.0, -1.0, 1.0, -2.0, -3.0, 1.0, -1.0])
        return Results.make(np.stack([total, other, (total - 40.0) ** 2], axis=1))


def ours(evaluations: int, folder: Path) -> tuple[float, float]:
    """Return (seconds of search with journal, seconds in all with the derived files)."""
    began = time.perf_counter()
    seen: list[Progress] = []
    run_search(
        Trivial(), options={"population": 100}, evaluations=evaluations, directory=folder / "run", progress=seen.append
    )
    return seen[-1].seconds, time.perf_counter() - began


def optuna_nsga2(evaluations: int) -> float:
    """Return the seconds Optuna's in-memory NSGA-II takes for as many evaluations."""
    import optuna

    def objective(trial: Any) -> tuple[Any, ...]:
        x = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(4)]
        integers = [trial.suggest_int(f"i{i}", 0, 20) for i in range(2)]
        category = trial.suggest_categorical("t", [0, 1, 2])
        return tuple(objectives(x, integers, category, trial.suggest_int("o", 0, 3)))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study = optuna.create_study(
        directions=["minimize"] * 3, sampler=optuna.samplers.NSGAIISampler(population_size=100, seed=0)
    )
    began = time.perf_counter()
    study.optimize(objective, n_trials=evaluations)
    return time.perf_counter() - began


def stream(size: int, folder: Path) -> None:
    """Stream a finite space and print rate and memory on the way."""

    def show(progress: Progress) -> None:
        if progress.evaluations // 10_000_000 != shown[0]:
            shown[0] = progress.evaluations // 10_000_000
            print(
                f"  {progress.evaluations:>12,} points {progress.seconds:7.1f} s  peak {peak_mb():6.0f} MB", flush=True
            )

    shown = [0]
    before = peak_mb()
    began = time.perf_counter()
    run = run_search(Grid(size), engine="exhaustive", directory=folder / "grid", progress=show)
    seconds = time.perf_counter() - began
    count = run.meta["evaluations"]
    print(f"exhaustive: {count:,} points in {seconds:.1f} s: {count / seconds:,.0f} a second")
    print(f"memory: {before:.0f} MB before, {peak_mb():.0f} MB at most; journal {run.journal_path.stat().st_size:,} B")


def peak_mb() -> float:
    """Return the peak resident memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=10_000)
    parser.add_argument("--stream", type=int, default=2_000_000, help="points of the exhaustive search")
    parser.add_argument("--no-optuna", action="store_true")
    chosen = parser.parse_args()
    host = host_info()
    print(f"{host['processor']}, {host['cores']} cores; {versions(('numpy', 'optuna'))}")
    with tempfile.TemporaryDirectory() as folder:
        seconds, whole = ours(chosen.evaluations, Path(folder))
        print(f"ours: {chosen.evaluations:,} evaluations in {seconds:.2f} s with journal, {whole:.2f} s with all files")
        if not chosen.no_optuna:
            theirs = optuna_nsga2(chosen.evaluations)
            print(f"Optuna in memory: {theirs:.2f} s")
            print(f"ratio: {theirs / seconds:.0f} against the search with journal, {theirs / whole:.0f} with all files")
        stream(chosen.stream, Path(folder))


if __name__ == "__main__":
    main()
