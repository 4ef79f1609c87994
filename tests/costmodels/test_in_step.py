"""Requests of one length whose clients answer at once: closed forms against a simulation, memory, pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.costmodels.api import estimate
from codesign.costmodels.deployment import price
from codesign.costmodels.serving import HANDLING, in_step_service, prompts_in_step
from codesign.costmodels.structure import Load, Structure
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.targets import load_target
from codesign.testing.scheduler import exact, one, simulate

LLAMA = load_model("llama-3.1-8b")
H100 = load_target("h100-sxm")


IN_STEP = [
    (16, 100, 200, 2048, 0.010, 2e-5),  # all prompts share an iteration
    (64, 500, 400, 2048, 0.010, 2e-5),  # a few do, the others come in between
    (128, 60, 300, 4096, 0.020, 5e-5),
    (128, 1024, 256, 8192, 0.010, 1.5e-5),  # busy: most iterations prefill
    (32, 8000, 400, 2048, 0.010, 2e-5),  # chunks
]
BOUND = [
    (64, 2000, 16, 2112, 0.010, 2e-5),  # prompts are all that iterations have room for
    (256, 1024, 64, 2048, 0.010, 2e-5),
    (128, 1000, 32, 2048, 0.010, 2e-5),
    (32, 8000, 100, 2048, 0.010, 2e-5),  # in chunks
]


@pytest.mark.parametrize(("slots", "prompt", "generate", "budget", "step", "token"), IN_STEP + BOUND)
def test_requests_of_one_length_follow_the_simulation_in_step(
    slots: int, prompt: int, generate: int, budget: int, step: float, token: float
) -> None:
    requests = simulate(slots, prompt, generate, budget, step, token, rounds=20, spread=0.0)
    turn = prompts_in_step(one(slots), one(prompt), one(generate), budget, 1)
    together = turn.together[0]
    assert together <= slots
    assert together * prompt <= max(budget, prompt)
    # a prefill is a whole iteration; where others decode in it, all but its tokens is shared
    added = token * prompt * together + step * together / slots
    service = in_step_service(exact(added), turn, exact(step), exact(0.0), one(slots), one(generate))
    middle = sorted(requests, key=lambda r: r.first)[len(requests) // 4 : -len(requests) // 4]
    bound = turn.idle[0] > 0
    tpot = np.mean([(r.last - r.first) / (r.made - 1) for r in middle])
    assert service.tpot.value[0] == pytest.approx(tpot, rel=0.12 if bound else 0.05)
    ttft = np.mean([r.first - r.arrived for r in middle])
    assert service.ttft.value[0] == pytest.approx(ttft, rel=0.25, abs=step)
    rate = len(requests) / max(r.last for r in requests)
    assert service.requests_per_second.value[0] == pytest.approx(rate, rel=0.12 if bound else 0.05)


@pytest.mark.parametrize("pp", [1, 2, 4])
def test_requests_in_step_hold_no_more_than_a_batch_and_fill_the_pipeline(pp: int) -> None:
    load = Load(32, 2048, 128)
    static, in_step, chunked = (
        price(LLAMA, H100, Structure("bf16", pp=pp, mode=mode, chunk=chunk), load)
        for mode, chunk in (("static", None), ("in-step", None), ("in-step", 8192))
    )
    for name in ("kv", "weight"):
        assert float(np.max(in_step.memory[name])) == pytest.approx(float(np.max(static.memory[name])))
        assert float(np.max(chunked.memory[name])) == pytest.approx(float(np.max(static.memory[name])))
    assert in_step.cache is not None
    assert static.cache is not None
    assert in_step.cache.requests[0] == static.cache.requests[0]
    batch, stepped = (found.estimate.columns for found in (static, in_step))
    assert stepped["ttft"].value == pytest.approx(batch["ttft"].value + HANDLING)
    assert stepped["tpot"].value == pytest.approx(batch["tpot"].value)


def test_requests_in_step_wait_for_the_prompts_of_others_alone() -> None:
    batch = np.array([1.0, 8.0, 64.0])
    options: dict[str, Any] = {"prompt": 512, "generate": 128}
    step = estimate(LLAMA, H100, mode="static", batch=batch, **options).estimate.columns["tpot"].value
    found = estimate(LLAMA, H100, mode="in-step", batch=batch, **options).estimate.columns
    assert found["tpot"].value == pytest.approx(step), "without a budget all prompts go at once"
    chunked = estimate(LLAMA, H100, mode="in-step", batch=batch, chunk=4608, **options).estimate.columns
    assert chunked["tpot"].value[:2] == pytest.approx(step[:2])
    assert chunked["tpot"].value[2] > step[2]
    assert np.all(chunked["ttft"].value <= found["ttft"].value * (1 + 1e-9))
    # Little's law: every client waits for its own request alone
    for columns in (found, chunked):
        assert columns["throughput"].value == pytest.approx(batch * 128 / columns["request_latency"].value)
    assert H100.power.idle is not None
    assert np.all(found["power"].value >= H100.power.idle.value)
    apart = estimate(LLAMA, H100, mode="continuous", batch=batch, chunk=4608, **options).estimate.columns
    assert np.all(chunked["tpot"].value[:2] < apart["tpot"].value[:2]), "no prompt comes in between"
    for name in ("rounds", "rate", "gather"):
        with pytest.raises(UsageError, match="out of step"):
            estimate(LLAMA, H100, **{**options, "mode": "in-step", "batch": 8, name: 2})
