"""Kernels of a phase by the fitted models of operators: what like operators take, and how sure that is.

A group of a workload that is like a measured operator takes what the operator's model says, scaled by how much more
work the group does (or less: a technique may have made its tensors smaller) by the roofline. A group that is like none,
or runs on a target that the models cannot describe, keeps the closed forms of ``latency``. Vector operators keep them
too, unless the target was calibrated: their public measurements hold the harness they were taken in.

A processor that runs eagerly launches kernels for the functions beside a product too, each of which makes a new tensor:
``unfused`` says which.

Weights and caches always come from memory: the models were fitted on kernels that ran again and again, whose small
operands stayed in the cache, so what a group must read from memory bounds it from below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.machine import Machine
from codesign.costmodels.operators import physics
from codesign.costmodels.operators.device import Columns, Device, device_of
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import measured_on
from codesign.costmodels.operators.fit import predict_quickly
from codesign.costmodels.operators.formats import FORMATS, Format
from codesign.costmodels.operators.lookup import Served, served_by, shipped_model
from codesign.costmodels.operators.monotone import RISING
from codesign.costmodels.operators.shapes import Shape
from codesign.costmodels.operators.tables import Rows
from codesign.costmodels.operators.unfused import fresh_seconds, unfused
from codesign.costmodels.size_grid import Gridded, on_grid
from codesign.costmodels.work import GroupWork
from codesign.errors import UsageError
from codesign.quantity import Array, Method
from codesign.workload.einsum import Einsum

FORMS = {form.name: form for form in FORMATS}


LEAST_DEVICES = 2
"""Devices on which a format was measured before it is predicted on others."""


OF_ENGINES = frozenset({"fp8", "nvfp4", "mxfp4"})
"""What experts compute in whose kernels engines bring themselves."""

STREAMED = 0.9
"""Share of the data sheet's memory bandwidth at which weights stream at best (assumed)."""


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


class _Predicted(NamedTuple):
    """An operator of a group over its points: seconds, roofline and floor in s, and its own deviation."""

    seconds: Array
    bound: Array
    floor: Array
    own: float


class _Asked(NamedTuple):
    """One operator of a group: its sizes, and its points on the grid of those that designs vary."""

    group: int
    sizes: dict[str, Any]
    points: Gridded


def _asked(group: int, shape: Shape) -> _Asked:
    sizes = {name: np.asarray(size, np.float64) for name, size in shape.sizes.items()}
    return _Asked(group, sizes, on_grid(sizes, RISING[shape.family]))


def kernel_times(
    works: Sequence[GroupWork], machine: Machine, execution: str = "graph", own_quantising: float = 0.0
) -> list[KernelTime | None]:
    """Return what each of ``works`` takes on ``machine``; None where closed forms have to do.

    Eagerly a processor runs what a group does beside its product in kernels of their own. ``own_quantising`` is the
    share of the kernels that quantise what a product reads that run on their own.
    """
    device = _device(machine)
    found: list[KernelTime | None] = [None] * len(works)
    if device is None:
        return found
    eager = execution == "eager" and machine.target.kind == "cpu"
    alone, beside = _kernels(works, eager=eager)
    for number, operators in _predicted(alone, machine, device, own_quantising).items():
        found[number] = _scaled(works[number], operators, machine, device)
    for number, operators in _predicted(beside, machine, device, own_quantising).items():
        before = found[number]
        if before is not None or not alone[number]:
            found[number] = _then(before, operators)
    return [_on_fresh_pages(*group) for group in zip(found, alone, beside, strict=True)] if eager else found


def _kernels(works: Sequence[GroupWork], *, eager: bool) -> tuple[list[Sequence[Shape]], list[Sequence[Shape]]]:
    """Return what each group is like as one kernel, and what it runs beside that, or instead, in others."""
    alone: list[Sequence[Shape]] = [work.shapes for work in works]
    beside: list[Sequence[Shape]] = [()] * len(works)
    for number, work in enumerate(works if eager else ()):
        product = any(kind.unit == "tensor" for kind, _ in work.compute)
        if product and work.shapes:
            beside[number] = unfused(work.ops, work.family)
        elif not product and all(isinstance(op, Einsum) for op in work.ops):
            alone[number], beside[number] = (), unfused(work.ops, work.family)
    return alone, beside


def _then(before: KernelTime | None, operators: Sequence[_Predicted]) -> KernelTime:
    """Return ``before`` and ``operators``, one after the other."""
    first = KernelTime(0.0, 0.0, 0.0) if before is None else before
    seconds = sum((one.seconds for one in operators), start=first.seconds)
    floor = sum((np.minimum(one.floor, one.seconds) for one in operators), start=first.floor)
    return KernelTime(seconds, floor, max(first.own, *(one.own for one in operators)))


def _on_fresh_pages(found: KernelTime | None, alone: Sequence[Shape], beside: Sequence[Shape]) -> KernelTime | None:
    if found is None:
        return None
    pages = sum(map(fresh_seconds, (*alone, *beside)))
    return msgspec.structs.replace(found, seconds=found.seconds + pages)


def _predicted(
    groups: Sequence[Sequence[Shape]], machine: Machine, device: Device, own_quantising: float
) -> dict[int, list[_Predicted]]:
    """Return the predictions of the operators of each group, of those groups all of whose operators are known."""
    asked: dict[tuple[str, str], list[_Asked]] = {}
    for number, shapes in enumerate(groups):
        if all(_known(machine, shape) for shape in shapes):
            for shape in shapes:
                asked.setdefault((shape.family, shape.form.name), []).append(_asked(number, shape))
    parts: dict[int, list[_Predicted]] = {}
    for (family, form), operators in asked.items():
        for number, predicted in _quickest(machine, family, form, operators, device, own_quantising):
            parts.setdefault(number, []).append(predicted)
    return parts


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
    if found.method is Method.CALIBRATED:
        return found
    if found.method is Method.ANALYTICAL or family == "vector":
        return None
    # what was measured on one device tells nothing of how it carries over to another
    carries_over = found.method is Method.INTERPOLATED or measured_on(found.model, form) >= LEAST_DEVICES
    return found if carries_over else None


def _known(machine: Machine, shape: Shape) -> bool:
    """Return whether a model was fitted on operators like ``shape``: batched products were measured in fp32 only."""
    found = served(machine, shape.family, shape.form.name)
    if found is None or (found.method is not Method.CALIBRATED and _of_engines(shape)):
        return False
    batched = shape.family == "gemm" and bool(np.any(np.asarray(shape.sizes["batch"]) > 1))
    return not batched or shape.form.name == "fp32" or found.method is Method.CALIBRATED


def _of_engines(shape: Shape) -> bool:
    """Return whether engines bring kernels of their own: public tables time experts in such formats in portable ones.

    Those take up to three times as long. Of other formats nothing else is known.
    """
    return shape.family == "moe" and shape.form.compute in OF_ENGINES


def _quickest(
    machine: Machine, family: str, form: str, operators: Sequence[_Asked], device: Device, own_quantising: float
) -> Iterator[tuple[int, _Predicted]]:
    """Yield group and prediction of each operator, all predicted together.

    Of formats that hold and compute the same (scales a tensor or a block), engines run the quicker one.
    """
    counts = [len(next(iter(one.points.nodes.values()))) for one in operators]
    shapes = {name: np.concatenate([one.points.nodes[name] for one in operators]) for name in operators[0].points.nodes}
    seconds, floor, own = np.full(sum(counts), np.inf), np.zeros(sum(counts)), 0.0
    for like in FORMATS:
        use = served(machine, family, like.name) if _same(like, FORMS[form]) else None
        if use is None:
            continue
        least = _floor(use, like.name)
        quantising = max(least - _plain_floor(machine), 0.0) if _quantises(family, use, like) else 0.0
        fused = quantising * (1.0 - own_quantising)
        found = predict_quickly(use.model, _rows(family, shapes, device, like, use.model.quickest_stack(like.name)))
        found = np.maximum(found - fused, np.minimum(found, least - fused))
        floor, seconds = np.where(found < seconds, least - fused, floor), np.minimum(found, seconds)
        own = max(own, float(np.hypot(use.own, use.model.distilled)))
    on = Columns.single(device, FORMS[form])
    ends = np.cumsum(counts)
    for one, count, end in zip(operators, counts, ends.tolist(), strict=True):
        part = slice(end - count, end)
        bound = physics.bound(FAMILIES[family].work(one.sizes, on), on)
        yield one.group, _Predicted(one.points.at(seconds[part]), bound, one.points.at(floor[part]), own)


def _same(one: Format, other: Format) -> bool:
    return one.compute == other.compute and one.weight == other.weight and one.activation == other.activation


def _rows(family: str, shapes: dict[str, Array], device: Device, form: Format, stack: str) -> Rows:
    count = len(next(iter(shapes.values())))
    zero = np.zeros(count, np.int64)
    return Rows(
        family, shapes, (device,), zero, (form,), zero, (stack,), zero, np.ones(count), np.zeros(count, bool), {}
    )


def _quantises(family: str, use: Served, form: Format) -> bool:
    """Return whether products in ``form`` were timed with the quantising of their input.

    Serving engines fuse most of that into the kernel before, so that in a model their floor is that of plain products.
    What the conversion takes for each number stays: half of the serving measurements, set aside for such choices, are
    closer so.
    """
    return family == "gemm" and form.activation < 2.0 and use.method is not Method.CALIBRATED


def _plain_floor(machine: Machine) -> float:
    use = served(machine, "gemm", "bf16")
    return _floor(use, "bf16") if use is not None else 0.0


def _floor(use: Served, form: str) -> float:
    return float(np.exp(use.model.of_group(form, use.model.quickest_stack(form))[0] + use.model.change[0]))


def _streamed(machine: Machine) -> float:
    """Return the share of the stated bandwidth that streams; what processors state was measured by streaming."""
    return 1.0 if machine.target.kind == "cpu" else STREAMED


def _scaled(work: GroupWork, operators: Sequence[_Predicted], machine: Machine, device: Device) -> KernelTime:
    floor: Any = 0.0
    beyond: Any = 0.0
    plain: Any = 0.0
    for one in operators:
        kept = np.minimum(one.floor, one.seconds)
        floor, beyond, plain = floor + kept, beyond + (one.seconds - kept), plain + one.bound
    products = [count / machine.peak(kind) for kind, count in work.compute if kind.unit == "tensor"]
    arithmetic = sum(products, start=0.0) if products else work.compute[0][1] / device.vector
    share = np.maximum(arithmetic, (work.lasting + work.passing) / machine.bandwidth) / plain
    seconds = floor + np.maximum(beyond * share, work.lasting / (machine.bandwidth * _streamed(machine)))
    return KernelTime(seconds, floor, max(one.own for one in operators))
