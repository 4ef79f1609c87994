"""Ring and pairwise collectives in the alpha-beta model, where no link was measured.

Units: bytes, seconds, B/s of one direction of a device's link. Ring algorithms after Patarasuk and Yuan,
2009: an all-reduce moves ``2 (p-1)/p`` of the payload and takes ``2 (p-1)`` hops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TRAFFIC: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda p: 2.0 * (p - 1) / p,
    "all_gather": lambda p: (p - 1) / p,
    "reduce_scatter": lambda p: (p - 1) / p,
    "all_to_all": lambda p: (p - 1) / p,
    "send": lambda p: 1.0,
}
"""Bytes each device sends per payload byte."""

HOPS: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda p: 2.0 * (p - 1),
    "all_gather": lambda p: p - 1.0,
    "reduce_scatter": lambda p: p - 1.0,
    "all_to_all": lambda p: 1.0,
    "send": lambda p: 1.0,
}
"""Latencies on the critical path."""


def collective_seconds(kind: str, payload: Any, participants: int, bandwidth: float, latency: float) -> Any:
    """Return the time of one collective of ``payload`` bytes over ``participants`` devices."""
    if participants <= 1:
        return 0.0
    return TRAFFIC[kind](participants) * payload / bandwidth + HOPS[kind](participants) * latency
