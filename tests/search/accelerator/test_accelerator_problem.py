"""The accelerator problem: its numbers are the cost model's, whatever the order, company and engine."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from codesign.costmodels.accelerator import evaluate, gemm
from codesign.errors import UsageError
from codesign.search.accelerator.configure import configure
from codesign.search.accelerator.details import roofline
from codesign.search.accelerator.layers import Layers
from codesign.search.accelerator.pools import Pools, geometry_of, reference
from codesign.search.accelerator.price import Priced, layer_costs
from codesign.search.accelerator.problem import AcceleratorProblem, nearest_values
from codesign.search.accelerator.template import read_template
from codesign.search.mapping.bounds import bounds_of
from codesign.search.mapping.problem import MappingProblem
from codesign.search.problem import Status

SMALL: dict[str, Any] = {
    "models": ["bert-base"], "mappings": 120,
    "objectives": ["latency", "energy", "area", "embodied_carbon", "carbon", "tcdp", "edp"],
    "vary": {"rows": [6, 12], "columns": [14], "pads": [1.0], "buffer": [65536.0, 131072.0], "bandwidth": [16.0],
             "cores": [1, 2]},
}  # fmt: skip


@cache
def small() -> AcceleratorProblem:
    """Return the problem that tests share: its pools are found once."""
    return AcceleratorProblem(**SMALL)


def points(count: int, seed: int = 5) -> Any:
    """Return random configurations."""
    return small().box.sample(np.random.Generator(np.random.Philox(seed)), count)


def test_the_baseline_is_the_template_and_its_numbers_those_of_its_mappings() -> None:
    problem = small()
    base = problem.baseline()
    assert base is not None
    design = problem.design(problem.box.rows(base)[0])
    assert design == problem.template.design()
    results = problem.evaluate(base)
    configured, made, priced = problem.priced(design)
    assert isinstance(priced, Priced)
    layers = problem.layers_at(8)
    seconds, joules = 0.0, 0.0
    for place, pool in enumerate(problem.pools.of(layers, design)):
        assert pool.problem is not None
        mapping = pool.problem.space.mappings(pool.points[priced.layers[place].chosen][None, :])[0][1]
        costs = evaluate(layers.problems[place], configured.architecture, mapping)
        assert costs.feasible.all()
        runs = float(layers.counts[0, place])
        seconds += runs * float(costs.cycles[0]) / 1e9
        joules += runs * float(costs.energy[1, 0])
    joules += seconds * float(configured.static_watts.value)
    grams = joules / 3.6e6 * 1.2 * 369.473 + float(made.total.value) * seconds / (4 * 365 * 86_400 * 0.6)
    names = [one.name for one in problem.objectives]
    found = dict(zip(names, results.objectives[0].tolist(), strict=True))
    expected = {
        "latency": seconds, "energy": joules, "area": float(configured.area.value),
        "embodied_carbon": float(made.total.value), "carbon": grams, "tcdp": grams * seconds, "edp": joules * seconds,
    }  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-9)
    assert (results.low <= results.objectives).all()
    assert (results.objectives <= results.high).all()


def test_an_answer_depends_neither_on_order_nor_on_company() -> None:
    asked = points(8)
    whole = small().evaluate(asked)
    other = AcceleratorProblem(**SMALL)
    alone = np.concatenate([other.evaluate(asked[place : place + 1]).objectives for place in range(7, -1, -1)])
    np.testing.assert_array_equal(alone[::-1], whole.objectives)


def test_a_spec_is_the_problem_again() -> None:
    again = AcceleratorProblem.from_spec(msgspec.json.decode(msgspec.json.encode(small().spec())))
    assert again.space.to_json() == small().space.to_json()
    assert again.fingerprint() == small().fingerprint()


def test_limits_hold_and_hopeless_designs_are_not_mapped() -> None:
    problem = AcceleratorProblem(**{**SMALL, "where": ["area <= 0.2 mm2"]})
    asked = points(40)
    areas = small().evaluate(asked).objectives[:, 2]
    results = problem.evaluate(asked)
    np.testing.assert_array_equal(results.ok, areas <= 0.2)
    assert results.ok.any()
    assert not results.ok.all()
    assert set(results.reason_counts()) == {"violates area <= 0.2 mm2"}
    strict = AcceleratorProblem(**{**SMALL, "where": ["area <= 0.001 mm2", "latency <= 1 ms"]})
    refused = strict.evaluate(asked)
    assert strict.pools.searched == 0
    assert (refused.status == Status.INFEASIBLE).all()
    assert np.isfinite(refused.violation).all()
    assert "area <= 0.001 mm2" in strict.nearest_miss()


def test_a_die_beyond_the_wafer_is_infeasible_and_the_search_goes_on() -> None:
    vary = {**SMALL["vary"], "rows": [12, 1024], "columns": [14, 1024], "pads": [64.0], "cores": [64],
            "package": ["monolithic"], "node": [28.0]}  # fmt: skip
    problem = AcceleratorProblem(**{**SMALL, "vary": vary, "where": ["latency <= 1 ns"]})
    results = problem.evaluate(problem.box.encode(**{**nearest_values(problem.box, problem.template.design()),
                                                     "rows": 1024, "columns": 1024}))  # fmt: skip
    assert results.reason_counts() == {"a die does not fit the wafer": 1}
    assert problem.pools.searched == 0


def test_a_memory_beyond_the_fit_is_infeasible_and_says_so() -> None:
    problem = AcceleratorProblem(**{**SMALL, "template": "gemmini-like", "vary": {"bandwidth": [2048.0], "cores": [1]}})
    results = problem.evaluate(problem.box.enumerate(0, 2))
    assert not results.ok.any()
    assert all("width_bits" in text for text in results.reason_counts())


def test_a_limit_on_time_is_kept_too() -> None:
    asked = points(10)
    times = small().evaluate(asked).objectives[:, 0]
    limit = float(np.median(times))
    results = AcceleratorProblem(**{**SMALL, "where": [f"latency <= {limit!r} s"]}).evaluate(asked)
    np.testing.assert_array_equal(results.ok, times <= limit)


def test_weights_count_inferences() -> None:
    both = AcceleratorProblem(**{**SMALL, "models": ["bert-base", "bert-base"], "weights": [1.0, 2.0]})
    base = small().baseline()
    assert base is not None
    once, thrice = (problem.evaluate(base).objectives[0] for problem in (small(), both))
    np.testing.assert_allclose(thrice[:2], 3.0 * once[:2], rtol=1e-9)


def test_more_bandwidth_of_dram_never_slows_the_fastest_mapping() -> None:
    problem = AcceleratorProblem(**{**SMALL, "pick": "latency", "vary": {**SMALL["vary"], "memory": ["ddr3", "hbm2"]}})
    design = problem.template.design()
    slow, fast = (problem.priced(design._replace(memory=name, rows=48, columns=56))[2] for name in ("ddr3", "hbm2"))
    assert isinstance(slow, Priced)
    assert isinstance(fast, Priced)
    assert fast.run_latency < slow.run_latency


@pytest.mark.parametrize("buffer", [64, 128, 256])
def test_a_larger_buffer_never_moves_more_words(buffer: int) -> None:
    template = read_template("gemmini-like")
    least = []
    for size in (buffer, 2 * buffer):
        geometry = geometry_of(template.design()._replace(rows=2, columns=2, buffer=5.0 * size))
        problem = MappingProblem(
            einsum=gemm(4, 4, 8), architecture=reference(template, geometry), objectives=("traffic",), bypass=False
        )
        assert problem.space.size is not None
        results = problem.evaluate(problem.space.enumerate(0, problem.space.size))
        least.append(float(results.objectives[results.ok].min()))
    assert least[1] <= least[0]


def test_a_design_that_can_run_the_templates_mappings_is_no_worse_for_want_of_luck() -> None:
    template = read_template("eyeriss-like")
    problem = small()
    pools = Pools(template, mappings=100)
    layers = problem.layers_at(8)
    design = template.design()
    home = pools.of(layers, design)
    larger = pools.of(layers, design._replace(buffer=4 * design.buffer))
    for few, many in zip(home, larger, strict=True):
        assert few.problem is not None
        assert many.problem is not None
        traffic = [float(pool.problem.evaluate(pool.points).objectives[:, 2].min()) for pool in (few, many)]  # type: ignore[union-attr]
        assert traffic[1] <= traffic[0]


@pytest.mark.parametrize("memory", ["ddr3", "lpddr4", "hbm2"])
@pytest.mark.parametrize(("node", "volts"), [(28.0, 0.9), (7.0, 0.6)])
def test_the_best_mapping_for_any_device_and_node_is_in_the_pool(memory: str, node: float, volts: float) -> None:
    template = read_template("gemmini-like")
    layers = Layers(("one",), (gemm(4, 2, 4),), (("gemm",),), np.ones((1, 1)), (0,))
    design = template.design()._replace(rows=2, columns=2, buffer=160.0, memory=memory, node=node, volts=volts)
    pools = Pools(template, mappings=200_000)
    home = pools.of(layers, design)
    assert home[0].problem is not None
    assert home[0].problem.space.size is not None
    configured = configure(template, design)
    every = MappingProblem(einsum=layers.problems[0], architecture=configured.architecture)
    assert every.space.size is not None
    results = every.evaluate(every.space.enumerate(0, every.space.size))
    energy, seconds = results.objectives[results.ok].T
    energy = energy + float(configured.static_watts.value) * seconds
    for pick, best in (("energy", energy), ("latency", seconds), ("edp", energy * seconds)):
        (found,) = layer_costs(configured, layers, home, pick)
        whole = float(found.joules.value) + float(configured.static_watts.value) * found.seconds
        reached = {"energy": whole, "latency": found.seconds, "edp": whole * found.seconds}[pick]
        assert reached == pytest.approx(float(best.min()), rel=1e-9)


def test_no_layer_beats_its_roof_or_moves_less_than_its_tensors() -> None:
    for row in small().box.rows(points(4, seed=11)):
        design = small().design(row)
        configured, _, priced = small().priced(design)
        assert isinstance(priced, Priced)
        layers = small().layers_at(8)
        for one in roofline(configured, layers, priced.layers, layers.counts[0]):
            assert one.achieved <= one.attainable * (1.0 + 1e-9)
        for problem, cost in zip(layers.problems, priced.layers, strict=True):
            assert cost.traffic >= bounds_of(problem, configured.architecture).bits / 8.0 * (1.0 - 1e-9)
            assert 0.0 < cost.utilisation <= 1.0


def test_one_core_has_no_package() -> None:
    rows = small().box.rows(points(60))
    assert all((row["package"] is None) == (row["cores"] == 1) for row in rows)
    single = AcceleratorProblem(**{**SMALL, "vary": {**SMALL["vary"], "cores": [1]}})
    assert "package" not in single.box.names


def test_details_name_levels_layers_and_the_baseline() -> None:
    base = small().baseline()
    assert base is not None
    shown = small().describe(base)
    energy = next(one for one in shown.breakdowns if one.title == "Energy of a run by level")
    total = small().evaluate(base).objectives[0, 1]
    assert sum(item.value for item in energy.items) == pytest.approx(total, rel=1e-9)
    time = next(one for one in shown.breakdowns if one.title == "Time of a run by layer")
    assert sum(item.value for item in time.items) == pytest.approx(small().evaluate(base).objectives[0, 0])
    roofline, nests, exported = shown.commands
    assert "layer.up" in roofline.text
    assert nests.text.count("[DRAM:") >= len(small().layers_at(8).problems)
    assert "target: DRAM" in exported.text
    assert "latency x 1, energy x 1" in shown.notes[0]
    (roof,) = shown.rooflines
    assert sum(spot.share for spot in roof.spots) == pytest.approx(1.0)
    assert all(spot.y <= min(roof.peak, (roof.slope or 0.0) * spot.x) * (1.0 + 1e-9) for spot in roof.spots)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": []}, "no model given"),
        ({"models": ["resnet-99"]}, "resnet-99"),
        ({"template": "eyeris"}, "unknown accelerator"),
        ({"objectives": ["speed"]}, "unknown objective"),
        ({"objectives": []}, "no objective"),
        ({"vary": {"row": [4]}}, "unknown knob"),
        ({"vary": {"node": [32.0]}}, "32 nm"),
        ({"vary": {"memory": ["hbm9"]}}, "hbm9"),
        ({"vary": {"rows": [1.5]}}, "whole number"),
        ({"vary": {"rows": ["many"]}}, "expected a number"),
        ({"vary": {"volts": [float("nan")]}}, "volts"),
        ({"vary": {"bits": [12]}}, "8 or 16"),
        ({"vary": {"cores": [1], "package": ["3d"]}}, "every design has one core"),
        ({"weights": [1.0, 2.0]}, "2 weights"),
        ({"weights": [0.0]}, "positive"),
        ({"pick": "best"}, "pick"),
        ({"where": ["area <= 5 s"]}, "area"),
    ],
)
def test_bad_specs_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AcceleratorProblem(**{**SMALL, **change})
