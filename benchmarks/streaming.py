"""Exhaustive search over deployments: points per second, and how far the memory grows.

python benchmarks/streaming.py                       # a million designs
python benchmarks/streaming.py --points 100000000    # a hundred million
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from codesign.search.deployment import Deployment
from codesign.search.driver import run_search


def main() -> None:
    """Print the points per second and the growth of the peak resident memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    points = parser.parse_args().points
    targets = ["h100-sxm", "a100-80gb-sxm", "l4"]
    replicas = list(range(1, 65))
    structures = len(targets) * 4 * 3 * 3  # targets, tensor degrees, stages, nodes
    batches = list(range(1, -(-points // (structures * len(replicas))) + 1))
    problem = Deployment(model="llama-3.1-8b", targets=targets, batches=batches, replicas=replicas)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = run_search(problem, engine="exhaustive", directory=Path(folder) / "run")
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    count = run.meta["evaluations"]
    print(f"{count:,} designs in {seconds:.1f} s: {count / seconds:,.0f}/s, peak memory grew by {grown:,.0f} MiB")


if __name__ == "__main__":
    main()
