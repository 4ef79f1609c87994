"""The layers of all models of a search: equal shapes once, with how often each model runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from codesign.costmodels.accelerator import Problem
from codesign.errors import UsageError
from codesign.models import load_model
from codesign.quantity import Array
from codesign.search.mapping.layers import problems_of, signature


class Layers(NamedTuple):
    """The distinct layers of M models.

    Attributes:
        models: Their names.
        problems: The L distinct layers.
        names: Of each, what the models call it.
        counts: (M, L) how often one inference of a model runs a layer.
        left_out: (M,) operators of each model that are not mapped.
    """

    models: tuple[str, ...]
    problems: tuple[Problem, ...]
    names: tuple[tuple[str, ...], ...]
    counts: Array
    left_out: tuple[int, ...]

    @property
    def operations(self) -> Array:
        """Return (L,) multiply-adds of one run of each layer."""
        return np.array([float(problem.operations) for problem in self.problems])


def layers_of(models: Sequence[str], bits: int) -> Layers:
    """Return the layers of models that compute with operands of ``bits`` and sums of twice as many.

    Raises:
        UsageError: no model, an unknown one, or one without a layer that can be mapped.
    """
    if not models:
        raise UsageError("no model given", "for example resnet-18,bert-base")
    problems: dict[bytes, Problem] = {}
    names: dict[bytes, list[str]] = {}
    rows: list[dict[bytes, float]] = []
    left_out = []
    for model in models:
        found, skipped = problems_of(load_model(model).workload(), (bits, bits, 2 * bits))
        if not found:
            raise UsageError(f"{model}: no layer is a multiply-add on integer extents", "choose another model")
        row: dict[bytes, float] = {}
        for problem, count in found:
            key = signature(problem)
            problems.setdefault(key, problem)
            names.setdefault(key, []).append(f"{model}: {problem.name}")
            row[key] = row.get(key, 0.0) + count
        rows.append(row)
        left_out.append(sum(skipped.values()))
    counts = np.array([[row.get(key, 0.0) for key in problems] for row in rows])
    return Layers(
        tuple(models), tuple(problems.values()), tuple(tuple(names[key]) for key in problems), counts, tuple(left_out)
    )
