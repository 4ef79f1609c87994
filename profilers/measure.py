"""Measuring one phase of a real module on this machine, in a process of its own.

``python -m codesign.profilers.measure`` reads one request as JSON on stdin and writes the measurement as JSON on
stdout, so a crash, a hang or an exhausted memory costs one measurement and never the caller. Weights are random:
latency does not depend on their values. Warm-ups are discarded; the rest is reported as median and 5 % to 95 %.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import CodesignError
from codesign.profilers.effort import enough
from codesign.profilers.passes import Shape, check_memory, check_phase, make_pass
from codesign.profilers.worker_answer import worker_answer

WARM_UPS = 2
BUSY_SPREAD = 0.6
"""Above this width of the interval over the median, other work disturbed the measurement."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to measure. ``layers`` shortens the model, ``seconds`` is the time for repeats, ``repeats`` fixes them."""

    model: str
    phase: str
    batch: int = 1
    prompt: int = 128
    context: int = 128
    dtype: str | None = None
    layers: int | None = None
    seconds: float = 3.0
    repeats: int | None = None
    threads: int | None = None
    seed: int = 0


class Measurement(msgspec.Struct, frozen=True):
    """Seconds of one pass: median, 5 % and 95 % quantile of the repeats, and whether the machine was busy."""

    median: float
    low: float
    high: float
    repeats: int
    threads: int
    busy: bool
    torch: str


def measure(request: Request) -> Measurement:
    """Run the phase in this process and return its latency.

    Raises:
        UsageError: an unknown phase, or a model without it.
        EnvironmentLacks: the model does not fit the free memory.
    """
    from codesign.models import load_model

    model = load_model(request.model)
    check_phase(model, request.phase)
    check_memory(model, request.layers, request.dtype, free_memory())
    import torch

    if request.threads is not None:
        torch.set_num_threads(request.threads)
    shape = Shape(
        phase=request.phase, batch=request.batch, prompt=request.prompt if "prompt" in model.sizes else None,
        context=request.context, layers=request.layers, dtype=request.dtype, seed=request.seed,
    )  # fmt: skip
    with torch.inference_mode():
        module = model.module(layers=request.layers, dtype=request.dtype, seed=request.seed)
        durations = timed(make_pass(model, module, shape), request.seconds, request.repeats)
    return summary(durations, torch.get_num_threads(), str(torch.__version__))


def summary(durations: Sequence[float], threads: int, torch_version: str) -> Measurement:
    """Return the median and the 5 % and 95 % quantiles (nearest rank) of ``durations``, in seconds."""
    ordered = sorted(durations)
    last = len(ordered) - 1
    low, median, high = (ordered[round(last * q)] for q in (0.05, 0.5, 0.95))
    busy = (high - low) / median > BUSY_SPREAD
    return Measurement(median, low, high, len(ordered), threads, busy, torch_version)


def together(rounds: Sequence[Measurement]) -> Measurement:
    """Return one measurement of several of the same pass: the mean of their medians, the ends of their intervals."""
    median = sum(one.median for one in rounds) / len(rounds)
    return Measurement(
        median, min(one.low for one in rounds), max(one.high for one in rounds), sum(one.repeats for one in rounds),
        rounds[0].threads, any(one.busy for one in rounds), rounds[0].torch,
    )  # fmt: skip


def timed(run: Callable[[], Any], seconds: float, repeats: int | None = None) -> list[float]:
    """Return the durations of repeated calls of ``run``, in seconds, after discarded warm-ups.

    Args:
        run: One pass.
        seconds: Time for the repeats; a few are made however long they take.
        repeats: Make exactly so many instead.
    """
    begin = time.perf_counter()
    for _ in range(WARM_UPS):
        run()
        if time.perf_counter() - begin > seconds:
            break
    durations: list[float] = []
    begin = time.perf_counter()
    while not enough(len(durations), time.perf_counter() - begin, seconds, repeats):
        start = time.perf_counter()
        run()
        durations.append(time.perf_counter() - start)
    return durations


def free_memory() -> int | None:
    """Return the bytes of memory that this machine has free, where it says so."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    found = next((line for line in text.splitlines() if line.startswith("MemAvailable:")), None)
    return int(found.split()[1]) * 1024 if found else None


def measure_in_subprocess(request: Request, timeout: float = 600.0) -> Measurement:
    """Measure in a worker process.

    Raises:
        DataError: the worker crashed or ran past ``timeout``; the message says which.
        CodesignError: what the worker itself refused.
    """
    environment = {**os.environ, "KINETO_LOG_LEVEL": "99"}
    hint = "lower the batch or the lengths"
    answer = worker_answer("codesign.profilers.measure", request, timeout, environment, request.model, hint)
    return msgspec.convert(answer, Measurement)


def main() -> None:
    """Answer one request from stdin on stdout."""
    try:
        answer: Any = measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
    except CodesignError as error:
        answer = {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
    except (msgspec.DecodeError, RuntimeError, ValueError, MemoryError) as error:
        answer = {"error": f"{type(error).__name__}: {error}", "hint": ""}
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
