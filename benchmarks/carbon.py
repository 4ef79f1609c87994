"""Carbon: draws of a footprint, and what carbon columns cost a search.

OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/carbon.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.carbon.footprint_spec import FootprintSpec, asked_footprint
from codesign.costmodels.carbon.footprints import evaluate
from codesign.costmodels.carbon.hull import carbon_hull
from codesign.costmodels.carbon.uncertain import Draws
from codesign.search.deployment import Deployment

REPEATS = 7
SYSTEM: dict[str, Any] = {
    "name": "accelerator",
    "run": {"energy": {"value": "3 J", "low": "2.5 J", "high": "4 J"}, "delay": "5 ms", "flop": "2 TFLOP"},
    "parts": [
        {"kind": "die", "area": "814 mm2", "node_nm": 5},
        {"kind": "die", "area": "100 mm2", "node_nm": 7, "count": 2,
         "yield": {"model": "murphy", "defects_per_cm2": {"value": 0.1, "low": 0.05, "high": 0.2}}},
        {"kind": "memory", "process": "hbm", "capacity": "80 GB"}, {"kind": "package", "circuits": 7},
        {"kind": "board", "area": "300 cm2", "layers": 12},
        {"kind": "server", "memory_gb": 1024, "cpus": 2, "share": 0.125},
    ],
}  # fmt: skip
SPACE: dict[str, Any] = {
    "model": "llama-3.1-8b", "targets": ["h100-sxm", "a100-80gb-sxm", "l4"], "replicas": [*range(1, 65)],
    "batches": [*range(1, 513)],
}  # fmt: skip


def seconds(run: Callable[[], Any]) -> float:
    """Return the median of several runs after one that warms up."""
    run()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def footprint_seconds(draws: int) -> float:
    """Return the time of all figures of one system in one grid, in every draw."""
    spec = {"schema": 1, "functional_unit": {"name": "run"}, "grids": ["USA"], "systems": [SYSTEM]}
    asked = asked_footprint(msgspec.convert(spec, FootprintSpec))
    system, operated, grid = asked.spec.systems[0], asked.operated[0], asked.grids[0]
    return seconds(lambda: evaluate(asked, system, operated, grid, Draws(draws)))


def search_rates() -> dict[str, float]:
    """Return designs per second priced by a fresh problem, by its objectives; rounds of all take turns."""
    kinds = {
        "latency, energy": ("latency", "energy"), "with carbon": ("latency", "energy", "carbon"),
        "with carbon and tCDP": ("latency", "energy", "carbon", "tcdp"),
        "with every figure of merit": (
            "latency", "energy", "carbon", "tcdp", "cci", "edp", "cdp", "cep", "c2ep", "ce2p",
        ),
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in kinds}
    count = 0
    for turn in range(REPEATS + 1):
        for name, objectives in kinds.items():
            problem = Deployment(**SPACE, objectives=list(objectives))
            count = min(problem.box.size or 0, 400_000)
            begin = time.perf_counter()
            for start in range(0, count, problem.block):
                problem.evaluate(problem.box.enumerate(start, min(problem.block, count - start)))
            if turn:
                times[name].append(time.perf_counter() - begin)
    return {name: count / min(found) for name, found in times.items()}


def main() -> None:
    """Print the times."""
    print(
        f"10,000 draws of a footprint of six parts, all figures: {footprint_seconds(10_000) * 1e3:.1f} ms (target 100)"
    )
    random = np.random.default_rng(0)
    columns = random.uniform(1.0, 2.0, (3, 1_000_000))
    print(f"carbon hull of 1,000,000 designs: {seconds(lambda: carbon_hull(*columns)) * 1e3:.0f} ms")
    rates = search_rates()
    plain = next(iter(rates.values()))
    for name, rate in rates.items():
        print(f"search, {name}: {rate:,.0f} designs/s, {100.0 * (1.0 - rate / plain):+.1f} % throughput lost")


if __name__ == "__main__":
    main()
