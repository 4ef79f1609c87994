"""Made-up profiles of any size, for tests and benchmarks of their page: same seed, same view.

The numbers follow no hardware. Names can be made hostile, to show that the page treats them as text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.profilers.transition import Transition
from codesign.report.profile.view import (
    Chain,
    Copies,
    Coverage,
    Fusion,
    Int64,
    Kind,
    Lane,
    Metric,
    Part,
    ProfileView,
    Split,
    Sweep,
    Timeline,
    Use,
    Uses,
)
from codesign.testing.synthetic_run import HOSTILE

_KERNELS = (
    "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn",
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, "
    "std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul>)",
    "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float>(int, float)",
    "void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8>(Params)",
    "flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 32, 4, false, false, cutlass::bfloat16_t> >",
    "void (anonymous namespace)::softmax_warp_forward<float, c10::BFloat16, float, 10, false, false>(int)",
    "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
    "Memcpy HtoD (Pageable -> Device)",
)
_OPERATORS = ("aten::linear", "aten::addmm", "aten::layer_norm", "aten::add", "aten::softmax", "aten::copy_")


def synthetic_timeline(events: int = 200_000, seed: int = 0, hostile: bool = False) -> Timeline:
    """Return a timeline of ``events`` events: a fifth of them kernels on two streams, launched from two threads."""
    rng = np.random.default_rng(seed)
    steps = events // 5  # each step: an operator, one inside it, its launch, a kernel, and a call between
    thread = np.arange(steps) % 8 == 7
    gap = rng.gamma(2.0, 3_000.0, steps).astype(np.int64)
    begin = np.cumsum(gap + 12_000)
    kernel = rng.integers(0, len(_KERNELS), steps)
    length = (rng.lognormal(8.6, 0.9, steps)).astype(np.int64)
    lag = 5_000 + rng.gamma(3.0, 900.0, steps).astype(np.int64)
    start_kernel = np.empty(steps, np.int64)
    free = [0, 0]
    for i, stream in enumerate(thread.astype(int).tolist()):
        start_kernel[i] = max(int(begin[i] + lag[i]), free[stream])
        free[stream] = int(start_kernel[i] + length[i])
    names = (*_OPERATORS, "cudaLaunchKernel", "cudaEventQuery", *_KERNELS[:-2], *((HOSTILE,) if hostile else ()))
    names += _KERNELS[-2:]
    operator, base = kernel % len(_OPERATORS), len(_OPERATORS)
    calls = np.full(steps, base)
    works = base + 2 + kernel + (hostile & (kernel >= len(_KERNELS) - 2))
    if hostile:
        works[::50] = names.index(HOSTILE)
    kinds = np.where(names_are(works, names, "nccl"), Kind.COMMUNICATION, Kind.KERNEL)
    kinds = np.where(names_are(works, names, "Memcpy"), Kind.COPY, kinds)
    columns = [
        (thread, operator, np.full(steps, Kind.OPERATOR), begin, np.full(steps, 11_000)),
        (thread, (operator + 1) % base, np.full(steps, Kind.OPERATOR), begin + 1_000, np.full(steps, 7_000)),
        (thread, calls, np.full(steps, Kind.LAUNCH), begin + 2_500, np.full(steps, 3_800)),
        (thread, calls + 1, np.full(steps, Kind.CALL), begin + 9_000, np.full(steps, 500)),
        (thread + 2, works, kinds, start_kernel, length),
    ]
    row, name, kind, start, duration = (np.concatenate([np.asarray(c[i]) for c in columns]) for i in range(5))
    launch = np.full(steps * 5, -1)
    launch[4 * steps :] = np.arange(steps) + 2 * steps
    return Timeline(
        names=names,
        rows=(Lane("Thread 1"), Lane("Thread 2"), Lane("Device 0, stream 7", True), Lane("Device 0, stream 20", True)),
        row=row.astype(np.int32),
        name=name.astype(np.int32),
        kind=kind.astype(np.uint8),
        start=start.astype(np.int64),
        duration=duration.astype(np.int64),
        launch=launch.astype(np.int64),
    )


def names_are(index: Int64, names: tuple[str, ...], start: str) -> NDArray[np.bool_]:
    """Return where names begin so."""
    begins: NDArray[np.bool_] = np.array([n.startswith(start) for n in names])[index]
    return begins


def synthetic_profile(events: int = 200_000, seed: int = 0, hostile: bool = False) -> ProfileView:
    """Return a view with every section."""
    timeline = synthetic_timeline(events, seed, hostile)
    linked = timeline.launch >= 0
    latency = timeline.start[linked] - timeline.start[timeline.launch[linked]]
    latency[:3] = (-800, -120, 0)
    batches = np.array([1, 2, 4, 8, 16, 32, 64])
    pass_time = 5.0e6 * np.maximum(1.0, batches / 9.0)
    tklqt = 4.0e5 * np.maximum(1.0, (batches / 9.0) ** 1.4)
    transition = Transition(
        batch=8.7,
        low=6.1,
        high=12.4,
        coverage=0.9,
        rule="TKLQT knee",
        crossed="between",
        explanation="TKLQT is flat up to batch 8.7 and rises beyond it: host-bound below, device-bound above.",
    )
    kernel_time = float(timeline.duration[linked].sum())
    return ProfileView(
        title=HOSTILE if hostile else "llama-3.2-1b, decode",
        source=HOSTILE.replace("/", "") if hostile else "decode_h100.json.gz",
        devices=("NVIDIA H100 80GB HBM3",),
        verdict="launch-bound",
        reason="the median launch latency of 6.5 µs is at most 4 times the floor of 5.5 µs, and the device is busy for "
        "8 % of the window (under 50 %).",
        coverage=Coverage(kernels=0.93, time=0.912, operator_time=0.88, sentence="7 % lost their launch."),
        warnings=(HOSTILE,) if hostile else ("The profiler slowed the model 1.4 times: read shares, not latencies.",),
        facts=(("format", "kineto"), ("torch", "2.13.0"), ("window", "whole trace")),
        metrics=_metrics(kernel_time, latency),
        timeline=timeline,
        launch_latency=latency,
        splits=(
            Split(
                title="Device idle",
                parts=(Part("waits for the host", 3.1e6), Part("waits for a kernel", 0.4e6), Part("other", 0.2e6)),
                note="Host wait: nothing was queued when the device fell idle.",
            ),
            Split(
                title="Communication",
                parts=(Part("beside computation", 1.2e6), Part("exposed", 0.3e6)),
            ),
        ),
        kernels=_uses(timeline, Kind.KERNEL, kernel_time),
        operators=_uses(timeline, Kind.OPERATOR, None),
        copies=(
            Copies(direction="host to device", count=120, bytes=48_000_000, time=2.4e6),
            Copies(direction="device to device", count=7, bytes=0, time=9.1e3),
        ),
        fusion=Fusion(
            chains=tuple(
                Chain(
                    kernels=tuple(names_of(timeline, length)),
                    occurrences=64 // length,
                    score=1.0 if length < 32 else 0.9375,
                    launches_saved=64 // length * (length - 1),
                    ideal_ratio=1.0 + length / 16,
                    time_saved=64 // length * (length - 1) * 5_500.0,
                    where=HOSTILE if hostile else "LlamaDecoderLayer.mlp",
                )
                for length in (2, 4, 8, 16, 32)
            ),
            host_bound=True,
            launch_floor=5_500.0,
            floor_source="5th percentile of the trace",
            found=41,
        ),
        sweep=Sweep(
            batches=batches,
            latency=pass_time,
            latency_low=pass_time * 0.96,
            latency_high=pass_time * 1.07,
            indicator=tklqt,
            indicator_low=tklqt * 0.9,
            indicator_high=tklqt * 1.1,
            indicator_name="TKLQT",
            indicator_unit="s",
            transition=transition,
        ),
    )


def names_of(timeline: Timeline, length: int) -> list[str]:
    """Return the names of the first kernels."""
    return [timeline.names[i] for i in timeline.name[timeline.kind == Kind.KERNEL][:length]]


def _metrics(kernel_time: float, latency: Int64) -> tuple[Metric, ...]:
    return (
        Metric(name="inference_latency", value=4.046966e-3, unit="s", source="measured", low=3.9e-3, high=4.4e-3),
        Metric(name="tklqt", value=float(latency.sum()) / 1e9, unit="s", source="computed", note="graphs counted once"),
        Metric(name="kernel_time", value=kernel_time / 1e9, unit="s", source="computed", group="device"),
        Metric(name="kernel_count", value=len(latency), source="computed", group="device"),
        Metric(name="energy_per_pass", value=0.41, unit="J", source="estimated", group="energy"),
        Metric(name="gpu_idle_in_il", value=None, unit="s", source="computed", group="device"),
    )


def _uses(timeline: Timeline, kind: Kind, total: float | None) -> Uses:
    rows = []
    for name in np.unique(timeline.name[timeline.kind == kind]).tolist():
        mine = timeline.duration[(timeline.name == name) & (timeline.kind == kind)]
        operator = kind == Kind.OPERATOR
        time = float(mine.sum())
        rows.append(
            Use(
                name=timeline.names[name],
                count=len(mine),
                time=time,
                self_time=time * 0.4 if operator else None,
                longest=float(mine.max()),
                kernel_time=time * 0.2 if operator else None,
            )
        )
    return Uses(rows=tuple(rows), total_time=total, names=len(rows) + 3)
