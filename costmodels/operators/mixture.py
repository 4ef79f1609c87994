"""A mixture of experts: its work on the device that has most of it, and the features of its shapes.

Engines run it as two grouped products with kernels between and behind them: activation, and the sum over the experts of
each token. Where experts are spread over devices, some of these pass over the tokens of all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from codesign.costmodels.operators.device import Columns
from codesign.costmodels.operators.physics import MIXED_HARDNESS, Grid, Work
from codesign.costmodels.operators.routing import busiest
from codesign.costmodels.operators.tilings import log, tilings
from codesign.quantity import Array

Shapes = Mapping[str, Array]
"""Name of a shape column -> its values, shape (n,)."""

PASSED = 2.0
"""Bytes an element between the products, whatever the format of the weights."""

INNER, OUTER = 3.0, 1.0
"""Times that an element of the inner width, and of the hidden size, moves between the products: the activation reads
two and writes one; the sum over experts reads one."""

AGAIN = 2.0
"""Times more that the outputs of products pass in Triton kernels: slopes of measured rows in width and hidden size on
two devices, with all experts but one elsewhere, are 5 and 3 passes; rows of a single device are closer with it, too."""


def mixture_work(s: Shapes, on: Columns) -> Work:
    """Return the work of a gated MLP whose tokens are routed to ``topk`` of ``experts``, on one of tp x ep devices.

    FLOP and bytes of the roofline are those of even routing; tiles and passes those of the device with most rows.
    """
    tokens, d, width = s["tokens"], s["hidden"], s["inter"] / s["tp"]
    here = np.maximum(s["experts"] / s["ep"], 1.0)
    routed = tokens * s["topk"] / s["ep"]
    active = here * (1.0 - (1.0 - 1.0 / s["experts"]) ** (tokens * s["topk"]))
    moved = 3.0 * active * d * width * on.weight + 2.0 * tokens * d * on.output + 3.0 * routed * width * on.activation
    flops = 6.0 * routed * d * width
    # routing that is not even needs fewer experts' weights, at least those of one token
    one = 3.0 * np.minimum(s["topk"], here) / s["ep"] * d * width * on.weight
    rows, used = busiest(s)
    each = np.maximum(rows / used, 1.0)
    grids = (Grid(used, each, 2.0 * width, d), Grid(used, each, d, width))
    touched = 3.0 * used * d * width * on.weight + rows * (d * on.activation + PASSED * (3.0 * width + d))
    elsewhere = np.zeros(1) if on.elsewhere is None else on.elsewhere
    passing = np.where(elsewhere > 0.0, tokens * s["topk"], rows)
    again = np.where(elsewhere > 1.0, AGAIN, 0.0)
    passes = PASSED * passing * ((INNER + again) * width + (OUTER + again) * d) + 2.0 * tokens * d * on.output
    return Work(
        flops, moved, grids, fewest=(flops, one), clocked=True, touched=touched, passes=passes, hardness=MIXED_HARDNESS
    )


def mixture_features(s: Shapes, work: Work, on: Columns) -> list[Array]:
    """Return the features of a mixture of experts beside the common ones."""
    grid = work.grids[0]
    columns = [log(s[name]) for name in ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep")]
    tiles = grid.repeats * np.ceil(grid.rows / 64.0) * np.ceil(grid.columns / 128.0) / on.cores
    return [*columns, s["skew"], log(grid.rows), log(grid.repeats), log(tiles), np.ceil(tiles) / tiles,
            *tilings(grid, on)]  # fmt: skip
