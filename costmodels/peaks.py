"""Rates of a target that its file may not state: of its vector units, and of its last-level cache."""

from __future__ import annotations

from codesign.targets import Target

VECTOR_FALLBACK = 1 / 16
"""Vector rate as a share of the matrix rate where a target discloses none (assumed)."""

CACHE_BYTES_PER_CORE_CYCLE = 32.0
"""On-chip cache bandwidth per streaming multiprocessor and clock, bytes."""


def vector_peak(target: Target) -> float:
    """Return the vector rate: the declared fp32 vector peak, or a share of the fastest matrix rate."""
    for unit in target.units:
        if unit.name == "vector" and "fp32" in unit.peak:
            return float(unit.peak["fp32"].value)
    return VECTOR_FALLBACK * max(float(target.peak(dtype).value) for dtype in target.dtypes)


def cache_bandwidth(target: Target) -> float:
    """Return B/s of the last-level cache; of main memory where cores or clock are not known."""
    memory = float(target.memory_bandwidth)
    if target.cores and target.clock:
        return max(memory, CACHE_BYTES_PER_CORE_CYCLE * float(target.cores) * float(target.clock))
    return memory
