"""Measuring operators: the right tensors, cold weights, clocks that time the device, and other work that is seen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from codesign.errors import DataError, EnvironmentLacks, UsageError
from codesign.profilers.disturbance import Share, Watch
from codesign.profilers.operators import (
    SMALL_PASSES,
    Operator,
    PassTiming,
    Request,
    Timing,
    measure_operators,
    small_models,
)
from codesign.profilers.operators.calls import ALIGNED, BUILDERS, PERIOD, Bench, build
from codesign.profilers.operators.clocks import LEAST_REPEATS, WARM_UPS, CudaClock, HostClock, repeats
from codesign.profilers.operators.host import host_seconds
from codesign.profilers.operators.small_models import DECODER, RESIDUAL, small_model
from codesign.profilers.operators.worker import ROUNDS, measure_here
from codesign.profilers.passes import make_pass

ATTENTION = {"batch_size": 2, "isl": 8, "step": 0, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
CASES: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "gemm": ({"m": 3, "n": 5, "k": 7}, (3, 5)),
    "bmm": ({"B": 2, "M": 3, "N": 4, "K": 5}, (2, 3, 5)),
    "conv": ({"B": 2, "Input_Channel": 3, "Output_Channel": 4, "Input_Size": 9, "Kernel_Size": 3, "Stride": 2,
              "Padding": 1}, (2, 4, 5, 5)),
    "context_attention": (ATTENTION, (2, 4, 8, 16)),
    "generation_attention": (ATTENTION, (2, 4, 1, 16)),
    "embedding": ({"B": 6, "H": 8, "rows": 50}, (6, 8)),
    **dict.fromkeys(("add", "mul", "gelu", "relu", "softmax", "layernorm"), ({"B": 4, "H": 6}, (4, 6))),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(torch, "cpu", "fp32", 4 * PERIOD)


def test_every_operator_is_tried() -> None:
    assert set(CASES) == set(BUILDERS)


@pytest.mark.parametrize("op", sorted(CASES))
def test_result_has_the_shape_of_the_operator(bench: Bench, op: str) -> None:
    shape, expected = CASES[op]
    run = build(bench, op, shape)
    for call in range(3):
        assert tuple(run(call).shape) == expected


def test_a_product_multiplies_what_its_columns_say(bench: Bench) -> None:
    run = build(bench, "gemm", {"m": 2, "n": 3, "k": 4})
    x = bench.warm(2, 4)
    first, second = bench.cold(3, 4)[:2]
    torch.testing.assert_close(run(0), x @ first.T)
    torch.testing.assert_close(run(1), x @ second.T)


def test_weights_are_cold_and_activations_warm(bench: Bench) -> None:
    views = bench.cold(100, 100)
    starts = [view.data_ptr() for view in views]
    step = -(-10_000 // ALIGNED) * ALIGNED * 4
    assert np.diff(starts).tolist() == [step] * (len(views) - 1), "the next one at every call, none shared"
    assert len(views) * step > 4 * PERIOD - step, "they take the whole pool"
    assert bench.warm(4, 4).data_ptr() not in starts
    assert not torch.equal(views[0], views[1])
    assert len(bench.cold(5, PERIOD)) == 1, "larger than the pool: one, of its own"


@pytest.mark.parametrize(("op", "shape"), [("conw", {"m": 1}), ("gemm", {"m": 1, "n": 1})])
def test_what_cannot_be_built_is_named(bench: Bench, op: str, shape: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=op):
        build(bench, op, shape)


class Steps:
    """A clock on which each call takes what ``durations`` say, in turn."""

    def __init__(self, *durations: float) -> None:
        self.durations = list(durations)
        self.asked: list[int] = []

    def seconds(self, run: Any, calls: int) -> float:
        """Return the next duration; run the calls."""
        self.asked.append(calls)
        for _ in range(calls):
            run()
        return self.durations.pop(0) if len(self.durations) > 1 else self.durations[0]


def test_warm_ups_do_not_count() -> None:
    clock = Steps(9.0, 5.0, 3.0, 1.0)
    seen: list[int] = []
    found = repeats(clock, seen.append, 0.0)
    assert found == [1.0] * LEAST_REPEATS
    assert seen == list(range(WARM_UPS + LEAST_REPEATS)), "each call takes the next weights"


def test_short_calls_are_timed_many_at_once() -> None:
    clock = Steps(1e-5)
    repeats(clock, lambda i: None, 0.0)
    assert clock.asked == [1] * WARM_UPS + [10] * LEAST_REPEATS


def test_the_host_clock_waits_for_the_call() -> None:
    import time

    assert HostClock().seconds(lambda: time.sleep(0.01), 2) >= 0.01


def test_the_cuda_clock_times_the_device_and_not_the_launches() -> None:
    log: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            """Note it."""
            log.append("record")

        def elapsed_time(self, end: Event) -> float:
            """Return milliseconds."""
            return 6.0

    cuda = SimpleNamespace(
        Event=Event, _sleep=lambda cycles: log.append("wait"), synchronize=lambda: log.append("synchronize")
    )
    found = CudaClock(SimpleNamespace(cuda=cuda)).seconds(lambda: log.append("launch"), 3)
    assert found == pytest.approx(2e-3)
    assert log == ["wait", "record", "launch", "launch", "launch", "record", "synchronize"]


def test_rounds_lie_apart_and_failures_have_a_reason() -> None:
    asked = (
        Operator("gemm", "fp32", {"m": 4, "n": 8, "k": 8}),
        Operator("bmm", "fp32", {"B": 1, "M": 2, "N": 2**40, "K": 2}),
        Operator("add", "bf16", {"B": 4, "H": 8}),
    )
    found = measure_here(Request(asked, seconds=0.1, pool_bytes=2**20))
    assert [timing.operator for timing in found.timings] == list(asked)
    good, impossible, other = found.timings
    for timing in (good, other):
        assert len(timing.rounds) == ROUNDS
        assert timing.repeats >= ROUNDS * LEAST_REPEATS
        assert 0.0 < timing.low <= timing.median <= timing.high < 1.0
    assert impossible.reason
    assert impossible.median == 0.0
    assert found.host_seconds > 0.0
    assert torch.get_float32_matmul_precision() == "highest"


def test_passes_of_small_models_are_measured_in_every_round() -> None:
    (asked,) = (one for one in SMALL_PASSES if (one.model, one.batch) == (RESIDUAL, 1))
    found = measure_here(Request((), seconds=0.1, pool_bytes=2**20, passes=(asked,)))
    (timing,) = found.passes
    assert timing.asked == asked
    assert len(timing.rounds) == ROUNDS
    assert 1e-3 < min(timing.rounds) <= timing.median <= max(timing.rounds) < 10.0
    assert PassTiming(asked, (1.0, 2.0)).drift == pytest.approx(np.log(2.0))


def test_a_pass_that_fails_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(model: Any, module: Any, shape: Any) -> Any:
        if shape.batch == 2:
            raise MemoryError("too\nlarge")
        return make_pass(model, module, shape)

    monkeypatch.setattr(small_models, "make_pass", failing)
    asked = tuple(one for one in SMALL_PASSES if one.model == RESIDUAL)
    gemm = Operator("gemm", "fp32", {"m": 4, "n": 8, "k": 8})
    found = measure_here(Request((gemm,), seconds=0.1, pool_bytes=2**20, passes=asked))
    assert [timing.reason for timing in found.passes] == ["", "too large"]
    assert [len(timing.rounds) for timing in found.passes] == [ROUNDS, 0]
    assert not found.timings[0].reason


def test_no_cache_holds_the_weights_of_the_small_decoder() -> None:
    assert 4 * small_model(DECODER).parameters > 2**27
    assert {one.phase for one in SMALL_PASSES if one.model == DECODER} == {"prefill", "decode"}


def test_spread_and_drift() -> None:
    timing = Timing(Operator("add", "fp32", {}), (1.0, 2.0), 1.5, 1.2, 1.8, 10)
    assert timing.spread == pytest.approx(0.2)
    assert timing.drift == pytest.approx(np.log(2.0))


def test_the_host_is_timed_on_one_thread_and_the_others_come_back() -> None:
    before = torch.get_num_threads()
    assert 1e-5 < host_seconds(torch, "cpu") < 1.0
    assert torch.get_num_threads() == before


def test_the_worker_passes_on_what_it_refuses() -> None:
    request = Request((Operator("conw", "fp32", {}),), seconds=0.1, pool_bytes=2**20)
    with pytest.raises(UsageError, match="conw"):
        measure_operators(request)


def test_a_hung_worker_is_ended() -> None:
    with pytest.raises(DataError, match=r"over 0.01 s"):
        measure_operators(Request(()), timeout=0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_said() -> None:
    with pytest.raises(EnvironmentLacks, match="no CUDA device"):
        measure_here(Request((), device="cuda"))


def test_other_work_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    ticks = os.sysconf("SC_CLK_TCK")
    stat = tmp_path / "stat"
    now, own = [100.0], [5.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(os, "times", lambda: SimpleNamespace(user=own[0], system=0.0, children_user=0.0,
                                                             children_system=0.0))  # fmt: skip
    monkeypatch.setattr(os, "cpu_count", lambda: 4)

    def account(busy: float) -> None:
        # user, nice, system, idle, waiting, interrupts, soft interrupts, stolen
        parts = [busy / 4, busy / 4, busy / 4, 1e6, 1e6, 0.0, 0.0, busy / 4]
        stat.write_text("cpu  " + " ".join(str(round(part * ticks)) for part in parts) + " 0 0\n")

    account(40.0)
    watch = Watch(stat)
    account(60.0)
    now[0], own[0] = 110.0, 15.0
    found = watch.share()
    assert found == Share(1.0, 4), "20 s busy in 10 s, 10 of them our own"
    assert found.fraction == 0.25


def test_a_system_without_an_account_says_nothing(tmp_path: Path) -> None:
    assert Watch(tmp_path / "none").share() is None
