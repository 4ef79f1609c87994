"""Random mappings of a skeleton: every prime of every rank goes to a slot, every slot gets an order.

The baseline of any mapping search, and what tests and benchmarks feed the cost model with.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codesign.costmodels.accelerator.mapping import Mappings, Slots
from codesign.costmodels.accelerator.problem import Problem
from codesign.errors import UsageError


def primes(number: int) -> Iterator[int]:
    """Yield the prime factors of ``number`` in rising order."""
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            yield divisor
            number //= divisor
        divisor += 1
    if number > 1:
        yield number


def random_mappings(problem: Problem, slots: Slots, count: int, generator: np.random.Generator) -> Mappings:
    """Return ``count`` mappings with perfect factors, uniform over the slots of every prime and over orders.

    They need not fit memories or arrays.

    Raises:
        UsageError: ``count`` below 1, or a skeleton without slots.
    """
    if count < 1 or not slots.slots:
        raise UsageError(f"found count {count} over {len(slots.slots)} slots, expected at least one of each")
    factors = np.ones((len(slots.slots), len(slots.ranks), count), dtype=np.int64)
    columns = np.arange(count)
    for place, rank in enumerate(slots.ranks):
        for prime in primes(problem.ranks[rank]):
            factors[generator.integers(len(slots.slots), size=count), place, columns] *= prime
    keys = generator.random((len(slots.temporal), len(slots.ranks), count))
    return Mappings(slots, factors, np.argsort(keys, axis=1))
