"""Made-up GPU traces: what a Kineto file holds, with everything that is rare in real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernelEx", "hipExtModuleLaunchKernel", "cudaLaunchCooperativeKernel")
KERNELS = ("gemm", "softmax", "void add<float>(float*)", "ncclDevKernel_AllReduce", "layer_norm")
OPERATORS = ("aten::linear", "aten::addmm", "aten::softmax", "aten::add", "aten::layer_norm")


def synthetic_events(seed: int, steps: int = 12, step: int = 8, unit_us: float = 1.0) -> list[dict[str, Any]]:
    """Return the events of a trace in which times collide, streams overlap and launches are lost.

    Args:
        seed: Of everything.
        steps: Operators that are called.
        step: Most units between two of them; small values make events coincide.
        unit_us: Unit of time, us; everything takes a multiple of a quarter of it.
    """
    rng = np.random.default_rng(seed)
    events: list[dict[str, Any]] = []
    correlation, now = int(rng.integers(1, 50)), float(rng.integers(0, 20))

    def event(category: str, name: str, start: float, length: float, pid: Any, tid: Any, **arguments: Any) -> None:
        events.append({
            "ph": "X", "cat": category, "name": name, "pid": pid, "tid": tid, "ts": round(start * unit_us, 3),
            "dur": round(length * unit_us, 3), "args": arguments,
        })  # fmt: skip

    def kernel(identity: int, start: float) -> None:
        device, stream = int(rng.integers(0, 2)), int(rng.choice([7, 20]))
        event("kernel", str(rng.choice(KERNELS)), start, float(rng.choice([0, 1, 2.5, 9])), device, stream,
              device=device, stream=stream, correlation=identity)  # fmt: skip

    for _ in range(int(rng.integers(0, 4))):  # enqueued before the window
        kernel(int(rng.integers(0, 3)), float(rng.integers(0, 30)))
    for number in range(steps):
        thread, length = int(rng.integers(1, 3)), float(rng.choice([0.5, 3, 6, 12.25]))
        event("cpu_op", str(rng.choice(OPERATORS)), now, length, 1, thread, **{"External id": number})
        if rng.random() < 0.5:
            event("cpu_op", str(rng.choice(OPERATORS)), now, length / 2, 1, thread, **{"External id": number + 1000})
        for _ in range(int(rng.integers(0, 3))):
            correlation += 1
            at = now + float(rng.choice([0, 0.5, length, length + 1]))
            graph = rng.random() < 0.2
            name = "cudaGraphLaunch" if graph else str(rng.choice(LAUNCHES))
            call = float(rng.choice([0.25, 1, 4]))
            event("cuda_runtime", name, at, call, 1, thread, correlation=correlation)
            if rng.random() < 0.2:  # the driver call within
                event("cuda_driver", "cuLaunchKernel", at, call - 0.25, 1, thread, correlation=correlation)
            if rng.random() < 0.1:
                continue  # a launch whose kernel was not recorded
            for _ in range(int(rng.integers(1, 4)) if graph else 1):
                kernel(correlation, at + float(rng.choice([-2, 0, 1, 5, 30])))
        if rng.random() < 0.2:
            kernel(100_000 + number, now + float(rng.integers(0, 9)))  # its launch is lost
        if rng.random() < 0.3:
            correlation += 1
            event("cuda_runtime", "cudaMemcpyAsync", now, 1.0, 1, thread, correlation=correlation)
            event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", now + 2.0, 1.5, 0, 7, device=0, stream=7,
                  correlation=correlation, bytes=int(rng.integers(1, 4096)))  # fmt: skip
        now += float(rng.integers(0, step + 1))
    order = rng.permutation(len(events))
    return [events[i] for i in order]


def write_trace(path: Path, events: list[dict[str, Any]], **fields: Any) -> Path:
    """Write a Kineto file and return its path."""
    path.write_text(json.dumps({"schemaVersion": 1, **fields, "traceEvents": events}), encoding="utf-8")
    return path
