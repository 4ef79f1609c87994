"""Running a pass on this processor: timed without a profiler first, then under ``torch.profiler`` for its structure."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from codesign.profilers.kineto import Recording
from codesign.profilers.measure import summary, timed
from codesign.profilers.results import BatchProfile
from codesign.profilers.split import Interval, dispatch_list, split

ANNOTATION = "codesign_iteration"
PROFILED_WARM_UPS = 2
"""Iterations under the profiler that are dropped: its first ones allocate its buffers."""

LONGEST_PROFILED_S = 5.0
MOST_PROFILED = 20
LEAST_PROFILED = 3


def import_torch() -> Any:
    """Import torch with its profiler's console lines switched off, which must be said before."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    import torch

    return torch


def profile_pass(run: Callable[[], Any], batch: int, seconds: float, repeats: int | None) -> BatchProfile:
    """Return latency and structure of ``run``; the latency is measured before any profiler starts."""
    torch = import_torch()
    latency = summary(timed(run, seconds, repeats), torch.get_num_threads(), str(torch.__version__))
    wanted = int(min(MOST_PROFILED, max(LEAST_PROFILED, LONGEST_PROFILED_S / latency.median)))
    recorded = record(run, min(wanted, max(latency.repeats, LEAST_PROFILED)))
    durations = sorted(i.end - i.start for i in recorded.iterations)
    found = split(recorded.iterations, recorded.operators, dispatch_list().operators)
    profiled = durations[len(durations) // 2] * 1e-9
    return BatchProfile(batch=batch, latency=latency, profiled=profiled, split=found, flops=count_flops(run))


def record(run: Callable[[], Any], iterations: int) -> Recording:
    """Return the annotated iterations and the operators of the calling thread, as the profiler saw them."""
    torch = import_torch()
    profiler = torch.profiler
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as session:
        for _ in range(PROFILED_WARM_UPS + iterations):
            with profiler.record_function(ANNOTATION):
                run()
    events = list(session.profiler.kineto_results.events())  # integer ns; the public events are floats
    whole = [e for e in events if e.name() == ANNOTATION and e.activity_type() == "user_annotation"]
    whole = sorted(whole, key=lambda e: e.start_ns())[PROFILED_WARM_UPS:]
    thread = whole[0].start_thread_id()
    operators = [e for e in events if e.activity_type() == "cpu_op" and e.start_thread_id() == thread]
    return Recording([_interval(e) for e in whole], [_interval(e) for e in operators])


def _interval(event: Any) -> Interval:
    start = event.start_ns()
    return Interval(event.name(), start, start + event.duration_ns())


def count_flops(run: Callable[[], Any]) -> float:
    """Return the FLOP of one call of ``run``, counted while it runs."""
    import_torch()
    from torch.utils.flop_counter import FlopCounterMode

    from codesign.models.torch_modules.experts import grouped_flops

    # without the formula a mixture of experts would count none of its experts
    with FlopCounterMode(display=False, custom_mapping=grouped_flops()) as counter:
        run()
    return float(counter.get_total_flops())
