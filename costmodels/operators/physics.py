"""The physical form of an operator's latency: a few parameters, every one of a meaning.

``seconds = floor + (compute^4 + memory^4)^(1/4)``: a launch-independent floor adds, compute and memory hide each other
but near the ridge. *Compute* is the best of some tilings of the operator: waves of tiles over the cores, each tile
bound by the matrix rate or by what it reads from the cache. *Memory* moves the operator's bytes from memory, but for
the part that a cache holds between runs. An eighth parameter says what some operators take besides: kernels that
convert or move data before and between products, beginnings of stripes; of products in fp32, joules a FLOP, which
times the rate stay below the power of the device.

Processors have a form of their own, ``seconds = floor + compute + moved``: a library's product first copies its
operands into the order in which it reads them [1]_, and few cores hide little of that. ``processors`` says how often
each byte passes which cache.

.. [1] Goto and van de Geijn, Anatomy of high-performance matrix multiplication (ACM TOMS 2008), section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.device import Columns
from codesign.quantity import Array

HARDNESS = 4.0
"""Exponent of the soft maximum of compute and memory."""

MIXED_HARDNESS = 1.5
"""The same where parts of an operator differ in what binds them: experts of few tokens wait for weights, those of many
compute, and neither hides the other (chosen on the development devices, each left out)."""

POWER_HARDNESS, MIXED_POWER_HARDNESS = 20.0, 6.0
"""Exponent of the soft minimum of the rates that the units and the power allow: the clock falls until the power fits.
The second where parts of an operator draw differently: transforms of a convolution, and its product."""

LOADS = 6.0
"""Slots of a vector unit that a product takes for other than arithmetic, for each multiply-add, over the rows and over
the columns of a tile. A core's 16 x 16 threads load the rows and columns of their outputs from its scratchpad, four
numbers at a time: that is 4 (derived); filling the scratchpad and the loop take the rest (assumed)."""

NAMES = (
    "floor", "matrix share", "memory share", "cache reads of tiles", "resident size", "resident sharpness",
    "cache share",
)  # fmt: skip
"""Parameters in their order: floor in seconds; sustained shares of matrix rate and memory bandwidth; share of the
cache's bandwidth that feeds tiles; size at which half of an operator's bytes stay in the cache, in caches; how sharply;
share of the cache's bandwidth that those bytes move at. All are kept as logarithms."""

PRIOR = np.log([3e-6, 0.8, 0.85, 3.0, 0.5, 2.0, 0.3])
RATE_SHARE = NAMES.index("matrix share")
LEAST = np.log([1e-7, 0.02, 0.05, 0.02, 1e-3, 0.1, 0.01])
MOST = np.log([1e-3, 1.2, 1.2, 50.0, 20.0, 20.0, 1.2])
"""Where a search for parameters begins, and between which it stays."""


class Eighth(NamedTuple):
    """A parameter that only some operators have: logarithms of where a search begins, and between which it stays."""

    prior: float
    least: float
    most: float


JOULES = Eighth(*np.log([20e-12, 1e-13, 1e-9]).tolist())
"""J a FLOP in fp32 at 12 nm, the whole card included: the power of the device limits the matrix rate (assumed)."""

PASSES = Eighth(*np.log([0.5, 0.05, 1.2]).tolist())
"""Sustained share of the memory bandwidth in kernels that only move data between products (assumed)."""

CONVERTS = Eighth(*np.log([0.2, 0.01, 1.2]).tolist())
"""Share of the cache's bandwidth at which cores convert what they also read from memory and write to it (assumed): a
scale is sought, and every number rounded."""

BEGINS = Eighth(*np.log([1e-6, 1e-8, 1e-4]).tolist())
"""Seconds in which a core begins a stripe: it fetches queries and the first keys, and has nothing to compute (assumed).
"""

PROCESSOR_NAMES = ("floor", "matrix share", "memory share", "cache share")
"""Parameters of the form of processors: floor in seconds of a call; sustained shares of the arithmetic rate, of memory
bandwidth, and of the bandwidth of the caches. All are kept as logarithms."""

PROCESSOR_LEAST, PROCESSOR_MOST = np.log([1e-7, 0.002, 0.05, 0.005]), np.log([1e-3, 1.2, 1.2, 1.2])
"""Between which they stay."""

USUAL_CACHE = 0.45
"""Share of the bandwidth of the cores' caches that elementwise operators sustain (assumed)."""

CLOCKED, CLOCKED_SHARE = 64e9, 0.5
"""Bandwidth of the cache a core, B/s, at which a floor that follows the clock is the parameter: 32 B a cycle at 2 GHz;
and the exponent with which it follows (chosen on the development devices, each left out)."""

TILES = ((16, 32), (16, 64), (32, 64), (64, 64), (64, 128), (128, 64), (128, 128), (128, 256), (256, 128))
"""Rows and columns of the output that one core makes at once."""

STRIPES = ((64, 0), (128, 0))
"""Tiles as wide as the output: attention."""


class Grid(NamedTuple):
    """A product that is tiled over the cores; every column of shape (n,).

    Attributes:
        repeats: Independent products.
        rows: Of the output.
        columns: Of the output.
        depth: Multiply-adds for each output element.
        tiles: Tilings to choose from; a width of 0 is the whole width.
        loads: As ``LOADS``, where vector units do the product: in fp32, on devices without matrix units for it.
        least: Rows that a tile has at least.
    """

    repeats: Array
    rows: Array
    columns: Array
    depth: Array
    tiles: tuple[tuple[int, int], ...] = TILES
    loads: float = 0.0
    least: Array | float = 0.0


class OnProcessor(NamedTuple):
    """How a processor does an operator; every column of shape (n,).

    Attributes:
        flops: FLOP that its instructions take; an exponential takes many.
        memory: Bytes from memory, or to it: weights, cached keys and values, and what no cache holds.
        far: Bytes that pass between a core and the last-level cache.
        near: Bytes that pass between a core and its own caches.
        calls: Calls of a library, whose cost is the floor.
        parallel: Share of the cores that work.
        last_level: Rate at which they pass the last-level cache where the cores' caches give ``USUAL_CACHE``, B/s; 0
            where it is not stated.
    """

    flops: Array
    memory: Array
    far: Array
    near: Array
    calls: Array
    parallel: Array
    last_level: Array


class Work(NamedTuple):
    """What an operator asks of any device; shape (n,).

    Attributes:
        flops: FLOP, a multiply-add counting 2.
        bytes: Bytes of all tensors, each once.
        grids: Its products, one after the other; empty where memory always binds.
        vector: Whether it runs on the vector units.
        fewest: (FLOP, bytes) that some algorithm or routing gets by with; None where there is no other.
        processor: How processors do it; None on accelerators.
        touched: Bytes that kernels read and write, whole tiles; None where these are ``bytes``.
        clocked: Whether its floor follows the clock: the device works meanwhile, if not on the operator's numbers.
        passes: Bytes that kernels of their own move between its products; None where there are no such.
        converted: Bytes that a kernel moves that converts an operand before the product; None where there is no such.
        functions: Exponentials.
        begins: Stripes that cores begin, one after the other; None where products have none.
        hardness: Of the soft maximum of compute and memory.
        power_hardness: Of the soft minimum of the rates that units and power allow.
    """

    flops: Array
    bytes: Array
    grids: tuple[Grid, ...] = ()
    vector: bool = False
    fewest: tuple[Array, Array] | None = None
    processor: OnProcessor | None = None
    touched: Array | None = None
    clocked: bool = False
    passes: Array | None = None
    converted: Array | None = None
    functions: Array | None = None
    begins: Array | None = None
    hardness: float = HARDNESS
    power_hardness: float = POWER_HARDNESS

    @property
    def eighth(self) -> Eighth:
        """Return what an eighth parameter is of this operator."""
        mine = ((self.passes, PASSES), (self.converted, CONVERTS), (self.begins, BEGINS))
        return next((eighth for column, eighth in mine if column is not None), JOULES)


def rate(work: Work, on: Columns) -> Array:
    """Return the peak FLOP/s that bounds each row."""
    return on.vector if work.vector else on.peak


def bound(work: Work, on: Columns) -> Array:
    """Return the roofline in seconds, bytes from main memory (Williams et al., CACM 2009)."""
    return np.maximum(work.flops / rate(work, on), work.bytes / on.bandwidth)


def least(work: Work, on: Columns) -> Array:
    """Return the seconds that no operator undercuts: bytes that fit the cache may come from it, the others may not."""
    flops, moved = work.fewest or (work.flops, work.bytes)
    cached = moved / np.maximum(on.cache_bandwidth, on.bandwidth)
    beyond = np.maximum(moved - on.cache, 0.0) / on.bandwidth
    return np.maximum(flops / rate(work, on), np.maximum(cached, beyond))


def seconds(parameters: Array, work: Work, on: Columns) -> Array:
    """Return the latency of each row.

    Args:
        parameters: Logarithms of ``NAMES``, shape (7,), or (7, n) where they differ between rows. An eighth is
            ``Work.eighth``; without it all but power take what is assumed, and power limits nothing. Of processors
            those of ``PROCESSOR_NAMES``, shape (4,) or (4, n).
        work: Of the operators.
        on: Their devices and formats.
    """
    if work.processor is not None:
        return _on_processor(parameters, work, work.processor, on)
    least, most = limits(len(parameters), work.eighth)
    values = np.exp(np.clip(parameters.T, least, most)).T
    floor, matrix, memory, feed, size, sharpness, share = values[:7]
    eighth = values[7] if len(values) > len(NAMES) else np.exp(work.eighth.prior)
    if len(values) > len(NAMES) and work.eighth is JOULES:
        matrix = _within_power(matrix, eighth, work, on)
    if work.clocked:
        floor = floor * (CLOCKED * on.cores / on.cache_bandwidth) ** CLOCKED_SHARE
    bandwidth = memory * on.bandwidth
    touched = work.bytes if work.touched is None else work.touched
    ratio = np.clip(sharpness * (np.log(touched / on.cache) - np.log(size)), -50.0, 50.0)
    resident = 1.0 / (1.0 + np.exp(ratio))
    if work.touched is not None:
        resident = np.minimum(resident, on.cache / touched)
    from_cache = np.maximum(bandwidth, share * on.cache_bandwidth)
    moved = touched * ((1.0 - resident) / bandwidth + resident / from_cache)
    if work.grids:
        compute = sum((_tiled(grid, matrix, feed, work, on) for grid in work.grids), start=np.zeros(1))
    else:
        compute = work.flops / (rate(work, on) * matrix)
    if work.functions is not None:
        compute = compute + work.functions / on.functions
    found = floor + (compute**work.hardness + moved**work.hardness) ** (1.0 / work.hardness)
    if work.passes is not None:
        found = found + work.passes / (eighth * on.bandwidth)
    if work.converted is not None:
        found = found + work.converted * (1.0 / bandwidth + 1.0 / (eighth * on.cache_bandwidth))
    if work.begins is not None:
        found = found + work.begins / on.cores * eighth
    return np.asarray(found)


def limits(count: int, eighth: Eighth) -> tuple[Array, Array]:
    """Return the least and the most that ``count`` parameters may be, shape (count,)."""
    return np.append(LEAST, eighth.least)[:count], np.append(MOST, eighth.most)[:count]


def _on_processor(parameters: Array, work: Work, here: OnProcessor, on: Columns) -> Array:
    """Return the latency of each row on a processor: what its cores do one after the other adds.

    The last-level cache is between the caches of a core and memory: at the geometric mean of their rates (assumed), or
    at the rate that is stated for what passes, which moves with that of the cores' caches.
    """
    floor, matrix, memory, share = np.exp(np.clip(parameters.T, PROCESSOR_LEAST, PROCESSOR_MOST)).T
    slow, fast = memory * on.bandwidth, share * on.cache_bandwidth
    between = np.minimum(np.sqrt(slow * fast), fast)
    between = np.where(here.last_level > 0.0, here.last_level * share / USUAL_CACHE, between)
    compute = here.flops / (rate(work, on) * matrix * here.parallel)
    moved = here.memory / np.minimum(slow, between) + here.far / between + here.near / (fast * here.parallel)
    return np.asarray(floor * here.calls + compute + moved)


def _within_power(matrix: Array, joules: Array, work: Work, on: Columns) -> Array:
    """Return the share of the peak that units with the share ``matrix`` sustain within the power of the device."""
    peak = rate(work, on)
    allowed = on.power / (joules * on.energy) / peak
    return np.asarray((matrix**-work.power_hardness + allowed**-work.power_hardness) ** (-1.0 / work.power_hardness))


def _tiled(grid: Grid, matrix: Array, feed: Array, work: Work, on: Columns) -> Array:
    """Return the seconds of the best tiling."""
    flop = 2.0 / (rate(work, on) / on.cores * matrix)
    read = 1.0 / (on.cache_bandwidth / on.cores * feed)
    loads = np.where((on.full > 0.0) & (on.peak == on.vector), grid.loads, 0.0)
    loaded, tallest = bool(np.any(loads)), np.max(grid.least, initial=0.0)  # most products have neither
    best = np.full(np.shape(grid.rows), np.inf)
    for height, width in grid.tiles:
        wide = np.asarray(width or grid.columns, np.float64)
        waves = np.ceil(grid.repeats * np.ceil(grid.rows / height) * np.ceil(grid.columns / wide) / on.cores)
        arithmetic = height * wide * flop
        if loaded:
            arithmetic = arithmetic * (1.0 + loads * (1.0 / height + 1.0 / wide))
        step = np.maximum(arithmetic, (height * on.activation + wide * on.weight) * read)
        taken = waves * grid.depth * step
        best = np.minimum(best, taken if height >= tallest else np.where(height >= grid.least, taken, np.inf))
    return best


def waves(grid: Grid, on: Columns, height: int, width: int) -> Array:
    """Return how many waves of tiles of a size the cores run, as a fraction."""
    wide = width or grid.columns
    return np.asarray(grid.repeats * np.ceil(grid.rows / height) * np.ceil(grid.columns / wide) / on.cores)
