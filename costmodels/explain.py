"""Why an estimate is what it is: what binds each group, what comes next, and what moves each number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.deployment import Priced
from codesign.costmodels.design import price_design
from codesign.costmodels.estimate import Estimate
from codesign.costmodels.factors import LABELS, F
from codesign.costmodels.impact import Site, grid_notes
from codesign.costmodels.latency import GroupCost, PhaseCost
from codesign.costmodels.structure import Load, Structure
from codesign.errors import CodesignError
from codesign.models import Model
from codesign.targets import Target


class GroupRow(msgspec.Struct, frozen=True):
    """One operator group of one phase: its time, what binds it, and how far the next bottleneck is."""

    phase: str
    group: str
    family: str
    repeat: float
    seconds: float
    share: float
    flops: float
    bytes: float
    binding: str
    next_bottleneck: str
    distance: float
    """How many times the binding bound exceeds the next one: what speeding it up can buy at most."""


class Neighbour(msgspec.Struct, frozen=True):
    """A design one step away, and what it would change or which constraint excludes it."""

    change: str
    feasible: bool
    reason: str
    ratios: dict[str, float]
    """New value over this design's value, per metric."""


class Explanation(msgspec.Struct, frozen=True):
    """Everything ``codesign explain`` prints."""

    groups: tuple[GroupRow, ...]
    elasticities: dict[str, dict[str, float]]
    neighbours: tuple[Neighbour, ...]
    memory: dict[str, float]
    capacity: float
    notes: tuple[str, ...] = ()


NOT_EXPLAINED = ("devices", "memory", "tokens_per_user", "tokens_per_device", "request_latency")
"""Metrics without uncertainty, or that repeat another one."""


def group_rows(cost: PhaseCost, point: int = 0) -> list[GroupRow]:
    """Return the groups of a phase, the slowest first; swept groups are shown at their mean over the steps."""
    rows = [_row(cost.name, group, point) for group in cost.groups]
    whole = sum(row.seconds for row in rows) or 1.0
    rows = [msgspec.structs.replace(row, share=row.seconds / whole) for row in rows]
    return sorted(rows, key=lambda row: -row.seconds)


def _row(phase: str, group: GroupCost, point: int) -> GroupRow:
    arithmetic, memory = _at(group.arithmetic, point), _at(group.memory, point)
    floor, short, long = (_at(group.parts.get(f, 0.0), point) for f in (F.FLOOR, F.LINK, F.LONG_LINK))
    link = short + long
    bounds = {LABELS[F.BANDWIDTH]: memory, LABELS[F.FLOOR]: floor, LABELS[F.LINK]: link}
    rate = next((f for f in (F.ATTENTION, F.MATRIX, F.VECTOR) if f in group.parts), F.MATRIX)
    bounds[LABELS[rate]] = arithmetic
    ranked = sorted(bounds.items(), key=lambda item: -item[1])
    (first, top), (second, below) = ranked[0], ranked[1]
    repeat = _at(group.repeat, point)
    return GroupRow(
        phase, group.name, group.family, repeat, _at(group.seconds, point) * repeat, 0.0,
        _at(group.flops, point) * repeat, _at(group.bytes, point) * repeat, first, second,
        top / below if below > 0 else float("inf"),
    )  # fmt: skip


def _at(value: Any, point: int) -> float:
    """Return one point of a scalar, of (N,) or of (nodes, N) values (mean over nodes)."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 2:
        array = array.mean(axis=0)
    return float(array) if array.ndim == 0 else float(array[min(point, array.shape[0] - 1)])


Exclude = Callable[[Estimate], str]
"""Says which stated limit an estimate's first point violates, or nothing."""


def explain(
    model: Model,
    target: Target,
    structure: Structure,
    load: Load,
    site: Site | None = None,
    exclude: Exclude | None = None,
) -> Explanation:
    """Explain one design (one point); ``exclude`` states limits beyond capacity and placement."""
    priced = price_design(model, target, structure, load, site)
    rows = tuple(row for cost in priced.phases for row in group_rows(cost))
    elasticities = {
        name: priced.estimate.elasticities(name) for name in priced.estimate.columns if name not in NOT_EXPLAINED
    }
    return Explanation(
        rows,
        elasticities,
        tuple(neighbours(model, target, structure, load, site, priced, exclude)),
        {name: float(np.max(size)) for name, size in priced.memory.items()},
        priced.machine.capacity,
        grid_notes(site or Site()),
    )


def neighbours(
    model: Model, target: Target, structure: Structure, load: Load, site: Site | None, here: Priced,
    exclude: Exclude | None = None,
) -> list[Neighbour]:  # fmt: skip
    """Price the designs one doubling or halving away in each degree and in the batch."""
    found = []
    degrees = ("tp", "pp", "ep") if model.experts is not None else ("tp", "pp")
    for name in degrees:
        degree = getattr(structure, name)
        for new in (degree // 2, degree * 2):
            if new >= 1 and new != degree:
                changed = msgspec.structs.replace(structure, **{name: new})
                found.append(_neighbour(f"{name} {degree} -> {new}", model, target, changed, load, site, here, exclude))
    batch = float(np.asarray(load.batch).reshape(-1)[0])
    for new_batch in (batch / 2, batch * 2):
        if new_batch >= 1:
            changed_load = msgspec.structs.replace(load, batch=new_batch)
            label = f"batch {batch:g} -> {new_batch:g}"
            found.append(_neighbour(label, model, target, structure, changed_load, site, here, exclude))
    return found


def _neighbour(
    change: str, model: Model, target: Target, structure: Structure, load: Load, site: Site | None, here: Priced,
    exclude: Exclude | None,
) -> Neighbour:  # fmt: skip
    try:
        there = price_design(model, target, structure, load, site).estimate
    except CodesignError as error:
        return Neighbour(change, False, error.message, {})
    ratios = {
        name: float(there.columns[name].value[0] / here.estimate.columns[name].value[0])
        for name in there.columns
        if name not in ("devices", "request_latency", "tokens_per_user")
    }
    reason = there.reasons[int(there.reason[0])] or (exclude(there) if exclude is not None else "")
    return Neighbour(change, not reason, reason, ratios)
