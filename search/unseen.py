"""Points not evaluated yet: a random order of a finite space without storing it, and a set of what was seen.

The order is a keyed permutation of 0 .. size-1 (a Feistel network that walks cycles until it lands inside,
Black and Rogaway, "Ciphers with arbitrary finite domains", 2002, section 5): any slice of it can be computed,
so a random search needs no memory and its whole state is one counter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.search.space import Space
from codesign.search.variation import mix

Points = NDArray[Any]
_ROUNDS = 4


def generator_of(seed: int, batch: int) -> np.random.Generator:
    """Return the generator of one batch: all randomness of a search derives from (seed, batch)."""
    return np.random.Generator(np.random.Philox(key=np.array([seed & (2**64 - 1), batch], dtype=np.uint64)))


def shuffled(numbers: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Return where a random permutation of 0 .. size-1 sends ``numbers``."""
    if size <= 1:
        return numbers.copy()
    half = np.uint64(((size - 1).bit_length() + 1) // 2)
    low = np.uint64((1 << int(half)) - 1)
    value = numbers.astype(np.uint64)
    outside = np.ones(len(value), dtype=np.bool_)
    while outside.any():
        part = value[outside]
        left, right = part >> half, part & low
        for turn in range(_ROUNDS):
            salt = np.array([(seed * 0x9E3779B97F4A7C15 + turn * 0xD1B54A32D192ED03) & (2**64 - 1)], np.uint64)
            left, right = right, left ^ (mix(right ^ mix(salt)) & low)
        value[outside] = (left << half) | right
        outside = value >= np.uint64(size)
    return value.astype(np.int64)


class Unseen:
    """What an engine has handed out, and how to find more when its own operators run dry."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed
        self._seen: set[int] = set()
        self._cursor = 0

    @property
    def exhausted(self) -> bool:
        """True when every point of a finite space was handed out."""
        return self.space.size is not None and len(self._seen) >= self.space.size

    def knows(self, key: int) -> bool:
        """Return whether the point of this key was handed out."""
        return key in self._seen

    def take(self, points: Points, count: int) -> Points:
        """Return up to ``count`` of ``points`` that are new and mutually distinct, and mark them as seen."""
        chosen: list[int] = []
        for row, key in enumerate(self.space.key(points).tolist()):
            if len(chosen) >= count:
                break
            if key not in self._seen:
                self._seen.add(key)
                chosen.append(row)
        return points[chosen]

    def note(self, points: Points) -> None:
        """Mark points as seen."""
        self._seen.update(self.space.key(points).tolist())

    def fill(self, generator: np.random.Generator, count: int) -> Points:
        """Return up to ``count`` new random points; fewer only where a finite space ends."""
        parts = [self.take(self.space.sample(generator, count), count)]
        missing = count - len(parts[0])
        if self.space.size is None:
            for _ in range(16):  # an endless space: only near-discrete ones need a second draw
                if not missing:
                    break
                parts.append(self.take(self.space.sample(generator, 2 * missing), missing))
                missing -= len(parts[-1])
            return np.concatenate(parts)
        while missing and self._cursor < self.space.size:
            stop = min(self._cursor + max(256, missing), self.space.size)
            numbers = np.arange(self._cursor, stop, dtype=np.int64)
            found = self.space.at(shuffled(numbers, self.space.size, self.seed))
            before = len(self._seen)
            parts.append(self.take(found, missing))
            missing -= len(self._seen) - before
            self._cursor = stop if missing else self._cursor  # a slice that is not used up is looked at again
        return np.concatenate(parts)

    def state(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        import base64

        keys = np.fromiter(self._seen, np.uint64, len(self._seen))
        keys.sort()
        return {"seen": base64.b64encode(keys.tobytes()).decode(), "cursor": self._cursor}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` returned."""
        import base64

        self._seen = set(np.frombuffer(base64.b64decode(state["seen"]), np.uint64).tolist())
        self._cursor = int(state["cursor"])
