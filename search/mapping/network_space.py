"""The space of a whole network's mappings: which mapping of its own front every shape of layer has.

A point numbers a mapping for every shape, 0 the first by the first objective; one more, the last, is that of the
design to compare with. The non-dominated points are known: they are merged from the fronts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign.search.mapping.merge import Merged, merge
from codesign.search.parameters import Integer
from codesign.search.space import BoxSpace, Codes

Array = NDArray[np.float64]


class NetworkSpace(BoxSpace):
    """One number a shape of layer."""

    def __init__(
        self, names: Sequence[str], pools: Sequence[Array], runs: Sequence[int], largest: Sequence[bool]
    ) -> None:  # fmt: skip
        """Set up the space.

        Args:
            names: Of the shapes, each once.
            pools: For each shape (K + 1, C) what its mappings cost, the last that of the design to compare with.
            runs: How often each shape runs.
            largest: (C,) whether the largest counts and not the sum.
        """
        super().__init__([Integer(name, 0, len(pool) - 1) for name, pool in zip(names, pools, strict=True)])
        self.pools, self.runs, self.largest = tuple(pools), tuple(runs), tuple(largest)

    @cached_property
    def merged(self) -> Merged:
        """Return the front of the network."""
        return merge([pool[:-1] for pool in self.pools], self.runs, self.largest)

    def front(self) -> Codes:
        """Return the points of the front."""
        return self.merged.choices.astype(np.float64)

    def last(self) -> Codes:
        """Return the design to compare with."""
        return np.array([[len(pool) - 1.0 for pool in self.pools]])
