"""Running a pass on this processor: timed without a profiler first, then under ``torch.profiler`` for its structure."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codesign.profilers.iterations import ANNOTATION, annotated
from codesign.profilers.live_trace import live_trace
from codesign.profilers.measure import summary, timed
from codesign.profilers.results import BatchProfile
from codesign.profilers.split import compute_fractions, dispatch_list, split
from codesign.profilers.trace import Trace

PROFILED_WARM_UPS = 2
"""Iterations under the profiler that are dropped: its first ones allocate its buffers. Long passes do not feel it."""

LONG_PASS_S = 1.0
LONGEST_PROFILED_S = 5.0
MOST_PROFILED = 20
LEAST_PROFILED, LEAST_PROFILED_OF_LONG = 3, 2
OVERHEAD_S = 1.0
"""Time for measuring what the profiler costs; passes too long for it lose too little to it to matter."""


def import_torch() -> Any:
    """Import torch with its profiler's console lines switched off, which must be said before."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    import torch

    return torch


NATIVE = {
    "bf16": {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"},
    "fp16": {"avx512_fp16", "amx_fp16", "fphp"},
}
"""dtype -> flags of processors, x86 or ARM, of which one says that they compute in it."""


def emulated(dtype: str, processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this processor has no instructions for ``dtype``; False where it does not say."""
    try:
        words = set(processor.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return False
    return dtype in NATIVE and bool({"flags", "Features"} & words) and not NATIVE[dtype] & words


def profile_pass(
    run: Callable[[], Any],
    batch: int,
    seconds: float,
    repeats: int | None,
    *,
    with_shapes: bool = False,
    counted: Callable[[], Any] | None = None,
    flops: float | None = None,
) -> tuple[BatchProfile, Trace]:
    """Return latency and structure of ``run``, and its trace; the latency is measured before any profiler starts.

    Args:
        run: One pass.
        batch: Sequences or samples of the pass.
        seconds: Time for the unprofiled repeats, s.
        repeats: Make exactly so many instead.
        with_shapes: Whether the profiler records the shapes of operators, which costs more.
        counted: The pass whose FLOP count, where ``run`` itself hides its operators; default ``run``.
        flops: FLOP of a pass where they are known already: counting takes a pass.
    """
    from codesign.profilers.overhead import passes_within, profiler_overhead

    torch = import_torch()
    if flops is None:
        flops = count_flops(counted or run)  # first: the cold pass
    passes = timed(run, seconds, repeats)
    latency = summary(passes, torch.get_num_threads(), str(torch.__version__))
    warm_ups = PROFILED_WARM_UPS if latency.median < LONG_PASS_S else 0
    count = profiled_passes(latency.median, latency.repeats)
    trace = record(run, count, with_shapes=with_shapes, warm_ups=warm_ups)
    recorded = annotated(trace)
    dispatch = dispatch_list().operators
    durations = sorted(i.end - i.start for i in recorded.iterations)
    rounds = passes_within(OVERHEAD_S, min(passes))
    mode = "shapes" if with_shapes else "plain"
    return BatchProfile(
        batch=batch, latency=latency, profiled=durations[len(durations) // 2] * 1e-9,
        split=split(recorded.iterations, recorded.operators, dispatch), flops=flops,
        passes=tuple(passes), shares=compute_fractions(recorded.iterations, recorded.operators, dispatch),
        profiler_cost=profiler_overhead(run, rounds) if rounds else {mode: durations[0] * 1e-9 / min(passes)},
        queueing=queueing(trace),
    ), trace  # fmt: skip


def profiled_passes(latency: float, repeats: int) -> int:
    """Return how many passes to profile: few of a long pass, no more than were timed of a short one."""
    least = LEAST_PROFILED if latency < LONG_PASS_S else LEAST_PROFILED_OF_LONG
    wanted = int(min(MOST_PROFILED, max(least, LONGEST_PROFILED_S / latency)))
    return min(wanted, max(repeats, least))


def record(
    run: Callable[[], Any], iterations: int, *, with_shapes: bool = False, warm_ups: int = PROFILED_WARM_UPS
) -> Trace:
    """Return the trace of annotated passes as the profiler saw them, after dropped warm-ups."""
    torch = import_torch()
    session = _profiled(run, warm_ups + iterations, with_shapes)
    facts = {"torch": str(torch.__version__), "record_shapes": str(int(with_shapes))}
    return live_trace(session, warm_ups, facts)


def recorded_durations(run: Callable[[], Any], iterations: int, *, with_shapes: bool) -> list[int]:
    """Return the times of passes under the profiler, ns, after dropped warm-ups."""
    session = _profiled(run, PROFILED_WARM_UPS + iterations, with_shapes)
    events = [e for e in session.profiler.kineto_results.events() if e.name() == ANNOTATION]
    return [e.duration_ns() for e in sorted(events, key=lambda e: e.start_ns())[PROFILED_WARM_UPS:]]


def _profiled(run: Callable[[], Any], passes: int, with_shapes: bool) -> Any:
    """Return the stopped session of warm-ups and passes: starting a session again would cool it down."""
    profiler = import_torch().profiler
    options = {"record_shapes": with_shapes, "experimental_config": _without_ids()}
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU], **options) as session:
        for _ in range(passes):
            with profiler.record_function(ANNOTATION):
                run()
    return session


def _without_ids() -> Any:
    """Return the setting that leaves out the ids joining operators and device work, where torch has it.

    There is no device work here, and the ids are a tenth of what the profiler costs.
    """
    from torch._C._profiler import _ExperimentalConfig

    try:
        return _ExperimentalConfig(disable_external_correlation=True)
    except TypeError:  # torch before 2.7
        return None


def queueing(trace: Trace) -> str:
    """Return why no queueing of operators is stated: the processor's trace has no submit times to take it from."""
    threads: Sequence[int] = sorted(set(trace.operators.thread.tolist()))
    if len(threads) <= 1:
        return "not applicable: one thread calls the operators, and each runs at once"
    return f"not measured: {len(threads)} threads ran operators, and the trace does not say when they were submitted"


def count_flops(run: Callable[[], Any]) -> float:
    """Return the FLOP of one call of ``run``, counted while it runs."""
    import_torch()
    from torch.utils.flop_counter import FlopCounterMode

    from codesign.models.torch_modules.experts import grouped_flops

    # without its formula a mixture of experts would count none of its experts
    formulas = {**grouped_flops(), **_attention_flops()}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        run()
    return float(counter.get_total_flops())


def _attention_flops() -> dict[Any, Callable[..., int]]:
    """Return the FLOP formula of fused attention, both products whole whatever the mask.

    The counter's own lacks the processor's kernel, and refuses key heads that query heads share.
    """
    kernels = import_torch().ops.aten

    def formula(query: Any, key: Any, value: Any, *rest: Any, **names: Any) -> int:
        batch, heads, tokens, size = query  # the counter passes shapes
        return int(2 * batch * heads * tokens * key[-2] * (size + value[-1]))

    names = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
    return {getattr(kernels, f"_scaled_dot_product_{name}"): formula for name in names}
