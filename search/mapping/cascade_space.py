"""The space of fused mappings of a cascade: what stays where, which loops are shared, and which mapping of those.

Its points are known: each fusion that fits was searched by itself. Other combinations of parameters have no mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.accelerator.cascade_export import loop_text
from codesign.search.mapping.cascade import Candidate, Fused
from codesign.search.parameters import Categorical, Integer
from codesign.search.space import BoxSpace, Codes

Integers = NDArray[np.int64]


def stays_text(candidate: Candidate) -> str:
    """Return what stays on the chip, for people."""
    if not candidate.stay:
        return "nothing"
    few = ", ".join(candidate.stay) if len(candidate.stay) <= 2 else f"all {len(candidate.stay)}"
    return f"{few} at {', '.join(dict.fromkeys(candidate.stay.values()))}"


def shared_text(candidate: Candidate) -> str:
    """Return the loops around all Einsums, for people."""
    return " ".join(loop_text(rank, bound) for rank, bound in candidate.shared) or "no loop"


class CascadeSpace(BoxSpace):
    """What stays, the shared loops, and the number of a mapping among those found, by the first objective."""

    def __init__(self, fusions: Sequence[Fused]) -> None:
        """Set up the space.

        Args:
            fusions: What was found; at least one.
        """
        self.fusions = tuple(fusions)
        names = [(stays_text(one.candidate), shared_text(one.candidate)) for one in fusions]
        stays, shared = (tuple(dict.fromkeys(column)) for column in zip(*names, strict=True))
        largest = max(len(one.values) for one in fusions)
        super().__init__(
            [Categorical("stays", stays), Categorical("shared", shared), Integer("mapping", 0, largest - 1)]
        )
        self._codes = [(stays.index(stay), shared.index(loops)) for stay, loops in names]

    @cached_property
    def _table(self) -> Integers:
        """Return (stays, shared) -> the number of the fusion; -1 where there is none."""
        table = np.full(self.counts[:2], -1, dtype=np.int64)
        for number, code in enumerate(self._codes):
            table[code] = number
        return table

    def places(self, points: NDArray[Any]) -> tuple[Integers, Integers]:
        """Return for points (N, 3) the number of the fusion, -1 where there is no such mapping, and of its mapping."""
        codes = points.astype(np.int64)
        fusion, mapping = self._table[codes[:, 0], codes[:, 1]], codes[:, 2]
        sizes = np.array([len(one.values) for one in self.fusions])
        return np.where(mapping < sizes[fusion], fusion, -1), mapping

    def front(self) -> Codes:
        """Return what was found but ``unfused``: the best mappings of each fusion, the front of all among them."""
        rows = [(*code, row) for code, one in zip(self._codes, self.fusions, strict=True)
                for row in range(len(one.values))]  # fmt: skip
        points = np.array(rows, dtype=np.float64)
        alone = self.unfused()
        return points if alone is None else points[(points != alone).any(axis=1)]

    def unfused(self) -> Codes | None:
        """Return the mapping of the least product of the objectives of which nothing stays; None where none fits."""
        for code, one in zip(self._codes, self.fusions, strict=True):
            if not one.candidate.stay:
                best = np.log(np.maximum(one.values, np.finfo(float).tiny)).sum(axis=1).argmin()
                return np.array([[*code, best]], dtype=np.float64)
        return None

    def point(self, row: Mapping[str, Any]) -> Codes:
        """Return the point (1, 3) of a row of a table of trials."""
        stays, shared = (self.parameters[at] for at in (0, 1))
        assert isinstance(stays, Categorical)
        assert isinstance(shared, Categorical)
        codes = [stays.values.index(row["stays"]), shared.values.index(row["shared"]), row["mapping"]]
        return np.array([codes], dtype=np.float64)
