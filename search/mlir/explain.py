"""An edit in words: which operation, from which module and source line, what it was and what it is, which repairs."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from codesign.search.mlir.canonical import described
from codesign.search.mlir.edits import Constant, Copy, Delete, Edit, Operand, Swap, apply, canonical
from codesign.search.mlir.graph import ONE, Graph, Operation, TensorType, pack, unpack
from codesign.search.mlir.repair import repair


class Explanation(msgspec.Struct, frozen=True):
    """One edit of one program."""

    kind: str
    operation: str
    location: str
    before: str
    after: str
    repairs: tuple[str, ...]
    sentence: str

    def row(self) -> dict[str, str]:
        """Return it as texts for a table, the sentence left out."""
        repairs = "; ".join(self.repairs)
        return {"edit": self.kind, "operation": self.operation, "where": self.location, "before": self.before,
                "after": self.after, "repairs": repairs}  # fmt: skip


def explain(graph: Graph, edits: Iterable[Edit]) -> list[Explanation]:
    """Return what each edit of a set does to ``graph``, in canonical order.

    Raises:
        Refused: the edits do not apply to it.
    """
    ordered = canonical(edits)
    apply(graph, ordered)
    return [_Words(graph, ordered).one(edit) for edit in ordered]


class _Words:
    """A program and its copies by uid."""

    def __init__(self, graph: Graph, edits: tuple[Edit, ...]) -> None:
        self.graph = graph
        self.operations = {one.uid: one for one in graph.operations}
        for edit in edits:
            if isinstance(edit, Copy):
                source = self.operations[edit.source]
                self.operations[edit.uid] = msgspec.structs.replace(source, uid=edit.uid, operands=edit.operands)
        self.types = graph.types() | {
            pack(one.uid, index): kind for one in self.operations.values() for index, kind in enumerate(one.results)
        }
        self.copies = {edit.uid: number for number, edit in enumerate((e for e in edits if isinstance(e, Copy)), 1)}

    def one(self, edit: Edit) -> Explanation:
        if isinstance(edit, Delete):
            return self.delete(edit)
        if isinstance(edit, Copy):
            return self.copy(edit)
        if isinstance(edit, Operand):
            return self.operand(edit)
        return self.swap(edit) if isinstance(edit, Swap) else self.constant(edit)

    # --- parts --------------------------------------------------------------------------------------------------

    def called(self, uid: int) -> str:
        one = self.operations[uid]
        return f"copy {self.copies[uid]} of {one.short}" if uid in self.copies else str(one)

    def value(self, value: int) -> str:
        if value < 0:
            return self.graph.name(value)
        uid, result = unpack(value)
        several = f" result {result}" if len(self.operations[uid].results) > 1 else ""
        return f"{self.called(uid)}{several}"

    def typed(self, value: int) -> str:
        return self.value(value) if value == ONE else f"{self.value(value)}: {self.types[value]}"

    def written(self, one: Operation, operands: tuple[int, ...]) -> str:
        inside = ", ".join(map(self.value, operands))
        attributes = "" if len(text := described(one)) > 120 else text
        return f"{one.short}({inside}){' ' + attributes if attributes else ''}"

    def steps(self, value: int, want: TensorType, reader: str) -> tuple[str, ...]:
        """Return the repairs of a value that a reader takes, in words."""
        if value == ONE:
            return ()
        return tuple(f"{self.value(value)} for {reader}: {step}" for step in repair(self.types[value], want))

    def made(
        self, kind: str, one: Operation, before: str, after: str, repairs: tuple[str, ...], what: str
    ) -> Explanation:
        where = f" ({one.location})" if one.location else ""
        mended = f", repaired by {len(repairs)} step{'s' if len(repairs) > 1 else ''}" if repairs else ""
        sentence = what.replace("@", where, 1) + mended
        return Explanation(kind, self.called(one.uid), one.location, before, after, repairs, sentence)

    # --- kinds --------------------------------------------------------------------------------------------------

    def delete(self, edit: Delete) -> Explanation:
        one = self.operations[edit.uid]
        readers = [
            (result, str(other), want)
            for other in self.graph.operations
            for value, want in zip(other.operands, other.wants, strict=True)
            for result in range(len(one.results))
            if value == pack(one.uid, result)
        ]
        readers += [
            (result, "the output", output.type)
            for output in self.graph.outputs
            for result in range(len(one.results))
            if output.value == pack(one.uid, result)
        ]
        repairs = tuple(dict.fromkeys(
            step for result, reader, want in readers for step in self.steps(edit.replacements[result], want, reader)
        ))  # fmt: skip
        used = sorted({result for result, _, _ in readers})
        after = ", ".join(self.typed(edit.replacements[result]) for result in used) or "nothing"
        before = f"{self.written(one, one.operands)}: {', '.join(map(str, one.results))}"
        what = f"delete {self.called(one.uid)}@; its readers take {after} instead"
        return self.made("delete", one, before, after, repairs, what)

    def copy(self, edit: Copy) -> Explanation:
        source, user = self.operations[edit.source], self.operations[edit.user]
        copy = self.operations[edit.uid]
        repairs = tuple(
            step
            for value, want in zip(edit.operands, source.wants, strict=True)
            for step in self.steps(value, want, self.called(edit.uid))
        )
        repairs += self.steps(pack(edit.uid, 0), user.wants[edit.index], self.called(edit.user))
        before = self.value(user.operands[edit.index])
        after = self.written(copy, edit.operands)
        what = f"run {source}@ once more on {', '.join(map(self.value, edit.operands)) or 'nothing'}; "
        what += f"operand {edit.index} of {self.called(edit.user)} takes it instead of {before}"
        return self.made("copy", source, before, after, repairs, what)

    def operand(self, edit: Operand) -> Explanation:
        one = self.operations[edit.uid]
        before, after = self.typed(one.operands[edit.index]), self.typed(edit.value)
        repairs = self.steps(edit.value, one.wants[edit.index], self.called(one.uid))
        what = f"operand {edit.index} of {self.called(one.uid)}@ becomes {after} instead of {before}"
        return self.made("operand", one, before, after, repairs, what)

    def swap(self, edit: Swap) -> Explanation:
        first, second = self.operations[edit.first], self.operations[edit.second]
        repairs = tuple(
            step
            for one, other in ((first, second), (second, first))
            for value, want in zip(one.operands, other.wants, strict=True)
            for step in self.steps(value, want, str(other))
        )
        before = f"{self.written(first, first.operands)} and {self.written(second, second.operands)}"
        after = f"{self.written(second, first.operands)} and {self.written(first, second.operands)}"
        return self.made("swap", first, before, after, repairs, f"{first}@ and {second} change places")

    def constant(self, edit: Constant) -> Explanation:
        one = self.operations[edit.uid]
        assert one.constant is not None
        before, after = f"{one.constant:g}", f"{edit.value:g}"
        where = ", and every other one of that value," if edit.everywhere else ""
        what = f"the constant of {one}@{where} becomes {after} instead of {before}"
        return self.made("constant", one, before, after, (), what)
