"""The space of edit sets of one program, for the common engines.

A point is a row of integers: up to ``length`` edits of ``width`` numbers each, in their canonical order, zeros after.
Equal sets of edits are equal rows. Every point that the space gives applies to the program. The empty set, the original
program, is a point of the space that is never drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError, nearest
from codesign.search.mlir.edits import KINDS, Constant, Copy, Delete, Edit, Operand, Swap, apply, canonical
from codesign.search.mlir.graph import Graph, Refused
from codesign.search.mlir.propose import MOST_VALUES, Proposals, freeing_pairs, neutral_deletions
from codesign.search.variation import mix

Rows = NDArray[np.int64]
_HEAD = 6
"""Numbers of an edit before its values: kind, then what it names."""
_FIRST = 3
"""Most single edits that a random point is the union of [GEVO]."""
_PAIRED = 0.4
"""Share of pairs among the smallest points, where the program has any."""
_AROUND = 64
"""Random further edits among the neighbours of a point."""


class EditSpace:
    """Sets of at most ``length`` edits; points are (N, length * width) int64 rows."""

    kind = "edits"
    size: int | None = None

    def __init__(self, graph: Graph, *, length: int = 16, kinds: Sequence[str] = tuple(KINDS)) -> None:
        """Set up the edits of a program.

        Args:
            graph: The original program.
            length: Most edits of a point.
            kinds: Kinds of edits that are proposed.

        Raises:
            UsageError: an unknown kind, or a length below 1.
        """
        for kind in kinds:
            if kind not in KINDS:
                raise UsageError(f"unknown kind of edit {kind!r}", nearest(kind, KINDS))
        if length < 1 or not kinds:
            raise UsageError(f"at most {length} edits of kinds {list(kinds)}", "allow one edit at least")
        if not graph.operations:
            raise UsageError("the program has no operations", "give a program that computes something")
        self.graph, self.length, self.kinds = graph, length, tuple(kinds)
        counts = [max(len(one.operands), len(one.results)) for one in graph.operations]
        self.width = _HEAD + max((count for count in counts if count <= MOST_VALUES), default=1)
        self._weights = mix(np.arange(1, self.dimensions + 1, dtype=np.uint64)) | np.uint64(1)

    @property
    def dimensions(self) -> int:
        """Length of a row."""
        return self.length * self.width

    # --- edits and rows -----------------------------------------------------------------------------------------

    def row(self, edits: Sequence[Edit]) -> Rows:
        """Return the row of a set of edits.

        Raises:
            UsageError: more edits than a row holds.
        """
        ordered = canonical(edits)
        if len(ordered) > self.length:
            raise UsageError(f"{len(ordered)} edits in a space of {self.length}", "raise the length")
        row = np.zeros(self.dimensions, np.int64)
        for index, edit in enumerate(ordered):
            numbers = _numbers(edit)
            row[index * self.width : index * self.width + len(numbers)] = numbers
        return row

    def rows_of(self, points: Sequence[Sequence[Edit]]) -> Rows:
        """Return one row a set of edits."""
        return np.stack([self.row(edits) for edits in points]) if points else np.zeros((0, self.dimensions), np.int64)

    def edits(self, point: NDArray[Any]) -> tuple[Edit, ...]:
        """Return the edits of one row (or a 1-row matrix)."""
        table = np.asarray(point, np.int64).reshape(self.length, self.width).tolist()
        return tuple(self._edit(numbers) for numbers in table if numbers[0])

    def _edit(self, numbers: list[int]) -> Edit:
        kind, a, b, c, d, count, *values = numbers
        held = tuple(values[:count])
        if kind == _DELETE:
            return Delete(a, held)
        if kind == _COPY:
            return Copy(a, b, held, c, d)
        if kind == _OPERAND:
            return Operand(a, b, values[0])
        return Swap(a, b) if kind == _SWAP else Constant(a, float(np.int64(values[0]).view(np.float64)), bool(b))

    def repair(self, points: Rows) -> Rows:
        """Return rows in canonical form, edits left out that do not apply with those before them."""
        return self.rows_of([self._applying(self.edits(point)) for point in points])

    def _applying(self, edits: Sequence[Edit]) -> tuple[Edit, ...]:
        """Return as many of the edits as apply together, the first ones first."""
        ordered = canonical(edits)
        if self._applies(ordered):
            return ordered
        kept: list[Edit] = []
        for edit in edits:
            if self._applies([*kept, edit]):
                kept.append(edit)
        return canonical(kept)

    def _applies(self, edits: Sequence[Edit]) -> bool:
        try:
            apply(self.graph, edits)
        except Refused:
            return False
        return True

    def key(self, points: NDArray[Any]) -> NDArray[np.uint64]:
        """Return a 64-bit hash of each row; equal sets of edits have equal rows."""
        return mix(points.astype(np.uint64) @ self._weights)

    # --- variation ----------------------------------------------------------------------------------------------

    def sample(self, generator: np.random.Generator, count: int) -> Rows:
        """Return random points: unions of up to three single edits that apply together."""
        points = []
        for _ in range(count):
            edits: tuple[Edit, ...] = ()
            for _ in range(int(generator.integers(1, min(_FIRST, self.length) + 1))):
                edits = self._grown(generator, edits)
            points.append(edits)
        return self.rows_of(points)

    @property
    def original(self) -> Rows:
        """The program without edits."""
        return self.rows_of([()])

    def union(self, points: Rows) -> Rows:
        """Return the point of all edits of ``points``, the first ones where not all apply together, or are too many."""
        edits = list(dict.fromkeys(edit for point in points for edit in self.edits(point)))
        return self.rows_of([self._applying(edits[: self.length])])

    def single(self, generator: np.random.Generator, count: int) -> Rows:
        """Return random points of one edit each, or of two that free together what neither does alone."""
        proposals = Proposals(self.graph, (), self.kinds)
        paired = generator.random(count) < (_PAIRED if self._pairs else 0.0)
        points: list[tuple[Edit, ...]] = []
        for two in paired.tolist():
            edit = None if two else proposals.one(generator)
            if two:
                points.append(self._pairs[int(generator.integers(len(self._pairs)))])
            elif edit is not None:
                points.append((edit,))
        return self.rows_of(points)

    @cached_property
    def _pairs(self) -> list[tuple[Edit, Edit]]:
        found = freeing_pairs(self.graph) if "delete" in self.kinds and self.length > 1 else []
        return [(first, second) for first, second in found]

    def _grown(self, generator: np.random.Generator, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
        new = Proposals(self.graph, edits, self.kinds).one(generator)
        return edits if new is None else canonical((*edits, new))

    def mutate(self, generator: np.random.Generator, points: Rows, rate: float | None = None) -> Rows:
        """Return points with edits added, dropped or exchanged: one step, or about ``rate`` of a point's edits."""
        changed = []
        for point in points:
            edits = before = self.edits(point)
            steps = 1 if rate is None else max(1, round(rate * len(edits)))
            for _ in range(steps):
                edits = self._step(generator, edits)
            changed.append(edits if edits != before else self._step(generator, edits))
        return self.rows_of(changed)

    def _step(self, generator: np.random.Generator, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
        draw = generator.random()
        add = not edits or (draw < 0.5 and len(edits) < self.length)
        if not add:
            gone = int(generator.integers(len(edits)))
            edits = self._applying([*edits[:gone], *edits[gone + 1 :]])
        return self._grown(generator, edits) if add or not edits or draw > 0.75 else edits

    def crossover(self, generator: np.random.Generator, first: Rows, second: Rows) -> Rows:
        """Return one child a pair: the common edits, and a random part of those that only one parent has.

        The difference is shuffled and cut at a random point, as GEVO does; edits that no longer apply are left out.
        """
        children = []
        for a, b in zip(first, second, strict=True):
            mine, theirs = self.edits(a), self.edits(b)
            common = [edit for edit in mine if edit in theirs]
            apart = [edit for edit in (*mine, *theirs) if edit not in common]
            order = generator.permutation(len(apart))
            cut = int(generator.integers(1, len(apart) + 1)) if apart else 0
            child = [*common, *(apart[index] for index in order[:cut])][: self.length]
            children.append(self._applying(child))
        return self.rows_of(children)

    def neighbours(self, point: Rows) -> Rows:
        """Return points one edit away: each edit dropped, each operation passed by, and some random further edits.

        The random ones depend on the point alone.
        """
        point = np.atleast_2d(point)
        edits, own = self.edits(point[0]), int(self.key(point)[0])
        around = [self._applying([*edits[:i], *edits[i + 1 :]]) for i in range(len(edits)) if len(edits) > 1]
        if len(edits) < self.length:
            proposals = Proposals(self.graph, edits, self.kinds)
            generator = np.random.Generator(np.random.Philox(key=own))
            drawn = [proposals.one(generator) for _ in range(_AROUND)]
            further = [*(neutral_deletions(self.graph) if "delete" in self.kinds else ()), *drawn]
            around += [
                (*edits, edit) for edit in further if edit and edit not in edits and self._applies((*edits, edit))
            ]
        rows = self.rows_of([one for one in around if one])
        keys, first = np.unique(self.key(rows), return_index=True)
        others: Rows = rows[np.sort(first[keys != own])]
        return others

    def enumerate(self, start: int, stop: int) -> Rows:
        """Refuse: the space is endless."""
        return self.at(np.arange(start, stop, dtype=np.int64))

    def at(self, numbers: NDArray[np.int64]) -> Rows:
        """Refuse: the space is endless."""
        raise UsageError("edits of a program cannot be enumerated", "choose nsga2, local or random")

    # --- files --------------------------------------------------------------------------------------------------

    def rows(self, points: NDArray[Any]) -> list[dict[str, Any]]:
        """Return each point as the number of its edits, how many of each kind, and the edits as JSON text."""
        found = []
        for point in points:
            edits = self.edits(point)
            text = msgspec.json.encode(edits).decode()
            found.append({"edits": len(edits), "kinds": kinds_of(edits), "changes": text})
        return found

    def describe(self) -> list[dict[str, Any]]:
        """Return what varies, as ``run.json`` lists it."""
        return [
            {"name": "edits", "kind": "integer", "unit": "", "low": 1, "high": self.length},
            {"name": "kinds", "kind": "category", "unit": "", "values": list(self.kinds)},
            {"name": "changes", "kind": "code", "unit": "", "values": list(self.kinds)},
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what makes the space beside its program, which is named by its fingerprint."""
        return {"kind": self.kind, "length": self.length, "kinds": list(self.kinds), "program": self.graph.fingerprint}

    @classmethod
    def from_json(cls, data: dict[str, Any], graph: Graph) -> EditSpace:
        """Return the space that ``to_json`` described.

        Raises:
            UsageError: it was the space of another program.
        """
        if data["program"] != graph.fingerprint:
            raise UsageError("these edits belong to another program", "use the model that the run was made with")
        return cls(graph, length=data["length"], kinds=data["kinds"])


_DELETE, _COPY, _OPERAND, _SWAP, _CONSTANT = range(1, 6)


def _numbers(edit: Edit) -> list[int]:
    if isinstance(edit, Delete):
        return [_DELETE, edit.uid, 0, 0, 0, len(edit.replacements), *edit.replacements]
    if isinstance(edit, Copy):
        return [_COPY, edit.source, edit.before, edit.user, edit.index, len(edit.operands), *edit.operands]
    if isinstance(edit, Operand):
        return [_OPERAND, edit.uid, edit.index, 0, 0, 1, edit.value]
    if isinstance(edit, Swap):
        return [_SWAP, edit.first, edit.second]
    return [_CONSTANT, edit.uid, int(edit.everywhere), 0, 0, 1, int(np.float64(edit.value).view(np.int64))]


def kinds_of(edits: Sequence[Edit]) -> str:
    """Return how many edits of each kind there are: ``1 copy, 2 delete``; ``none`` where there are none."""
    counts: dict[str, int] = {}
    for edit in edits:
        name = type(edit).__name__.lower()
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def edits_from_json(text: str | bytes) -> tuple[Edit, ...]:
    """Return edits as ``rows`` writes them.

    Raises:
        UsageError: it holds something else.
    """
    try:
        return canonical(msgspec.json.decode(text, type=tuple[Edit, ...]))
    except msgspec.DecodeError as error:
        raise UsageError(f"not a list of edits: {error}", "copy the column changes of a run's table") from None
