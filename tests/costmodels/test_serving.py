"""Serving: closed forms against a simulation of the scheduler, shared iterations, paged caches, requests that wait."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.api import estimate
from codesign.costmodels.deployment import MEMORY_SHARE, price
from codesign.costmodels.kv_cache import BLOCK_TOKENS, cache_blocks, cache_capacity
from codesign.costmodels.mixed_iteration import saved_shares
from codesign.costmodels.queries import price_file
from codesign.costmodels.serving import (
    EXPERTS_HANDLING,
    GATHER_ITERATIONS,
    HANDLING,
    continuous_service,
    later,
    prompts_in_turn,
    with_burst,
    with_waiting,
)
from codesign.costmodels.structure import Load, Structure
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.targets import load_target
from codesign.testing.scheduler import exact, one, simulate

LLAMA = load_model("llama-3.1-8b")
H100 = load_target("h100-sxm")


CASES = [
    (16, 400, 200, 2048, 0.010, 2e-5),  # prompts fit an iteration, few due
    (64, 100, 100, 2048, 0.010, 2e-5),  # several prompts due in an iteration
    (32, 3000, 300, 1024, 0.010, 1e-5),  # chunks, prompts take a third of the time
    (48, 1000, 50, 400, 0.010, 1e-5),  # the budget keeps slots from decoding
]


@pytest.mark.parametrize(("slots", "prompt", "generate", "budget", "step", "token"), CASES)
def test_closed_forms_follow_a_simulated_scheduler(
    slots: int, prompt: int, generate: int, budget: int, step: float, token: float
) -> None:
    rounds = 40
    requests = simulate(slots, prompt, generate, budget, step, token, rounds)
    turn = prompts_in_turn(one(slots), one(prompt), one(generate), budget, 1)
    added = exact(token * prompt * turn.rows[0])
    service = continuous_service(added, turn, exact(step), one(slots), one(generate))
    middle = sorted(requests, key=lambda r: r.first)[len(requests) // 4 : -len(requests) // 4]
    span = max(r.last for r in middle) - min(r.last for r in middle)
    assert service.requests_per_second.value[0] == pytest.approx(len(middle) / span, rel=0.05)
    tpot = np.mean([(r.last - r.first) / (r.made - 1) for r in middle])
    assert service.tpot.value[0] == pytest.approx(tpot, rel=0.02)
    # the simulated client answers at once, so that its requests never meet a running iteration
    ttft = step / 2 + np.mean([r.first - r.arrived for r in middle])
    assert service.ttft.value[0] == pytest.approx(ttft, rel=0.15)


@pytest.mark.parametrize(("slots", "prompt", "generate", "budget", "step", "token"), CASES[:3])
def test_the_burst_of_all_clients_follows_the_simulation(
    slots: int, prompt: int, generate: int, budget: int, step: float, token: float
) -> None:
    requests = simulate(slots, prompt, generate, budget, step, token, rounds=1)
    turn = prompts_in_turn(one(slots), one(prompt), one(generate), budget, 1)
    added = exact(token * prompt * turn.rows[0])
    steady = continuous_service(added, turn, exact(step), one(slots), one(generate))
    burst = with_burst(steady, added, turn, exact(step), one(slots), one(1.0))
    assert burst.ttft.value[0] == pytest.approx(np.mean([r.first for r in requests]), rel=0.15)
    # the more requests a client sends, the less its first one counts
    tenth = with_burst(steady, added, turn, exact(step), one(slots), one(10.0))
    assert tenth.ttft.value[0] == pytest.approx(0.9 * steady.ttft.value[0] + 0.1 * burst.ttft.value[0])
    assert tenth.tpot.value[0] == steady.tpot.value[0]


def test_prompts_that_gather_come_later_and_share_an_iteration() -> None:
    options: dict[str, Any] = {"batch": 64, "generate": 100, "mode": "continuous", "chunk": 8192}
    gather = np.array([0.0, 2.0, 10.0, 40.0])
    for prompt in (16, 500):
        found = estimate(LLAMA, H100, prompt=prompt, gather=gather, **options).estimate.columns
        plain = estimate(LLAMA, H100, prompt=prompt, **options).estimate.columns
        assert found["ttft"].value[0] == pytest.approx(plain["ttft"].value[0])
        tpot = found["tpot"].value
        assert np.all(found["ttft"].value - found["ttft"].value[0] >= 0.9 * gather * tpot)
        # short prompts save launches and weights by sharing; long ones hide fewer decode steps
        assert (tpot[-1] < tpot[0]) == (prompt == 16)
    turn = prompts_in_turn(one(64.0), one(500.0), one(100.0), 8192, 1, one(1000.0))
    assert turn.rows[0] * 500 + 64 <= 8192, "no more than an iteration takes"
    options |= {"prompt": 16, "gather": 3}
    for name, value, message in (("mode", "static", "describe full slots"), ("gather", -1, "gather is -1")):
        with pytest.raises(UsageError, match=message):
            estimate(LLAMA, H100, **{**options, name: value})


def test_engines_differ_in_what_they_quantise_with_kernels_of_their_own() -> None:
    def tpot(framework: str | None, dtype: str, tp: int) -> float:
        asked: dict[str, Any] = {"dtype": dtype, "tp": tp, "batch": 8, "prompt": 512, "generate": 64}
        return (
            estimate("llama-3.1-70b", "b200-sxm", mode="continuous", framework=framework, **asked)
            .estimate.quantity("tpot")
            .value
        )

    for dtype in ("fp8", "nvfp4"):
        fused = tpot(None, dtype, 1)
        assert tpot("trtllm", dtype, 1) == tpot("sglang", dtype, 1) == fused
        assert 1.02 * fused < tpot("vllm", dtype, 1) < 1.2 * fused
        # behind an all-reduce it is part of that
        kernels_alone = (tpot("vllm", dtype, 1) - fused, tpot("vllm", dtype, 2) - tpot(None, dtype, 2))
        assert kernels_alone[1] == pytest.approx(kernels_alone[0] / 2, rel=0.15)
    assert tpot("vllm", "bf16", 2) == tpot(None, "bf16", 2)
    with pytest.raises(UsageError, match="unknown framework 'vlm'") as caught:
        tpot("vlm", "fp8", 1)
    assert "vllm" in str(caught.value.hint)


def test_a_server_takes_longer_around_the_first_token_of_a_mixture() -> None:
    for model, more in ((LLAMA, 0.0), (load_model("qwen3-30b-a3b"), EXPERTS_HANDLING)):
        options: dict[str, Any] = {"batch": 4, "prompt": 512, "generate": 64}
        static, served = (estimate(model, H100, mode=mode, **options).estimate.columns for mode in ("static", "served"))
        assert served["ttft"].value == pytest.approx(static["ttft"].value + HANDLING + more)
        assert served["tpot"].value == pytest.approx(static["tpot"].value)


@given(
    batch=st.integers(1, 2000), prompt=st.integers(1, 9000), generate=st.integers(1, 3000),
    budget=st.integers(64, 20000), groups=st.sampled_from([1, 2, 8]),
)  # fmt: skip
@settings(max_examples=100)
def test_no_iteration_takes_more_tokens_than_its_budget(
    batch: int, prompt: int, generate: int, budget: int, groups: int
) -> None:
    turn = prompts_in_turn(one(batch), one(prompt), one(generate), budget, groups)
    assert turn.due[0] * (prompt + generate) <= groups * budget * (1 + 1e-9)
    assert turn.due[0] <= batch / generate
    assert 1.0 <= turn.ranks[0] <= groups
    assert turn.rows[0] >= 1.0
    assert turn.together[0] >= turn.due[0] - 1e-9, "an iteration prefills what is due"


def test_ranks_of_data_parallel_attention_gather_a_prompt_each() -> None:
    groups = 8
    turn = prompts_in_turn(one(64.0), one(10.0), one(32.0), None, groups)
    rng = np.random.default_rng(0)
    # prompts become due at random; those of one prefill arrived one after the other
    arrivals = np.cumsum(rng.exponential(1.0 / turn.due[0], size=(20_000, groups)), axis=1)
    waited = (arrivals[:, -1:] - arrivals).mean()
    assert turn.gather[0] == pytest.approx(waited, rel=0.02)
    assert prompts_in_turn(one(64.0), one(10.0), one(32.0), None, 1).gather[0] == 0.0
    assert prompts_in_turn(one(1.0), one(10.0), one(32.0), None, groups).gather[0] == 0.0, "nobody to wait for"
    assert prompts_in_turn(one(8.0), one(10.0), one(9000.0), None, groups).gather[0] == GATHER_ITERATIONS


def test_requests_beyond_the_slots_wait_their_number_over_the_rate() -> None:
    turn = prompts_in_turn(one(8.0), one(100.0), one(50.0), None, 1)
    service = continuous_service(exact(0.03), turn, exact(0.01), one(8.0), one(50.0))
    waited = with_waiting(service, one(4.0))
    rate = service.requests_per_second.value[0]
    # Little's law twice: 12 in flight at the same rate
    assert waited.ttft.value[0] - service.ttft.value[0] == pytest.approx(4.0 / rate)
    assert waited.latency.value[0] - service.latency.value[0] == pytest.approx(4.0 / rate)
    assert later(service, exact(0.0)).ttft.value[0] == service.ttft.value[0]


@given(
    batch=st.integers(1, 512), prompt=st.integers(1, 4000), rows=st.floats(1.0, 8.0),
    name=st.sampled_from(["llama-3.1-8b", "deepseek-v3"]),
)  # fmt: skip
@settings(max_examples=15)
def test_an_iteration_of_all_costs_no_more_than_each_alone_and_no_less_than_any(
    batch: int, prompt: int, rows: float, name: str
) -> None:
    target = H100 if name == "llama-3.1-8b" else load_target("b200-sxm")
    structure = Structure("fp8", tp=8, mode="continuous")
    prefill, decode = price(load_model(name), target, structure, Load(batch, prompt, 64)).phases
    beside, among = (float(share[0]) for share in saved_shares(decode, prefill, one(rows)))
    step, each = (
        sum(float(np.mean(g.seconds)) * float(np.mean(g.repeat)) for g in cost.groups) for cost in (decode, prefill)
    )
    assert 0.0 <= beside <= 1.0
    assert 0.0 <= among <= rows - 1.0
    together = step * (1.0 - beside) + each * (rows - among)
    assert together <= step + rows * each
    assert together >= max(step, each) * (1 - 1e-9)


def test_merging_saves_the_weights_that_small_batches_wait_for() -> None:
    def shares(batch: int, prompt: int, rows: float) -> tuple[float, float]:
        prefill, decode = price(LLAMA, H100, Structure("bf16", mode="continuous"), Load(batch, prompt, 64)).phases
        beside, among = saved_shares(decode, prefill, one(rows))
        return float(beside[0]), float(among[0])

    # 4 decodes and prompts of 16 tokens all only stream the weights: once is enough
    assert shares(4, 16, 1.0)[0] > 0.75
    assert shares(4, 16, 4.0)[1] > 0.75 * 3.0
    # caches of long contexts are read by the decodes alone, and long prompts share nothing but launches
    assert shares(256, 30_000, 1.0)[0] < 0.1
    assert shares(256, 30_000, 4.0)[1] < 0.1
    assert shares(64, 1000, 1.0)[1] == 0.0


def test_blocks_are_those_that_an_allocator_hands_out() -> None:
    free, token = 1.0e9, 131_072.0
    blocks = 0
    while (blocks + 1) * BLOCK_TOKENS * token <= free:
        blocks += 1
    assert cache_blocks(free, token) == blocks
    assert cache_blocks(-1.0, token) == 0
    capacity = cache_capacity(free, token, one(100.0), groups=2)
    assert capacity.requests[0] == 2 * (blocks // math.ceil(100 / BLOCK_TOKENS))
    assert capacity.tokens[0] == 2 * blocks * BLOCK_TOKENS


@pytest.mark.parametrize(("tp", "pp", "ep"), [(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 1, 2)])
def test_the_requests_that_fit_are_feasible_and_more_are_not(tp: int, pp: int, ep: int) -> None:
    model = load_model("qwen3-30b-a3b")
    target = load_target("b200-sxm")
    structure = Structure("bf16", tp=tp, pp=pp, ep=ep, mode="continuous")
    cache = price(model, target, structure, Load(ep * pp, 2000, 500)).cache
    assert cache is not None
    fits = cache.requests[0]
    assert price(model, target, structure, Load(0.97 * fits // (ep * pp) * (ep * pp), 2000, 500)).estimate.feasible[0]
    refused = price(model, target, structure, Load(1.03 * fits // 1 + ep * pp, 2000, 500)).estimate
    assert refused.reasons[int(refused.reason[0])].startswith("memory")


def test_an_estimate_says_how_many_blocks_and_requests_fit() -> None:
    priced = estimate(LLAMA, H100, batch=16, prompt=1000, generate=24)
    assert priced.cache is not None
    other = 8030261248 * 2 + float(priced.memory["activation"].max())
    blocks = math.floor((MEMORY_SHARE * 80 * 2**30 - other) / (16 * 131072))
    assert priced.cache.blocks[0] == blocks
    assert priced.cache.requests[0] == blocks // 64  # 1,023 cached tokens take 64 blocks
    assert any(f"{blocks:,} blocks of 16 tokens" in note for note in priced.estimate.notes)
    heavy = estimate("llama-3.1-70b", H100).cache
    assert heavy is not None
    assert heavy.requests[0] == 0, "weights alone exceed the device"


def test_the_cache_has_a_precision_of_its_own() -> None:
    plain, narrow = (
        price(LLAMA, H100, Structure("bf16", kv_dtype=kv_dtype), Load(16, 1000, 24)) for kv_dtype in (None, "fp8")
    )
    assert float(narrow.memory["kv"][0]) == float(plain.memory["kv"][0]) / 2
    assert narrow.cache is not None
    assert plain.cache is not None
    assert narrow.cache.tokens[0] == pytest.approx(2 * plain.cache.tokens[0], rel=1e-3)
    assert narrow.estimate.quantity("tpot").value < plain.estimate.quantity("tpot").value
    with pytest.raises(UsageError, match="dtype 'fp9' is unknown"):
        price(LLAMA, H100, Structure("bf16", kv_dtype="fp9"), Load(16, 1000, 24))


def test_a_served_batch_is_a_static_one_behind_a_server() -> None:
    options: dict[str, Any] = {"batch": np.array([1, 8, 64]), "prompt": 512, "generate": 64, "execution": "eager"}
    static, served = (estimate(LLAMA, H100, mode=mode, **options).estimate.columns for mode in ("static", "served"))
    for name in ("ttft", "request_latency"):
        assert served[name].value == pytest.approx(static[name].value + HANDLING)
    assert served["tpot"].value == pytest.approx(static["tpot"].value)
    for name in ("throughput", "energy_per_token"):  # a server handles one batch while the device runs another
        assert served[name].value == pytest.approx(static[name].value)
    with pytest.raises(UsageError, match="describe full slots"):
        estimate(LLAMA, H100, mode="served", concurrency=100, **options)


def test_engines_that_nobody_knows_are_refused_below_the_command_line_too() -> None:
    with pytest.raises(UsageError, match="unknown framework 'vlm'"):
        price(LLAMA, H100, Structure("bf16", framework="vlm"), Load(4, 100, 10))


def test_load_generators_are_options_of_an_estimate() -> None:
    options: dict[str, Any] = {"batch": 32, "prompt": 1000, "generate": 200, "mode": "continuous", "chunk": 2048}
    steady = estimate(LLAMA, H100, **options).estimate.quantity("ttft").value
    assert steady > HANDLING
    burst = estimate(LLAMA, H100, rounds=10, **options).estimate.quantity("ttft").value
    crowded = estimate(LLAMA, H100, concurrency=np.array([32, 48]), **options).estimate.columns["ttft"].value
    assert burst > steady
    assert crowded[0] == pytest.approx(steady)
    assert crowded[1] > 1.5 * steady
    for name in ("rounds", "concurrency"):
        for value in (0, 10**20, float("nan")):
            with pytest.raises(UsageError, match=f"{name} is {value:g}".replace("+", r"\+")):
                estimate(LLAMA, H100, **{**options, name: value})
        with pytest.raises(UsageError, match="describe full slots"):
            price(LLAMA, H100, Structure("bf16"), msgspec.structs.replace(Load(4, 100, 10), **{name: 8}))


@pytest.mark.parametrize("options", [{}, {"gather": 100, "chunk": 8192}, {"rounds": 5}, {"chunk": 40}])
def test_a_closed_loop_has_no_more_in_flight_than_it_says(options: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"batch": 32, "prompt": 1000, "generate": 200, "mode": "continuous", **options}
    for concurrency in (32, 50):
        found = estimate(LLAMA, H100, concurrency=concurrency, **asked).estimate
        rate = found.quantity("throughput").value / 200
        assert rate * found.quantity("request_latency").value <= concurrency * (1 + 1e-9)
        assert found.quantity("throughput").value <= estimate(LLAMA, H100, **asked).estimate.quantity(
            "throughput"
        ).value * (1 + 1e-9)
    with pytest.raises(UsageError, match="concurrency is 8, fewer than the 32 slots"):
        estimate(LLAMA, H100, concurrency=8, **asked)


def test_arrivals_say_that_the_rest_is_of_full_slots() -> None:
    found = estimate(LLAMA, H100, batch=32, prompt=1000, generate=200, mode="continuous", rate=1.0).estimate
    capacity = found.quantity("throughput").value / 200
    assert any(note.startswith(f"arrivals take {1 / capacity:.2%}") for note in found.notes)


def test_a_full_engine_draws_no_more_than_its_limit_and_sharing_costs_no_energy() -> None:
    batch, prompt = (a.reshape(-1) for a in np.meshgrid([1, 8, 64, 512], [16, 256, 4096]))
    priced = estimate(LLAMA, H100, batch=batch, prompt=prompt, generate=64, mode="continuous").estimate
    assert H100.power.idle is not None
    power = priced.columns["power"].value
    assert np.all(power >= H100.power.idle.value)
    assert np.all(power <= H100.power.tdp.value * (1 + 1e-12))
    apart = estimate(LLAMA, H100, batch=batch, prompt=prompt, generate=64).estimate.columns["energy_per_token"].value
    # merging prompts into the iterations of decodes never costs energy where the batch is the same
    assert np.all(priced.columns["energy_per_token"].value[batch == 1] <= apart[batch == 1] * (1 + 1e-9))


def test_files_of_designs_take_the_same_columns(tmp_path: Path) -> None:
    file = tmp_path / "designs.csv"
    file.write_text(
        "model,target,mode,batch,prompt,generate,kv_dtype,concurrency,rounds\n"
        "llama-3.1-8b,h100-sxm,continuous,32,1000,200,fp8,40,10\n"
    )
    (priced,) = price_file(str(file), {})
    alone = estimate(
        LLAMA, H100, mode="continuous", batch=32, prompt=1000, generate=200, kv_dtype="fp8", concurrency=40, rounds=10
    )
    assert priced["ttft"][0] == pytest.approx(alone.estimate.quantity("ttft").value)
    assert priced["tpot"][0] == pytest.approx(alone.estimate.quantity("tpot").value)


def test_first_tokens_grow_with_the_load_and_prompts_are_launched_one_by_one() -> None:
    options: dict[str, Any] = {"prompt": 1000, "generate": 200, "mode": "continuous", "chunk": 8192}
    ttft = estimate(LLAMA, H100, batch=np.array([1, 2, 8, 32, 128]), rounds=5, **options).estimate.columns["ttft"].value
    assert np.all(np.diff(ttft) > 0)
    # a graph holds decode steps; a short prompt waits for the host
    graph, eager = (
        estimate(LLAMA, H100, prompt=16, execution=how).estimate.quantity("ttft").value for how in ("graph", "eager")
    )
    assert graph == pytest.approx(eager)
