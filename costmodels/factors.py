"""The shared error factors of an estimate, in one fixed order.

Every uncertain multiplier that several numbers have in common is one factor, so that its error stays
common in sums, comparisons and Monte Carlo draws. The order is the order of ``Column.slopes``.
"""

from __future__ import annotations

from enum import IntEnum


class F(IntEnum):
    """Index of each shared error factor."""

    MATRIX = 0
    ATTENTION = 1
    VECTOR = 2
    BANDWIDTH = 3
    FLOOR = 4
    HOST = 5
    LINK = 6
    POWER = 7
    GRID = 8
    PUE = 9
    EMBODIED = 10
    PRICE = 11
    LONG_LINK = 12


LABELS: dict[F, str] = {
    F.MATRIX: "matrix rate",
    F.ATTENTION: "attention rate",
    F.VECTOR: "vector rate",
    F.BANDWIDTH: "memory bandwidth",
    F.FLOOR: "kernel floor",
    F.HOST: "host launch",
    F.LINK: "link",
    F.POWER: "power",
    F.GRID: "grid intensity",
    F.PUE: "facility overhead (PUE)",
    F.EMBODIED: "embodied carbon",
    F.PRICE: "price",
    F.LONG_LINK: "link, long messages",
}

COUNT = len(F)

TIME_FACTORS = (F.MATRIX, F.ATTENTION, F.VECTOR, F.BANDWIDTH, F.FLOOR, F.HOST, F.LINK, F.LONG_LINK)
"""The factors whose slopes add up to a latency: its breakdown by binding resource."""

LONG_MESSAGE = 2.0**25
"""Bytes above which the collectives of an engine have an error factor of their own: stacks run long messages by other
protocols and copies (assumed; that of Llama 2 on servers of 8 takes five times as long from there on)."""
