"""Program search: what judging a mutant costs beyond compiling and timing it, mutants a second, memory of a whole run.

python benchmarks/mlir_search.py [--mutants N]
python benchmarks/mlir_search.py --run 1000      # a whole run instead: digits CNN on XLA, two workers
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from codesign.search.driver import run_search
from codesign.search.mlir.problem import ProgramSearch
from codesign.search.mlir.settings import ProgramSpec
from codesign.search.mlir.worker import Worker, start
from codesign.search.problem import Problem
from codesign.search.unseen import generator_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100)
    parser.add_argument("--run", type=int, default=0, help="mutants of a whole run of the CNN, and nothing else")
    asked = parser.parse_args()
    if asked.run:  # a worker in this process, as below, would leave it on one processor
        rate("digits-cnn", "xla", asked.run)
        return
    rate("digits-mlp", "torch", asked.mutants * 10)
    for model in ("digits-mlp", "digits-cnn", "digits-mlp-train"):
        overhead(model, asked.mutants)


class Clocked:
    """A back end that adds up the time its compiler takes."""

    def __init__(self, backend: Any) -> None:
        self._backend, self.seconds = backend, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def compile(self, realised: Any) -> Any:
        """Compile, on the clock."""
        began = time.perf_counter()
        try:
            return self._backend.compile(realised)
        finally:
            self.seconds += time.perf_counter() - began


def overhead(model: str, count: int) -> None:
    """Print what judging random mutants takes beside compiling and timing, in one worker of XLA."""
    problem = ProgramSearch(model=model)
    ready = Path(problem.worker_spec()["ready"])
    worker: Worker = start(ProgramSpec(model), ready)
    worker.evaluator.backend = clock = Clocked(worker.evaluator.backend)  # type: ignore[assignment]
    timing, real = 0.0, worker._measured

    def measured(executable: Any) -> Any:
        nonlocal timing
        began = time.perf_counter()
        try:
            return real(executable)
        finally:
            timing += time.perf_counter() - began

    worker._measured = measured  # type: ignore[method-assign]
    points = problem.space.sample(generator_of(0, 1), count)
    began, alive = time.perf_counter(), 0
    for point in points:
        edits, key = problem.space.edits(point), point.tobytes()
        verdict = worker.verdict(key, edits)
        if not verdict.refused and not verdict.worse:
            worker.timed(key, edits, verdict)
            alive += 1
    whole = time.perf_counter() - began
    share = whole / (clock.seconds + timing) - 1.0
    print(
        f"{model}, XLA: {count} mutants in {whole:.1f} s ({alive} timed): compiling {clock.seconds:.1f} s, timing "
        f"{timing:.1f} s, the rest {share:.1%} of these"
    )


def rate(model: str, backend: str, count: int) -> None:
    """Print mutants a second of a whole search with two workers, and the memory it took."""
    problem: Problem = ProgramSearch(model=model, backend=backend)
    with tempfile.TemporaryDirectory() as place:
        seen: list[tuple[int, float]] = []
        run = run_search(
            problem, engine="gevo", evaluations=count, workers=2, timeout=30.0, directory=Path(place) / "run",
            progress=lambda p: seen.append((p.evaluations, p.seconds)),
        )  # fmt: skip
        known = np.asarray(run.front["columns"]["known"], np.float64)
        counts = run.front["status_counts"]
    steady = (seen[-1][0] - seen[1][0]) / (seen[-1][1] - seen[1][1])
    own, each = (resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{model}, {backend}: {count} mutants in {seen[-1][1]:.0f} s, {steady:.0f}/s once the workers stand; {counts}; "
        f"memory: {own:.2f} GiB here, at most {each:.2f} GiB a worker; {int(known.sum())} of the front judged before"
    )


if __name__ == "__main__":
    main()
