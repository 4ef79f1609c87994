"""What launching an empty kernel costs on this host and device: the least any launch can cost.

Two times: the call on the host, and from the call's start to the kernel's start while the device has nothing else to
do. Both come from one trace of synchronised launches, so they include what the profiler adds, as the trace of a model
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from codesign.errors import EnvironmentLacks
from codesign.profilers.pairing import pair
from codesign.profilers.trace import Trace

LAUNCHES = 200
WARM_UPS = 20


class LaunchFloor(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of launching an empty kernel, ns.

    Attributes:
        kernel: Name of the kernel used.
        launches: How many were measured.
        call_p05: 5 % quantile of the launch call on the host, ns.
        call_p50: Its median, ns.
        latency_p05: 5 % quantile from the start of the call to the start of the kernel, ns.
        latency_p50: Its median, ns.
    """

    kernel: str
    launches: int
    call_p05: float
    call_p50: float
    latency_p05: float
    latency_p50: float


def null_launch(torch: Any, device: Any) -> Callable[[], Any]:
    """Return what launches a kernel that does nothing, or as little as torch offers."""
    sleep = getattr(torch.cuda, "_sleep", None)
    if sleep is not None:
        return lambda: sleep(0)
    one = torch.zeros(1, device=device)
    return lambda: one.add_(1)


def floor_of(trace: Trace) -> LaunchFloor:
    """Return the floor that a trace of empty launches states.

    Raises:
        EnvironmentLacks: the trace pairs no kernel with its launch.
    """
    found = pair(trace)
    kernels, launches = found.kernel[found.attributed], found.launch[found.attributed]
    if not len(kernels):
        raise EnvironmentLacks(
            "the profiler saw no kernel of an empty launch", "the launch floor needs CUPTI or roctracer: check torch"
        )
    names, counts = np.unique(trace.work.name[kernels], return_counts=True)
    used = trace.work.name[kernels] == names[counts.argmax()]
    kernels, launches = kernels[used], launches[used]
    call = trace.calls.duration[launches]
    latency = trace.work.start[kernels] - trace.calls.start[launches]
    quantiles = [float(np.quantile(column, q)) for column in (call, latency) for q in (0.05, 0.5)]
    return LaunchFloor(
        kernel=trace.names[int(names[counts.argmax()])], launches=len(kernels), call_p05=quantiles[0],
        call_p50=quantiles[1], latency_p05=quantiles[2], latency_p50=quantiles[3],
    )  # fmt: skip
