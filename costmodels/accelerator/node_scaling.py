"""Energy and area from one process node to another (Stillmaker and Baas [1]_, ``node_scaling.yaml``).

Area by a matrix between the nodes of the table, energy by ``(a V^2 + b V + c)`` of each node at its voltage. Between
nodes the logarithms are interpolated over the logarithm of the node. Below 7 nm and above 130 nm there is no data: the
value is proportional to the node, and the band reaches from no change to the square. Nodes in nm, volts.

.. [1] Stillmaker and Baas, Scaling equations for the accurate prediction of CMOS device performance from 180 nm to
   7 nm, Integration 58, 2017.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.accelerator.bands import Band
from codesign.costmodels.carbon.domains import between
from codesign.errors import DataError
from codesign.quantity import Array
from codesign.strict_yaml import decode_yaml

FILE = "node_scaling.yaml"

SMALLEST, LARGEST = 3.0, 250.0
"""Nodes that are accepted, nm; the table ends at 7 and 130."""

LEAST_VOLTS, MOST_VOLTS = 0.5, 1.1
"""Supply that is accepted: the polynomials are fits."""

USUAL_VOLTS = 0.9

LOG_ERROR = 0.1
"""Assumed error of a ratio inside the table, as a share of its logarithm: none between equal nodes, more over more."""


class WrittenScaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written."""

    schema: int
    source: str
    nodes_nm: list[float]
    area: list[list[float]]
    energy: list[tuple[float, float, float]]


class _Tables(NamedTuple):
    nodes: Array  # (N,) ascending
    log_area: Array  # (N, N), from, to
    energy: Array  # (N, 3)


@cache
def _tables() -> _Tables:
    text = files("codesign.costmodels.accelerator").joinpath(FILE).read_text(encoding="utf-8")
    written = decode_yaml(text, WrittenScaling, FILE)
    count = len(written.nodes_nm)
    if len(written.area) != count or any(len(row) != count for row in written.area) or len(written.energy) != count:
        raise DataError(f"{FILE}: expected {count} rows and columns", "one for each of nodes_nm")
    order = np.argsort(written.nodes_nm)
    area = np.log(np.asarray(written.area))[np.ix_(order, order)]
    return _Tables(np.asarray(written.nodes_nm)[order], area, np.asarray(written.energy)[order])


def area_scale(from_nm: Any, to_nm: Any) -> Band:
    """Return the area at ``to_nm`` over that at ``from_nm``; arguments broadcast.

    Raises:
        UsageError: a node lies outside ``SMALLEST`` to ``LARGEST``.
    """
    start, end = _nodes(from_nm, to_nm)
    tables = _tables()
    (i, u), (j, v) = _position(start), _position(end)
    grid = tables.log_area
    low, high = ((1 - v) * grid[k, j] + v * grid[k, j + 1] for k in (i, i + 1))
    # the matrix has two digits: without this a node would not be its own size
    ratio = np.where(start == end, 0.0, (1 - u) * low + u * high)
    return _with_ends(ratio, start, end)


def energy_scale(from_nm: Any, to_nm: Any, from_volts: Any = USUAL_VOLTS, to_volts: Any = USUAL_VOLTS) -> Band:
    """Return the energy of a switching action at ``to_nm`` over that at ``from_nm``; arguments broadcast.

    Raises:
        UsageError: a node lies outside ``SMALLEST`` to ``LARGEST``, or a supply outside 0.5 to 1.1 V.
    """
    start, end = _nodes(from_nm, to_nm)
    return _with_ends(_log_energy(end, to_volts) - _log_energy(start, from_volts), start, end)


def is_extrapolated(node_nm: Any) -> Any:
    """Return whether the table has no data around a node."""
    nodes = _tables().nodes
    return (np.asarray(node_nm) < nodes[0]) | (np.asarray(node_nm) > nodes[-1])


def _nodes(from_nm: Any, to_nm: Any) -> tuple[Array, Array]:
    start = between("node_nm", from_nm, SMALLEST, LARGEST)
    end = between("node_nm", to_nm, SMALLEST, LARGEST)
    first, second = np.broadcast_arrays(start, end)
    return first, second


def _position(node: Array) -> tuple[Any, Array]:
    """Return the interval of the table that holds ``node``, and where in it, 0 to 1; beyond an end, at that end."""
    nodes = _tables().nodes
    inside = np.clip(node, nodes[0], nodes[-1])
    index = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, len(nodes) - 2)
    return index, np.log(inside / nodes[index]) / np.log(nodes[index + 1] / nodes[index])


def _log_energy(node: Array, volts: Any) -> Array:
    supply = between("volts", volts, LEAST_VOLTS, MOST_VOLTS)
    index, share = _position(node)
    a, b, c = np.moveaxis(_tables().energy, -1, 0)
    low, high = (np.log(a[k] * supply**2 + b[k] * supply + c[k]) for k in (index, index + 1))
    mixed: Array = (1 - share) * low + share * high
    return mixed


def _with_ends(log_ratio: Array, start: Array, end: Array) -> Band:
    """Return the ratio with its band; beyond the table in proportion to the node, ends at no change and the square."""
    nodes = _tables().nodes
    beyond = np.log(end / np.clip(end, nodes[0], nodes[-1])) - np.log(start / np.clip(start, nodes[0], nodes[-1]))
    centre = log_ratio + beyond
    half = LOG_ERROR * np.abs(log_ratio) + np.abs(beyond)
    return Band(np.exp(centre - half), np.exp(centre), np.exp(centre + half))
