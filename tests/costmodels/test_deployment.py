"""Deployments: capacity identities, serving closed forms, energy and carbon, feasibility, explanations."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.api import estimate, explain
from codesign.costmodels.deployment import price
from codesign.costmodels.factors import LABELS
from codesign.costmodels.serving import Service, with_arrivals
from codesign.costmodels.structure import Load, Structure, check_split
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.quantity import Column
from codesign.targets import load_target
from codesign.validation import run_checks

LLAMA = load_model("llama-3.1-8b")
H100 = load_target("h100-sxm")


def values(**options: object) -> dict[str, float]:
    priced = estimate(LLAMA, H100, **options)  # type: ignore[arg-type]
    return {name: float(column.value.reshape(-1)[0]) for name, column in priced.estimate.columns.items()}


def test_memory_is_weights_plus_cache_plus_activations_by_hand() -> None:
    priced = estimate(LLAMA, H100, batch=16, prompt=1000, generate=24)
    assert priced.memory["weight"] == 8030261248 * 2
    assert float(priced.memory["kv"][0]) == 16 * 1023 * 131072  # the last token is never read back
    assert float(priced.estimate.columns["memory"].value[0]) == sum(float(np.max(p)) for p in priced.memory.values())


def test_published_references_hold() -> None:
    found = run_checks(["costmodels"])
    assert len(found) >= 15
    assert [check.name for check in found if not check.passed] == []


@pytest.mark.parametrize("tp", [1, 2, 8, 16])
def test_cache_is_replicated_when_degrees_exceed_its_heads(tp: int) -> None:
    target = msgspec.structs.replace(H100, devices_per_node=16)
    priced = price(LLAMA, target, Structure("bf16", tp=tp), Load(4, 512, 2))
    heads = max(1, 8 // tp)
    assert float(priced.memory["kv"][0]) == 4 * 513 * 32 * 2 * heads * 128 * 2


@given(
    batch=st.lists(st.integers(1, 256), min_size=2, max_size=4),
    prompt=st.integers(1, 3000),
    generate=st.integers(1, 500),
    tp=st.sampled_from([1, 2, 4, 8, 16]),
    pp=st.sampled_from([1, 2, 4]),
    mode=st.sampled_from(["static", "served", "continuous"]),
    name=st.sampled_from(["llama-3.2-1b", "qwen3-30b-a3b"]),
)
@settings(max_examples=30)
def test_array_result_equals_scalar_result_for_every_point(
    batch: list[int], prompt: int, generate: int, tp: int, pp: int, mode: str, name: str
) -> None:
    model = load_model(name)
    target = msgspec.structs.replace(H100, devices_per_node=64)
    structure = Structure("bf16", tp=tp, pp=pp, mode=mode)
    together = price(
        model, target, structure, Load(np.array(batch), prompt, generate, np.array([1] * len(batch)))
    ).estimate
    for index, one in enumerate(batch):
        alone = price(model, target, structure, Load(one, prompt, generate)).estimate
        for column in alone.columns:
            assert together.quantity(column, index).value == pytest.approx(alone.quantity(column).value, rel=1e-9), (
                column
            )
            assert together.quantity(column, index).high == pytest.approx(alone.quantity(column).high, rel=1e-9), column
        assert together.feasible[index] == alone.feasible[0]


def test_every_number_is_finite_ordered_and_labelled() -> None:
    for name, target in [("llama-3.1-8b", "h100-sxm"), ("mixtral-8x7b", "mi300x"), ("deepseek-v3", "b200-sxm")]:
        priced = estimate(name, target, batch=4, tp=8)
        for metric, q in priced.estimate.quantities().items():
            assert np.isfinite([q.value, q.low, q.high]).all(), metric
            assert q.low <= q.value <= q.high
            assert q.source
            assert q.unit or metric == "quality"


def test_a_dtype_the_device_lacks_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="v100-sxm has no bf16"):
        estimate("llama-3.1-8b", "v100-sxm")


def test_mean_power_stays_between_idle_and_limit() -> None:
    for batch in (1, 16, 256):
        for execution in ("eager", "graph"):
            power = values(batch=batch, execution=execution)["power"]
            assert H100.power.idle is not None
            assert H100.power.idle.value <= power <= H100.power.tdp.value * (1 + 1e-12)


def test_energy_carbon_and_price_agree_with_power_and_time() -> None:
    v = values(batch=32, grid=400.0, pue=1.5, lifetime_years=4.0, utilisation=0.5, replicas=3)
    per_token = 1.0 / v["throughput"] * v["devices"]
    assert v["energy_per_token"] == pytest.approx(v["power"] * per_token)
    operational = v["energy_per_token"] / 3.6e6 * 1.5 * 400.0
    assert H100.embodied is not None
    assert H100.price_per_hour is not None
    embodied = H100.embodied.value / (4 * 365 * 86400 * 0.5) * per_token
    assert v["carbon_per_million_tokens"] == pytest.approx(1e6 * (operational + embodied))
    assert v["cost_per_million_tokens"] == pytest.approx(1e6 * H100.price_per_hour.value / 3600 * per_token)


def test_static_identities() -> None:
    v = values(batch=8, prompt=700, generate=101)
    assert v["request_latency"] == pytest.approx(v["ttft"] + 100 * v["tpot"])
    assert v["throughput"] == pytest.approx(8 * 101 / v["request_latency"])
    assert v["latency"] == pytest.approx(v["request_latency"] / 101)


def test_continuous_steady_state_conserves_work() -> None:
    # every generated token takes its share of one prefill: B slots finish B / G requests an iteration
    v = values(batch=64, prompt=512, generate=128, mode="continuous")
    assert v["throughput"] == pytest.approx(64 / v["tpot"])
    # half a prompt is due in an iteration: 256 tokens beside 64 decodes
    chunked = values(batch=64, prompt=512, generate=128, mode="continuous", chunk=384)
    assert chunked["tpot"] == pytest.approx(v["tpot"])
    assert chunked["ttft"] > v["ttft"], "chunks take turns with decodes"


def test_wait_follows_the_published_formula_and_saturates() -> None:
    ones = Column.exact(np.ones(3), len(LABELS))
    service = Service(ones * 0.5, ones, ones * 10.0, ones * 2.0, None)
    waiting = with_arrivals(service, np.array([0.2, 1.0, 1.9]))
    rate, service_time = np.array([0.2, 1.0, 1.9]), 0.5
    expected = rate * service_time**2 / (2 * (1 - rate * service_time))
    np.testing.assert_allclose(waiting.ttft.value - 0.5, expected)
    assert waiting.utilisation is not None
    np.testing.assert_allclose(waiting.utilisation, rate * service_time)


@pytest.mark.parametrize(
    ("model", "split", "reason"),
    [
        ("llama-3.1-8b", {"tp": 3}, "tp 3 does not divide the 32 heads of llama-3.1-8b"),
        ("gpt2", {"tp": 8, "mode": "training", "prompt": 512}, "tp 8 does not divide the 12 heads of gpt2"),
        ("mixtral-8x7b", {"ep": 16, "nodes": 2, "batch": 16}, "ep 16 exceeds the 8 experts of mixtral-8x7b"),
        ("whisper-small", {"tp": 8}, "tp 8 does not divide the 12 heads of whisper-small"),
        ("llama-3.1-8b", {"tp": 8}, ""),
        ("llama-3.1-8b", {"tp": 16, "nodes": 2}, ""),  # each head of keys twice
        ("deepseek-v3", {"tp": 16, "nodes": 2, "dtype": "fp8"}, ""),
        ("mixtral-8x7b", {"ep": 8, "batch": 8}, ""),
        ("resnet-50", {"tp": 8}, ""),
    ],
)
def test_models_are_split_as_engines_split_them(model: str, split: dict[str, Any], reason: str) -> None:
    found = estimate(model, H100, **split).estimate
    assert found.feasible[0] == (not reason)
    assert found.reasons[int(found.reason[0])] == (f"placement: {reason}" if reason else "")


def test_heads_of_keys_are_split_or_copied_evenly() -> None:
    llama: Any = LLAMA
    figures = msgspec.structs.replace(llama.figures, heads=28, kv_heads=4, width=28 * 128)
    odd = msgspec.structs.replace(llama, preset=msgspec.structs.replace(llama.preset, figures=figures))
    assert check_split(Structure("bf16", tp=7), odd).startswith("tp 7 and the 4 heads of keys")
    assert [check_split(Structure("bf16", tp=tp), odd) for tp in (1, 2, 4, 28)] == [""] * 4


def test_infeasible_designs_say_why_and_keep_finite_numbers() -> None:
    memory = estimate("llama-3.1-70b", "h100-sxm").estimate
    assert not memory.feasible[0]
    assert memory.reasons[int(memory.reason[0])].startswith("memory")
    rate = estimate(LLAMA, H100, mode="continuous", rate=1e5).estimate
    assert rate.reasons[int(rate.reason[0])].startswith("rate")
    placement = estimate(LLAMA, H100, tp=8, pp=2).estimate
    assert placement.reasons[int(placement.reason[0])].startswith("placement")
    assert all(np.isfinite(column.value).all() for e in (memory, rate, placement) for column in e.columns.values())


def test_pipelines_split_weights_and_cost_bubbles_at_prefill() -> None:
    one = values(batch=32, tp=4)
    two = values(batch=32, tp=4, pp=2)
    assert two["memory"] < 0.62 * one["memory"]
    assert two["ttft"] < one["ttft"], "half the layers, microbatches in flight"
    assert two["tokens_per_device"] < one["tokens_per_device"], "bubbles and smaller batches cost efficiency"


def test_host_bound_decode_does_not_gain_from_tensor_parallelism() -> None:
    # published: Llama-2-70B on A100, batch 1: 45.0 ms at TP 4, 44.9 ms at TP 8; 54.9 ms at TP 2
    steps = [
        float(estimate("llama-3.1-70b", "a100-80gb-sxm", tp=tp, prompt=512, generate=128, execution="eager")
              .estimate.columns["tpot"].value[0])
        for tp in (2, 4, 8)
    ]  # fmt: skip
    assert steps[0] > 1.1 * steps[2]
    assert steps[1] == pytest.approx(steps[2], rel=0.1)
    assert steps[2] == pytest.approx(44.9e-3, rel=0.15)


def test_explanation_names_binding_resources_and_excluded_neighbours() -> None:
    told = explain("llama-3.1-8b", "l4", batch=1, prompt=512, generate=64)
    slowest = max((row for row in told.groups if row.phase == "decode"), key=lambda row: row.seconds)
    assert slowest.binding == "memory bandwidth"
    assert slowest.distance > 1
    assert told.elasticities["tpot"]["memory bandwidth"] > 0.8
    assert sum(told.elasticities["tpot"].values()) == pytest.approx(1.0)
    by_change = {n.change: n for n in told.neighbours}
    assert by_change["batch 1 -> 2"].feasible
    big = explain("llama-3.1-8b", "l4", batch=16, prompt=1024, generate=64)
    refused = {n.change: n.reason for n in big.neighbours if not n.feasible}
    assert refused["batch 16 -> 32"].startswith("memory")


def test_a_run_of_a_vision_model_is_priced_per_image() -> None:
    one = estimate("resnet-50", "a100-80gb-sxm", batch=1).estimate
    many = estimate("resnet-50", "a100-80gb-sxm", batch=64).estimate
    assert many.metrics["energy"].per == "image"
    assert many.quantity("throughput").unit == "image/s"
    assert many.quantity("energy").value < one.quantity("energy").value


@pytest.mark.parametrize("mode", ["static", "served", "in-step"])
def test_one_request_passes_the_stages_once(mode: str) -> None:
    """A lone request takes as long, and works as much, as without stages, but for the head in the busiest of them."""
    options: dict[str, Any] = {"batch": 1, "prompt": 1000, "generate": 50, "mode": mode}
    alone = estimate(LLAMA, H100, **options)
    staged = estimate(LLAMA, H100, pp=4, **options)
    for name in ("ttft", "tpot"):
        ratio = staged.estimate.quantity(name).value / alone.estimate.quantity(name).value
        assert 1.0 < ratio < 1.2, name
    assert staged.memory["kv"][0] == pytest.approx(alone.memory["kv"][0] / 4, rel=0.01)
    assert staged.executed_flop is not None
    assert alone.executed_flop is not None
    assert 1.0 <= float(staged.executed_flop[0] / alone.executed_flop[0]) < 1.2
    more = estimate(LLAMA, H100, pp=4, **{**options, "batch": 4}).estimate
    assert more.quantity("throughput").value > 2.5 * staged.estimate.quantity("throughput").value
