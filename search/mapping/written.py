"""Problems as plain data, and back: what runs store and fingerprints hash."""

from __future__ import annotations

from typing import Any

import msgspec

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.cascade_problem import CascadeProblem
from codesign.costmodels.accelerator.problem import checked
from codesign.errors import DataError
from codesign.workload import Axis, Role, Tensor


class WrittenTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor: for every axis its (rank, step) terms."""

    name: str
    axes: tuple[tuple[tuple[str, int], ...], ...]
    bits: int
    role: str
    output: bool = False


class WrittenProblem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A problem: ranks with extents, and its tensors, the output last."""

    name: str
    ranks: dict[str, int]
    tensors: tuple[WrittenTensor, ...]
    operation: str = "mac"


class StoredCascade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cascade: its Einsums, and for each of them view -> tensor."""

    name: str
    problems: tuple[WrittenProblem, ...]
    tensors: tuple[dict[str, str], ...]


def written_problem(problem: Problem) -> dict[str, Any]:
    """Return a problem as JSON types."""
    tensors = tuple(
        WrittenTensor(
            one.name, tuple(axis.terms for axis in one.axes), int(one.bits), one.role.value, one is problem.output
        )
        for one in problem.tensors
    )
    written = WrittenProblem(problem.name, dict(problem.ranks), tensors, problem.operation)
    data: dict[str, Any] = msgspec.to_builtins(written)
    return data


def read_written(written: WrittenProblem) -> Problem:
    """Return the problem that ``written_problem`` wrote.

    Raises:
        DataError: not exactly one output, or an unknown role.
        UsageError: ranks or tensors that cannot be.
    """
    outputs = [one for one in written.tensors if one.output]
    if len(outputs) != 1:
        raise DataError(f"problem {written.name}: found {len(outputs)} outputs, expected one")
    roles = {role.value: role for role in Role}
    for one in written.tensors:
        if one.role not in roles:
            raise DataError(f"problem {written.name}: {one.name}: role {one.role!r}", f"one of {', '.join(roles)}")
        if not 1 <= one.bits <= 1024:
            raise DataError(f"problem {written.name}: {one.name}: {one.bits} bits", "expected 1 to 1024")
    made = {
        one.name: Tensor(one.name, tuple(Axis(axis) for axis in one.axes), roles[one.role], one.bits)
        for one in written.tensors
    }
    inputs = tuple(made[one.name] for one in written.tensors if not one.output)
    problem = Problem(
        name=written.name, ranks=written.ranks, inputs=inputs, output=made[outputs[0].name], operation=written.operation
    )
    return checked(problem, f"problem {written.name}")


def stored_cascade(cascade: CascadeProblem) -> dict[str, Any]:
    """Return a cascade as JSON types."""
    return {
        "name": cascade.name,
        "problems": [written_problem(problem) for problem in cascade.problems],
        "tensors": [dict(names) for names in cascade.tensors],
    }


def read_stored(stored: StoredCascade) -> CascadeProblem:
    """Return the cascade that ``stored_cascade`` wrote.

    Raises:
        DataError: as of ``read_written``; views that no tensor is named for.
        UsageError: ranks or tensors that cannot be.
    """
    problems = tuple(read_written(problem) for problem in stored.problems)
    views = [{view.name for view in problem.tensors} for problem in problems]
    if not problems or views != [set(names) for names in stored.tensors]:
        raise DataError(f"cascade {stored.name}: tensors do not name every view of its Einsums", "start a new run")
    return CascadeProblem(stored.name, problems, stored.tensors)
