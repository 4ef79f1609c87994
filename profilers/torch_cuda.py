"""Running a pass on a GPU through ``torch.cuda``, which is also AMD's: timed by device events, then traced.

The profiler may leave a slowdown of 10 to 20 % behind (CUDA before 12.6, pytorch issue 146604), so all times are taken
before it first starts. Everything here takes ``torch`` as an argument.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from codesign.errors import EnvironmentLacks, UsageError, nearest
from codesign.profilers.effort import enough
from codesign.profilers.iterations import ANNOTATION
from codesign.profilers.launch_floor import LAUNCHES, WARM_UPS, LaunchFloor, floor_of, null_launch
from codesign.profilers.measure import WARM_UPS as TIMED_WARM_UPS
from codesign.profilers.torch_cpu import import_torch
from codesign.profilers.trace import Trace

DEVICE_KINDS = ("cpu", "cuda")
WAIT, PROFILED_WARM_UPS = 1, 2
"""Passes before the profiler starts, and under it without being recorded: kernels at its start can be missing."""

MOST_PROFILED = 10


def check_device(device: str) -> None:
    """Raise where ``device`` is unknown or not here; another device is never used instead."""
    kind, separator, number = device.partition(":")
    if kind not in DEVICE_KINDS:
        raise UsageError(f"device {device!r} is unknown", nearest(device, DEVICE_KINDS))
    if kind == "cpu" and separator:
        raise UsageError(f"device {device!r} is unknown", "the processor is called cpu")
    if kind == "cuda":
        if separator and not number.isdecimal():
            raise UsageError(f"device {device!r} is unknown", "name a GPU cuda, or cuda:1")
        device_index(import_torch(), device)


def device_index(torch: Any, device: str) -> int:
    """Return the number of the GPU that ``device`` names, the first one for ``cuda``."""
    if not torch.cuda.is_available():
        raise EnvironmentLacks("this machine has no GPU that torch can use", "profile on --device cpu")
    number = int(device.partition(":")[2] or 0)
    count = torch.cuda.device_count()
    if number >= count:
        raise EnvironmentLacks(f"this machine has no GPU {number}", f"torch sees {count}: cuda:0 to cuda:{count - 1}")
    return number


def check_dtype(device: str, dtype: str) -> None:
    """Raise ``EnvironmentLacks`` where the GPU only emulates ``dtype``; quantised checkpoints run in bf16."""
    torch = import_torch()
    with torch.cuda.device(device_index(torch, device)):
        if dtype not in ("fp64", "fp32", "fp16") and not torch.cuda.is_bf16_supported(including_emulation=False):
            name = torch.cuda.get_device_name()
            raise EnvironmentLacks(f"{name} does not compute in bf16", "choose --dtype fp16 or fp32")


def device_memory(device: str) -> int:
    """Return the free bytes of a GPU."""
    torch = import_torch()
    return int(torch.cuda.mem_get_info(device_index(torch, device))[0])


@contextmanager
def _range(torch: Any) -> Iterator[None]:
    """Show a pass as a range in the vendor's own profiler, where torch was built with it."""
    pushed = False
    with suppress(RuntimeError):
        torch.cuda.nvtx.range_push(ANNOTATION)
        pushed = True
    try:
        yield
    finally:
        if pushed:
            torch.cuda.nvtx.range_pop()


def timed_on_device(torch: Any, run: Callable[[], Any], seconds: float, repeats: int | None = None) -> list[float]:
    """Return the times of repeated calls of ``run``, s, between device events, one call at a time.

    Each starts on an idle device, so launching on the host counts wherever the device waits for it.
    """
    for _ in range(TIMED_WARM_UPS):
        run()
    torch.cuda.synchronize()
    durations: list[float] = []
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin = time.perf_counter()
    while not enough(len(durations), time.perf_counter() - begin, seconds, repeats):
        with _range(torch):
            start.record()
            run()
            end.record()
            end.synchronize()
        durations.append(start.elapsed_time(end) * 1e-3)
    return durations


def peak_memory(torch: Any) -> int:
    """Return the largest allocation on the current GPU since ``torch.cuda.reset_peak_memory_stats``, B."""
    return int(torch.cuda.max_memory_allocated())


def record_on_device(torch: Any, run: Callable[[], Any], iterations: int, *, with_shapes: bool = False) -> Trace:
    """Return the trace of annotated passes, each ended by a synchronisation."""

    def annotated() -> None:
        with torch.profiler.record_function(ANNOTATION), _range(torch):
            run()
            torch.cuda.synchronize()

    return _recorded(torch, annotated, iterations, with_shapes)


def measure_launch_floor(torch: Any, device: int) -> LaunchFloor:
    """Return what an empty kernel costs to launch on an idle GPU, from a trace of single launches."""
    launch = null_launch(torch, torch.device("cuda", device))

    def single() -> None:
        launch()
        torch.cuda.synchronize()

    def many() -> None:
        for _ in range(LAUNCHES):
            single()

    for _ in range(WARM_UPS):
        single()
    return floor_of(_recorded(torch, many, 1, with_shapes=False))


def _recorded(torch: Any, run: Callable[[], Any], iterations: int, with_shapes: bool) -> Trace:
    """Return the trace of ``iterations`` calls, through the file that Kineto writes: only it is complete."""
    from codesign.profilers.readers import read_trace

    profiler = torch.profiler
    with tempfile.TemporaryDirectory(prefix="codesign-") as folder:
        path = Path(folder) / "trace.json"
        with profiler.profile(
            activities=[profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.CUDA],
            schedule=profiler.schedule(wait=WAIT, warmup=PROFILED_WARM_UPS, active=iterations, repeat=1),
            on_trace_ready=lambda session: session.export_chrome_trace(str(path)),
            record_shapes=with_shapes,
        ) as session:
            for _ in range(WAIT + PROFILED_WARM_UPS + iterations):
                run()
                session.step()
        if not path.exists():
            raise EnvironmentLacks("torch.profiler wrote no trace", "it needs CUPTI or roctracer: check this torch")
        return read_trace(path)
