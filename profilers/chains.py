"""Chains of kernels that could be one: fusion candidates by proximity score (SKIP, arXiv 2504.11750, section IV).

A chain is L kernels in a row on one stream. Its proximity score is its occurrences over those of its first kernel
anywhere: at 1 the first kernel is always followed by the rest, and the chain is *deterministic* if it occurs twice.
Lengths are powers of two: a chain of 2 L is a pair of chains of L, so each length is one pass over the kernels.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.profilers.pairing import Pairing, stream_numbers
from codesign.profilers.trace import Int64, Trace

LENGTHS = (2, 4, 8, 16, 32, 64, 128, 256)


class ChainLength(msgspec.Struct, frozen=True, kw_only=True):
    """All chains of one length L.

    Attributes:
        length: Kernels of a chain.
        number: Which chain starts at each place; shape (places,).
        place: Index into ``Sequence.kernel`` where it starts.
        count: Occurrences of each chain, overlapping ones included; shape (distinct,).
        score: Proximity score of each chain, 0 to 1.
        fused: Places of deterministic chains taken from left to right without overlap.
    """

    length: int
    number: Int64
    place: Int64
    count: Int64
    score: NDArray[np.float64]
    fused: Int64

    @property
    def deterministic(self) -> NDArray[np.bool_]:
        """Return the mask of deterministic chains."""
        return np.asarray((self.score == 1.0) & (self.count >= 2), bool)


class Sequence(msgspec.Struct, frozen=True, kw_only=True):
    """Kernels stream after stream, each in order of start.

    Attributes:
        kernel: Index into the columns of ``Pairing``.
        name: Index into ``trace.names``.
        last: Of each kernel, the index at which its stream ends, exclusive.
    """

    kernel: Int64
    name: Int64
    last: Int64


def sequence(trace: Trace, pairing: Pairing) -> Sequence:
    """Return the kernels as they ran on each stream."""
    stream = stream_numbers(trace, pairing.kernel)
    kernel = np.argsort(stream, kind="stable")
    ordered = stream[kernel]
    return Sequence(
        kernel=kernel, name=trace.work.name[pairing.kernel[kernel]].astype(np.int64),
        last=np.searchsorted(ordered, ordered, side="right"),
    )  # fmt: skip


def chains(found: Sequence, lengths: tuple[int, ...] = LENGTHS) -> tuple[ChainLength, ...]:
    """Return the chains of each length, a power of two each, rising."""
    total = len(found.name)
    number = np.unique(found.name, return_inverse=True)[1] if total else found.name
    occurrences = np.bincount(number) if total else np.zeros(0, np.int64)
    first, length, rows = number, 1, []
    while length < max(lengths):
        # a chain of twice the length is the pair of those at its start and in its middle
        whole = np.flatnonzero(np.arange(total) + 2 * length <= found.last)
        pairs = number[whole] * (total + 1) + number[whole + length]
        distinct, numbers, count = np.unique(pairs, return_inverse=True, return_counts=True)
        length *= 2
        number = np.full(total, -1)
        number[whole] = numbers
        if length in lengths:
            opening = np.zeros(len(distinct), np.int64)
            opening[numbers] = first[whole]
            score = count / occurrences[opening] if len(distinct) else np.zeros(0)
            row = ChainLength(
                length=length, number=numbers, place=whole, count=count, score=score, fused=np.zeros(0, np.int64)
            )
            fused = separate(row.place[row.deterministic[row.number]], length)
            rows.append(msgspec.structs.replace(row, fused=fused))
    return tuple(rows)


def separate(places: Int64, length: int) -> Int64:
    """Return rising ``places`` from left to right without those that overlap the one before, each ``length`` long."""
    if not len(places) or (np.diff(places) >= length).all():
        return places
    taken, rising = [], places.tolist()
    until = rising[0]
    for place in rising:
        if place >= until:
            taken.append(place)
            until = place + length
    return np.array(taken, np.int64)


def ideal_launch_ratio(kernels: int, length: int, fused: int) -> float | None:
    """Return launches before over launches after ``fused`` chains became one kernel each; None without kernels.

    It counts launches only: an upper bound on the speed-up, and only where launches bound the run.
    """
    return kernels / (kernels - fused * (length - 1)) if kernels else None
