"""The mapping of a whole model: sums over its layers, exported layers that cost the same, honest comparisons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.costmodels.accelerator import evaluate
from codesign.costmodels.accelerator.timeloop.document import parse_document
from codesign.costmodels.accelerator.timeloop.mapping import import_mapping
from codesign.errors import CodesignError
from codesign.search.driver import run_search
from codesign.search.mapping.network import ModelMapping
from codesign.search.pareto import nondominated


@pytest.fixture(scope="module")
def network() -> ModelMapping:
    return ModelMapping(model="resnet-18", target="eyeriss-like", mappings=400)


def test_every_layer_of_a_point_exports_and_the_sum_is_the_point(network: ModelMapping) -> None:
    points = network.network.front()
    for row in points[[0, len(points) // 2, -1]]:
        results = network.evaluate(row[None, :])
        text = next(one.text for one in network.describe(row).commands if one.title == "Timeloop mappings")
        energy = seconds = 0.0
        for choice, document in zip(network.choices, text.split("\n---\n"), strict=True):
            layer = choice.layer
            mapping = import_mapping(parse_document(document, "map.yaml"), layer.problem, network.architecture)
            costs = evaluate(layer.problem, network.architecture, mapping)
            assert costs.feasible.all()
            assert costs.seconds is not None
            energy += layer.runs * float(costs.energy[1, 0])
            seconds += layer.runs * float(costs.seconds[0])
        assert results.objectives[0] == pytest.approx([energy, seconds], rel=1e-9)


def test_no_network_beats_the_front_by_more_than_its_error(network: ModelMapping) -> None:
    values = network.evaluate(network.network.front()).objectives
    assert nondominated(values).all()
    most = np.array([len(choice.points) - 2 for choice in network.choices])  # the last is a random mapping
    others = np.minimum(network.network.sample(np.random.default_rng(0), 5000), most)
    mixed = network.evaluate(others).objectives
    worse = (values[None, :, :] / mixed[:, None, :]).max(axis=2).min(axis=1)
    assert worse.max() <= (1.0 + network.merged.error) * (1.0 + 1e-12)
    bounds = [choice.layer.front.bounds for choice in network.choices]
    assert values[:, 0].min() >= sum(n * one.energy for n, one in zip(network.runs, bounds, strict=True))


def test_the_baseline_is_the_best_random_mapping_of_each_layer(network: ModelMapping) -> None:
    base = network.baseline()
    assert base is not None
    energy, seconds = network.evaluate(base).objectives[0]
    assert energy * seconds > network.evaluate(network.network.front()).objectives.prod(axis=1).min()
    for choice in network.choices:
        product = choice.columns["energy"] * choice.columns["latency"]
        assert product[-1] == pytest.approx(choice.layer.random_edp)


def test_details_are_of_every_layer_and_add_up(network: ModelMapping) -> None:
    row = network.network.front()[0]
    told = network.describe(row)
    energy = network.evaluate(row[None, :]).objectives[0, 0]
    for title in ("Energy by level", "Energy by layer"):
        parts = next(one for one in told.breakdowns if one.title == title)
        assert sum(item.value for item in parts.items) == pytest.approx(energy, rel=1e-9)
    texts = {one.title: one.text for one in told.commands}
    assert texts["Mapping of each layer"].count("# ") == len(network.choices)
    assert len(texts["Layers"].splitlines()) == len(network.choices) + 1
    (roof,) = told.rooflines
    assert sum(spot.share for spot in roof.spots) == pytest.approx(1.0)
    assert all(spot.y <= roof.peak * (1.0 + 1e-9) for spot in roof.spots)
    assert all(re.fullmatch("compute|array|bandwidth of .+", spot.bound) for spot in roof.spots)
    assert any("over the baseline" in note for note in told.notes)


def test_other_objectives_follow_from_the_parts() -> None:
    asked = ("edp", "buffer", "traffic", "carbon")
    network = ModelMapping(model="resnet-18", target="tpu-like", mappings=300, objectives=asked)
    points = network.network.front()
    results = network.evaluate(points)
    metrics = results.metrics
    assert results.objectives[:, 0] == pytest.approx(metrics["energy"] * metrics["latency"])
    largest = [
        max(choice.columns["buffer"][at] for choice, at in zip(network.choices, row, strict=True))
        for row in points.astype(int)
    ]
    assert results.objectives[:, 1] == pytest.approx(largest)
    assert network.objectives[0].unit == "J cycle"
    ratio = results.objectives[:, 3] / metrics["energy"]
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]))


def test_a_run_is_resumed_and_made_again_from_its_spec(tmp_path: Path) -> None:
    first = ModelMapping(model="resnet-18", target="tpu-like", mappings=200)
    run = run_search(first, engine="merge", directory=tmp_path / "run")
    again = ModelMapping.from_spec(run.meta["spec"]["spec"])
    assert again.fingerprint() == first.fingerprint()
    assert np.array_equal(again.network.front(), first.network.front())
    assert run.front["columns"]["baseline"].count(True) <= 1
    assert set(run.front["details"]) >= {str(i) for i in run.front["columns"]["id"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": ("energi",)}, "unknown objective 'energi'"),
        ({"objectives": ()}, "no objective given"),
        ({"target": ""}, "no target given"),
        ({"model": "resnet-19"}, "resnet-19"),
        ({"mappings": 0}, "mappings"),
        ({"bits": (8, 8, 0)}, "bits"),
    ],
)
def test_bad_specs_name_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CodesignError, match=said):
        ModelMapping(**{"model": "resnet-18", "target": "tpu-like", "mappings": 50, **change})
