"""Systolic arrays in closed form: cycles, folds, utilisation and DRAM time of a GEMM or a convolution.

An array of R rows and C columns multiplies ``[M, K] x [K, N]``. One operand stays in the array; the others stream
through it, skewed by one cycle a row and a column. What exceeds the array is cut into *folds* that run one after the
other (SCALE-Sim [1]_, section III)::

    weight stationary (ws)  per fold 2R + C + M - 2, folds ceil(K/R) ceil(N/C)
    output stationary (os)  per fold 2R + C + K - 2, folds ceil(M/R) ceil(N/C)
    input stationary (is)   per fold 2R + C + N - 2, folds ceil(K/R) ceil(M/C)

Input stationary follows from weight stationary by symmetry: the transposed product ``[N, K] x [K, M]`` holds its second
operand, which is the input. No published figure has been compared with it.

The convention ``scalesim-compat`` gives what SCALE-Sim 3.0.0 prints instead: its output-stationary fold has R + C + K
- 2 cycles, and its total is one less than the product. Units: cycles, words, bytes, seconds.

.. [1] Samajdar et al., A systematic methodology for characterizing scalability of DNN accelerators using SCALE-Sim,
   ISPASS 2020.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from codesign.costmodels.accelerator.extents import ceil_ratio, whole
from codesign.costmodels.carbon.domains import non_negative, positive
from codesign.errors import UsageError, nearest
from codesign.quantity import Array

Dataflow = Literal["ws", "os", "is"]
Convention = Literal["published", "scalesim-compat"]
DATAFLOWS: tuple[Dataflow, ...] = ("ws", "os", "is")
CONVENTIONS: tuple[Convention, ...] = ("published", "scalesim-compat")


class Gemm(NamedTuple):
    """``count`` independent products ``[m, k] x [k, n]``; fields broadcast over designs."""

    m: Any
    n: Any
    k: Any
    count: Any = 1


class SystolicRun(NamedTuple):
    """What a GEMM costs on an array, memory aside; fields have the common shape of the arguments.

    Attributes:
        cycles: Of the whole run.
        folds: Times the array is loaded anew.
        cycles_per_fold: Of one fold, fill and drain included.
        utilisation: Multiply-adds over those of an array that never idles.
        mapping_efficiency: Share of the array that holds work, mean over folds; fill and drain do not count.
    """

    cycles: Array
    folds: Array
    cycles_per_fold: Array
    utilisation: Array
    mapping_efficiency: Array


class MemoryWords(NamedTuple):
    """Words between DRAM and the buffers of the array: operand ``a`` [M, K], ``b`` [K, N], the product written.

    ``partial_sums`` are words of unfinished products, read back and written again.
    """

    a: Array
    b: Array
    product: Array
    partial_sums: Array

    @property
    def total(self) -> Array:
        """All words."""
        return self.a + self.b + self.product + self.partial_sums


def im2col(
    output_height: Any, output_width: Any, filters: Any, channels: Any, kernel_height: Any, kernel_width: Any,
    batch: Any = 1, groups: Any = 1,
) -> Gemm:  # fmt: skip
    """Return a convolution as products: M output pixels, N filters and K weights of a filter, per group.

    Stride, dilation and padding show in the output size alone (``output_extent``).

    Raises:
        UsageError: an extent is no whole number, or the groups do not divide the channels and the filters.
    """
    groups = whole("groups", groups)
    sides = {"filters": whole("filters", filters), "channels": whole("channels", channels)}
    for name, side in sides.items():
        if (side % groups != 0).any():
            raise UsageError(f"{name}: found {side.flat[0]:g}, expected a multiple of the groups")
    pixels = whole("output_height", output_height) * whole("output_width", output_width) * whole("batch", batch)
    window = whole("kernel_height", kernel_height) * whole("kernel_width", kernel_width)
    return Gemm(pixels, sides["filters"] / groups, window * sides["channels"] / groups, groups)


def output_extent(input_extent: Any, kernel: Any, stride: Any = 1, dilation: Any = 1, padding: Any = 0) -> Array:
    """Return the output extent of one axis of a convolution; ``padding`` is that of one side.

    Raises:
        UsageError: an argument is no whole number, or the window is larger than the padded input.
    """
    reach = whole("dilation", dilation) * (whole("kernel", kernel) - 1.0) + 1.0
    room = whole("input_extent", input_extent) + 2.0 * non_negative("padding", padding)
    if (room < reach).any():
        raise UsageError("convolution: the window is larger than the padded input", "enlarge the input or the padding")
    return np.floor_divide(room - reach, whole("stride", stride)) + 1.0


def systolic(
    rows: Any, columns: Any, gemm: Gemm, dataflow: Dataflow = "ws", convention: Convention = "published"
) -> SystolicRun:
    """Return the cycles of ``gemm`` on a ``rows`` x ``columns`` array with all operands at hand.

    Args:
        rows: R, any shape.
        columns: C.
        gemm: M, N, K and how many of them; all broadcast with the array.
        dataflow: Which operand stays: ``ws`` the weights [K, N], ``os`` the outputs [M, N], ``is`` the inputs [M, K].
        convention: ``published`` formula, or ``scalesim-compat``.

    Raises:
        UsageError: an extent is no whole number of at least 1, or a name is unknown.
    """
    _known("dataflow", dataflow, DATAFLOWS)
    _known("convention", convention, CONVENTIONS)
    if dataflow == "is":
        return systolic(rows, columns, transposed(gemm), "ws", convention)
    r, c, m, n, k, count = _extents(rows, columns, gemm)
    compat = convention == "scalesim-compat"
    held, streamed = (k, m) if dataflow == "ws" else (m, k)
    skew = r if compat and dataflow == "os" else 2.0 * r
    per_fold = skew + c + streamed - 2.0
    row_folds, column_folds = ceil_ratio(held, r), ceil_ratio(n, c)
    folds = row_folds * column_folds
    cycles = (folds * per_fold - (1.0 if compat else 0.0)) * count
    shape = cycles.shape
    return SystolicRun(
        cycles=cycles,
        folds=np.broadcast_to(folds * count, shape),
        cycles_per_fold=np.broadcast_to(per_fold, shape),
        # on one processing element scalesim-compat counts no cycle at all
        utilisation=m * n * k * count / (np.maximum(cycles, 1.0) * r * c),
        mapping_efficiency=np.broadcast_to(held * n / (folds * r * c), shape),
    )


def memory_words(
    rows: Any, columns: Any, gemm: Gemm, dataflow: Dataflow = "ws", buffer_words: tuple[Any, Any, Any] | None = None
) -> MemoryWords:
    """Return the words that cross to DRAM.

    An operand that fits its buffer crosses once. One that does not crosses once for each fold that asks for it: ``a``
    for each column fold; with stationary weights the partial products for each row fold; with stationary outputs ``b``
    for each row fold. Stationary inputs are stationary weights of the transposed product.

    Args:
        rows: R of the array.
        columns: C of the array.
        gemm: The products.
        dataflow: ``ws``, ``os`` or ``is``.
        buffer_words: Words that the buffers of ``a``, ``b`` and the product hold (half of them, where they are
            doubled); None for buffers that hold all, which gives the compulsory traffic.

    Raises:
        UsageError: an extent is no whole number of at least 1, a size is negative, or the dataflow unknown.
    """
    _known("dataflow", dataflow, DATAFLOWS)
    if dataflow == "is":
        room = None if buffer_words is None else (buffer_words[1], buffer_words[0], buffer_words[2])
        words = memory_words(rows, columns, transposed(gemm), "ws", room)
        return words._replace(a=words.b, b=words.a)
    r, c, m, n, k, count = _extents(rows, columns, gemm)
    a, b, product = m * k, k * n, m * n
    unlimited = (np.inf, np.inf, np.inf)
    holds = unlimited if buffer_words is None else tuple(non_negative("buffer_words", size) for size in buffer_words)
    column_folds = ceil_ratio(n, c)
    a_reads = np.where(a <= holds[0], 1.0, column_folds)
    b_reads, sweeps = np.asarray(1.0), np.asarray(1.0)
    if dataflow == "os":
        b_reads = np.where(b <= holds[1], 1.0, ceil_ratio(m, r))
    else:
        # partial products of one column fold wait for its other row folds
        sweeps = np.where(m * np.minimum(n, c) <= holds[2], 1.0, ceil_ratio(k, r))
    return MemoryWords(
        a * a_reads * count, b * b_reads * count, product * count, 2.0 * product * (sweeps - 1.0) * count
    )


def run_seconds(
    run: SystolicRun, clock_hz: Any, bytes_moved: Any, bandwidth: Any, double_buffered: bool = True,
    first_bytes: Any = 0.0,
) -> Array:  # fmt: skip
    """Return the time of a run with its DRAM traffic, s.

    Double buffering hides the shorter of compute and transfer; without it they add. The transfer of the first tile
    (``first_bytes``, the ramp-up) hides behind nothing, and is part of ``bytes_moved``.

    Raises:
        UsageError: an argument lies outside its domain, or the first tile is larger than the traffic.
    """
    compute = run.cycles / positive("clock_hz", clock_hz)
    rate, moved = positive("bandwidth", bandwidth), non_negative("bytes_moved", bytes_moved)
    first = non_negative("first_bytes", first_bytes)
    if (first > moved).any():
        raise UsageError("first_bytes: more than bytes_moved", "the first tile is part of the traffic")
    if not double_buffered:
        return compute + moved / rate
    return first / rate + np.maximum(compute, (moved - first) / rate)


def first_fold_words(rows: Any, columns: Any, gemm: Gemm, dataflow: Dataflow = "ws") -> Array:
    """Return the words that must be in the buffers before the first fold can end: its share of both operands.

    Raises:
        UsageError: an extent is no whole number of at least 1, or the dataflow unknown.
    """
    _known("dataflow", dataflow, DATAFLOWS)
    if dataflow == "is":
        return first_fold_words(rows, columns, transposed(gemm), "ws")
    r, c, m, n, k, _ = _extents(rows, columns, gemm)
    weights_stay = dataflow == "ws"
    depth, height = (np.minimum(k, r), m) if weights_stay else (k, np.minimum(m, r))
    words: Array = depth * (height + np.minimum(n, c))
    return words


def transposed(gemm: Gemm) -> Gemm:
    """Return the product of the transposed operands, in the other order: ``[n, k] x [k, m]``."""
    return gemm._replace(m=gemm.n, n=gemm.m)


def _extents(rows: Any, columns: Any, gemm: Gemm) -> tuple[Array, Array, Array, Array, Array, Array]:
    return (
        whole("rows", rows), whole("columns", columns),
        whole("M", gemm.m), whole("N", gemm.n), whole("K", gemm.k), whole("count", gemm.count),
    )  # fmt: skip


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise UsageError(f"{what} {name!r} is unknown", nearest(str(name), names))
