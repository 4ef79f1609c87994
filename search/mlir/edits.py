"""Edits of a program in the manner of GEVO-ML, and how a set of them is applied to the original program [1]_.

An edit list is a *set*: edits name the operations and values of the original program, or of a copy by the uid that the
copy derives from its own content, so that they apply in any order to the same program, or are refused with a reason.
Where a value has another shape than its new reader wants, ``repair`` makes it fit.

References:
    [1] Liou et al., "GEVO-ML: Optimizing Machine Learning Code with Evolutionary Computation", arXiv 2310.10211.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from codesign.search.mlir.dialects import constant, repair_operations, rounded
from codesign.search.mlir.graph import (
    COPIES,
    ONE,
    REPAIRS,
    Graph,
    Operation,
    Output,
    Refused,
    TensorType,
    pack,
    unpack,
)
from codesign.search.mlir.repair import repair


class Delete(msgspec.Struct, frozen=True, tag="delete", order=True):
    """Remove an operation; whoever read its i-th result reads ``replacements[i]``."""

    uid: int
    replacements: tuple[int, ...]


class Copy(msgspec.Struct, frozen=True, tag="copy", order=True):
    """Run ``source`` once more before operation ``before``, on ``operands``; operand ``index`` of ``user`` reads it."""

    source: int
    before: int
    operands: tuple[int, ...]
    user: int
    index: int

    @property
    def uid(self) -> int:
        """The copy's own uid: a digest of the edit, so that equal edits make equal copies."""
        text = f"{self.source} {self.before} {self.operands} {self.user} {self.index}"
        digest = hashlib.blake2b(text.encode(), digest_size=5).digest()
        return COPIES + int.from_bytes(digest) % (REPAIRS - COPIES)


class Operand(msgspec.Struct, frozen=True, tag="operand", order=True):
    """Operand ``index`` of an operation reads another value."""

    uid: int
    index: int
    value: int


class Swap(msgspec.Struct, frozen=True, tag="swap", order=True):
    """Two operations change places: each does its own work on the operands of the other."""

    first: int
    second: int


class Constant(msgspec.Struct, frozen=True, tag="constant", order=True):
    """A constant takes another value; ``everywhere`` changes every operation of its name that holds the same number.

    A learning rate stands in the update of every weight: it is one number to whoever wrote it.
    """

    uid: int
    value: float
    everywhere: bool = False


Edit = Copy | Swap | Constant | Operand | Delete
KINDS: dict[str, type] = {"delete": Delete, "copy": Copy, "operand": Operand, "swap": Swap, "constant": Constant}
_ORDER = {Copy: 0, Swap: 1, Constant: 2, Operand: 3, Delete: 4}
"""Copies exist before others name them; deletions come last, and redirect whatever was wired before."""


def canonical(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return edits in the one order that stands for their set, each once."""
    by_kind: dict[type, set[Edit]] = {}
    for edit in edits:
        by_kind.setdefault(type(edit), set()).add(edit)
    return tuple(edit for kind in _ORDER for edit in sorted(by_kind.get(kind, ())))


def apply(graph: Graph, edits: Iterable[Edit]) -> Graph:
    """Return the program that a set of edits makes of ``graph``; what is then computed for nothing is left out.

    Raises:
        Refused: a target is gone, two edits contradict each other, a value would be read before it is computed, or
            its elements are of another type.
    """
    ordered = canonical(edits)
    state = _Wiring(graph)
    for edit in ordered:  # every copy is in place before anything reads one
        if isinstance(edit, Copy):
            state.copy(edit)
    for edit in ordered:
        _STEPS[type(edit)](state, edit)
    return state.finish()


class _Slot:
    """A place in the program: what is done there, and what it reads."""

    __slots__ = ("changed", "doing", "operands", "place")

    def __init__(self, doing: Operation, place: tuple[int, int]) -> None:
        self.doing, self.operands, self.place = doing, doing.operands, place
        self.changed: set[object] = set()  # what edits have changed: operand indices, "swap", "constant"


class _Wiring:
    """A program while edits change it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.slots = {one.uid: _Slot(one, (index, COPIES)) for index, one in enumerate(graph.operations)}
        self.gone: dict[int, tuple[int, ...]] = {}
        self.copied = False

    def slot(self, uid: int, what: str) -> _Slot:
        if uid not in self.slots:
            raise Refused(f"{what}: operation #{uid} is gone")
        return self.slots[uid]

    def claim(self, slot: _Slot, part: object, what: str) -> None:
        if part in slot.changed:
            raise Refused(f"{what}: another edit changes the same of {slot.doing}")
        slot.changed.add(part)

    def copy(self, edit: Copy) -> None:
        what = f"copy of #{edit.source}"
        source, before = self.slot(edit.source, what).doing, self.slot(edit.before, what)
        if edit.uid in self.slots or source.uid >= COPIES:
            raise Refused(f"{what}: its uid is taken" if edit.uid in self.slots else f"{what}: that is a copy itself")
        if len(edit.operands) != len(source.wants):
            raise Refused(f"{what}: {len(edit.operands)} operands for {source}, which takes {len(source.wants)}")
        doing = msgspec.structs.replace(source, uid=edit.uid, operands=edit.operands)
        # copies before the same operation stand in the order of their uids; its own place is the last
        self.slots[edit.uid] = _Slot(doing, (before.place[0], edit.uid - REPAIRS))
        self.copied = True

    def swap(self, edit: Swap) -> None:
        what = f"swap of #{edit.first} and #{edit.second}"
        first, second = self.slot(edit.first, what), self.slot(edit.second, what)
        a, b = first.doing, second.doing
        if len(a.wants) != len(b.wants) or [t.element for t in a.results] != [t.element for t in b.results]:
            raise Refused(f"{what}: {a} and {b} take or return different things")
        for slot, other in ((first, b), (second, a)):
            self.claim(slot, "swap", what)
            slot.doing = msgspec.structs.replace(other, uid=slot.doing.uid)

    def constant(self, edit: Constant) -> None:
        what = f"constant of #{edit.uid}"
        slot = self.slot(edit.uid, what)
        if not changeable(slot.doing):
            raise Refused(f"{what}: {slot.doing} has no constant that may change")
        changed = [slot]
        if edit.everywhere:
            name, number = slot.doing.name, slot.doing.constant
            alike = (one for one in self.slots.values() if one.doing.name == name and one.doing.constant == number)
            changed = [one for one in alike if changeable(one.doing)]
        for one in changed:
            self.claim(one, "constant", what)
            value = rounded(edit.value, number_type(one.doing))
            one.doing = msgspec.structs.replace(one.doing, constant=value)

    def wire_copy(self, edit: Copy) -> None:
        self._wire(edit.user, edit.index, pack(edit.uid, 0), f"copy of #{edit.source}")

    def operand(self, edit: Operand) -> None:
        self._wire(edit.uid, edit.index, edit.value, f"operand {edit.index} of #{edit.uid}")

    def _wire(self, uid: int, index: int, value: int, what: str) -> None:
        slot = self.slot(uid, what)
        if not 0 <= index < len(slot.operands):
            raise Refused(f"{what}: {slot.doing} has {len(slot.operands)} operands")
        self.claim(slot, index, what)
        slot.operands = (*slot.operands[:index], value, *slot.operands[index + 1 :])

    def delete(self, edit: Delete) -> None:
        what = f"deletion of #{edit.uid}"
        slot = self.slot(edit.uid, what)
        if edit.uid in self.gone:
            raise Refused(f"{what}: another edit deletes it")
        if slot.changed:
            raise Refused(f"{what}: another edit changes {slot.doing}")
        if len(edit.replacements) != len(slot.doing.results):
            raise Refused(f"{what}: {len(edit.replacements)} replacements for {len(slot.doing.results)} results")
        for value in edit.replacements:
            if value >= 0 and self.slot(unpack(value)[0], what).place >= slot.place:
                raise Refused(f"{what}: {self.slots[unpack(value)[0]].doing} is computed later")
        self.gone[edit.uid] = edit.replacements

    # --- the program that results -------------------------------------------------------------------------------

    def resolve(self, value: int) -> int:
        """Return the value itself, or what stands for it where its operation was deleted."""
        while value >= 0:
            uid, result = unpack(value)
            if uid not in self.gone:
                return value
            value = self.gone[uid][result]
        return value

    def finish(self) -> Graph:
        order = [slot for uid, slot in self.slots.items() if uid not in self.gone]
        if self.copied:
            order.sort(key=lambda slot: slot.place)
        outputs = [self.resolve(one.value) for one in self.graph.outputs]
        order, operands = self._live(order, outputs)
        made = _Legal(self.graph)
        for slot in order:
            doing = slot.doing
            fitting = tuple(
                made.fit(value, want, doing) for value, want in zip(operands[doing.uid], doing.wants, strict=True)
            )
            made.add(doing if fitting == doing.operands else msgspec.structs.replace(doing, operands=fitting))
        ends = tuple(
            Output(made.fit(value, one.type, None), one.type, one.name)
            for value, one in zip(outputs, self.graph.outputs, strict=True)
        )
        return Graph(self.graph.dialect, self.graph.arguments, tuple(made.operations), ends)

    def _live(self, order: list[_Slot], outputs: list[int]) -> tuple[list[_Slot], dict[int, tuple[int, ...]]]:
        """Return the slots whose results are read, in order, and what each of them reads."""
        needed = {unpack(value)[0] for value in outputs if value >= 0}
        operands: dict[int, tuple[int, ...]] = {}
        kept: list[_Slot] = []
        for slot in reversed(order):
            uid = slot.doing.uid
            if uid in needed:
                operands[uid] = tuple(map(self.resolve, slot.operands)) if self.gone else slot.operands
                needed.update(unpack(value)[0] for value in operands[uid] if value >= 0)
                kept.append(slot)
        return kept[::-1], operands


class _Legal:
    """Operations in order, with those that repairs need in between; a value is repaired once for each type."""

    def __init__(self, graph: Graph) -> None:
        self.dialect, self.arguments = graph.dialect, graph.arguments
        self.types = {-1 - index: argument.type for index, argument in enumerate(graph.arguments)}
        self.operations: list[Operation] = []
        self._known: dict[tuple[int, TensorType], int] = {}
        self._repairs = REPAIRS

    def add(self, operation: Operation) -> None:
        self.operations.append(operation)
        for result, one in enumerate(operation.results):
            self.types[pack(operation.uid, result)] = one

    def fit(self, value: int, wanted: TensorType, reader: Operation | None) -> int:
        """Return ``value`` as type ``wanted``, repaired where it has another."""
        found = self.types.get(value)
        if found == wanted:
            return value
        if (value, wanted) in self._known:
            return self._known[value, wanted]
        if value == ONE:
            made = [constant(self.dialect, self._repairs, 1.0, wanted, repair=True)]
        elif found is None:
            place = "the program's result" if reader is None else str(reader)
            raise Refused(f"{place} would read a value before it is computed")
        else:
            made = repair_operations(self.dialect, repair(found, wanted), value, found, self._repairs)
        for operation in made:
            self.add(operation)
        self._repairs += len(made)
        self._known[value, wanted] = fitted = pack(made[-1].uid, 0)
        return fitted


_STEPS: dict[type, Callable[[_Wiring, Any], None]] = {
    Copy: _Wiring.wire_copy,
    Swap: _Wiring.swap,
    Constant: _Wiring.constant,
    Operand: _Wiring.operand,
    Delete: _Wiring.delete,
}


def number_type(operation: Operation) -> str:
    """Return the element type that the constant of an operation is held in; scalars of ATen are f64."""
    return operation.results[0].element if operation.name == "stablehlo.constant" else "f64"


def changeable(operation: Operation) -> bool:
    """Return whether a constant edit may change an operation: it holds a floating-point number."""
    if operation.constant is None or operation.repair:
        return False
    return any(one.element.startswith(("f", "bf")) for one in operation.results)
