"""Random edits of a program that apply: targets and values are drawn from the program as edited so far.

Half of the replacements of a deleted operation are its own operands (the program passes by it), the rest any earlier
value of the same element type, in the manner of GEVO-ML. All randomness comes from the generator given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from codesign.search.mlir.edits import KINDS, Constant, Copy, Delete, Edit, Operand, Swap, apply, changeable
from codesign.search.mlir.graph import COPIES, ONE, Graph, Operation, Refused, TensorType, pack

FACTORS = (0.1, 0.5, 0.9, 1.1, 2.0, 10.0, -1.0)
"""What a constant is multiplied by; 0 and 1 are tried as well."""
MOST_VALUES = 16
"""Operations of more operands or results than this are neither copied nor deleted."""
MOST_PAIRS = 2_000
"""Pairs of operations that are tried for what they free together."""
_TRIES = 12


class Proposals:
    """Edits that can be added to a set of edits of one program."""

    def __init__(self, original: Graph, edits: Sequence[Edit], kinds: Sequence[str] = tuple(KINDS)) -> None:
        """Set up for a set of edits that applies to ``original``.

        Raises:
            Refused: it does not.
        """
        self.original, self.edits, self.kinds = original, tuple(edits), tuple(kinds)
        self.graph = apply(original, edits)
        self.types = self.graph.types()
        self.own = [(at, one) for at, one in enumerate(self.graph.operations) if not one.repair]
        changed = {uid for edit in edits for uid in _touched(edit)}
        self.free = [(at, one) for at, one in self.own if one.uid < COPIES and one.uid not in changed]
        self._before: dict[str, tuple[list[int], list[int]]] = {}
        self._roots = self._follow_repairs()

    def _follow_repairs(self) -> dict[int, int]:
        """Return what each repaired value was made of."""
        roots: dict[int, int] = {}
        for one in self.graph.operations:
            if one.repair and one.operands:
                roots[pack(one.uid, 0)] = roots.get(one.operands[0], one.operands[0])
        return roots

    def earlier(self, element: str, place: int) -> list[int]:
        """Return the values of an element type that are there before operation number ``place`` runs."""
        if element not in self._before:
            values = [
                (-1, -1 - i) for i, a in enumerate(self.graph.arguments) if a.type.element == element and a.type.size
            ]
            values += [
                (at, pack(one.uid, result))
                for at, one in self.own
                for result, kind in enumerate(one.results)
                if kind.element == element and kind.size
            ]
            self._before[element] = [at for at, _ in values], [value for _, value in values]
        places, values_only = self._before[element]
        return values_only[: int(np.searchsorted(places, place))]

    def one(self, generator: np.random.Generator) -> Edit | None:
        """Return a random edit that applies together with those that are there, None where none was found."""
        for _ in range(_TRIES):
            kind = self.kinds[int(generator.integers(len(self.kinds)))]
            edit = _DRAWS[kind](self, generator)
            if edit is None or edit in self.edits:
                continue
            try:
                apply(self.original, (*self.edits, edit))
            except Refused:
                continue
            return edit
        return None

    # --- one kind each ------------------------------------------------------------------------------------------

    def _pick(self, generator: np.random.Generator, among: Sequence[tuple[int, Operation]]) -> tuple[int, Operation]:
        return among[int(generator.integers(len(among)))]

    def _value(self, generator: np.random.Generator, want: TensorType, place: int, own: Sequence[int] = ()) -> int:
        """Return a value to read instead: of ``own`` half of the time, a constant 1 where nothing else is there."""
        mine = [value for value in own if self.types[value].element == want.element and self.types[value].size]
        if mine and generator.random() < 0.5:
            return mine[int(generator.integers(len(mine)))]
        values = self.earlier(want.element, place)
        if not values or (not want.shape and generator.random() < 0.1):
            return ONE
        return values[int(generator.integers(len(values)))]

    def delete(self, generator: np.random.Generator) -> Edit | None:
        """Return a deletion, each result replaced by an earlier value."""
        among = [pair for pair in self.free if 1 <= len(pair[1].results) <= MOST_VALUES]
        if not among:
            return None
        at, one = self._pick(generator, among)
        own = [root for value in one.operands if (root := self._roots.get(value, value)) in self.types]
        read = {value for other in self.graph.operations for value in other.operands}
        read |= {output.value for output in self.graph.outputs}
        replacements = tuple(
            self._value(generator, kind, at, own) if pack(one.uid, result) in read else ONE
            for result, kind in enumerate(one.results)
        )
        return Delete(one.uid, replacements)

    def copy(self, generator: np.random.Generator) -> Edit | None:
        """Return a copy on random operands, read by a random later operand, of the same type where there is one."""
        among = [(at, one) for at, one in self.free if len(one.operands) <= MOST_VALUES and one.results[0].size]
        places = [pair for pair in self.own if pair[1].uid < COPIES]
        if not among:
            return None
        _, source = self._pick(generator, among)
        at, before = self._pick(generator, places)
        operands = tuple(self._value(generator, want, at) for want in source.wants)
        readers = [
            (one.uid, index, want)
            for later, one in self.own
            if later >= at
            for index, want in enumerate(one.wants)
            if want.element == source.results[0].element
        ]
        alike = [reader for reader in readers if reader[2] == source.results[0]]
        chosen = alike or readers
        if not chosen:
            return None
        user, index, _ = chosen[int(generator.integers(len(chosen)))]
        return Copy(source.uid, before.uid, operands, user, index)

    def operand(self, generator: np.random.Generator) -> Edit | None:
        """Return an operation that reads another value."""
        among = [pair for pair in self.own if pair[1].operands]
        if not among:
            return None
        at, one = self._pick(generator, among)
        index = int(generator.integers(len(one.operands)))
        value = self._value(generator, one.wants[index], at)
        current = one.operands[index]
        return None if value == self._roots.get(current, current) else Operand(one.uid, index, value)

    def swap(self, generator: np.random.Generator) -> Edit | None:
        """Return two operations that change places: different ones that take equally many operands."""
        among = [pair for pair in self.free if pair[1].operands]
        if len(among) < 2:
            return None
        _, first = self._pick(generator, among)
        alike = [
            one
            for _, one in among
            if len(one.wants) == len(first.wants)
            and [t.element for t in one.wants] == [t.element for t in first.wants]
            and [t.element for t in one.results] == [t.element for t in first.results]
            and (one.name, one.text) != (first.name, first.text)
        ]
        if not alike:
            return None
        second = alike[int(generator.integers(len(alike)))]
        return Swap(min(first.uid, second.uid), max(first.uid, second.uid))

    def constant(self, generator: np.random.Generator) -> Edit | None:
        """Return a constant of another value."""
        among = [pair for pair in self.free if changeable(pair[1])]
        if not among:
            return None
        _, one = self._pick(generator, among)
        assert one.constant is not None
        values = [one.constant * factor for factor in FACTORS] + [0.0, 1.0]
        values = [value for value in values if value != one.constant]
        return Constant(one.uid, values[int(generator.integers(len(values)))], bool(generator.integers(2)))


_DRAWS: dict[str, Callable[[Proposals, np.random.Generator], Edit | None]] = {
    "delete": Proposals.delete,
    "copy": Proposals.copy,
    "operand": Proposals.operand,
    "swap": Proposals.swap,
    "constant": Proposals.constant,
}


def _touched(edit: Edit) -> tuple[int, ...]:
    """Return the operations that an edit changes."""
    if isinstance(edit, Swap):
        return edit.first, edit.second
    if isinstance(edit, Copy):
        return (edit.user,)
    return (edit.uid,)


def neutral_deletions(graph: Graph) -> list[Delete]:
    """Return for every operation the deletions that pass by it: its result replaced by one of its operands."""
    types = graph.types()
    return [
        Delete(one.uid, (value,))
        for one in graph.operations
        if len(one.results) == 1
        for value in dict.fromkeys(one.operands)
        if types[value].element == one.results[0].element and types[value].size and one.results[0].size
    ]


def freeing_pairs(graph: Graph, most: int = MOST_PAIRS) -> list[tuple[Delete, Delete]]:
    """Return pairs of operations to pass by that together free more of the program than each of them does.

    What is added here and taken off there, or scaled and scaled back, serves nothing, but half of it gone is wrong: no
    single edit finds it. Passing by both leaves values without readers that either reads alone.

    Args:
        graph: The program.
        most: Pairs that are tried, those that stand closest first.
    """
    types = graph.types()
    result = {one.uid: one.results[0] for one in graph.operations if one.results}
    ways = [one for one in neutral_deletions(graph) if types[one.replacements[0]] == result[one.uid]]
    freed = [_freed(graph, (one,)) for one in ways]
    near = ((at, at + gap) for gap in range(1, len(ways)) for at in range(len(ways) - gap))
    apart = ((a, b) for a, b in near if ways[a].uid != ways[b].uid)
    return [
        (ways[a], ways[b]) for a, b in islice(apart, most)
        if _freed(graph, (ways[a], ways[b])) > freed[a] + freed[b]
    ]  # fmt: skip


def _freed(graph: Graph, edits: Sequence[Edit]) -> int:
    """Return how many operations fewer a program has with ``edits``; 0 where they do not apply."""
    try:
        return len(graph.operations) - len(apply(graph, edits).operations)
    except Refused:
        return 0
