"""Attention on a 2D array, a 1D array, an on-chip buffer and DRAM, in closed form (FuseMax [1]_).

A 2D array of R x C elements works on R keys and C queries at a time, a 1D array of L lanes on what is one value a
query. ``base = B H ceil(P/C) ceil(M/R)`` cycles do one operation per (key, query) on the 2D array. Designs:

========  ==================================================================================================
binding   1-pass cascade, its Einsums bound so that both arrays work at once: cycles are the larger of their sums
arch      1-pass cascade, the Einsums in turn: what does not overlap adds, reading out the local maxima stalls
cascade   1-pass cascade on FLAT's elements: no maximum, exponential or sum on the 2D array
flat      FLAT [2]_: scores of a block of queries stay on chip, the softmax runs on the 1D array
unfused   three kernels; scores go through DRAM
========  ==================================================================================================

Latency is the larger of compute and DRAM time (of each kernel, where unfused). Published machine: 256 x 256 and 256
lanes at 940 MHz, 16 MiB (FLAT 32 MiB), 400 x 2^30 B/s, 16 bits. All fields and extents broadcast. SI units.

.. [1] Nayak et al., FuseMax: leveraging extended Einsums to optimize attention accelerator design, MICRO 2024, section
   V and its artifact.
.. [2] Kao et al., FLAT: an optimized dataflow for mitigating attention bottlenecks, ASPLOS 2023.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from codesign.costmodels.accelerator.attention_cascades import AttentionShape
from codesign.costmodels.accelerator.divisors import largest_divisor
from codesign.costmodels.accelerator.extents import ceil_ratio, whole
from codesign.costmodels.carbon.domains import positive
from codesign.errors import UsageError, nearest
from codesign.quantity import Array

OnePassDesign = Literal["binding", "arch", "cascade"]
ONE_PASS: tuple[OnePassDesign, ...] = ("binding", "arch", "cascade")

MULTIPLY_EXPONENTIAL = 7.0
"""Operations of ``exp(x - max)`` on an element without an exponential unit: a subtraction and six multiply-adds."""

UNIT_EXPONENTIAL = 2.0
"""The same with a dedicated unit: a subtraction and one exponential."""


class Machine(NamedTuple):
    """An accelerator of two arrays and a buffer; fields may be arrays over designs.

    Attributes:
        rows: Of the 2D array, R: keys.
        columns: Of the 2D array, C: queries.
        lanes: Of the 1D array, L.
        clock_hz: Of both arrays.
        buffer_bytes: On-chip buffer.
        bandwidth: Of DRAM, B/s.
        word_bytes: Of every element.
    """

    rows: Any = 256
    columns: Any = 256
    lanes: Any = 256
    clock_hz: Any = 940e6
    buffer_bytes: Any = 16 * 2**20
    bandwidth: Any = 400 * 2.0**30
    word_bytes: Any = 2


PUBLISHED = Machine()
"""The accelerator of the paper."""


class AttentionRun(NamedTuple):
    """What attention costs; fields have the common shape of shape and machine.

    Attributes:
        seconds: Latency.
        traffic_bytes: To and from DRAM.
        array_cycles: Work of the 2D array.
        lane_cycles: Work of the 1D array.
        array_utilisation: ``array_cycles`` over the cycles of the latency.
        lane_utilisation: ``lane_cycles`` over the cycles of the latency.
        fits: Whether the buffer holds the smallest block of queries; where not, the costs are those of a larger buffer.
    """

    seconds: Array
    traffic_bytes: Array
    array_cycles: Array
    lane_cycles: Array
    array_utilisation: Array
    lane_utilisation: Array
    fits: Array


class _Work(NamedTuple):
    """Cycles of each Einsum of the 1-pass cascade on its array, as in the paper."""

    qk: Array
    local_max: Array
    exponentials: Array
    local_sum: Array
    local_product: Array
    running_max: Array
    rescale: Array
    scaled_sum: Array
    scaled_product: Array
    running_sum: Array
    running_product: Array
    divide: Array


def one_pass_attention(shape: AttentionShape, machine: Machine = PUBLISHED, design: str = "binding") -> AttentionRun:
    """Return the cost of 1-pass attention, section V.

    DRAM holds queries, keys, values and the result. Queries stay in blocks that fill the buffer; keys and values come
    once for each block, of which there are ``ceil(P/C)`` over the largest divisor that fits.

    Args:
        shape: Extents of the layer.
        machine: The accelerator.
        design: ``binding`` (the full FuseMax), ``arch`` or ``cascade``.

    Raises:
        UsageError: an extent is no whole number, a rate is not positive, or the design is unknown.
    """
    if design not in ONE_PASS:
        raise UsageError(f"design {design!r} is unknown", nearest(design, ONE_PASS))
    b, h, p, m, e, f = _extents(shape)
    r, c, _ = _sides(machine)
    word = positive("word_bytes", machine.word_bytes)
    work = _work(shape, machine, UNIT_EXPONENTIAL if design == "cascade" else MULTIPLY_EXPONENTIAL)
    array = work.qk + work.local_product
    one_value_a_query = work.running_max + work.rescale + work.scaled_sum + work.running_sum
    lane = one_value_a_query + work.scaled_product + work.running_product + work.divide
    if design == "cascade":
        lane = lane + (2.0 + UNIT_EXPONENTIAL) * r * work.running_max  # every key of a tile by itself
    else:
        array = array + work.local_max + work.exponentials + work.local_sum
    cycles = _arch_cycles(work, r) if design == "arch" else np.maximum(array, lane)
    # words of a query: itself, its result, running maximum and sum, and scores where the 1D array needs them
    query_words = e + f + 2.0 + (2.0 * r if design == "cascade" else 0.0)
    budget = positive("buffer_bytes", machine.buffer_bytes) - word * r * (e + f)
    blocks_held = np.floor_divide(budget, word * c * query_words)
    blocks = ceil_ratio(p, c)
    held = largest_divisor(blocks, np.maximum(blocks_held, 1.0))
    traffic = word * b * h * (p * (e + f) + blocks / held * m * (e + f))
    return _run(machine, cycles, traffic, array, lane, blocks_held >= 1.0)


def _work(shape: AttentionShape, machine: Machine, exponential: float) -> _Work:
    """Return the cycles of every Einsum: one operation each, but for products and exponentials."""
    b, h, p, m, e, f = _extents(shape)
    r, c, lanes = _sides(machine)
    tiles = b * h * ceil_ratio(m, r)
    base, lane = tiles * ceil_ratio(p, c), tiles * ceil_ratio(p, lanes)
    return _Work(
        qk=e * base, local_max=base, exponentials=exponential * base, local_sum=base, local_product=f * base,
        running_max=lane, rescale=exponential * lane, scaled_sum=lane, scaled_product=f * lane, running_sum=lane,
        running_product=f * lane, divide=b * h * ceil_ratio(p, lanes) * f,
    )  # fmt: skip


def _arch_cycles(w: _Work, rows: Array) -> Array:
    """Return the cycles of the Einsums in turn; the local maxima leave the 2D array one row at a time."""
    return (
        np.maximum(w.qk + w.local_max, w.running_sum + w.divide)
        + rows * w.local_max
        + w.running_max
        + np.maximum(w.exponentials + w.local_sum, w.rescale + w.scaled_sum)
        + np.maximum(w.local_product, w.scaled_product + w.running_product)
    )


class Granularity(NamedTuple):
    """How FLAT cuts attention, as its own search chooses it; fields may be arrays.

    Attributes:
        queries: Queries of a block; all of them is granularity "head".
        scores_on_chip: Whether the scores of a block stay on chip.
    """

    queries: Any
    scores_on_chip: Any = True


FLAT_BUFFER = 32 * 2**20
"""Buffer of the published FLAT runs, bytes."""

FLAT_TILE_BYTES = 256 * 1024
"""On-chip bytes beside the scores of a block, as the published spills imply."""

FLAT_SPILL_CROSSINGS = 7.0
"""Times that a spilled score crosses to DRAM in the published runs."""

SOFTMAX_LANE_OPERATIONS = 4.0
"""Operations a score on the 1D array of the baselines: maximum, exponential, sum, division."""


def flat_traffic(shape: AttentionShape, granularity: Granularity, machine: Machine = PUBLISHED) -> Array:
    """Return the DRAM bytes of FLAT at a granularity.

    With scores on chip, queries, keys and values come once for each of ``ceil(P/C)`` blocks of the array, the result
    goes once, and what of a block's scores does not fit spills. With scores off chip they cross four times, and keys
    and values come once for each block of the granularity. The form was read off the published rows and gives them
    exactly; which granularity FLAT's search takes is its own (``Granularity``).

    Raises:
        UsageError: an extent is no whole number, or a rate is not positive.
    """
    b, h, p, m, e, f = _extents(shape)
    _, c, _ = _sides(machine)
    word, queries = positive("word_bytes", machine.word_bytes), whole("granularity", granularity.queries)
    scores = word * b * h * p * m
    block = np.minimum(queries, p) * m * word + FLAT_TILE_BYTES
    spilled = np.maximum(1.0 - positive("buffer_bytes", machine.buffer_bytes) / block, 0.0)
    unit = word * b * h
    blocks = ceil_ratio(p, c)
    on_chip = unit * (blocks * (p * e + m * e + m * f) + p * f) + FLAT_SPILL_CROSSINGS * spilled * scores
    off_chip = 4.0 * scores + unit * (p * e + p * f + ceil_ratio(p, queries) * m * (e + f))
    return np.where(granularity.scores_on_chip, on_chip, off_chip)


def flat_attention(shape: AttentionShape, traffic_bytes: Any, machine: Machine = PUBLISHED) -> AttentionRun:
    """Return the cost of FLAT from its traffic: the larger of the softmax on the 1D array and DRAM.

    Args:
        shape: Extents of the layer.
        traffic_bytes: As published, or of ``flat_traffic``.
        machine: The accelerator.

    Raises:
        UsageError: an extent is no whole number, or a rate or the traffic is not positive.
    """
    array, lane = _baseline_work(shape, machine)
    return _run(machine, np.maximum(array, lane), positive("traffic_bytes", traffic_bytes), array, lane, True)


UNFUSED_REFETCHES = 8.0
"""Times that keys and values come when those of one head exceed the buffer, in the published unfused runs."""


def unfused_attention(shape: AttentionShape, machine: Machine = PUBLISHED) -> AttentionRun:
    """Return the cost of three kernels: scores, softmax, product; each the larger of its compute and DRAM time.

    Scores cross four times. Keys and values come once while those of one head fit the buffer, else
    ``UNFUSED_REFETCHES`` times, which the published rows show and nothing derives.

    Raises:
        UsageError: an extent is no whole number, or a rate is not positive.
    """
    b, h, p, m, e, f = _extents(shape)
    word, rate = positive("word_bytes", machine.word_bytes), positive("bandwidth", machine.bandwidth)
    clock, room = positive("clock_hz", machine.clock_hz), positive("buffer_bytes", machine.buffer_bytes)
    array, lane = _baseline_work(shape, machine)
    scores = word * b * h * p * m

    def kernel_bytes(depth: Array) -> Array:
        times = np.where(m * depth * word <= room, 1.0, UNFUSED_REFETCHES)
        moved: Array = word * b * h * depth * (p + times * m) + scores
        return moved

    first, last = kernel_bytes(e), kernel_bytes(f)
    seconds = (
        np.maximum(array * e / (e + f) / clock, first / rate)
        + np.maximum(lane / clock, 2.0 * scores / rate)
        + np.maximum(array * f / (e + f) / clock, last / rate)
    )
    return _finished(clock, seconds, first + 2.0 * scores + last, array, lane, True)


def _baseline_work(shape: AttentionShape, machine: Machine) -> tuple[Array, Array]:
    """Return the cycles of both products on the 2D array, and of the softmax of every score on the 1D array."""
    b, h, p, m, e, f = _extents(shape)
    r, c, lanes = _sides(machine)
    array = (e + f) * b * h * ceil_ratio(p, c) * ceil_ratio(m, r)
    return array, SOFTMAX_LANE_OPERATIONS * b * h * ceil_ratio(p, lanes) * ceil_ratio(m, r) * r


def _run(machine: Machine, cycles: Array, traffic: Array, array: Array, lane: Array, fits: Any) -> AttentionRun:
    clock = positive("clock_hz", machine.clock_hz)
    seconds = np.maximum(cycles / clock, traffic / positive("bandwidth", machine.bandwidth))
    return _finished(clock, seconds, traffic, array, lane, fits)


def _finished(clock: Array, seconds: Array, traffic: Array, array: Array, lane: Array, fits: Any) -> AttentionRun:
    found = (seconds, traffic, array, lane, array / (clock * seconds), lane / (clock * seconds), np.asarray(fits))
    return AttentionRun(*np.broadcast_arrays(*found))


def _extents(shape: AttentionShape) -> tuple[Array, ...]:
    return tuple(whole(name, value) for name, value in zip(AttentionShape._fields, shape, strict=True))


def _sides(machine: Machine) -> tuple[Array, Array, Array]:
    return whole("rows", machine.rows), whole("columns", machine.columns), whole("lanes", machine.lanes)
