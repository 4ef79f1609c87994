"""What edits see of a program: operations of a dialect, what they read and what they return, as plain data.

A graph needs neither MLIR nor torch: proposals, repair and replay run in any process at thousands a second, and
nothing that may abort runs there. Operations stand in an order in which every value is computed before it is read.

A value is one number: ``pack(uid, result)`` is a result of an operation, ``-1 - i`` is argument i, and ``ONE`` stands
for a constant of ones of whatever type is wanted.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import msgspec

from codesign.errors import CodesignError

_RESULTS = 1024
"""Most results of an operation that a packed value can name."""
ONE = -(2**40)
"""The value that stands for a constant of ones."""
COPIES = 2**20
"""Smallest uid of a copy; those of the program itself are smaller."""
REPAIRS = 2**40
"""Smallest uid of an operation that a repair made."""

Dialect = Literal["stablehlo", "aten"]
Role = Literal["data", "weight"]


class Refused(CodesignError):
    """A mutant that cannot be: a target that is gone, a value read before it is computed, a program not verified."""


class TensorType(msgspec.Struct, frozen=True):
    """A static tensor; ``element`` as MLIR spells it: f32, f64, i64, i1, ui8, ..."""

    element: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.element}[{', '.join(map(str, self.shape))}]"


class Argument(msgspec.Struct, frozen=True):
    """One input of the program: data that changes from call to call, or a weight."""

    name: str
    type: TensorType
    role: Role


class Operation(msgspec.Struct, frozen=True):
    """One operation.

    ``wants`` are the types it was built for; where an operand has another one, ``apply`` repairs it. ``text`` holds
    what else is needed to write it down: for StableHLO its attributes and regions in the generic form of MLIR, for ATen
    its arguments as JSON. ``constant`` is the number that a constant edit may change, None where there is none.
    ``location`` is the module and source line it comes from, empty where unknown.
    """

    uid: int
    name: str
    operands: tuple[int, ...]
    wants: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    text: str = ""
    constant: float | None = None
    location: str = ""
    repair: bool = False

    @property
    def short(self) -> str:
        """The name without its dialect and without torch's ``default``."""
        return self.name.split(".", 1)[1].removesuffix(".default")

    def __str__(self) -> str:
        return f"{self.short} #{self.uid}"


class Output(msgspec.Struct, frozen=True):
    """One result of the program: a value, and the type it must have."""

    value: int
    type: TensorType
    name: str = ""


class Graph(msgspec.Struct, frozen=True):
    """A whole program."""

    dialect: Dialect
    arguments: tuple[Argument, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Output, ...]

    def types(self) -> dict[int, TensorType]:
        """Return the type of every value."""
        found = {-1 - index: argument.type for index, argument in enumerate(self.arguments)}
        for operation in self.operations:
            for result, one in enumerate(operation.results):
                found[pack(operation.uid, result)] = one
        return found

    def operation(self, uid: int) -> Operation:
        """Return the operation of this uid.

        Raises:
            Refused: there is none.
        """
        for operation in self.operations:
            if operation.uid == uid:
                return operation
        raise Refused(f"operation #{uid} is gone")

    def name(self, value: int) -> str:
        """Return what a value is called in explanations."""
        if value == ONE:
            return "a constant 1"
        if value < 0:
            return self.arguments[-1 - value].name
        uid, result = unpack(value)
        known = next((one for one in self.operations if one.uid == uid), None)
        called = f"#{uid}" if known is None else str(known)
        return called if known is None or len(known.results) == 1 else f"{called} result {result}"

    @property
    def fingerprint(self) -> str:
        """Digest of everything but locations."""
        return hashlib.sha256(msgspec.json.encode(renumbered(self))).hexdigest()[:16]


def pack(uid: int, result: int) -> int:
    """Return the value that is this result of this operation."""
    return uid * _RESULTS + result


def unpack(value: int) -> tuple[int, int]:
    """Return (uid, result) of a value that is no argument."""
    return divmod(value, _RESULTS)


def renumbered(graph: Graph) -> Graph:
    """Return the graph with uids 0, 1, ... in order, no locations, no marks of repair: equal programs are equal."""
    numbers = {operation.uid: index for index, operation in enumerate(graph.operations)}

    def moved(value: int) -> int:
        if value < 0:
            return value
        uid, result = unpack(value)
        return pack(numbers[uid], result)

    operations = tuple(
        Operation(
            index,
            one.name,
            tuple(map(moved, one.operands)),
            one.wants,
            one.results,
            one.text,
            one.constant,
        )
        for index, one in enumerate(graph.operations)
    )
    outputs = tuple(Output(moved(one.value), one.type, one.name) for one in graph.outputs)
    return Graph(graph.dialect, graph.arguments, operations, outputs)
