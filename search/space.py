"""Spaces: they own how points are sampled, varied, enumerated and told apart.

A point of ``BoxSpace`` is a row of float64 codes (see ``parameters``). Inactive conditional parameters
have one canonical code (0, or the low end), so equal designs are equal rows. A finite box numbers its
points 0 .. size-1: conditions form a forest, and a point's number is its mixed-radix rank in it, so an
exhaustive search streams any slice without holding the rest, and the number serves as exact key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.search import variation
from codesign.search.parameters import Categorical, Integer, Ordinal, Parameter, Real, Value, check, condition_table

Points = NDArray[Any]
Codes = NDArray[np.float64]

LARGEST = 2**62
"""Spaces of more points than this count as endless: their numbers would not fit an int64."""


class Space(Protocol):
    """What every engine may rely on. Points are rows; ``key`` gives equal numbers to equal designs."""

    kind: str
    size: int | None
    """Number of distinct points; None when endless or too many to number."""

    def sample(self, generator: np.random.Generator, count: int) -> Points:
        """Return ``count`` random points."""
        ...

    def mutate(self, generator: np.random.Generator, points: Points, rate: float | None = None) -> Points:
        """Return ``points`` changed in at least one place each."""
        ...

    def crossover(self, generator: np.random.Generator, first: Points, second: Points) -> Points:
        """Return one child per pair of parents."""
        ...

    def neighbours(self, point: Points) -> Points:
        """Return the distinct points one step away from ``point`` (one row or a 1-row matrix)."""
        ...

    def key(self, points: Points) -> NDArray[np.uint64]:
        """Return a number per point: equal designs have equal numbers."""
        ...

    def enumerate(self, start: int, stop: int) -> Points:
        """Return points number ``start`` to ``stop`` (excluded) of a finite space."""
        ...

    def at(self, numbers: NDArray[np.int64]) -> Points:
        """Return the points of these numbers."""
        ...

    def rows(self, points: Points) -> list[dict[str, Any]]:
        """Return each point as parameter -> value for people and files; None where inactive."""
        ...

    def describe(self) -> list[dict[str, Any]]:
        """Return the parameters as ``run.json`` lists them: name, kind, unit, values or low and high."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the space as JSON types."""
        ...


@runtime_checkable
class Begun(Protocol):
    """A space that knows good points to begin with."""

    def starts(self) -> Points:
        """Return points to begin with, best first; the same at every call."""
        ...


@runtime_checkable
class Composed(Space, Protocol):
    """A space whose designs are sets of changes to one original."""

    @property
    def original(self) -> Points:
        """The design without changes, (1, D)."""
        ...

    def single(self, generator: np.random.Generator, count: int) -> Points:
        """Return ``count`` random designs of one change each, or of few that mean something together alone."""
        ...

    def union(self, points: Points) -> Points:
        """Return the design (1, D) of all changes of ``points``; where not all go together, of the first that do."""
        ...


class BoxSpace:
    """Typed, optionally conditional parameters; points are (N, D) float64 codes."""

    kind = "box"

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters: tuple[Parameter, ...] = tuple(parameters)
        check(self.parameters)
        self.names = [p.name for p in self.parameters]
        self.counts = np.array([p.count or 0 for p in self.parameters], dtype=np.int64)
        self.real = np.array([isinstance(p, Real) for p in self.parameters], dtype=np.bool_)
        self.choice = np.array([isinstance(p, Categorical) for p in self.parameters], dtype=np.bool_)
        self.log = np.array([isinstance(p, Real) and p.log for p in self.parameters], dtype=np.bool_)
        self.low = np.array([p.low if isinstance(p, Real) else 0.0 for p in self.parameters])
        self.high = np.array([p.high if isinstance(p, Real) else (p.count or 1) - 1.0 for p in self.parameters])
        self._parent = [self.names.index(p.when.parameter) if p.when else -1 for p in self.parameters]
        self._active = [
            condition_table(self.parameters[i], p.when) if p.when else np.ones(1, np.bool_)
            for i, p in zip(self._parent, self.parameters, strict=True)
        ]
        self.conditional = any(i >= 0 for i in self._parent)
        self._children = [[c for c, i in enumerate(self._parent) if i == p] for p in range(len(self.parameters))]
        self._roots = [p for p, i in enumerate(self._parent) if i < 0]
        self.size = None if self.real.any() else self._measure()

    @property
    def dimensions(self) -> int:
        """Number of parameters D."""
        return len(self.parameters)

    # --- codes and values -------------------------------------------------------------------------------------

    def active(self, points: Codes) -> NDArray[np.bool_]:
        """Return (N, D): whether each parameter is active at each point."""
        mask = np.ones(points.shape, dtype=np.bool_)
        for index, parent in enumerate(self._parent):
            if parent >= 0:
                mask[:, index] = mask[:, parent] & self._active[index][points[:, parent].astype(np.intp)]
        return mask

    def repair(self, points: Codes) -> Codes:
        """Return ``points`` inside the bounds, on the grid, inactive codes canonical."""
        points = np.clip(points, self.low, self.high)
        points = np.where(self.real, points, np.rint(points)) + 0.0  # + 0.0: -0.0 and 0.0 are one code
        return np.where(self.active(points), points, self.low) if self.conditional else points

    def decode(self, points: Codes) -> dict[str, NDArray[Any]]:
        """Return parameter -> (N,) values; an inactive parameter has its first value (its low end)."""
        return {p.name: p.decode(points[:, i]) for i, p in enumerate(self.parameters)}

    def encode(self, **values: Value) -> Codes:
        """Return the 1-row matrix of the point with these values; inactive parameters may be left out."""
        row = self.low.copy()
        for name, value in values.items():
            if name not in self.names:
                raise UsageError(f"unknown parameter {name!r}", f"parameters: {', '.join(self.names)}")
            index = self.names.index(name)
            p = self.parameters[index]
            if isinstance(p, Categorical | Ordinal):
                if value not in p.values:
                    raise UsageError(f"{name} never is {value!r}", f"values: {list(p.values)[:24]}")
                row[index] = p.values.index(value)
            elif isinstance(p, Integer):
                row[index] = (int(value) - p.low) / p.step
            else:
                row[index] = float(value)
        fixed = self.repair(row[None, :])
        given = [self.names.index(n) for n in values]
        if not np.array_equal(fixed[0, given], row[given]):
            raise UsageError(f"the point {values} lies outside the space", "see the bounds and conditions")
        return fixed

    def rows(self, points: Codes) -> list[dict[str, Any]]:
        """Return each point as parameter -> value, None where inactive."""
        columns = [column.tolist() for column in self.decode(points).values()]
        for column, mask in zip(columns, self.active(points).T.tolist(), strict=True):
            column[:] = [v if on else None for v, on in zip(column, mask, strict=True)]
        return [dict(zip(self.names, row, strict=True)) for row in zip(*columns, strict=True)]

    # --- numbering ----------------------------------------------------------------------------------------------

    def _measure(self) -> int | None:
        """Count the points below every parameter (with its dependants) and return the count of the whole."""
        self._below = [1] * self.dimensions
        self._first: list[NDArray[np.int64]] = [np.zeros(1, np.int64)] * self.dimensions
        for index in reversed(range(self.dimensions)):  # children come after their parents
            weights = [1] * int(self.counts[index])
            for child in self._children[index]:
                for value in np.flatnonzero(self._active[child]).tolist():
                    weights[value] *= self._below[child]
            total = sum(weights)
            if total > LARGEST:
                return None
            self._below[index] = total
            self._first[index] = np.concatenate([[0], np.cumsum(np.array(weights, np.int64))])
        size = 1
        for root in self._roots:
            size *= self._below[root]
        return size if size <= LARGEST else None

    def at(self, numbers: NDArray[np.int64]) -> Codes:
        """Return the points of these numbers (0 .. size-1)."""
        if self.size is None:
            endless = [p.name for p in self.parameters if isinstance(p, Real)]
            raise UsageError(
                "this space cannot be enumerated: " + (f"{endless[0]} is real" if endless else "too many points"),
                "choose another engine, such as nsga2",
            )
        points = np.zeros((len(numbers), self.dimensions))
        rest = np.asarray(numbers, np.int64)
        pending: list[tuple[int, NDArray[np.int64]]] = []
        for root in reversed(self._roots):
            rest, digit = np.divmod(rest, self._below[root])
            pending.append((root, digit))
        while pending:
            index, number = pending.pop()
            if not self._children[index]:
                points[:, index] = number
                continue
            code = np.searchsorted(self._first[index], number, side="right") - 1
            points[:, index] = code
            number = number - self._first[index][code]
            for child in reversed(self._children[index]):
                radix = np.where(self._active[child][code], self._below[child], 1)
                number, digit = np.divmod(number, radix)
                pending.append((child, digit))
        return points

    def number(self, points: Codes) -> NDArray[np.int64]:
        """Return the number of each point of a finite space: the inverse of ``at``."""
        below: dict[int, NDArray[np.int64]] = {}
        for index in reversed(range(self.dimensions)):
            code = points[:, index].astype(np.int64)
            inner: NDArray[np.int64] = np.zeros(len(points), np.int64)
            for child in self._children[index]:
                on = self._active[child][code]
                inner = np.where(on, inner * self._below[child] + below[child], inner)
            below[index] = self._first[index][code] + inner
        total: NDArray[np.int64] = np.zeros(len(points), np.int64)
        for root in self._roots:
            total = total * self._below[root] + below[root]
        return total

    def enumerate(self, start: int, stop: int) -> Codes:
        """Return points number ``start`` to ``stop`` (excluded)."""
        return self.at(np.arange(start, min(stop, self.size if self.size is not None else stop), dtype=np.int64))

    def key(self, points: Codes) -> NDArray[np.uint64]:
        """Return the point's number where the space is finite, otherwise a 64-bit hash of the row."""
        if self.size is not None:
            return self.number(points).astype(np.uint64)
        return variation.hash_rows(points)

    # --- variation ----------------------------------------------------------------------------------------------

    def sample(self, generator: np.random.Generator, count: int) -> Codes:
        """Return ``count`` points, each parameter uniform on its scale."""
        unit = generator.random((count, self.dimensions))
        points = np.where(self.real, variation.from_unit(self, unit), np.floor(unit * np.maximum(self.counts, 1)))
        return self.repair(points)

    def mutate(self, generator: np.random.Generator, points: Codes, rate: float | None = None) -> Codes:
        """Return ``points`` with about ``rate`` (default 1/D) of the active parameters changed, at least one each."""
        return self.repair(variation.mutate(self, generator, points, rate))

    def crossover(self, generator: np.random.Generator, first: Codes, second: Codes) -> Codes:
        """Return one child per pair: SBX for reals, uniform for choices, either or between for ordered values."""
        return self.repair(variation.crossover(self, generator, first, second))

    def neighbours(self, point: Codes) -> Codes:
        """Return the points one step away: every other choice, one step either way, 1 % and 10 % of a real range."""
        point = np.atleast_2d(point)
        around = self.repair(variation.neighbours(self, point))
        keys, first = np.unique(self.key(around), return_index=True)
        others: Codes = around[np.sort(first[keys != self.key(point)[0]])]
        return others

    # --- files --------------------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """Return the parameters as ``run.json`` lists them."""
        listed: list[dict[str, Any]] = msgspec.to_builtins(self.parameters)
        return listed

    def to_json(self) -> dict[str, Any]:
        """Return the space as JSON types."""
        return {"kind": self.kind, "parameters": self.describe()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BoxSpace:
        """Return the space that ``to_json`` described."""
        return cls(msgspec.convert(data["parameters"], tuple[Parameter, ...]))
