"""The registry of problems: names to thunks, nothing is imported until chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from codesign.errors import UsageError, nearest
from codesign.search.problem import Problem

PROBLEMS: dict[str, Callable[[], type[Problem]]] = {
    "deployment": lambda: _load("deployment", "Deployment"),
    "mapping": lambda: _load("mapping.problem", "MappingProblem"),
    "model-mapping": lambda: _load("mapping.network", "ModelMapping"),
    "cascade-mapping": lambda: _load("mapping.cascade_mapping", "CascadeMapping"),
    "accelerator": lambda: _load("accelerator.problem", "AcceleratorProblem"),
    "mlir": lambda: _load("mlir.problem", "ProgramSearch"),
    "quantization": lambda: _load("quantization.problem", "QuantizationProblem"),
    "demand-response": lambda: _load("demand_response.problem", "DemandResponse"),
}


def _load(module: str, name: str) -> type[Problem]:
    kind: type[Problem] = getattr(import_module(f"codesign.search.{module}"), name)
    return kind


def make_problem(name: str, spec: Mapping[str, Any]) -> Problem:
    """Return the problem ``name`` of ``spec``.

    Raises:
        UsageError: no such problem.
    """
    if name not in PROBLEMS:
        raise UsageError(f"unknown problem {name!r}", nearest(name, PROBLEMS))
    return PROBLEMS[name]().from_spec(spec)
