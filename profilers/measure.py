"""Measuring one phase of a real module on this machine, in a process of its own.

``python -m codesign.profilers.measure`` reads one request as JSON on stdin and writes the measurement as JSON on
stdout, so a crash, a hang or an exhausted memory costs one measurement and never the caller. Weights are random:
latency does not depend on their values. Warm-ups are discarded; the rest is reported as median and 5 % to 95 %.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from codesign.errors import CodesignError, DataError, EnvironmentLacks, UsageError, nearest

PHASES = ("forward", "prefill", "decode")
WARM_UPS = 2
LEAST_REPEATS = 5
MOST_REPEATS = 500
BUSY_SPREAD = 0.6
"""Above this width of the interval over the median, other work disturbed the measurement."""

FREE_SHARE = 0.6
"""Weights may fill this share of the free memory."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to measure. ``layers`` shortens the model, ``seconds`` is the time for repeats."""

    model: str
    phase: str
    batch: int = 1
    prompt: int = 128
    context: int = 128
    dtype: str | None = None
    layers: int | None = None
    seconds: float = 3.0
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
    if request.phase not in PHASES:
        raise UsageError(f"unknown phase {request.phase!r}", nearest(request.phase, PHASES))
    from codesign.models import load_model

    model = load_model(request.model)
    _check_memory(model, request)
    import torch

    if request.threads is not None:
        torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    with torch.inference_mode():
        module = model.module(layers=request.layers, dtype=request.dtype)
        durations = _repeat(_pass(model, module, request), request.seconds)
    ordered = sorted(durations)
    last = len(ordered) - 1
    low, median, high = (ordered[round(last * q)] for q in (0.05, 0.5, 0.95))
    busy = (high - low) / median > BUSY_SPREAD
    return Measurement(median, low, high, len(ordered), torch.get_num_threads(), busy, str(torch.__version__))


def _pass(model: Any, module: Any, request: Request) -> Callable[[], None]:
    """Return what runs one pass of the phase."""
    import torch

    if request.phase == "forward":
        inputs = model.example_inputs(request.batch, layers=request.layers, dtype=request.dtype)
        return lambda: module(*inputs)
    if not hasattr(module, "new_cache"):
        raise UsageError(f"{model.name} has no {request.phase} phase", "measure its forward phase")
    generator = torch.Generator().manual_seed(request.seed)
    vocabulary = 1000

    def ids(length: int) -> Any:
        return torch.randint(0, vocabulary, (request.batch, length), generator=generator)

    if request.phase == "prefill":
        prompt = ids(request.prompt)
        return lambda: module(prompt, module.new_cache(request.prompt))
    cache = module.new_cache(request.context + 1)
    module(ids(request.context), cache)
    token = ids(1)

    def step() -> None:
        # every repeat attends to the same context: the step's own token is written over
        cache.length = request.context
        module(token, cache)

    return step


def _repeat(run: Callable[[], None], seconds: float) -> list[float]:
    for _ in range(WARM_UPS):
        run()
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while len(durations) < LEAST_REPEATS or (time.perf_counter() < end and len(durations) < MOST_REPEATS):
        start = time.perf_counter()
        run()
        durations.append(time.perf_counter() - start)
    return durations


def _check_memory(model: Any, request: Request) -> None:
    """Refuse a model whose weights would not leave room on this machine."""
    free = free_memory()
    if free is None or request.layers is not None:
        return
    width = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2}.get(request.dtype or model.checkpoint_dtype, 2)
    needed = model.parameters * width
    if needed > FREE_SHARE * free:
        raise EnvironmentLacks(
            f"{model.name} needs {needed / 2**30:.1f} GiB of weights, {free / 2**30:.1f} GiB are free",
            "shorten it with layers, or choose a smaller dtype",
        )


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
    try:
        done = subprocess.run(
            [sys.executable, "-m", "codesign.profilers.measure"],
            input=msgspec.json.encode(request), capture_output=True, timeout=timeout, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(
            f"measuring {request.model} took over {timeout:g} s", "lower the batch or the lengths"
        ) from None
    try:
        answer = msgspec.json.decode(done.stdout.strip().rpartition(b"\n")[2])
    except msgspec.DecodeError:
        raise DataError(
            f"measuring {request.model} ended with exit status {done.returncode}", "it may have run out of memory"
        ) from None
    if "error" in answer:
        raise CodesignError(answer["error"], answer.get("hint", ""))
    return msgspec.convert(answer, Measurement)


def main() -> None:
    """Answer one request from stdin on stdout."""
    try:
        answer: Any = measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
    except CodesignError as error:
        answer = {"error": error.message, "hint": error.hint}
    except (msgspec.DecodeError, RuntimeError, ValueError, MemoryError) as error:
        answer = {"error": f"{type(error).__name__}: {error}", "hint": ""}
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
