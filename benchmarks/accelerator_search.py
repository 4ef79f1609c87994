"""Configurations an accelerator search evaluates per second on one core, by what of a configuration is new.

python benchmarks/accelerator_search.py         # resnet-18 and bert-base on the eyeriss-like template
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from codesign.search.accelerator.problem import AcceleratorProblem


def main() -> None:
    """Print evaluations per second of configurations of new geometry, of known geometry, and of hopeless ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="resnet-18,bert-base")
    parser.add_argument("--template", default="eyeriss-like")
    parser.add_argument("--geometries", type=int, default=6)
    asked = parser.parse_args()
    models = asked.models.split(",")
    problem = AcceleratorProblem(models=models, template=asked.template, vary={"cores": [1]})
    base = problem.baseline()
    assert base is not None
    start = time.perf_counter()
    problem.evaluate(base)
    print(f"the template's own geometry: {time.perf_counter() - start:.1f} s, once")
    generator = np.random.Generator(np.random.Philox(1))
    fresh = problem.box.sample(generator, asked.geometries)
    _show("new geometry", problem, fresh)
    names = problem.box.names
    same = fresh[generator.integers(len(fresh), size=60)]
    for knob in ("memory", "node", "volts"):
        place = names.index(knob)
        same[:, place] = generator.integers(problem.box.counts[place], size=len(same))
    _show("known geometry, new node, DRAM or supply", problem, same)
    hopeless = AcceleratorProblem(models=models, template=asked.template, where=["area <= 0.001 mm2"])
    _show("beyond a limit of area", hopeless, hopeless.box.sample(generator, 300))


def _show(name: str, problem: AcceleratorProblem, points: object) -> None:
    start = time.perf_counter()
    count = len(problem.evaluate(points))  # type: ignore[arg-type]
    spent = time.perf_counter() - start
    print(
        f"{name}: {count / spent:.2f} evaluations/s ({len(problem.layers_at(problem.template.bits).problems)} layers)"
    )


if __name__ == "__main__":
    main()
