"""Two pools: Little's law, the published queue, a simulated line before the prefill pool, and what is refused."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from codesign.costmodels.deployment import price
from codesign.costmodels.disaggregation import Pool, price_pools
from codesign.costmodels.estimate import Estimate
from codesign.costmodels.serving import HANDLING
from codesign.costmodels.structure import Load, Structure
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.targets import load_target

LLAMA = load_model("llama-3.1-8b")
H100 = load_target("h100-sxm")
ONE = Structure("bf16")


def value(estimate: Estimate, name: str, point: int = 0) -> float:
    return float(estimate.columns[name].value[point])


def prefill_seconds(prompt: int) -> float:
    return value(price(LLAMA, H100, ONE, Load(1, prompt, 2)).estimate, "ttft")


@pytest.mark.parametrize("flying", [1, 8, 64, 512])
def test_requests_in_flight_are_rate_times_latency(flying: int) -> None:
    found = price_pools(LLAMA, H100, Pool(ONE, 2), Pool(ONE, 3), Load(1, 2000, 200, concurrency=flying))
    rate = value(found, "throughput") / 200
    inside = value(found, "request_latency") - HANDLING
    assert rate * inside == pytest.approx(flying, rel=0.12), "what is left is the wait of a pool that keeps up"
    assert rate <= 2 / prefill_seconds(2000) * (1 + 1e-9), "no pool does more than its capacity"
    assert value(found, "devices") == 5


def test_decode_workers_only_decode() -> None:
    found = price_pools(LLAMA, H100, Pool(ONE, 64), Pool(ONE, 2), Load(1, 500, 2000, concurrency=64))
    alone = price(LLAMA, H100, ONE, Load(32, 500, 2000)).estimate
    assert value(found, "tpot") == pytest.approx(value(alone, "tpot"), rel=0.02)
    mixed = price(LLAMA, H100, Structure("bf16", mode="continuous"), Load(32, 500, 2000)).estimate
    assert value(found, "tpot") < value(mixed, "tpot")


def test_arrivals_wait_as_published() -> None:
    # DistServe, section 3: TTFT = D + R D^2 / (2 (1 - R D))
    service = prefill_seconds(4000)
    rate = 0.7 / service
    found = price_pools(LLAMA, H100, Pool(ONE), Pool(ONE, 4), Load(1, 4000, 100, rate=rate))
    expected = service + rate * service**2 / (2 * (1 - rate * service))
    assert value(found, "ttft") - HANDLING == pytest.approx(expected)
    assert value(found, "throughput") == pytest.approx(rate * 100)
    crowded = price_pools(LLAMA, H100, Pool(ONE), Pool(ONE, 4), Load(1, 4000, 100, rate=1.1 / service))
    assert crowded.reasons[int(crowded.reason[0])].startswith("rate")


def test_the_line_before_a_slow_prefill_pool_follows_a_simulation() -> None:
    flying, workers = 40, 2
    found = price_pools(LLAMA, H100, Pool(ONE, workers), Pool(ONE, 8), Load(1, 8000, 50, concurrency=flying))
    service = prefill_seconds(8000)
    stay = value(found, "request_latency") - value(found, "ttft")
    free = [0.0] * workers
    arrivals = [(0.0, i) for i in range(flying)]
    heapq.heapify(arrivals)
    waited = []
    for _ in range(4000):
        arrived, client = heapq.heappop(arrivals)
        done = max(arrived, heapq.heappop(free)) + service
        heapq.heappush(free, done)
        waited.append(done - arrived)
        heapq.heappush(arrivals, (done + stay, client))
    assert value(found, "ttft") - HANDLING == pytest.approx(np.mean(waited[1000:]), rel=0.05)


def test_more_prefill_workers_never_hurt_and_arrays_equal_points() -> None:
    load = Load(1, 3000, 300, concurrency=np.array([4, 32, 256]))
    few, many = (price_pools(LLAMA, H100, Pool(ONE, workers), Pool(ONE, 4), load) for workers in (1, 8))
    assert np.all(many.columns["ttft"].value <= few.columns["ttft"].value)
    assert np.all(np.diff(few.columns["ttft"].value) > 0)
    for point, flying in enumerate((4, 32, 256)):
        alone = price_pools(LLAMA, H100, Pool(ONE), Pool(ONE, 4), Load(1, 3000, 300, concurrency=flying))
        for name in alone.columns:
            assert value(few, name, point) == pytest.approx(value(alone, name), rel=1e-9), name
    for name in few.columns:
        low, high = few.interval(name)
        assert np.all(low <= few.columns[name].value)
        assert np.all(few.columns[name].value <= high)


def test_a_pool_that_does_not_fit_is_named_and_contradictions_are_refused() -> None:
    big = load_model("llama-3.1-70b")
    found = price_pools(big, H100, Pool(Structure("bf16", tp=8)), Pool(ONE), Load(1, 500, 100, concurrency=4))
    assert found.reasons[int(found.reason[0])].startswith("decode pool: memory")
    for load in (Load(1, 500, 100), Load(1, 500, 100, rate=1.0, concurrency=4)):
        with pytest.raises(UsageError, match="one of concurrency and rate"):
            price_pools(LLAMA, H100, Pool(ONE), Pool(ONE), load)
    with pytest.raises(UsageError, match="concurrency is 0"):
        price_pools(LLAMA, H100, Pool(ONE), Pool(ONE), Load(1, 500, 100, concurrency=0))
    with pytest.raises(UsageError, match="gather is of engines that do both"):
        price_pools(LLAMA, H100, Pool(ONE), Pool(ONE), Load(1, 500, 100, concurrency=4, gather=2.0))
