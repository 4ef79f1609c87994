"""Latency of phases: properties of physics, the explicit sum over steps, and overlap."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.collectives import collective_seconds
from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.latency import phase_cost
from codesign.costmodels.machine import Machine, machine
from codesign.models import load_model
from codesign.quantity import Column, Method
from codesign.targets import Calibration, Target, load_target
from codesign.workload import Block, Collective, Einsum, Group, Mesh, Phase, Role, Sweep, at, shard, tensor

H100 = load_target("h100-sxm")
EXECUTIONS = ("eager", "compiled", "graph")


def here(target: Target = H100) -> Machine:
    return machine(target)


def faster(target: Target, **scale: float) -> Target:
    memory = target.memories[0]
    assert memory.bandwidth is not None
    bandwidth = msgspec.structs.replace(memory.bandwidth, value=memory.bandwidth.value * scale.get("bandwidth", 1.0))
    units = tuple(
        msgspec.structs.replace(
            unit,
            peak={d: msgspec.structs.replace(v, value=v.value * scale.get("peak", 1.0)) for d, v in unit.peak.items()},
        )
        for unit in target.units
    )
    memories = (msgspec.structs.replace(memory, bandwidth=bandwidth), *target.memories[1:])
    return msgspec.structs.replace(target, id=f"{target.id}-faster-{scale}", memories=memories, units=units)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize(("batch", "prompt", "count"), [(1, 32, 300), (64, 2000, 64), (256, 100, 3000), (3, 7, 1)])
def test_quadrature_matches_the_explicit_sum_over_steps(execution: str, batch: int, prompt: int, count: int) -> None:
    decode = load_model("llama-3.1-8b").workload(batch=batch, prompt=prompt, generate=count + 1).phase("decode")
    assert decode.steps is not None
    swept = phase_cost(decode, here(), {}, execution)
    contexts = np.arange(prompt + 1, prompt + 1 + count, dtype=np.float64)
    blocks = tuple(
        msgspec.structs.replace(
            block,
            groups=tuple(
                msgspec.structs.replace(group, ops=tuple(at(op, "c", contexts) for op in group.ops))
                for group in block.groups
            ),
        )
        for block in decode.blocks
    )
    explicit = phase_cost(Phase("decode", blocks), here(), {}, execution)
    assert float(swept.seconds.value.sum()) == pytest.approx(float(explicit.seconds.value.sum()), rel=1e-3)
    assert float(swept.flops.sum()) == pytest.approx(float(np.sum(np.broadcast_to(explicit.flops, count))), rel=1e-9)


@given(
    batch=st.lists(st.integers(1, 512), min_size=1, max_size=5),
    prompt=st.integers(1, 4000),
    generate=st.integers(2, 600),
    execution=st.sampled_from(EXECUTIONS),
)
@settings(max_examples=25)
def test_arrays_equal_scalars_and_slopes_add_up(batch: list[int], prompt: int, generate: int, execution: str) -> None:
    model = load_model("llama-3.2-1b")

    def seconds(b: Any) -> tuple[Any, Any]:
        work = model.workload(batch=b, prompt=prompt, generate=generate)
        costs = [phase_cost(phase, here(), {}, execution).seconds for phase in work.phases]
        return sum(np.atleast_1d(c.value) for c in costs), sum(c.slopes for c in costs)

    together, slopes = seconds(np.array(batch, dtype=np.float64))
    alone = [float(seconds(b)[0].reshape(-1)[0]) for b in batch]
    np.testing.assert_allclose(np.broadcast_to(together, len(batch)), alone, rtol=1e-12)
    np.testing.assert_allclose(slopes.sum(axis=0), together, rtol=1e-9)


@given(batch=st.integers(1, 300), prompt=st.integers(1, 3000), execution=st.sampled_from(EXECUTIONS))
@settings(max_examples=25)
def test_more_work_takes_longer_and_better_hardware_never_hurts(batch: int, prompt: int, execution: str) -> None:
    model = load_model("llama-3.2-1b")

    def step(b: int, p: int, target: Target = H100) -> float:
        work = model.workload(batch=b, prompt=p, generate=8)
        return float(sum(phase_cost(phase, here(target), {}, execution).seconds.value.sum() for phase in work.phases))

    base = step(batch, prompt)
    assert step(batch + 8, prompt) >= base
    assert step(batch, prompt + 64) >= base
    assert step(batch, prompt, faster(H100, bandwidth=2.0)) <= base
    assert step(batch, prompt, faster(H100, peak=2.0)) <= base


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "resnet-50", "bert-base"])
def test_never_below_the_bound(name: str) -> None:
    model = load_model(name)
    target = load_target("a100-80gb-sxm")
    for phase in model.workload(batch=4).phases:
        cost = phase_cost(phase, here(target), {}, "graph")
        compute = float(cost.peak_seconds.sum())
        weights = float(np.sum(phase_weight_bytes(phase)))
        steps = 1 if phase.steps is None else float(np.asarray(phase.steps.count))
        bound = max(compute, steps * weights / target.memory_bandwidth)
        assert float(cost.seconds.value.sum()) >= bound / 1.1


def phase_weight_bytes(phase: Phase) -> float:
    total = 0.0
    for block, group in phase.groups():
        for view, op, _ in group.memory_views():
            if view.role is Role.WEIGHT and isinstance(op, Einsum):
                total += float(np.sum(view.traffic(op.ranks))) * float(np.sum(block.repeat))
    return total


def test_a_collective_beside_a_gemm_hides_behind_the_longer() -> None:
    ranks = {"m": 4096, "n": 8192, "k": 8192}
    inputs = (tensor("x", "m k"), tensor("w", "k n", Role.WEIGHT))
    gemm = Group("gemm", (Einsum("gemm", ranks, inputs, tensor("y", "m n")),), "gemm")

    def seconds(payload: float, stream: str) -> float:
        reduce = Group("reduce", (Collective("reduce", "all_reduce", payload, "tp"),), "collective", stream=stream)
        resolved = machine(H100, (("tp", 8),))
        return float(phase_cost(Phase("p", (Block("b", (gemm, reduce)),)), resolved, {"tp": 8}, "graph").busy.value)

    alone = seconds(1e-9, "network")
    for payload in (1e6, 1e9, 1e10):
        line = machine(H100, (("tp", 8),)).link("tp")
        reduce = float(line.collective("all_reduce", payload, 8))
        assert seconds(payload, "main") == pytest.approx(alone + reduce, rel=1e-9)
        assert seconds(payload, "network") == pytest.approx(max(alone, reduce), rel=1e-9)


@pytest.mark.parametrize("participants", [2, 4, 8])
def test_ring_collectives_in_closed_form(participants: int) -> None:
    payload, bandwidth, latency = 1e9, 3e11, 2e-6
    steps = participants - 1
    ring = 2 * steps * (payload / participants / bandwidth + latency)
    assert collective_seconds("all_reduce", payload, participants, bandwidth, latency) == pytest.approx(ring)
    halves = [
        collective_seconds(k, payload, participants, bandwidth, latency) for k in ("reduce_scatter", "all_gather")
    ]
    assert sum(halves) == pytest.approx(ring)
    assert collective_seconds("all_reduce", payload, 1, bandwidth, latency) == 0.0


def test_long_messages_have_a_factor_of_their_own() -> None:
    model = load_model("llama-2-70b")  # 16 KiB a token and all-reduce: 2,048 tokens are 32 MiB
    mesh = (("tp", 8),)

    def prefill(prompt: int, **scales: float) -> Column:
        entries = (Calibration(LABELS[F[n]], s, 0.1, Method.CALIBRATED, "a test") for n, s in scales.items())
        target = msgspec.structs.replace(H100, calibration=tuple(entries))
        work = shard(model.workload(batch=1, prompt=prompt, generate=2), Mesh(dict(mesh)))
        return phase_cost(work.phase("prefill"), machine(target, mesh), dict(mesh), "graph").seconds

    # without one of their own long messages follow the others
    slow = prefill(2049, LINK=3.0)
    assert float(slow.value) == pytest.approx(float(prefill(2049, LINK=3.0, LONG_LINK=3.0).value))
    for prompt, mine, other in ((2048, F.LINK, F.LONG_LINK), (2049, F.LONG_LINK, F.LINK)):
        slopes, value = prefill(prompt).slopes, float(prefill(prompt).value)
        assert slopes[mine] > 0.1 * value
        assert slopes[other] < 0.1 * slopes[mine], "what gathers the logits of one token is short"
        moved = prefill(prompt, **{other.name: 1.0, mine.name: 3.0})
        assert float(moved.value) == pytest.approx(value + 2.0 * slopes[mine], rel=1e-6)
        assert moved.slopes[mine] == pytest.approx(3.0 * slopes[mine])
        assert float(prefill(prompt, **{mine.name: 1.0, other.name: 3.0}).value) == pytest.approx(
            value + 2.0 * slopes[other]
        )


def test_tensor_parallel_decode_pays_for_its_all_reduces() -> None:
    model = load_model("llama-3.1-70b")
    work = shard(model.workload(batch=1, prompt=512, generate=2), Mesh({"tp": 8}))
    cost = phase_cost(work.phase("decode"), machine(H100, (("tp", 8),)), {"tp": 8}, "graph")
    hop = machine(H100, (("tp", 8),)).link("tp").latency
    assert float(cost.seconds.slopes[F.LINK].sum()) > 80 * 2 * 2 * hop, "each takes two hops at least"
    reduces = [g for g in cost.groups if g.name.endswith("all_reduce") and g.repeat == 80]
    assert len(reduces) == 2, "one after attention, one after the MLP"


@pytest.mark.parametrize("participants", [2, 4, 8])
def test_engines_reduce_small_vectors_in_one_kernel_and_large_ones_by_the_library(participants: int) -> None:
    line = machine(H100, (("tp", participants),)).link("tp")
    payload = np.geomspace(1e2, 1e9, 30)
    usual, chosen = (
        line.collective("all_reduce", payload, participants),
        line.in_engine("all_reduce", payload, participants),
    )
    assert (chosen <= usual).all()
    assert (np.diff(chosen) >= 0.0).all()
    assert chosen[0] < 0.8 * usual[0]
    assert chosen[0] >= 2.0 * line.latency
    if participants > 2:
        assert chosen[-1] == usual[-1]
    np.testing.assert_array_equal(
        line.in_engine("all_gather", payload, participants), line.collective("all_gather", payload, participants)
    )


def test_sweep_of_one_step_is_that_step() -> None:
    decode = load_model("gpt2").workload(batch=2, prompt=9, generate=2).phase("decode")
    assert decode.steps is not None
    assert np.all(np.asarray(decode.steps.count) == 1)
    single = Phase("decode", decode.blocks)
    one = phase_cost(msgspec.structs.replace(decode, steps=Sweep("c", 10, 1)), here(), {}, "graph")
    assert float(one.seconds.value.sum()) == pytest.approx(
        float(phase_cost(single, here(), {}, "graph").seconds.value.sum()), rel=1e-9
    )
