"""The linear layers of an encoder layer on a 2D array, in closed form (FuseMax, MICRO 2024, its end-to-end figures).

Four products D x D (queries, keys, values, output) and the two of the feed-forward part, D x S and S x D, on N tokens:
``sum max(N i o / (R C f), bytes / bandwidth)``. An operand crosses to DRAM once if the weights fit the buffer; beyond
that the result is cut into square blocks that fill it, and operands come once for each block. SI units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from codesign.costmodels.accelerator.extents import ceil_ratio, whole
from codesign.costmodels.accelerator.fusemax import PUBLISHED, Machine
from codesign.costmodels.carbon.domains import positive
from codesign.quantity import Array


class LinearRun(NamedTuple):
    """Latency in seconds and DRAM traffic in bytes; fields broadcast."""

    seconds: Array
    traffic_bytes: Array


def product_bytes(tokens: Any, inputs: Any, outputs: Any, machine: Machine = PUBLISHED) -> Array:
    """Return the DRAM bytes of ``[tokens, inputs] x [inputs, outputs]``; the smallest of three ways.

    All weights or all activations stay in the buffer and everything crosses once; or a square block of the result
    stays, and rows and columns of the operands stream past it.

    Raises:
        UsageError: an extent is no whole number, or the buffer holds not one word.
    """
    n, i, o = whole("tokens", tokens), whole("inputs", inputs), whole("outputs", outputs)
    word = positive("word_bytes", machine.word_bytes)
    room = np.floor_divide(positive("buffer_bytes", machine.buffer_bytes), word)
    side = np.floor(np.sqrt(positive("buffer_bytes, in words", room)))
    streamed = n * i * ceil_ratio(o, np.minimum(side, o)) + i * o * ceil_ratio(n, np.minimum(side, n)) + n * o
    once = n * i + i * o + n * o
    return word * np.where(np.minimum(n * i, i * o) <= room, once, streamed)


def linear_layers(tokens: Any, model: Any, feed_forward: Any, machine: Machine = PUBLISHED) -> LinearRun:
    """Return the cost of the six products of one encoder layer on ``tokens`` tokens (batch times sequence).

    Args:
        tokens: N.
        model: D, width of the model.
        feed_forward: S, width of the feed-forward part.
        machine: The accelerator; its 1D array is not used.

    Raises:
        UsageError: an extent is no whole number, or a rate is not positive.
    """
    n, d, s = whole("tokens", tokens), whole("model", model), whole("feed_forward", feed_forward)
    rate = whole("rows", machine.rows) * whole("columns", machine.columns) * positive("clock_hz", machine.clock_hz)
    seconds, traffic = np.zeros(()), np.zeros(())
    for count, inputs, outputs in ((4.0, d, d), (1.0, d, s), (1.0, s, d)):
        moved = product_bytes(n, inputs, outputs, machine)
        transfer = moved / positive("bandwidth", machine.bandwidth)
        seconds = seconds + count * np.maximum(n * inputs * outputs / rate, transfer)
        traffic = traffic + count * moved
    return LinearRun(*np.broadcast_arrays(seconds, traffic))
