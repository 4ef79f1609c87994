"""What prompts and decodes save by sharing an iteration: weights are read once, kernels are launched once.

Run apart, a kernel of the decodes takes ``floor + max(A_d, M_d)`` and the same kernel of one prompt ``floor +
max(A_p, M_p)``, with A the arithmetic and M the memory bound. Run on the rows of the decodes and of ``k`` prompts it
takes about ``floor + max(A_d + k A_p, M_d, M_p)``: rows add arithmetic, the weights move once. The difference is what
one iteration saves (Sarathi-Serve, arXiv 2403.02310, section 4). Kernels without weights move rows, which add up: they
save floors. Attention runs per request and messages grow with the rows: neither saves.

Units: seconds. Arrays broadcast over design points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from codesign.costmodels.factors import F
from codesign.costmodels.latency import GroupCost, PhaseCost
from codesign.quantity import Array

WEIGHTED = ("gemm", "moe", "conv")
"""Families of kernels that read weights."""


def saved_shares(decode: PhaseCost, prefill: PhaseCost, prompts: Array) -> tuple[Array, Array]:
    """Return what ``prompts`` prefills beside a decode step save, shape (N,).

    First the share of the step that they make free, in [0, 1]; then how many prefills they save among themselves, in
    [0, prompts).
    """
    others = dict(_keyed(prefill))
    step, whole, beside, among = (np.zeros(1) for _ in range(4))
    for group in prefill.groups:
        whole = whole + _mean(group.seconds) * group.repeat
    for key, group in _keyed(decode):
        step = step + _mean(group.seconds) * group.repeat
        if key in others and not group.family.startswith("attention") and group.family != "collective":
            with_step, with_each_other = saved_seconds(group, others[key], prompts)
            beside = beside + with_step * group.repeat
            among = among + with_each_other * group.repeat
    return np.clip(beside / step, 0.0, 1.0), np.clip(among / whole, 0.0, prompts - 1.0)


def saved_seconds(decode: GroupCost, prefill: GroupCost, prompts: Array) -> tuple[Any, Any]:
    """Return the seconds that a kernel saves: decodes with the prompts, and the prompts with each other."""
    seconds, floor, work, moved = _bounds(decode)
    seconds_each, floor_each, work_each, moved_each = _bounds(prefill)
    merged = floor_each + np.maximum(work_each * prompts, moved_each)
    among = np.maximum(seconds_each * prompts - merged, 0.0)
    rows = np.maximum(work + work_each * prompts, np.maximum(moved, moved_each))
    together = np.maximum(floor, floor_each) + rows
    return np.clip(seconds + merged - together, 0.0, np.minimum(seconds, merged)), among


def _bounds(group: GroupCost) -> tuple[Any, Any, Any, Any]:
    """Return the seconds of a kernel, its floor, what its rows add, and what it moves once whatever its rows.

    The two bounds are scaled so that the longer of them and the floor make up the kernel's seconds.
    """
    seconds, floor = _mean(group.seconds), _mean(group.parts.get(F.FLOOR, 0.0))
    work, moved = _mean(group.arithmetic), _mean(group.memory)
    longer = np.maximum(work, moved)
    scale = (seconds - floor) / np.where(longer > 0.0, longer, 1.0)
    rows, once = (work * scale, moved * scale) if group.family in WEIGHTED else (seconds - floor, 0.0)
    return seconds, floor, rows, once


def _keyed(cost: PhaseCost) -> Iterator[tuple[tuple[str, int], GroupCost]]:
    """Yield the groups under their name and the how-manieth of that name they are: blocks repeat names."""
    seen: Counter[str] = Counter()
    for group in cost.groups:
        yield (group.name, seen[group.name]), group
        seen[group.name] += 1


def _mean(value: Any) -> Any:
    """Return (N,) or scalar values: the mean over the steps of a swept kernel."""
    array = np.asarray(value, dtype=np.float64)
    return array.mean(axis=0) if array.ndim == 2 else array
