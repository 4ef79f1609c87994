"""Rates of a target that its file may not state: of its vector units, and of its last-level cache."""

from __future__ import annotations

from codesign.targets import Target

VECTOR_FALLBACK = 1 / 16
"""Vector rate as a share of the matrix rate where a target discloses none (assumed)."""

CACHE_BYTES_PER_CORE_CYCLE, PROCESSOR_BYTES_PER_CORE_CYCLE = 32.0, 64.0
"""On-chip cache bandwidth per streaming multiprocessor, or core of a processor, and clock, bytes: a line of 64 bytes is
what a core of a processor gets from its second-level cache at best."""


def vector_peak(target: Target) -> float:
    """Return the vector rate: the declared fp32 vector peak, or a share of the fastest matrix rate."""
    for unit in target.units:
        if unit.name == "vector" and "fp32" in unit.peak:
            return float(unit.peak["fp32"].value)
    return VECTOR_FALLBACK * max(float(target.peak(dtype).value) for dtype in target.dtypes)


def cache_bytes_per_core_cycle(kind: str) -> float:
    """Return bytes a core and clock from the cache of a target of ``kind``."""
    return PROCESSOR_BYTES_PER_CORE_CYCLE if kind == "cpu" else CACHE_BYTES_PER_CORE_CYCLE


def cache_bandwidth(target: Target) -> float:
    """Return B/s of the last-level cache; of main memory where cores or clock are not known."""
    memory = float(target.memory_bandwidth)
    if target.cores and target.clock:
        return max(memory, cache_bytes_per_core_cycle(target.kind) * float(target.cores) * float(target.clock))
    return memory
