"""Problems as plain data, and back: what files of a run state and fingerprints hash."""

from __future__ import annotations

from typing import Any

from codesign.costmodels.accelerator import Problem


def written_problem(problem: Problem) -> dict[str, Any]:
    """Return a problem as JSON types."""
    return {
        "name": problem.name,
        "operation": problem.operation,
        "ranks": dict(problem.ranks),
        "tensors": [
            {"name": one.name, "bits": int(one.bits), "role": one.role.value, "output": one is problem.output,
             "axes": [[list(term) for term in axis.terms] for axis in one.axes]}
            for one in problem.tensors
        ],
    }  # fmt: skip
