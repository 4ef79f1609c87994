"""Variation operators of a box space, over whole populations at once.

Reals: simulated binary crossover [1]_ and polynomial mutation [2]_ on the unit scale (logarithmic where
the parameter says so). Choices: uniform crossover, another value. Ordered values: either parent's or one
between them; a step whose length is geometric, mostly one.

References:
    [1] Deb, Agrawal, "Simulated binary crossover for continuous search space", 1995, eq. 8-10.
    [2] Deb, Goyal, "A combined genetic adaptive search (GeneAS)", 1996, section 3.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.float64]
Mask = NDArray[np.bool_]

SPREAD_CROSSOVER = 15.0
"""Distribution index of SBX: children lie near their parents."""
SPREAD_MUTATION = 20.0
"""Distribution index of polynomial mutation."""
REAL_STEPS = np.array([-0.1, -0.01, 0.01, 0.1])
"""Steps of ``neighbours`` on the unit scale of a real parameter."""


class Box(Protocol):
    """What the operators need to know of a box space."""

    low: Codes
    high: Codes
    counts: NDArray[np.int64]
    real: Mask
    choice: Mask
    log: Mask
    conditional: bool

    def active(self, points: Codes) -> Mask:
        """Return (N, D): whether each parameter is active."""
        ...


def to_unit(box: Box, points: Codes) -> Codes:
    """Return points on [0, 1] per parameter; meaningful for real parameters."""
    low, high = _scaled(box, box.low), _scaled(box, box.high)
    return (_scaled(box, points) - low) / np.where(high > low, high - low, 1.0)


def from_unit(box: Box, unit: Codes) -> Codes:
    """Return the inverse of ``to_unit``."""
    low, high = _scaled(box, box.low), _scaled(box, box.high)
    linear = low + unit * (high - low)
    return np.exp(linear, where=box.log, out=linear.copy()) if box.log.any() else linear


def _scaled(box: Box, points: Codes) -> Codes:
    if not box.log.any():
        return points
    return np.log(points, where=np.broadcast_to(box.log, points.shape), out=np.array(points, dtype=np.float64))


def crossover(box: Box, generator: np.random.Generator, first: Codes, second: Codes) -> Codes:
    """Return one child per pair, before repair."""
    shape = first.shape
    take = generator.random(shape) < 0.5
    child = np.where(take, first, second)
    ordered = ~box.real & ~box.choice
    if ordered.any():
        between = generator.random(shape)
        blend = np.rint(first + between * (second - first))
        child = np.where(ordered & (generator.random(shape) < 0.25), blend, child)
    if box.real.any():
        draw = generator.random(shape)
        power = 1.0 / (SPREAD_CROSSOVER + 1.0)
        beta = np.where(draw < 0.5, (2.0 * draw) ** power, (0.5 / np.maximum(1.0 - draw, 1e-16)) ** power)
        a, b = to_unit(box, first), to_unit(box, second)
        sign = np.where(take, 1.0, -1.0)
        crossed = 0.5 * ((a + b) + sign * beta * (a - b))
        blended = np.where(generator.random(shape) < 0.5, crossed, np.where(take, a, b))
        child = np.where(box.real, from_unit(box, np.clip(blended, 0.0, 1.0)), child)
    return child


def mutate(box: Box, generator: np.random.Generator, points: Codes, rate: float | None) -> Codes:
    """Return mutated points before repair: about ``rate`` of the active, variable parameters, at least one a row."""
    shape = points.shape
    free = np.broadcast_to(box.high > box.low, shape)
    if box.conditional:
        free = free & box.active(points)
    score = np.where(free, generator.random(shape), 2.0)
    chosen = score < (1.0 / max(shape[1], 1) if rate is None else rate)
    chosen[np.arange(shape[0]), np.argmin(score, axis=1)] = True
    chosen &= free
    draw = generator.random(shape)
    other = np.mod(points + 1.0 + np.floor(draw * np.maximum(box.counts - 1, 1)), np.maximum(box.counts, 1))
    length = 1.0 + np.floor(np.log(np.maximum(generator.random(shape), 1e-12)) / np.log(0.35))
    step = points + np.where(draw < 0.5, -length, length)
    step = np.where(step < 0.0, points + length, np.where(step > box.high, points - length, step))
    moved = np.where(box.choice, other, step)
    if box.real.any():
        moved = np.where(box.real, _polynomial(box, draw, points), moved)
    return np.where(chosen, moved, points)


def _polynomial(box: Box, draw: Codes, points: Codes) -> Codes:
    x = to_unit(box, points)
    power = 1.0 / (SPREAD_MUTATION + 1.0)
    down = np.maximum(2.0 * draw + (1.0 - 2.0 * draw) * np.clip(1.0 - x, 0, 1) ** (SPREAD_MUTATION + 1.0), 0.0)
    up = np.maximum(2.0 * (1.0 - draw) + 2.0 * (draw - 0.5) * np.clip(x, 0, 1) ** (SPREAD_MUTATION + 1.0), 0.0)
    delta = np.where(draw < 0.5, down**power - 1.0, 1.0 - up**power)
    return from_unit(box, np.clip(x + delta, 0.0, 1.0))


def neighbours(box: Box, point: Codes) -> Codes:
    """Return the points around ``point`` (1, D), before repair; may hold duplicates."""
    found = []
    active = box.active(point)[0]
    unit = to_unit(box, point)
    for index in np.flatnonzero(active & (box.high > box.low)).tolist():
        if box.choice[index]:
            codes: Any = np.arange(box.counts[index], dtype=np.float64)
        elif box.real[index]:
            moved = np.repeat(unit, len(REAL_STEPS), axis=0)
            moved[:, index] += REAL_STEPS
            codes = from_unit(box, np.clip(moved, 0.0, 1.0))[:, index]
        else:
            codes = point[0, index] + np.array([-1.0, 1.0])
            codes = codes[(codes >= 0.0) & (codes <= box.high[index])]
        around = np.repeat(point, len(codes), axis=0)
        around[:, index] = codes
        found.append(around)
    return np.concatenate(found) if found else point[:0]


def hash_rows(points: Codes) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every row (splitmix64 over its words)."""
    words = np.ascontiguousarray(points, dtype=np.float64).view(np.uint64)
    digest = np.full(len(points), 0x9E3779B97F4A7C15, np.uint64)
    for column in range(words.shape[1]):
        digest = mix(digest ^ words[:, column])
    return digest


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of every word: a bijection that scatters bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
