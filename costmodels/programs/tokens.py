"""Programs as sequences of operations with shapes, and the numbers that models of their cost compute with.

The tokens are those of operations and shapes of Das and others (arXiv 2302.11405, section 3): an operation is its name,
its element type and the sizes of what it reads and writes, no text. Two encodings come from them: a **bag**, sums over
the program by the name of the operation, and the **sequence** itself, for a convolution along it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.regression import Features
from codesign.quantity import Array

UNKNOWN = 0
"""Number of every operation that training did not see."""
MOST_NAMES = 512
"""Different operations that are told apart; the rarer ones beyond count as unknown."""
NUMBERS = 5
"""Numbers of a token in a sequence: logarithms of elements written and read, multiply-adds and bytes; its rank."""
WIDTH = {"f64": 8, "i64": 8, "ui64": 8, "f32": 4, "i32": 4, "ui32": 4, "f16": 2, "bf16": 2, "i16": 2, "i1": 1, "i8": 1}
"""Bytes of an element by its type; other types count as 4."""
PRODUCTS = ("dot", "conv", "mm", "matmul", "linear", "bmm")
"""Parts of names of operations that multiply two operands along a shared axis."""


class Token(NamedTuple):
    """One operation of a program.

    Attributes:
        name: Of the operation, its dialect included (``stablehlo.add``).
        element: Element type of the first result.
        shape: Of the first result.
        operands: Shape of each operand.
    """

    name: str
    element: str
    shape: tuple[int, ...]
    operands: tuple[tuple[int, ...], ...]


Program = tuple[Token, ...]


class Encoded(NamedTuple):
    """N programs of at most L operations.

    Attributes:
        name: Number of each operation's name, (N, L); -1 behind the end of a program.
        number: Logarithms of the sizes of each, (N, L, 5); 0 behind the end.
    """

    name: NDArray[np.int16]
    number: NDArray[np.float32]


class _Sizes(NamedTuple):
    """What a token amounts to: elements written, elements read, multiply-adds, bytes moved if nothing is fused."""

    written: int
    read: int
    work: float
    moved: int


@lru_cache(maxsize=1 << 16)  # a mutant shares nearly all of its operations with its parent
def _sizes(token: Token) -> _Sizes:
    written = math.prod(token.shape)
    reads = [math.prod(shape) for shape in token.operands]
    short = token.name.rpartition(".")[2] if token.name.startswith("stablehlo") else token.name
    work = float(written)
    if len(reads) >= 2 and any(part in short for part in PRODUCTS):
        # sqrt(MK * KN * MN) = MNK; for convolutions and batches of the right order, which is all a feature needs
        work = math.sqrt(float(reads[0]) * reads[1] * written) if reads[0] and reads[1] else 0.0
    return _Sizes(written, sum(reads), work, (written + sum(reads)) * WIDTH.get(token.element, 4))


def vocabulary_of(programs: Sequence[Program]) -> tuple[str, ...]:
    """Return the names in ``programs``, the most frequent ``MOST_NAMES`` of them, in alphabetical order."""
    count = Counter(token.name for program in programs for token in program)
    kept = sorted(count, key=lambda name: (-count[name], name))[:MOST_NAMES]
    return tuple(sorted(kept))


def encode(programs: Sequence[Program], vocabulary: Sequence[str]) -> Encoded:
    """Return ``programs`` as arrays; name number k + 1 is ``vocabulary[k]``, 0 is any other name."""
    place = {name: k + 1 for k, name in enumerate(vocabulary)}
    longest = max((len(program) for program in programs), default=0)
    name = np.full((len(programs), longest), -1, np.int16)
    number = np.zeros((len(programs), longest, NUMBERS), np.float32)
    for row, program in enumerate(programs):
        name[row, : len(program)] = [place.get(token.name, UNKNOWN) for token in program]
        sizes = [(*_sizes(token), len(token.shape)) for token in program]
        number[row, : len(program)] = np.array(sizes, np.float64).reshape(len(program), NUMBERS)
    number[..., :4] = np.log1p(number[..., :4])
    return Encoded(name, number)


def bag(encoded: Encoded, names: int) -> Features:
    """Return (N, F): for each of ``names`` + 1 names how often it occurs and ln of what it writes, then the totals.

    The totals are logarithms: operations, elements written and read, multiply-adds, bytes, bytes of the largest one.
    """
    there = encoded.name >= 0
    sizes = np.where(there[..., None], np.expm1(encoded.number[..., :4].astype(np.float64)), 0.0)
    rows = np.broadcast_to(np.arange(len(there))[:, None], there.shape)[there]
    columns = encoded.name[there]
    count = np.zeros((len(there), names + 1))
    written = np.zeros_like(count)
    np.add.at(count, (rows, columns), 1.0)
    np.add.at(written, (rows, columns), sizes[..., 0][there])
    total = np.log1p(sizes.sum(axis=1))
    largest = np.log1p(sizes[..., 3].max(axis=1, initial=0.0))
    parts = (count, np.log1p(written), np.log1p(there.sum(axis=1))[:, None], total, largest[:, None])
    return np.concatenate(parts, axis=1).astype(np.float32)


def work_and_bytes(encoded: Encoded) -> tuple[Array, Array]:
    """Return the multiply-adds and the bytes moved of each program, (N,) each, as if nothing were fused."""
    sizes = np.where((encoded.name >= 0)[..., None], np.expm1(encoded.number[..., 2:4].astype(np.float64)), 0.0)
    work, moved = np.moveaxis(sizes.sum(axis=1), -1, 0)
    return work, moved
