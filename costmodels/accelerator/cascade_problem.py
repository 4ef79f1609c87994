"""A cascade of Einsums as problems to be mapped: one for each Einsum, with what they pass to each other.

Names of views are unique within an Einsum: a tensor that is read twice, or read and written (a recurrence reads its
earlier generation), gets a number behind its name. ``tensors`` says which tensor a view is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import msgspec

from codesign.costmodels.accelerator.cascade import Cascade
from codesign.costmodels.accelerator.problem import Problem, from_einsum, relevant
from codesign.errors import UsageError
from codesign.workload import Einsum, Tensor


class Use(NamedTuple):
    """An Einsum reads what another one makes (a recurrence: the same, or a later one, an iteration before).

    Attributes:
        tensor: Name.
        producer: Index of the Einsum that makes it.
        consumer: Index of the Einsum that reads it.
        view: Name of the view in the consumer's problem.
    """

    tensor: str
    producer: int
    consumer: int
    view: str


class CascadeProblem(msgspec.Struct, frozen=True, eq=False, dict=True):
    """Einsums to be mapped together, in an order that makes each tensor before it is used.

    Attributes:
        name: For people.
        problems: One for each Einsum.
        tensors: For each problem view -> tensor.
    """

    name: str
    problems: tuple[Problem, ...]
    tensors: tuple[Mapping[str, str], ...]

    @cached_property
    def producers(self) -> dict[str, int]:
        """Tensor -> index of the Einsum that makes it."""
        return {names[one.output.name]: at for at, (one, names) in enumerate(zip(self.problems, self.tensors))}

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """Every reading of a tensor that the cascade makes."""
        return tuple(
            Use(self.tensors[at][view.name], self.producers[self.tensors[at][view.name]], at, view.name)
            for at, problem in enumerate(self.problems)
            for view in problem.inputs
            if self.tensors[at][view.name] in self.producers
        )

    @property
    def operations(self) -> int:
        """Operations of all Einsums."""
        return sum(problem.operations for problem in self.problems)

    @cached_property
    def external(self) -> dict[str, float]:
        """Tensor -> bits, of those that come from outside and those that nothing in the cascade reads.

        No mapping moves less over the outermost level. The last generation of a recurrence that the cascade reads is
        none of them.
        """
        read = {use.tensor for use in self.uses}
        found: dict[str, float] = {}
        for problem, names in zip(self.problems, self.tensors, strict=True):
            for view in problem.tensors:
                tensor = names[view.name]
                made = tensor in self.producers
                if made if view is not problem.output else tensor in read:
                    continue
                found[tensor] = max(found.get(tensor, 0.0), problem.words(view) * float(view.bits))
        return found

    def written(self, tensor: str) -> Tensor:
        """Return the view of the Einsum that makes ``tensor``."""
        return self.problems[self.producers[tensor]].output

    def index(self, einsum: str) -> int:
        """Return the index of an Einsum.

        Raises:
            UsageError: there is none.
        """
        names = [problem.name for problem in self.problems]
        if einsum not in names:
            raise UsageError(f"{self.name}: no Einsum {einsum!r}", f"it has {', '.join(names)}")
        return names.index(einsum)


def from_cascade(cascade: Cascade, operations: Mapping[str, str] | None = None) -> CascadeProblem:
    """Return a cascade as problems.

    Args:
        cascade: The Einsums; extents are integers.
        operations: Einsum -> operation of a compute unit; multiply-adds (``mac``) or additions where left out.

    Raises:
        UsageError: an extent that is no integer, or an operation of no Einsum.
    """
    given = operations or {}
    if unknown := set(given) - {one.name for one in cascade.einsums}:
        raise UsageError(f"cascade {cascade.name}: operation of {min(unknown)!r}, which is no Einsum of it")
    problems, tensors = [], []
    for einsum in cascade.einsums:
        renamed, names = _unique(einsum)
        problem = from_einsum(renamed)
        operation = given.get(einsum.name, problem.operation)
        problems.append(msgspec.structs.replace(problem, operation=operation))
        tensors.append(names)
    return CascadeProblem(cascade.name, tuple(problems), tuple(tensors))


def _unique(einsum: Einsum) -> tuple[Einsum, dict[str, str]]:
    """Return an Einsum whose views have names of their own, and view -> tensor."""
    names: dict[str, str] = {einsum.output.name: einsum.output.name}
    views = []
    for view in einsum.inputs:
        name, number = view.name, 1
        while name in names:
            number += 1
            name = f"{view.name}{number}"
        names[name] = view.name
        views.append(msgspec.structs.replace(view, name=name))
    return msgspec.structs.replace(einsum, inputs=tuple(views)), names


def plain_ranks(tensor: Tensor) -> frozenset[str]:
    """Return the ranks that stand alone in one axis of ``tensor``: over those it can be passed on tile by tile."""
    return frozenset(
        rank
        for rank in relevant(tensor)
        if sum(any(rank == one for one, _ in axis.terms) for axis in tensor.axes) == 1
        and any(axis.terms == ((rank, 1),) for axis in tensor.axes)
    )


def tile_words(tensor: Tensor, sizes: Mapping[str, Any]) -> Any:
    """Return the elements of the bounding box of a tensor over ``sizes`` of every rank."""
    return prod(1 + sum(step * (sizes[rank] - 1) for rank, step in axis.terms) for axis in tensor.axes)
