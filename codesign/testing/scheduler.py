"""A simulated scheduler of a serving engine, for tests of the closed forms."""

from __future__ import annotations

import numpy as np

from codesign.quantity import Array, Column


class Request:
    """A request of the simulated engine."""

    def __init__(self, clock: float, prompt: int, generate: int) -> None:
        self.arrived, self.left, self.tokens = clock, prompt, generate
        self.first = self.last = 0.0
        self.made = 0


def simulate(
    slots: int, prompt: int, generate: int, budget: int, step: float, token: float, rounds: int, seed: int = 0,
    spread: float = 0.2,
) -> list[Request]:  # fmt: skip
    """Return finished requests of an engine that decodes first and then prefills chunks up to the token budget.

    ``slots`` clients send one request after the other, all of them at once at first; output lengths vary by ``spread``.
    An iteration takes ``step`` seconds and ``token`` more for each prompt token.
    """
    rng = np.random.default_rng(seed)
    clock, sent = 0.0, 0
    running: list[Request] = []
    done: list[Request] = []
    while len(done) < slots * rounds:
        while len(running) < slots and sent < slots * rounds:
            length = round(generate * rng.uniform(1.0 - spread, 1.0 + spread))
            running.append(Request(clock, prompt, max(length, 2)))
            sent += 1
        decoding = [r for r in running if r.left == 0]
        room = budget - len(decoding)
        filled = []
        for request in running:
            if request.left and room > 0:
                chunk = min(request.left, room)
                room -= chunk
                filled.append((request, chunk))
        clock += step + token * sum(chunk for _, chunk in filled)
        for request, chunk in filled:
            request.left -= chunk
            if request.left == 0:
                request.first = clock
                request.made = 1
        for request in decoding:
            request.made += 1
        for request in [r for r in running if r.left == 0 and r.made >= r.tokens]:
            request.last = clock
            running.remove(request)
            done.append(request)
    return done


def one(value: float) -> Array:
    """Return one point, as the closed forms take sizes."""
    return np.array([value], dtype=np.float64)


def exact(value: float) -> Column:
    """Return a time of one point that is known exactly, as the closed forms take times."""
    return Column.exact(one(value), 1)
