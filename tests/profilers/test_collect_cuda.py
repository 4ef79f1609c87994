"""The GPU collector: exact on a GPU whose clock is set by hand, and really run where there is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from codesign.errors import EnvironmentLacks, UsageError
from codesign.profilers import api, sweep, torch_cuda
from codesign.profilers.execution import captured
from codesign.profilers.launch_floor import LAUNCHES, floor_of, null_launch
from codesign.profilers.trace import Trace, device_events, host_events
from tests.profilers.fake_gpu import CALL, DELAY, KERNEL, US, FakeGpu, FakeModel, FakeTorch


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """Return a GPU that keeps time, which the collector finds in place of torch's."""
    made = FakeGpu()
    _install(monkeypatch, FakeTorch(made))
    return made


def _install(monkeypatch: pytest.MonkeyPatch, torch: FakeTorch) -> None:
    for module in (api, sweep, torch_cuda):
        monkeypatch.setattr(module, "import_torch", lambda: torch)


def test_latency_comes_before_the_profiler_and_the_parts_are_those_of_the_clock(gpu: FakeGpu) -> None:
    kept: list[tuple[int, Trace]] = []
    model = FakeModel(gpu)
    found = api.profile(
        model, device="cuda", batches=(1, 4), repeats=4, on_trace=lambda batch, trace: kept.append((batch, trace))
    )
    assert "event" not in gpu.log[gpu.log.index("profiler") :]
    assert found.device == "cuda:0"
    assert found.device_name == "Fake GPU 0"
    assert set(model.devices) == {"cuda:0"}
    assert [b.batch for b in found.batches] == [1, 4]
    for batch in found.batches:
        # 2 us of Python, operators at 2 to 7 and 7 to 12, kernels at 9 to 19 and 19 to 29
        assert batch.passes == pytest.approx([29e-6] * 4)
        s = batch.split
        assert s.iterations == 4
        assert (s.iteration, s.gap, s.dispatch, s.compute) == tuple(4 * US * part for part in (29, 2, 7, 20))
        assert batch.shares == pytest.approx([20 / 29] * 4)
        assert batch.profiler_cost == {"plain": pytest.approx(1.0)}
        assert [(row.name, row.calls, row.nanoseconds) for row in s.operators] == [
            ("mm_kernel", 4, 4 * KERNEL), ("relu_kernel", 4, 4 * KERNEL)
        ]  # fmt: skip
        assert batch.peak_memory == 12345
        assert batch.queueing is None
        assert batch.verdict == "mixed"
    assert [(batch, len(trace.work)) for batch, trace in kept] == [(1, 8), (4, 8)]


def test_the_launch_floor_is_that_of_empty_kernels(gpu: FakeGpu) -> None:
    floor = api.profile(FakeModel(gpu), device="cuda", repeats=3).floor
    assert floor is not None
    assert (floor.kernel, floor.launches) == ("spin_kernel", LAUNCHES)
    assert (floor.call_p05, floor.call_p50, floor.latency_p05, floor.latency_p50) == (CALL, CALL, DELAY, DELAY)


def test_a_graph_is_warmed_beside_captured_once_and_then_only_replayed(gpu: FakeGpu) -> None:
    model = FakeModel(gpu)
    found = api.profile(model, device="cuda", repeats=3, execution="graph").batches[0]
    seen = [word for word in gpu.log if word in ("side begins", "side ends", "capture", "side waits", "main waits")]
    assert seen == ["side waits", "side begins", "side ends", "main waits", "capture"]
    assert model.calls == 3 + 1 + 1  # beside, in the capture, and for the FLOP count
    assert [row.name for row in found.split.operators] == ["replayed_kernel"]
    assert found.passes == pytest.approx([17e-6] * 3)  # 1 us to the call, 6 to the kernel, 10 in it


def test_a_pass_that_no_graph_holds_is_refused(gpu: FakeGpu) -> None:
    def run() -> None:
        if gpu.log[-1] == "capture":
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    with pytest.raises(UsageError, match="not permitted when stream is capturing"):
        captured(FakeTorch(gpu), run)


@pytest.mark.parametrize(
    ("options", "device", "error", "says"),
    [
        ({"devices": 0}, "cuda", EnvironmentLacks, "no GPU that torch can use"),
        ({"devices": 2}, "cuda:2", EnvironmentLacks, "no GPU 2"),
        ({}, "cuda:one", UsageError, "cuda:one"),
        ({}, "cuda:", UsageError, "cuda:"),
        ({}, "cpu:0", UsageError, "called cpu"),
        ({}, "gpu", UsageError, "'gpu' is unknown"),
    ],
)
def test_a_device_is_used_or_refused(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], device: str, error: type[Exception], says: str
) -> None:
    gpu = FakeGpu()
    _install(monkeypatch, FakeTorch(gpu, **options))
    with pytest.raises(error, match=says):
        api.profile(FakeModel(gpu), device=device)


def test_the_device_named_is_the_one_used(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    _install(monkeypatch, FakeTorch(gpu, devices=2))
    model = FakeModel(gpu)
    assert api.profile(model, device="cuda:1", repeats=3).device == "cuda:1"
    assert set(model.devices) == {"cuda:1"}
    assert "device 1" in gpu.log


def test_a_dtype_the_gpu_only_emulates_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    _install(monkeypatch, FakeTorch(gpu, bf16=False))
    for dtype in ("bf16", "fp8"):  # a quantised checkpoint runs in bf16
        with pytest.raises(EnvironmentLacks, match="does not compute in bf16"):
            torch_cuda.check_dtype("cuda", dtype)
    torch_cuda.check_dtype("cuda", "fp16")
    torch_cuda.check_dtype("cuda", "fp32")


def test_what_does_not_fit_the_device_is_said(gpu: FakeGpu) -> None:
    model = FakeModel(gpu)
    model.parameters = 1 << 30
    with pytest.raises(EnvironmentLacks, match="GiB are free"):
        api.profile(model, device="cuda")
    model.parameters = 1
    model.failure = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(EnvironmentLacks, match="net ran out of memory"):
        api.profile(model, device="cuda")
    model.failure = RuntimeError("Expected all tensors to be on the same device, found cuda:0 and cpu")
    with pytest.raises(UsageError, match="its program names"):
        api.profile(model, device="cuda")
    model.failure = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        api.profile(model, device="cuda")


def test_every_pass_is_a_range_of_the_vendors_profiler_and_none_stays_open(gpu: FakeGpu) -> None:
    model = FakeModel(gpu)
    api.profile(model, device="cuda", repeats=3)
    assert gpu.log.count("push codesign_iteration") == gpu.log.count("pop") >= 6
    pushes = gpu.log.count("push codesign_iteration")
    model.failure = RuntimeError("it broke")
    torch = FakeTorch(gpu)
    with pytest.raises(RuntimeError, match="it broke"):
        torch_cuda.record_on_device(torch, lambda: model.module()(torch.ones(1, 4)), 1)
    assert gpu.log.count("push codesign_iteration") == gpu.log.count("pop") == pushes + 1


def test_a_torch_without_ranges_is_profiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    torch = FakeTorch(gpu)

    def missing(*_: str) -> None:
        raise RuntimeError("NVTX functions not installed")

    torch.cuda.nvtx = SimpleNamespace(range_push=missing, range_pop=missing)
    _install(monkeypatch, torch)
    assert api.profile(FakeModel(gpu), device="cuda", repeats=3).batches[0].passes == pytest.approx([29e-6] * 3)


def test_a_torch_without_a_sleep_kernel_launches_the_smallest_one() -> None:
    import torch

    made = null_launch(SimpleNamespace(cuda=SimpleNamespace(), zeros=torch.zeros), "cpu")
    made()
    assert made() == 2.0  # one added to one element, twice


def _trace(calls: list[tuple[str, int, int, int]], kernels: list[tuple[str, int, int]]) -> Trace:
    """Return a trace of (name, start, duration, correlation) calls and (name, start, correlation) kernels."""
    names = tuple(dict.fromkeys([c[0] for c in calls] + [k[0] for k in kernels]))
    rows = [(names.index(n), s, d, 0, c, -1) for n, s, d, c in calls]
    work = [(0, names.index(n), s, 1, 0, 7, c, 0) for n, s, c in kernels]
    empty = host_events([()] * 6)
    return Trace(
        format="kineto", names=names, threads=(("1", "1"),), origin=0, event_count=len(rows) + len(work),
        operators=empty, calls=host_events(list(zip(*rows, strict=True)) or [()] * 6),
        work=device_events(list(zip(*work, strict=True)) or [()] * 8), annotations=empty, functions=empty,
        overhead=empty,
    )  # fmt: skip


def test_the_floor_takes_the_outer_of_two_nested_calls_and_the_kernel_launched_most() -> None:
    calls = [
        ("cuLaunchKernel", 110, 5, 1), ("cudaLaunchKernel", 100, 30, 1), ("cudaLaunchKernel", 200, 40, 2),
        ("cudaMemcpyAsync", 300, 9, 3), ("cudaLaunchKernel", 400, 99, 4), ("cudaLaunchKernel", 500, 1, 77),
    ]  # fmt: skip
    floor = floor_of(_trace(calls, [("null", 150, 1), ("null", 270, 2), ("other", 330, 3), ("other", 999, 4)]))
    assert (floor.kernel, floor.launches) == ("null", 2)
    assert (floor.call_p50, floor.latency_p50) == (35.0, 60.0)
    assert (floor.call_p05, floor.latency_p05) == (30.5, 51.0)


@pytest.mark.parametrize(
    ("calls", "kernels"),
    [([], []), ([("cudaLaunchKernel", 1, 1, 1)], []), ([("cudaLaunchKernel", 1, 1, 1)], [("null", 5, 2)])],
)
def test_a_floor_is_never_assumed(calls: list[Any], kernels: list[Any]) -> None:
    with pytest.raises(EnvironmentLacks, match="no kernel of an empty launch"):
        floor_of(_trace(calls, kernels))


@pytest.mark.gpu
@pytest.mark.parametrize("execution", ["eager", "graph"])
def test_a_real_gpu_is_profiled(execution: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    kept: list[Trace] = []
    found = api.profile(
        "bert-base", device="cuda", layers=2, dtype="fp16", repeats=5, execution=execution,
        on_trace=lambda _, trace: kept.append(trace),
    )  # fmt: skip
    batch = found.batches[0]
    assert found.floor is not None
    assert 0 < found.floor.call_p05 <= found.floor.call_p50
    assert 0 < found.floor.latency_p50 < 1e6
    assert batch.split.gap + batch.split.dispatch + batch.split.compute == batch.split.iteration
    assert batch.split.compute > 0
    assert batch.peak_memory is not None
    assert batch.peak_memory > 0
    assert kept[0].kernels.sum() > 10
    launches = [kept[0].names[number] for number in kept[0].calls.name]
    assert any("Graph" in name for name in launches) == (execution == "graph")
