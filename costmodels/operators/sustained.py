"""Rates that measured operators sustained beyond what a target states: a measured peak is the best that was seen.

A rate that ``targets detect`` measured with one kernel is no limit of physics. Where a product ran faster, or weights
came faster from memory, that is the rate; otherwise the fastest operators would look impossible and be left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from codesign.costmodels.operators.chosen_shapes import work_of
from codesign.costmodels.operators.device import device_of
from codesign.profilers.operators import Timing
from codesign.quantity import Origin
from codesign.targets.target import Memory, Target, Unit, Value

PRODUCTS = frozenset(("gemm", "bmm", "conv"))
STREAMED = frozenset(("gemm", "generation_attention"))
LEAST_BYTES = 2**26
"""Operators that move less say nothing of memory."""


def sustained(target: Target, timings: Sequence[Timing]) -> Target:
    """Return ``target`` with every measured rate raised to the best that ``timings`` show; stated rates stay."""
    device = device_of(target)
    peaks: dict[str, tuple[float, Timing]] = {}
    fastest: tuple[float, Timing] | None = None
    for timing in timings:
        asked = timing.operator
        if timing.reason or asked.op not in PRODUCTS | STREAMED:
            continue
        work, _ = work_of(asked.op, [asked.shape], device, asked.dtype)
        fewest, least = (float(column[0]) for column in work.fewest or (work.flops, work.bytes))
        flops, moved = fewest / timing.median, least / timing.median
        if asked.op in PRODUCTS and flops > peaks.get(asked.dtype, (0.0, timing))[0]:
            peaks[asked.dtype] = flops, timing
        if asked.op in STREAMED and least >= LEAST_BYTES and (fastest is None or moved > fastest[0]):
            fastest = moved, timing
    units = tuple(
        Unit(unit.name, {dtype: _raised(value, peaks.get(dtype)) for dtype, value in unit.peak.items()})
        for unit in target.units
    )
    memory, *others = target.memories
    if memory.bandwidth is not None:
        memory = Memory(memory.name, memory.capacity, _raised(memory.bandwidth, fastest))
    return msgspec.structs.replace(target, units=units, memories=(memory, *others))


def _raised(value: Value, found: tuple[float, Timing] | None) -> Value:
    if found is None or value.origin is not Origin.MEASURED or found[0] <= value.value:
        return value
    rate, timing = found
    sizes = " x ".join(str(extent) for extent in timing.operator.shape.values())
    source = f"measured here: {timing.operator.op} {sizes} {timing.operator.dtype}, median of {timing.repeats}"
    low, high = rate * timing.median / timing.high, rate * timing.median / timing.low
    return Value(*(float(f"{rate:.6g}"), value.unit, source, True, Origin.MEASURED), float(f"{low:.6g}"),
                 float(f"{high:.6g}"))  # fmt: skip
