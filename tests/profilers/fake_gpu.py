"""A GPU that only keeps time: what ``torch.cuda`` and ``torch.profiler`` offer the collector, with a clock set by hand.

An operator takes 5 us of the host and launches one kernel in a call of 3 us, 1 us after its start. A kernel starts 6 us
after the start of its call, or when the one before ends, and runs for 10 us.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

US = 1000
CALL, DELAY, KERNEL = 3 * US, 6 * US, 10 * US


class FakeGpu:
    """The clock of host and device, ns, and what was seen."""

    def __init__(self) -> None:
        self.now = 1_000 * US
        self.free = 0
        self.correlation = 0
        self.events: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.sleeps = 0

    def event(self, category: str, name: str, start: int, duration: int, **arguments: int) -> None:
        """Add an event to the trace."""
        self.events.append({
            "ph": "X", "cat": category, "name": name, "ts": start / US, "dur": duration / US, "pid": 1, "tid": 1,
            "args": arguments,
        })  # fmt: skip

    def launch(self, name: str) -> None:
        """Launch a kernel."""
        self.correlation += 1
        begin = max(self.now + DELAY, self.free)
        self.event("cuda_runtime", "cudaLaunchKernel", self.now, CALL, correlation=self.correlation)
        self.event("kernel", name, begin, KERNEL, correlation=self.correlation, device=0, stream=7)
        self.now += CALL
        self.free = begin + KERNEL

    def operator(self, name: str) -> None:
        """Run an operator that launches one kernel."""
        start = self.now
        self.now += US
        self.launch(f"{name}_kernel")
        self.now += US
        self.event("cpu_op", f"aten::{name}", start, self.now - start)

    def synchronize(self) -> None:
        """Wait for the device."""
        self.now = max(self.now, self.free)


class FakeEvent:
    """A device event: the clock at its record."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.at = gpu, 0

    def record(self) -> None:
        """Note when the device gets here."""
        self.gpu.log.append("event")
        self.at = max(self.gpu.now, self.gpu.free)

    def synchronize(self) -> None:
        """Wait."""
        self.gpu.synchronize()

    def elapsed_time(self, other: FakeEvent) -> float:
        """Return the time to ``other``, ms."""
        return (other.at - self.at) / 1e6


class FakeCuda:
    """What the collector uses of ``torch.cuda``."""

    OutOfMemoryError = MemoryError

    def __init__(self, gpu: FakeGpu, devices: int = 1, bf16: bool = True) -> None:
        self.gpu, self.devices, self.bf16 = gpu, devices, bf16
        self.nvtx = SimpleNamespace(
            range_push=lambda name: gpu.log.append(f"push {name}"), range_pop=lambda: gpu.log.append("pop")
        )
        self.captured: list[str] = []

    def is_available(self) -> bool:
        """Return whether there is a device."""
        return self.devices > 0

    def device_count(self) -> int:
        """Return how many."""
        return self.devices

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        """Return whether bf16 is native."""
        return self.bf16 or including_emulation

    def get_device_name(self, index: int = 0) -> str:
        """Return a name."""
        return f"Fake GPU {index}"

    def mem_get_info(self, index: int) -> tuple[int, int]:
        """Return free and total bytes."""
        return 1 << 30, 1 << 31

    def reset_peak_memory_stats(self) -> None:
        """Forget the peak."""

    def max_memory_allocated(self) -> int:
        """Return the peak."""
        return 12345

    def synchronize(self) -> None:
        """Wait."""
        self.gpu.synchronize()

    def _sleep(self, cycles: int) -> None:
        self.gpu.sleeps += 1
        self.gpu.launch("spin_kernel")

    @contextmanager
    def device(self, index: int) -> Iterator[None]:
        """Use a device."""
        self.gpu.log.append(f"device {index}")
        yield

    def Event(self, enable_timing: bool = False) -> FakeEvent:
        """Return an event."""
        assert enable_timing
        return FakeEvent(self.gpu)

    def Stream(self) -> Any:
        """Return a side stream."""
        return SimpleNamespace(wait_stream=lambda other: self.gpu.log.append("side waits"))

    def current_stream(self) -> Any:
        """Return the main stream."""
        return SimpleNamespace(wait_stream=lambda other: self.gpu.log.append("main waits"))

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        """Use a stream."""
        self.gpu.log.append("side begins")
        yield
        self.gpu.log.append("side ends")

    def CUDAGraph(self) -> Any:
        """Return an empty graph."""
        return SimpleNamespace(replay=lambda: self.gpu.operator("replayed"))

    @contextmanager
    def graph(self, graph: Any) -> Iterator[None]:
        """Capture."""
        self.gpu.log.append("capture")
        yield


class FakeProfiler:
    """What the collector uses of ``torch.profiler``; the trace holds the recorded steps only."""

    ProfilerActivity = SimpleNamespace(CPU="cpu", CUDA="cuda")

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu

    def schedule(self, wait: int, warmup: int, active: int, repeat: int) -> tuple[int, int]:
        """Return the steps before recording, and recorded."""
        assert repeat == 1
        return wait + warmup, active

    @contextmanager
    def record_function(self, name: str) -> Iterator[None]:
        """Annotate."""
        start = self.gpu.now
        yield
        self.gpu.event("user_annotation", name, start, self.gpu.now - start)

    @contextmanager
    def profile(
        self,
        activities: list[str],
        schedule: tuple[int, int],
        on_trace_ready: Callable[[Any], None],
        record_shapes: bool,
    ) -> Iterator[Any]:
        """Profile."""
        assert activities == ["cpu", "cuda"]
        gpu, steps = self.gpu, 0
        gpu.log.append("profiler")
        first, last = schedule[0], sum(schedule)

        def export(path: str) -> None:
            Path(path).write_text(json.dumps({"traceEvents": gpu.events}))

        def step() -> None:
            nonlocal steps
            steps += 1
            if steps == first:
                gpu.events.clear()
            if steps == last:
                on_trace_ready(SimpleNamespace(export_chrome_trace=export))

        yield SimpleNamespace(step=step)


class FakeTorch:
    """Torch with that GPU; everything else is real."""

    def __init__(self, gpu: FakeGpu, **options: Any) -> None:
        self.cuda, self.profiler = FakeCuda(gpu, **options), FakeProfiler(gpu)

    def __getattr__(self, name: str) -> Any:
        import torch

        return getattr(torch, name)


class FakeModel:
    """A model of two operators; its module runs on the fake GPU whatever its device."""

    name, source, kind, checkpoint_dtype = "net", "net", "encoder", "fp32"
    parameters = 100

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.sizes = {"batch": 1}
        self.calls = 0
        self.devices: list[str] = []
        self.failure: Exception | None = None

    def module(self, layers: int | None = None, dtype: str | None = None, seed: int = 0, device: str = "cpu") -> Any:
        """Return the module."""
        import torch

        self.devices.append(device)

        class Net(torch.nn.Linear):
            def forward(net, x: Any) -> Any:  # noqa: N805
                """Run 2 us of Python and two operators."""
                self.calls += 1
                if self.failure is not None:
                    raise self.failure
                self.gpu.now += 2 * US
                self.gpu.operator("mm")
                self.gpu.operator("relu")
                return x

        return Net(4, 4)

    def example_inputs(self, **options: Any) -> tuple[Any, ...]:
        """Return its input."""
        import torch

        self.devices.append(options["device"])
        return (torch.ones(options["batch"], 4),)
