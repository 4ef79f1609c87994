"""What a mapping search is asked: the spec that ``run.json`` stores, and the names it accepts."""

from __future__ import annotations

from typing import Any

import msgspec

from codesign.costmodels.accelerator import Problem
from codesign.costmodels.accelerator.inputs import read_problem
from codesign.costmodels.impact import Site
from codesign.errors import UsageError
from codesign.search.mapping.written import WrittenProblem, read_written, written_problem


class MappingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping search.

    Attributes:
        problem: What is mapped: a line such as ``gemm:64x64x64``, a file, or (as runs store it) the problem itself.
        target: An accelerator: a name of the catalogue or a file.
        objectives: What to minimise.
        where: Limits.
        tables: ERT and ART files of a Timeloop target.
        unit: Compute unit; the first one where empty.
        bypass: Whether tensors may pass by levels that could keep them.
        uneven: Whether tiles of one level may be cut at different loops.
        ragged: Whether bounds may exceed the extents, with a short last tile.
        latency: How cycles are counted: a mode and flags such as ``systolic,ramp-up``.
        site: Grid and PUE of the objective ``carbon``.
    """

    problem: str | WrittenProblem
    target: str
    objectives: tuple[str, ...] = ("energy", "latency")
    where: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    unit: str = ""
    bypass: bool = True
    uneven: bool = False
    ragged: bool = False
    latency: str = "ideal"
    site: Site = Site()


def problem_of(asked: MappingSpec) -> Problem:
    """Return the problem of a spec.

    Raises:
        UsageError: no such kind of problem, or sizes that cannot be.
        DataError: a file or a stored problem is wrong.
    """
    return read_problem(asked.problem) if isinstance(asked.problem, str) else read_written(asked.problem)


def stored(asked: MappingSpec, problem: Problem) -> dict[str, Any]:
    """Return the spec as JSON types; a problem of a file is stored itself, so that the run outlives the file."""
    spec: dict[str, Any] = msgspec.to_builtins(asked)
    if isinstance(asked.problem, str) and asked.problem.endswith((".yaml", ".yml")):
        spec["problem"] = written_problem(problem)
    return spec


def check_text(asked: MappingSpec) -> None:
    """Refuse a spec without a problem or a target.

    Raises:
        UsageError: naming what is missing.
    """
    if asked.problem == "":
        raise UsageError("no problem given", "for example --problem gemm:1024x1024x1024")
    if not asked.target:
        raise UsageError("no target given", "for example --target tpu-like")
