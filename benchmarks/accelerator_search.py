"""Configurations an accelerator search evaluates per second on one core, by what of a configuration is new.

python benchmarks/accelerator_search.py                        # resnet-18 and bert-base on the eyeriss-like template
python benchmarks/accelerator_search.py --quality 8            # found mappings against ten times the budget
python benchmarks/accelerator_search.py --fronts 60 --seeds 3  # hypervolume of NSGA-II's front, and the time it took

Seconds are those of the processor, so that they hold on a busy machine.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from codesign.search.accelerator.problem import AcceleratorProblem
from codesign.search.engines import make_engine
from codesign.search.hypervolume import measure


def main() -> None:
    """Print evaluations per second of configurations of new geometry, of known geometry, and of hopeless ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="resnet-18,bert-base")
    parser.add_argument("--template", default="eyeriss-like")
    parser.add_argument("--geometries", type=int, default=6)
    parser.add_argument("--quality", type=int, default=0, help="random configurations of which mappings are compared")
    parser.add_argument("--fronts", type=int, default=0, help="evaluations of each search")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    models = asked.models.split(",")
    if asked.quality:
        _quality(models, asked.template, asked.quality)
    if asked.fronts:
        for seed in range(asked.seeds):
            _front(models, asked.template, asked.fronts, seed)
    if asked.quality or asked.fronts:
        return
    problem = AcceleratorProblem(models=models, template=asked.template, vary={"cores": [1]})
    base = problem.baseline()
    assert base is not None
    start = time.process_time()
    problem.evaluate(base)
    print(f"the template's own geometry: {time.process_time() - start:.1f} s, once")
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


def _quality(models: list[str], template: str, count: int) -> None:
    """Print latency and energy of random configurations over those with ten times the mappings."""
    usual = AcceleratorProblem(models=models, template=template)
    points = usual.box.sample(np.random.Generator(np.random.Philox(1)), count)
    many = AcceleratorProblem(models=models, template=template, mappings=10 * usual.asked.mappings)
    few = AcceleratorProblem(models=models, template=template, mappings=usual.asked.mappings // 2)
    best = many.evaluate(points).objectives[:, :2]
    for name, problem in (("usual", usual), ("half", few)):
        ratio = problem.evaluate(points).objectives[:, :2] / best
        print(f"{name}: latency x {ratio[:, 0].mean():.3f} (worst {ratio[:, 0].max():.3f}), "
              f"energy x {ratio[:, 1].mean():.3f} (worst {ratio[:, 1].max():.3f})")  # fmt: skip


def _front(models: list[str], template: str, evaluations: int, seed: int) -> None:
    """Print the hypervolume of the front of logarithms of objectives over the baseline's, and processor seconds."""
    problem = AcceleratorProblem(models=models, template=template)
    engine = make_engine("nsga2", problem.box, seed=seed, evaluations=evaluations, objectives=3)
    base = problem.baseline()
    assert base is not None
    start = time.process_time()
    found = [problem.evaluate(base)]
    while (done := sum(map(len, found)) - 1) < evaluations:
        points = engine.ask(min(engine.batch, evaluations - done))
        found.append(problem.evaluate(points))
        engine.tell(points, found[-1])
    values = np.concatenate([one.objectives for one in found])
    logs = np.log(values / values[0])
    volume = measure(logs[(logs <= 0.0).all(axis=1)], np.zeros(3)).value
    spent = time.process_time() - start
    print(f"seed {seed}: hypervolume {volume:.2f} after {evaluations} evaluations, {spent:.0f} s, "
          f"best {', '.join(f'{best:.4g}' for best in values.min(axis=0))}", flush=True)  # fmt: skip


def _show(name: str, problem: AcceleratorProblem, points: object) -> None:
    start = time.process_time()
    count = len(problem.evaluate(points))  # type: ignore[arg-type]
    spent = time.process_time() - start
    print(
        f"{name}: {count / spent:.2f} evaluations/s ({len(problem.layers_at(problem.template.bits).problems)} layers)"
    )


if __name__ == "__main__":
    main()
