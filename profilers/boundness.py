"""Whether launches on the host or work on the device hold a model back, with the reason in one sentence.

On a GPU by the latency of single launches, which tells the regimes apart without a sweep: in the launch-bound regime a
kernel starts as soon as its launch arrives (near the floor), in the GPU-bound one it waits for others.

    floor = min(p05 of launch latency, 20 us)
    launch-bound: p50 <= 4 floor and utilisation < 0.5
    GPU-bound:    p50 > 10 floor and utilisation >= 0.5

Utilisation is the share of the inference latency in which the device works, without one that of its span. Without a
floor above 0 (clocks that differ, launches without a duration) nothing is decided. The
classes and thresholds are ours. On a processor the share of compute in a pass decides.
"""

from __future__ import annotations

from typing import Any

import msgspec

from codesign.units import format_si

DISPATCH_BOUND = 0.5
"""Compute fraction below which most of a pass is not compute (the processor's form of launch-bound)."""

COMPUTE_BOUND = 0.75
"""Compute fraction from which fewer or fused operators can gain no more than a third."""


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the classes of a trace with launches.

    Attributes:
        launch_factor: Launch-bound up to this median latency over the floor.
        queue_factor: GPU-bound above this median latency over the floor.
        busy: Utilisation that divides the two.
        most_floor_us: Largest floor that is believed: above, kernels queued all along.
    """

    launch_factor: float = 4.0
    queue_factor: float = 10.0
    busy: float = 0.5
    most_floor_us: float = 20.0


class Boundness(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a trace.

    Attributes:
        verdict: ``launch-bound``, ``GPU-bound``, ``mixed``, ``dispatch-bound``, ``compute-bound``, or empty where the
            trace does not tell.
        reason: Why, with the thresholds, in a sentence.
        floor_us: The least a launch takes in this trace; None without launches.
        utilisation: Share of time in which the device works, or that is compute on a processor; None if unknown.
        thresholds: The limits used; None on a processor, where the shares of ``DISPATCH_BOUND`` and ``COMPUTE_BOUND``
            decide.
    """

    verdict: str
    reason: str
    floor_us: float | None = None
    utilisation: float | None = None
    thresholds: Thresholds | None = None

    @property
    def host_bound(self) -> bool | None:
        """Return whether the host holds the device back; None where undecided."""
        return {"launch-bound": True, "dispatch-bound": True, "": None}.get(self.verdict, False)


def boundness(metrics: dict[str, Any], devices: int, thresholds: Thresholds | None = None) -> Boundness:
    """Return the verdict on a trace of which ``metrics`` are known.

    Args:
        metrics: Of ``codesign.profilers.metrics``.
        devices: Devices that did any work.
        thresholds: Limits of the classes; default those above.
    """
    limits = thresholds or Thresholds()
    p05, p50 = metrics["launch_latency_p05_us"], metrics["launch_latency_p50_us"]
    used = _utilisation(metrics, devices)
    if p50 is None or used is None:
        return Boundness(verdict="", reason=_undecided(metrics), utilisation=used, thresholds=limits)
    if p05 <= 0.0:
        reason = f"undecided: 5 % of the launches reach their kernel within {_us(p05)}, so none shows what one takes"
        return Boundness(verdict="", reason=reason, utilisation=used, thresholds=limits)
    floor = min(p05, limits.most_floor_us)
    busy = "of the inference latency" if _has_latency(metrics) else "of its span"
    assumed = " (assumed, as all of them queued)," if floor < p05 else ","
    seen = (
        f"half of the launches reach their kernel within {_us(p50)}, {_times(p50 / floor)} times the floor of "
        f"{_us(floor)}{assumed} and the device works {used:.0%} {busy}"
    )
    if p50 <= limits.launch_factor * floor and used < limits.busy:
        verdict, rule = "launch-bound", f"up to {limits.launch_factor:g} times and under {limits.busy:.0%}"
    elif p50 > limits.queue_factor * floor and used >= limits.busy:
        verdict, rule = "GPU-bound", f"over {limits.queue_factor:g} times and {limits.busy:.0%} or more"
    else:
        verdict = "mixed"
        rule = (
            f"launch-bound is up to {limits.launch_factor:g} times and under {limits.busy:.0%}, "
            f"GPU-bound over {limits.queue_factor:g} times and from {limits.busy:.0%}"
        )
    return Boundness(
        verdict=verdict, reason=f"{verdict}: {seen} ({rule})", floor_us=floor, utilisation=used, thresholds=limits
    )


def processor_boundness(share: float, of: str = "the passes") -> Boundness:
    """Return the verdict on passes on a processor of which ``share`` is compute; ``of`` names them."""
    verdict = "dispatch-bound" if share < DISPATCH_BOUND else "compute-bound" if share >= COMPUTE_BOUND else "mixed"
    reason = (
        f"{verdict}: {share:.0%} of {of} is compute "
        f"(dispatch-bound below {DISPATCH_BOUND:.0%}, compute-bound from {COMPUTE_BOUND:.0%})"
    )
    return Boundness(verdict=verdict, reason=reason, utilisation=share)


def _utilisation(metrics: dict[str, Any], devices: int) -> float | None:
    if _has_latency(metrics):
        return float(metrics["gpu_busy_in_il_us"] / (metrics["inference_latency_us"] * devices))
    span = metrics["gpu_span_us"]
    return float(metrics["gpu_busy_us"] / span) if span else None


def _us(microseconds: float) -> str:
    return format_si(microseconds * 1e-6, "s", 4)


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 100.0 else f"{factor:.3g}"


def _has_latency(metrics: dict[str, Any]) -> bool:
    latency = metrics["inference_latency_us"]
    return latency is not None and latency > 0.0


def _undecided(metrics: dict[str, Any]) -> str:
    if not metrics["kernel_count"]:
        return "undecided: the trace holds no kernels"
    if metrics["launch_latency_p50_us"] is None:
        return "undecided: no kernel is paired with its launch"
    return "undecided: the trace has no extent"
