"""The mapping problem and its inner search: batches, bounds, optima, baselines, reproducible results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.costmodels.accelerator import Problem, conv2d, evaluate, from_einsum, gemm
from codesign.errors import DataError, LimitCrossed, UsageError
from codesign.models import load_model
from codesign.search.mapping.bounds import bounds_of, visited
from codesign.search.mapping.inner import best_mappings, search
from codesign.search.mapping.layers import map_model, problems_of
from codesign.search.mapping.problem import MappingProblem
from codesign.search.mapping.written import WrittenProblem, read_written, written_problem
from codesign.search.problem import Status
from codesign.search.problems import make_problem
from codesign.strict_yaml import convert
from codesign.targets.spatial import load_architecture
from codesign.workload import Einsum
from tests.search.mapping.designs import ARRAY, BUFFERED, PADS, PRODUCT, WINDOW, machine, memory

CATALOGUE = ("diannao", "eyeriss-chip", "eyeriss-like", "fusemax", "gemmini-like", "tpu-like")
ALL = ("energy", "latency", "edp", "buffer", "traffic")


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


@pytest.mark.parametrize("kind", ["plain", "uneven", "ragged"])
@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("text", ["conv:K6C4P6Q5R3S3,stride=2", "gemm:12x30x8"])
def test_mixed_batches_cost_what_each_mapping_costs(name: str, text: str, kind: str) -> None:
    problem = MappingProblem(problem=text, target=name, uneven=kind == "uneven", ragged=kind == "ragged")
    points = problem.space.sample(generator(), 60)
    mixed = problem.mixed_costs(points)
    assert mixed.feasible.all()
    for places, mappings in problem.space.mappings(points):
        costs = evaluate(problem.einsum, problem.architecture, mappings)
        assert np.array_equal(mixed.cycles[places], costs.cycles)
        np.testing.assert_allclose(mixed.energy[:, places], costs.energy, rtol=1e-12)
        np.testing.assert_allclose(mixed.occupancy[:, places], costs.occupancy, rtol=1e-12)
        for row, (level, tensor) in enumerate(costs.entries):
            assert np.array_equal(mixed.reads[mixed.entry(level, tensor), places], costs.reads[row])


def test_results_do_not_depend_on_the_batch() -> None:
    problem = MappingProblem(problem="gemm:64x96x32", target="eyeriss-like", objectives=ALL)
    points = problem.space.sample(generator(), 300)
    whole = problem.evaluate(points)
    for start in (0, 7, 100):
        part = problem.evaluate(points[start : start + 50])
        assert np.array_equal(part.objectives, whole.objectives[start : start + 50])
    assert (whole.low[:, 0] < whole.objectives[:, 0]).all()
    assert (whole.high[:, 0] > whole.objectives[:, 0]).all()
    assert np.array_equal(whole.low[:, 1], whole.objectives[:, 1])  # cycles are exact


def test_carbon_is_that_of_the_energy_alone() -> None:
    spec: dict[str, Any] = {"problem": "gemm:16x16x16", "target": "tpu-like", "objectives": ["energy", "carbon"]}
    found = MappingProblem(**spec, site={"grid": "380 g/kWh", "pue": 1.5})
    points = found.space.sample(generator(), 50)
    results = found.evaluate(points)
    energy, carbon = results.objectives.T
    np.testing.assert_allclose(carbon, energy / 3.6e6 * 380.0 * 1.5, rtol=1e-12)
    assert (results.low[:, 1] <= carbon).all()
    assert (carbon <= results.high[:, 1]).all()
    with pytest.raises(UsageError, match="pue"):
        MappingProblem(**spec, site={"pue": 0.5})


def test_edp_is_energy_times_latency_and_utilisation_follows_the_cycles() -> None:
    problem = MappingProblem(einsum=PRODUCT, architecture=ARRAY, objectives=ALL)
    assert problem.space.size is not None
    results = problem.evaluate(problem.space.enumerate(0, problem.space.size))
    energy, latency, edp, _, traffic = results.objectives.T
    np.testing.assert_allclose(edp, energy * latency, rtol=1e-12)
    np.testing.assert_allclose(results.metrics["cycles"], latency * 1e9, rtol=1e-12)
    np.testing.assert_allclose(results.metrics["utilisation"], PRODUCT.operations / results.metrics["cycles"] / 6)
    assert traffic.min() >= problem.bounds.bits / 8.0


@pytest.mark.parametrize("architecture", [BUFFERED, ARRAY, PADS], ids=["buffered", "array", "pads"])
@given(
    k=st.sampled_from((1, 2, 3)),
    p=st.sampled_from((1, 2, 4)),
    r=st.sampled_from((1, 2, 3)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
)
def test_no_mapping_beats_the_bounds(architecture: Any, k: int, p: int, r: int, stride: int, dilation: int) -> None:
    einsum = conv2d(k=k, c=2, p=p, q=1, r=r, s=1, stride=stride, dilation=dilation, bits=(8, 8, 8))
    problem = MappingProblem(einsum=einsum, architecture=architecture)
    results = problem.evaluate(problem.space.sample(generator(), 200))
    assert (results.metrics["energy_gap"] >= -1e-9).all()
    assert (results.metrics["latency_gap"] >= -1e-9).all()
    assert (results.metrics["traffic"] >= problem.bounds.bits / 8.0 - 1e-9).all()


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_visited_counts_what_brute_force_visits(stride: int, dilation: int) -> None:
    for p, r in ((1, 1), (4, 1), (1, 3), (4, 2), (3, 3)):
        einsum = conv2d(k=1, c=1, p=p, q=1, r=r, s=1, stride=stride, dilation=dilation)
        every = {stride * i + dilation * j for i in range(p) for j in range(r)}
        assert visited(einsum, einsum.inputs[0]) <= len(every)
        if stride <= dilation * (r - 1) + 1 and dilation == 1:
            assert visited(einsum, einsum.inputs[0]) == len(every)


CASES = {"buffer": (PRODUCT, BUFFERED), "array": (WINDOW, ARRAY), "pads": (PRODUCT, PADS)}


@pytest.mark.parametrize("case", CASES)
def test_evolution_never_beats_the_whole_list_and_finds_its_best(case: str) -> None:
    einsum, architecture = CASES[case]
    whole = best_mappings(einsum, architecture, ALL, budget=10**6)
    assert whole.exhaustive
    assert whole.evaluations == whole.problem.space.size
    large = whole.problem.space
    large.size, before = None, large.size  # the engine is to search a space that it cannot list
    found = search(whole.problem, 6000, seed=1)
    large.size = before
    assert not found.exhaustive
    assert (found.best >= whole.best * (1.0 - 1e-12)).all()
    np.testing.assert_allclose(found.best, whole.best, rtol=1e-12)


def test_a_seed_gives_one_result_and_never_less_than_random() -> None:
    einsum, architecture = gemm(256, 256, 256), load_architecture("tpu-like")
    first, again = (best_mappings(einsum, architecture, ("energy", "latency", "edp"), 6000, seed=3) for _ in range(2))
    assert np.array_equal(first.points, again.points)
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.random, again.random)
    assert (first.best <= first.random).all()
    assert first.mapping("edp").slots.unit == "mac"
    champion = first.problem.evaluate(first.best_points)
    np.testing.assert_allclose(np.diag(champion.objectives), first.best)


def test_a_larger_buffer_never_needs_more_traffic() -> None:
    least = []
    for words in (8, 12, 20, 40, 100):
        architecture = machine(memory("Buffer", 5.0, words=words))
        least.append(float(best_mappings(PRODUCT, architecture, ("traffic",), 10**6).best[0]))
    assert least == sorted(least, reverse=True)
    assert least[-1] < least[0]
    assert least[-1] == bounds_of(PRODUCT, architecture).bits / 8.0  # everything fits: compulsory traffic alone


def test_the_search_is_no_worse_than_the_published_mapping() -> None:
    # Timeloop and Accelergy exercises, eyeriss_like: 59.2802 uJ in 86,016 cycles, and that mapper stopped early
    einsum = conv2d(k=32, c=3, p=112, q=112, r=3, s=3, stride=2)
    front = best_mappings(einsum, load_architecture("eyeriss-like"), budget=8000, baseline=False)
    better = (front.values[:, 0] <= 59.2802e-6) & (front.values[:, 1] <= 86_016e-9)
    assert better.any()


def test_limits_make_points_infeasible_and_say_so() -> None:
    problem = MappingProblem(einsum=PRODUCT, architecture=ARRAY, where=("utilisation >= 50 %",))
    results = problem.evaluate(problem.space.sample(generator(), 300))
    bad = results.metrics["utilisation"] < 0.5
    assert bad.any()
    assert not bad.all()
    assert np.array_equal(results.status == Status.INFEASIBLE, bad)
    with pytest.raises(LimitCrossed, match="utilisation >= 200 %"):
        best_mappings(PRODUCT, ARRAY, budget=100, where=("utilisation >= 200 %",))


def test_a_foreign_point_says_which_memory_overflows() -> None:
    problem = MappingProblem(einsum=PRODUCT, architecture=BUFFERED)
    genome = problem.space.genome(problem.space.sample(generator(), 1)).copy()
    genome.options[:] = 0
    genome.factors[:] = 1
    genome.factors[1, :, 0] = problem.space.divisors.extents
    results = problem.evaluate(genome.rows())
    assert results.status[0] == Status.INFEASIBLE
    assert results.reasons == ("tiles overflow Buffer by up to 32 words",)  # 24 + 12 + 8 words into 12


def test_a_stored_problem_is_the_problem_again() -> None:
    problem = MappingProblem(einsum=WINDOW, architecture=BUFFERED, objectives=("energy",))
    written = convert(written_problem(WINDOW), WrittenProblem, "problem")
    assert written_problem(read_written(written)) == written_problem(WINDOW)
    stored = make_problem("mapping", {**problem.spec(), "target": "tpu-like"})
    assert isinstance(stored, MappingProblem)
    assert dict(stored.einsum.ranks) == dict(WINDOW.ranks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensors": []}, "found 0 outputs"),
        ({"ranks": {}}, "no ranks"),
        ({"ranks": {"K": 0}}, "expected a positive integer"),
    ],
)
def test_a_spoilt_stored_problem_is_refused(change: dict[str, Any], said: str) -> None:
    written = convert({**written_problem(WINDOW), **change}, WrittenProblem, "problem")
    with pytest.raises((DataError, UsageError), match=said):
        read_written(written)


def test_details_show_nest_accesses_gap_and_a_timeloop_file() -> None:
    problem = MappingProblem(problem="gemm:64x64x64", target="eyeriss-like", objectives=ALL)
    point = problem.space.sample(generator(), 1)
    details = problem.describe(point)
    assert [one.title for one in details.commands] == ["Loop nest", "Accesses", "Timeloop mapping"]
    costs = problem.mixed_costs(point)
    assert sum(item.value for item in details.breakdowns[0].items) == pytest.approx(float(costs.energy[1, 0]))
    assert details.notes[0].startswith("cycles ")


def test_layers_of_equal_shape_are_searched_once() -> None:
    mapped = map_model("resnet-18", load_architecture("tpu-like"), budget=300)
    assert mapped.macs == 1_814_073_344  # 1.81 GMAC, He et al. 2016, table 1: 1.8e9
    assert sum(layer.runs for layer in mapped.layers) == 21
    assert len(mapped.layers) == 12
    assert mapped.total("latency", "latency") <= mapped.total("latency", "energy")
    assert mapped.total("energy", "energy") <= mapped.total("energy", "latency")


def test_what_cannot_be_mapped_is_counted_with_its_reason() -> None:
    problems, left_out = problems_of(load_model("llama-3.1-8b").workload(), (8, 8, 16))
    assert problems
    assert set(left_out) >= {"no multiply-adds", "extents change from step to step"}
    assert all(int(tensor.bits) in (8, 16) for problem, _ in problems for tensor in problem.tensors)
    stem = next(op for phase in load_model("resnet-18").workload().phases for block in phase.blocks
                for group in block.groups for op in group.ops if isinstance(op, Einsum))  # fmt: skip
    first, runs = problems_of(load_model("resnet-18").workload(), (8, 8, 16))[0][0]
    assert (from_einsum(stem).operations, runs) == (first.operations, 1)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"problem": "gemm:4x4x4", "target": "tpu-like", "objectives": ["energi"]}, "unknown objective 'energi'"),
        ({"problem": "gemm:4x4x4", "target": "tpu-like", "objectives": []}, "no objective"),
        ({"problem": "gemm:4x4x4", "target": ""}, "no target"),
        ({"problem": "", "target": "tpu-like"}, "no problem"),
        ({"problem": "gemm:4x4x4", "target": "tpu-like", "where": ["speed >= 1"]}, "unknown metric 'speed'"),
        ({"problem": "gemm:4x4x4", "target": "tpu-like", "unit": "vector"}, "no compute unit 'vector'"),
    ],
)
def test_bad_specs_are_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        MappingProblem(**spec)


def test_an_operation_that_the_unit_lacks_is_refused() -> None:
    einsum = Problem(name="max", ranks=dict(PRODUCT.ranks), inputs=PRODUCT.inputs, output=PRODUCT.output,
                     operation="max")  # fmt: skip
    with pytest.raises(UsageError, match="no operation 'max'"):
        MappingProblem(einsum=einsum, architecture=BUFFERED)


def test_cycles_of_a_search_are_those_of_its_latency() -> None:
    ideal, systolic = (
        MappingProblem(problem="gemm:16x16x16", target="tpu-like", objectives=("latency",), latency=text)
        for text in ("ideal", "systolic")
    )
    points = ideal.space.sample(np.random.Generator(np.random.Philox(1)), 50)
    slow, fast = (problem.evaluate(points).objectives[:, 0] for problem in (systolic, ideal))
    assert (slow > fast).all()
    mappings = systolic.space.mappings(points[:1])[0][1]
    assert systolic.costs(mappings).cycles[0] == slow[0]
    with pytest.raises(UsageError, match="nothing to overlap"):
        MappingProblem(problem="gemm:16x16x16", target="tpu-like", latency="pipelined")
