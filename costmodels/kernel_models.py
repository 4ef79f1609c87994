"""Kernels of a phase by the fitted models of operators: what like operators take, and how sure that is.

A group of a workload that is like a measured operator takes what the operator's model says, scaled by how much more
work the group does (or less: a technique may have made its tensors smaller) by the roofline. A group that is like none,
or runs on a target that the models cannot describe, keeps the closed forms of ``latency``. Vector operators keep them
too, unless the target was calibrated: their public measurements hold the harness they were taken in.

Weights and caches always come from memory: the models were fitted on kernels that ran again and again, whose small
operands stayed in the cache, so what a group must read from memory bounds it from below.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.machine import Machine
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Device, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.fit import predict_quickly
from codesign.costmodels.operators.lookup import Served, served_by, shipped_model
from codesign.costmodels.operators.shapes import Shape
from codesign.costmodels.operators.tables import Rows
from codesign.costmodels.work import GroupWork
from codesign.errors import UsageError
from codesign.quantity import Array, Method


class KernelTime(msgspec.Struct, frozen=True, eq=False):
    """What a group takes by the models of operators; everything broadcasts over points.

    Attributes:
        seconds: Of one launch.
        floor: Part of it that does not depend on the shape, s.
        own: Standard deviation of the shape's own error of ln(seconds).
    """

    seconds: Any
    floor: Any
    own: float


class _Asked(NamedTuple):
    """One operator of a group: distinct sizes, and which of them each point has."""

    group: int
    sizes: dict[str, Array]
    place: Any


def kernel_times(works: Sequence[GroupWork], machine: Machine) -> list[KernelTime | None]:
    """Return what each of ``works`` takes on ``machine``; None where closed forms have to do."""
    device = _device(machine)
    found: list[KernelTime | None] = [None] * len(works)
    if device is None:
        return found
    asked: dict[tuple[str, str], list[_Asked]] = {}
    for number, work in enumerate(works):
        if all(served(machine, shape.family, shape.form.name) is not None for shape in work.shapes):
            for shape in work.shapes:
                asked.setdefault((shape.family, shape.form.name), []).append(_distinct(number, shape))
    parts: dict[int, list[tuple[Array, Array, float, float]]] = {}
    for (family, form), operators in asked.items():
        use = served(machine, family, form)
        assert use is not None
        for number, seconds, bound in _predicted(use, family, operators, works, device):
            parts.setdefault(number, []).append(
                (seconds, bound, _floor(use, form), float(np.hypot(use.own, use.model.distilled)))
            )
    for number, operators_of_group in parts.items():
        found[number] = _scaled(works[number], operators_of_group, machine, device)
    return found


@lru_cache(maxsize=512)
def _device(machine: Machine) -> Device | None:
    try:
        return device_of(machine.target)
    except UsageError:
        return None


@lru_cache(maxsize=4096)
def served(machine: Machine, family: str, form: str) -> Served | None:
    """Return the model of operators of ``family`` in ``form`` on ``machine``; None where closed forms do as well."""
    found = served_by(shipped_model(trees=False), family, form, machine.target)
    measured_here = found.method is Method.CALIBRATED
    if found.method is Method.ANALYTICAL or (family == "vector" and not measured_here):
        return None
    return found


def _distinct(group: int, shape: Shape) -> _Asked:
    """Return the distinct sizes of a shape over the points: few batches make few shapes of many designs."""
    sizes = {name: np.asarray(size, np.float64) for name, size in shape.sizes.items()}
    whole = np.broadcast_shapes(*(size.shape for size in sizes.values()))
    place: Any = np.zeros(whole, np.int64)
    for size in sizes.values():
        if size.size > 1:
            values, code = np.unique(size, return_inverse=True)
            place = place * len(values) + code.reshape(size.shape)
    _, first, inverse = np.unique(place, return_index=True, return_inverse=True)
    at = {name: np.broadcast_to(size, whole).ravel()[first] for name, size in sizes.items()}
    return _Asked(group, at, inverse.reshape(whole))


def _predicted(
    use: Served, family: str, operators: Sequence[_Asked], works: Sequence[GroupWork], device: Device
) -> list[tuple[int, Array, Array]]:
    """Return (group, seconds, roofline) of each operator over its points, all predicted together."""
    form = next(shape.form for shape in works[operators[0].group].shapes if shape.family == family)
    counts = [len(one.sizes[next(iter(one.sizes))]) for one in operators]
    shapes = {name: np.concatenate([one.sizes[name] for one in operators]) for name in operators[0].sizes}
    count = sum(counts)
    zero = np.zeros(count, np.int64)
    rows = Rows(family, shapes, (device,), zero, (form,), zero, ("",), zero, np.ones(count), np.zeros(count, bool), {})
    seconds = predict_quickly(use.model, rows)
    bound = physics.bound(FAMILIES[family].work(shapes, rows.columns), rows.columns)
    ends = np.cumsum(counts)
    return [
        (one.group, seconds[end - count : end][one.place], bound[end - count : end][one.place])
        for one, count, end in zip(operators, counts, ends.tolist(), strict=True)
    ]


def _floor(use: Served, form: str) -> float:
    return float(np.exp(use.model.of_group(form, "")[0] + use.model.change[0]))


def _scaled(
    work: GroupWork, operators: Sequence[tuple[Array, Array, float, float]], machine: Machine, device: Device
) -> KernelTime:
    floor: Any = 0.0
    beyond: Any = 0.0
    plain: Any = 0.0
    for seconds, bound, least, _ in operators:
        kept = np.minimum(least, seconds)
        floor, beyond, plain = floor + kept, beyond + (seconds - kept), plain + bound
    products = [count / machine.peak(kind) for kind, count in work.compute if kind.unit == "tensor"]
    arithmetic = sum(products, start=0.0) if products else work.compute[0][1] / device.vector
    share = np.maximum(arithmetic, (work.lasting + work.passing) / machine.bandwidth) / plain
    seconds = floor + np.maximum(beyond * share, work.lasting / machine.bandwidth)
    return KernelTime(seconds, floor, max(own for *_, own in operators))
