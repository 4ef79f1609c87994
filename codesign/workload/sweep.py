"""Summing over a growing rank with a few nodes instead of every step.

A decode phase runs once per generated token while the context grows. The time of a step is smooth in
the context (a p-norm of affine functions), so a Gauss-Legendre rule over the steps sums it to better
than 0.1 %; the tests compare with the explicit sum across the host/device transition.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.workload.einsum import Einsum, Extent, Lookup, Op
from codesign.workload.graph import Sweep

NODES = 6


def quadrature(sweep: Sweep, nodes: int = NODES) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (extents, weights), both (nodes, N): ``sum(weights * f(extents))`` approximates the sum of f.

    The midpoint rule turns the sum over integers ``start .. start+count-1`` into an integral over
    ``[start - 1/2, start + count - 1/2]``, which is exact for an affine f.
    """
    start = np.atleast_1d(np.asarray(sweep.start, dtype=np.float64))
    count = np.atleast_1d(np.asarray(sweep.count, dtype=np.float64))
    abscissas, weights = _gauss_legendre(nodes)
    half = count / 2.0
    middle = start - 0.5 + half
    return middle + abscissas[:, None] * half, weights[:, None] * half


@cache
def _gauss_legendre(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return abscissas and weights on [-1, 1] (Golub and Welsch, 1969); NumPy's own take 20 ms to import."""
    order = np.arange(1.0, nodes)
    beside = order / np.sqrt(4.0 * order**2 - 1.0)
    abscissas, vectors = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
    return abscissas, 2.0 * vectors[0] ** 2


def at(op: Op, rank: str, extent: Extent) -> Op:
    """Return ``op`` with ``rank`` at ``extent``; operators without that rank are returned as they are."""
    if isinstance(op, Einsum | Lookup) and rank in op.ranks:
        return msgspec.structs.replace(op, ranks={**op.ranks, rank: extent})
    return op
