"""Measuring operators in a process of its own, so that a crash or an exhausted memory never takes the caller along.

``python -m codesign.profilers.operators.worker`` reads one request as JSON on stdin and writes the answer as JSON on
stdout. Every operator is measured in two rounds that lie apart in time: a machine that changes meanwhile shows.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from codesign.errors import CodesignError, EnvironmentLacks
from codesign.profilers.disturbance import Watch
from codesign.profilers.operators.calls import Bench, build
from codesign.profilers.operators.clocks import Clock, clock_of, repeats
from codesign.profilers.operators.host import host_seconds
from codesign.profilers.operators.request import Answer, Operator, Request, Timing
from codesign.profilers.operators.small_models import LONGEST_REASON, Passes, PassTiming
from codesign.profilers.worker_answer import worker_answer

KEPT_PAGES = {"MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
"""Settings of glibc: memory of a result stays with the process. Otherwise an operator that runs alone gives its pages
back after every call, which it does not in a model, and getting them again can take longer than the operator."""

ROUNDS = 2
LEAST_TIMEOUT_S = 600.0
PASSES_SHARE = 0.2
"""Time for the passes of small models, over that for operators."""


def measure_operators(request: Request, timeout: float | None = None) -> Answer:
    """Measure in a worker process, which is ended after ``timeout`` s, by default when it must hang.

    Raises:
        DataError: the worker crashed or ran past ``timeout``; the message says which.
        CodesignError: what the worker itself refused.
    """
    environment = {**os.environ, **KEPT_PAGES, "KINETO_LOG_LEVEL": "99"}
    module = "codesign.profilers.operators.worker"
    timeout = LEAST_TIMEOUT_S + 2.0 * request.seconds if timeout is None else timeout
    answer = worker_answer(module, request, timeout, environment, "operators", "is the machine busy?")
    return msgspec.convert(answer, Answer)


def measure_here(request: Request) -> Answer:
    """Measure in this process.

    Raises:
        EnvironmentLacks: no such device here.
        UsageError: an unknown operator or dtype.
    """
    import torch

    if request.device == "cuda" and not torch.cuda.is_available():
        raise EnvironmentLacks("no CUDA device here", "`codesign doctor` lists what this machine has")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    watch = Watch()
    found, passes = _rounds(torch, request)
    host = host_seconds(torch, request.device)
    cuda = request.device == "cuda"
    return Answer(
        timings=found, host_seconds=host, others=watch.share(), threads=torch.get_num_threads(),
        torch=str(torch.__version__), device=str(torch.cuda.get_device_name(0)) if cuda else "cpu", passes=passes,
    )  # fmt: skip


def _rounds(torch: Any, request: Request) -> tuple[tuple[Timing, ...], tuple[PassTiming, ...]]:
    """Return the timing of each operator, and of the passes: rounds over all of them.

    Operators go dtype by dtype, so that one pool is held at once.
    """
    durations: dict[int, list[list[float]]] = defaultdict(list)
    reasons: dict[int, str] = {}
    dtypes = dict.fromkeys(operator.dtype for operator in request.operators)
    of_dtype = [[p for p, o in enumerate(request.operators) if o.dtype == dtype] for dtype in dtypes]
    left = ROUNDS * len(request.operators)
    with torch.inference_mode():
        passes = Passes(request.passes, request.seed)
    clock = clock_of(torch, request.device)
    end = time.perf_counter() + request.seconds
    for _ in range(ROUNDS):
        for dtype, places in zip(dtypes, of_dtype, strict=True):
            with _matrix_units(torch, dtype == "tf32"), torch.inference_mode():
                bench = Bench(torch, request.device, dtype, request.pool_bytes, request.seed)
                for place in places:
                    slot = max(end - time.perf_counter(), 0.0) / left
                    left -= 1
                    if place not in reasons:
                        _measure(bench, clock, request.operators[place], slot, durations[place], reasons, place)
                del bench
        begin = time.perf_counter()
        with torch.inference_mode():
            passes.measure(PASSES_SHARE * request.seconds / ROUNDS)
        end += time.perf_counter() - begin
    found = tuple(_timing(o, durations[p], reasons.get(p, "")) for p, o in enumerate(request.operators))
    return found, passes.timings()


def _measure(
    bench: Bench, clock: Clock, operator: Operator, slot: float, into: list[list[float]], reasons: dict[int, str],
    place: int,
) -> None:  # fmt: skip
    """Add the repeats of one round to ``into``, or why there are none to ``reasons``."""
    begin = time.perf_counter()
    try:
        run = build(bench, operator.op, operator.shape)
        # building takes of the time of its operator
        into.append(repeats(clock, run, max(slot - (time.perf_counter() - begin), 0.0)))
    except (RuntimeError, NotImplementedError, MemoryError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        reasons[place] = text[:LONGEST_REASON]


@contextmanager
def _matrix_units(torch: Any, wanted: bool) -> Iterator[None]:
    """Let fp32 tensors run on matrix units while ``tf32`` is measured, and not while fp32 is."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    torch.backends.cudnn.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _timing(operator: Operator, rounds: list[list[float]], reason: str) -> Timing:
    if reason or not rounds:
        return Timing(operator, reason=reason or "not measured")
    every = np.concatenate(rounds)
    low, median, high = (float(np.quantile(every, q)) for q in (0.25, 0.5, 0.75))
    return Timing(operator, tuple(float(np.median(r)) for r in rounds), median, low, high, len(every))


def main() -> None:
    """Answer one request from stdin on stdout."""
    answer: Any
    try:
        answer = measure_here(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
    except CodesignError as error:
        answer = {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
    except (msgspec.DecodeError, RuntimeError, ValueError, MemoryError) as error:
        answer = {"error": f"{type(error).__name__}: {error}", "hint": ""}
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
