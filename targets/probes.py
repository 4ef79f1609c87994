"""Measuring a torch device: matrix rate per dtype, memory bandwidth, dispatch cost. Medians with their spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

WARM_UPS = 2


class Sample(msgspec.Struct, frozen=True):
    """A measured rate or time: median and 5th to 95th percentile of the repeats."""

    value: float
    low: float
    high: float
    repeats: int

    @property
    def spread(self) -> float:
        """Width of the interval over the value: above about 0.5 the machine was busy."""
        return (self.high - self.low) / self.value


def repeat(run: Callable[[], None], synchronise: Callable[[], None], seconds: float, least: int = 7) -> list[float]:
    """Return the duration of each repeat of ``run`` within about ``seconds``, warm-ups discarded."""
    for _ in range(WARM_UPS):
        run()
    synchronise()
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while len(durations) < least or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        synchronise()
        durations.append(time.perf_counter() - start)
        if len(durations) >= 2000:
            break
    return durations


def sample(amounts: Any) -> Sample:
    """Return the summary of repeated measurements."""
    values = np.asarray(amounts, dtype=np.float64)
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return Sample(float(middle), float(low), float(high), len(values))


def synchroniser(device: str) -> Callable[[], None]:
    """Return what waits for a device's work."""
    import torch

    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def matrix_rate(device: str, dtype: str, size: int, seconds: float) -> Sample | None:
    """Return FLOP/s of a square product, or None where torch has no such product on the device."""
    import torch

    torch_dtype = {"fp64": torch.float64, "fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16,
                   "bf16": torch.bfloat16, "int8": torch.int8}[dtype]  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    try:
        if dtype == "int8":
            a = torch.randint(-4, 4, (size, size), dtype=torch_dtype, generator=generator).to(device)
            b = torch.randint(-4, 4, (size, size), dtype=torch_dtype, generator=generator).to(device)
            run = lambda: torch._int_mm(a, b)  # type: ignore[no-untyped-call]  # noqa: E731
        else:
            a = torch.randn(size, size, generator=generator).to(device=device, dtype=torch_dtype)
            b = torch.randn(size, size, generator=generator).to(device=device, dtype=torch_dtype)
            out = torch.empty_like(a)
            run = lambda: torch.mm(a, b, out=out)  # noqa: E731
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
        try:
            durations = repeat(run, synchroniser(device), seconds)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    except RuntimeError:
        return None
    return sample(2.0 * size**3 / np.asarray(durations))


def copy_bandwidth(device: str, size: int, seconds: float) -> Sample:
    """Return B/s of a copy of ``size`` bytes, each read once and written once."""
    import torch

    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    destination = torch.empty_like(source)
    durations = repeat(lambda: destination.copy_(source), synchroniser(device), seconds)  # type: ignore[arg-type,return-value]
    return sample(2.0 * size / np.asarray(durations))


def dispatch_cost(device: str, seconds: float, calls: int = 200) -> Sample:
    """Return seconds per eager operator on one-element tensors: what the host pays to launch work."""
    import torch

    a, b = torch.ones(1, device=device), torch.ones(1, device=device)

    def run() -> None:
        for _ in range(calls):
            torch.add(a, b)

    with torch.inference_mode():
        durations = repeat(run, synchroniser(device), seconds)
    return sample(np.asarray(durations) / calls)
