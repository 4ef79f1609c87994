"""FuseMax as a template: its layers against the closed forms, what knobs must do, and a whole search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.costmodels.accelerator.attention_cascades import AttentionShape
from codesign.costmodels.accelerator.cascade_text import parse_cascade
from codesign.costmodels.accelerator.fusemax import Machine, one_pass_attention
from codesign.costmodels.accelerator.linear_layers import product_bytes
from codesign.costmodels.accelerator.problem import gemm
from codesign.errors import UsageError
from codesign.search.accelerator.embodied import embodied
from codesign.search.accelerator.fused import attention_pairs, attention_shape, configure_fused, fused_costs
from codesign.search.accelerator.layers import Layers, layers_of
from codesign.search.accelerator.problem import AcceleratorProblem
from codesign.search.accelerator.technologies import technologies
from codesign.search.accelerator.template import read_template

TEMPLATE = read_template("fusemax")
DESIGN = TEMPLATE.design()._replace(memory="hbm2", node=7.0)
BERT = layers_of(["bert-base"], 16)


def test_the_template_is_the_published_machine() -> None:
    machine = configure_fused(TEMPLATE, DESIGN).machine
    published = Machine()._replace(bandwidth=technologies().memories["hbm2"].bandwidth)
    assert machine == published


def test_scores_and_values_are_one_layer_of_attention() -> None:
    pairs = attention_pairs(BERT.problems)
    ((scores, values),) = pairs.items()
    assert "scores" in BERT.names[scores][0]
    assert "values" in BERT.names[values][0]
    shape = attention_shape(BERT.problems[scores], BERT.problems[values])
    assert shape == AttentionShape(1, 12, 128, 128, 64, 64)
    configured = configure_fused(TEMPLATE, DESIGN)
    costs = fused_costs(configured, BERT)
    run = one_pass_attention(shape, configured.machine)
    assert costs[scores].cost.seconds == float(run.seconds)
    assert costs[scores].cost.traffic == float(run.traffic_bytes)
    assert costs[values].cost.seconds == 0.0
    assert attention_pairs(layers_of(["resnet-18"], 16).problems) == {}


def test_queries_of_a_group_share_their_keys() -> None:
    cascade = parse_cascade("attention:H2P8M16E4F4")
    scores, values = cascade.problems[0], cascade.problems[-1]
    assert attention_shape(scores, values) == AttentionShape(1, 2, 8, 16, 4, 4)


def test_a_product_that_fills_the_array_is_the_linear_form() -> None:
    m, n, k = 512, 1024, 768
    layers = Layers(("one",), (gemm(m, n, k),), (("one",),), np.ones((1, 1)), (0,))
    configured = configure_fused(TEMPLATE, DESIGN)
    (found,) = fused_costs(configured, layers)
    machine = configured.machine
    compute = m * n * k / (machine.rows * machine.columns * machine.clock_hz)
    moved = float(product_bytes(m, k, n, machine))
    assert found.cost.traffic == moved
    assert found.cost.seconds == pytest.approx(max(compute, moved / machine.bandwidth))
    assert found.cost.utilisation <= 1.0
    assert float(found.parts["mac"].value) == pytest.approx(m * n * k * float(configured.actions.mac.value))


@pytest.mark.parametrize(("knob", "more"), [("rows", 512), ("columns", 512), ("buffer", 2.0**25)])
def test_more_of_a_knob_is_more_silicon(knob: str, more: Any) -> None:
    small, large = (configure_fused(TEMPLATE, one) for one in (DESIGN, DESIGN._replace(**{knob: more})))
    for less, greater in zip(small.area, large.area, strict=True):
        assert less < greater
    assert embodied(large).dies.value > embodied(small).dies.value
    if knob != "buffer":
        assert large.peak_watts.value > small.peak_watts.value


def test_a_search_finds_what_each_design_costs() -> None:
    problem = AcceleratorProblem(
        models=("bert-base", "resnet-18"), template="fusemax", vary={"memory": ("hbm2", "stacked"), "node": (7,)}
    )
    assert {one.name for one in problem.box.parameters} >= {"rows", "columns", "buffer", "memory", "volts"}
    baseline = problem.baseline()
    assert baseline is not None
    results = problem.evaluate(baseline)
    assert results.ok.all()
    design = problem.design(problem.box.rows(baseline)[0])
    configured, _, priced = problem.priced(design)
    assert not isinstance(priced, str)
    costs = [one.cost for one in fused_costs(configure_fused(problem.template, design), problem.layers_at(16))]
    counts = problem.layers_at(16).counts
    assert priced.latency == pytest.approx(counts @ np.array([one.seconds for one in costs]))
    whole = counts @ np.array([float(one.joules.value) for one in costs])
    assert priced.energy.value == pytest.approx(whole + float(configured.static_watts.value) * priced.latency)
    assert priced.run_energy.low < priced.run_energy.value < priced.run_energy.high
    told = problem.describe(baseline)
    energies = {item.label: item.value for item in told.breakdowns[0].items}
    assert sum(energies.values()) == pytest.approx(float(priced.run_energy.value))
    assert any("one pass" in note for note in told.notes)


def test_what_the_template_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="bits: fusemax has 16 only"):
        AcceleratorProblem(models=("bert-base",), template="fusemax", vary={"bits": (8,)})
    tiny = configure_fused(TEMPLATE, DESIGN._replace(buffer=2.0**14))
    with pytest.raises(UsageError, match="hold no block of queries"):
        fused_costs(tiny, BERT)
