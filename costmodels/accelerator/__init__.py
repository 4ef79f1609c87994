"""Spatial accelerators: a loop-nest cost model, and closed forms of systolic arrays and cascades."""

from __future__ import annotations

from codesign.costmodels.accelerator.costs import Costs
from codesign.costmodels.accelerator.counts import evaluate
from codesign.costmodels.accelerator.mapping import Mappings, Slots, make_slots, one_mapping, stack
from codesign.costmodels.accelerator.problem import Problem, conv2d, from_einsum, gemm
from codesign.costmodels.accelerator.problem_text import parse_problem

__all__ = [
    "Costs",
    "Mappings",
    "Problem",
    "Slots",
    "conv2d",
    "evaluate",
    "from_einsum",
    "gemm",
    "make_slots",
    "one_mapping",
    "parse_problem",
    "stack",
]
