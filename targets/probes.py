"""Measuring a torch device: matrix rate per dtype, memory bandwidth, cost of an eager operator. Medians with spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

WARM_UPS = 2
MOST_REPEATS = 2000


class Sample(msgspec.Struct, frozen=True):
    """A measured rate or time: median over the repeats, from the worst quarter to the best.

    A busy machine only ever makes a repeat worse, so the interval reaches to the best one.
    """

    value: float
    low: float
    high: float
    repeats: int

    @property
    def spread(self) -> float:
        """Width of the interval over the value: above about 0.5 the machine was busy."""
        return (self.high - self.low) / self.value


def rates(amount: float, durations: list[float]) -> Sample:
    """Return the summary of ``amount`` per second over repeats of ``durations`` seconds."""
    values = amount / np.asarray(durations, dtype=np.float64)
    return Sample(float(np.median(values)), float(np.quantile(values, 0.25)), float(values.max()), len(values))


def times(durations: list[float], calls: int) -> Sample:
    """Return the summary of seconds per call over repeats of ``calls`` calls each."""
    values = np.asarray(durations, dtype=np.float64) / calls
    return Sample(float(np.median(values)), float(values.min()), float(np.quantile(values, 0.75)), len(values))


def repeat(run: Callable[[], Any], synchronise: Callable[[], None], seconds: float, least: int = 5) -> list[float]:
    """Return the duration of each repeat of ``run`` within about ``seconds``, warm-ups discarded.

    A run that takes longer than its share of the time is not waited for ``least`` times but once at least.
    """
    start = time.perf_counter()
    for _ in range(WARM_UPS):
        run()
        synchronise()
        if time.perf_counter() - start > seconds:
            break
    durations: list[float] = []
    end = start + max(seconds, 1e-3)
    while len(durations) < MOST_REPEATS:
        late = time.perf_counter() >= end
        if durations and late and (len(durations) >= least or time.perf_counter() >= end + seconds):
            break
        begin = time.perf_counter()
        run()
        synchronise()
        durations.append(time.perf_counter() - begin)
    return durations


def synchroniser(device: str) -> Callable[[], None]:
    """Return what waits for a device's work."""
    import torch

    return torch.cuda.synchronize if device == "cuda" else lambda: None


def matrix_rate(device: str, dtype: str, size: int, seconds: float) -> Sample | None:
    """Return FLOP/s of a square product, or None where torch has no such product on the device."""
    import torch

    kinds = {"fp64": "float64", "fp32": "float32", "tf32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    generator = torch.Generator().manual_seed(0)
    run: Callable[[], Any]
    before = torch.get_float32_matmul_precision()
    try:
        if dtype == "int8":
            a, b = (torch.randint(-4, 4, (size, size), dtype=torch.int8, generator=generator).to(device) for _ in "ab")
            product: Callable[[Any, Any], Any] = torch._int_mm
            run = lambda: product(a, b)  # noqa: E731
        else:
            kind = getattr(torch, kinds[dtype])
            x, y = (torch.randn(size, size, generator=generator).to(device=device, dtype=kind) for _ in "xy")
            out = torch.empty_like(x)
            run = lambda: torch.mm(x, y, out=out)  # noqa: E731
        torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
        with torch.inference_mode():
            durations = repeat(run, synchroniser(device), seconds)
    except (RuntimeError, NotImplementedError):
        return None
    finally:
        torch.set_float32_matmul_precision(before)
    return rates(2.0 * size**3, durations)


def copy_bandwidth(device: str, size: int, seconds: float) -> Sample:
    """Return B/s of a copy of ``size`` bytes, each read once and written once."""
    import torch

    source = torch.ones(max(1, size // 4), dtype=torch.float32, device=device)
    destination = torch.empty_like(source)
    with torch.inference_mode():
        durations = repeat(lambda: destination.copy_(source), synchroniser(device), seconds)
    return rates(2.0 * 4 * source.numel(), durations)


def triad_bandwidth(device: str, size: int, seconds: float) -> Sample:
    """Return B/s of ``a = b + 3 c`` over three buffers of ``size`` bytes: two read, one written."""
    import torch

    b = torch.ones(max(1, size // 4), dtype=torch.float32, device=device)
    c, a = torch.ones_like(b), torch.empty_like(b)
    with torch.inference_mode():
        durations = repeat(lambda: torch.add(b, c, alpha=3.0, out=a), synchroniser(device), seconds)
    return rates(3.0 * 4 * b.numel(), durations)


def dispatch_cost(device: str, seconds: float, calls: int = 100) -> Sample:
    """Return seconds per eager operator on one-element tensors: what the host pays to launch work."""
    import torch

    a, b = torch.ones(1, device=device), torch.ones(1, device=device)

    def run() -> None:
        for _ in range(calls):
            torch.add(a, b)

    with torch.inference_mode():
        return times(repeat(run, synchroniser(device), seconds), calls)


def linear_cost(device: str, seconds: float, calls: int = 50) -> Sample:
    """Return seconds per eager ``nn.Linear`` of width 8 on one row: dispatch with the module's own overhead."""
    import torch

    layer = torch.nn.Linear(8, 8, device=device)
    row = torch.ones(1, 8, device=device)

    def run() -> None:
        for _ in range(calls):
            layer(row)

    with torch.inference_mode():
        return times(repeat(run, synchroniser(device), seconds), calls)
