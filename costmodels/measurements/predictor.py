"""What the cost model says of measured designs, as a function of how the error factors are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels.api import STRUCTURAL, split
from codesign.costmodels.deployment import Priced
from codesign.costmodels.design import generates, price_design
from codesign.costmodels.factors import COUNT, LABELS, F
from codesign.costmodels.impact import Site
from codesign.costmodels.measurements.measurement import Design, Measurement
from codesign.costmodels.structure import Load, Structure
from codesign.errors import DataError, UsageError
from codesign.models import ArchitectureModel, Model
from codesign.models.shorten import shortened
from codesign.quantity import Array, Column, Method
from codesign.targets import Calibration, Target

FARTHEST = 30.0
"""A measurement farther than this from its prediction, as a ratio, is taken for a wrong unit or design."""


class Part(msgspec.Struct, frozen=True, eq=False):
    """Measured designs that one call prices; ``rows`` are the positions of their measurements."""

    model: Model
    structure: Structure
    load: Load
    site: Site
    rows: Array
    metrics: tuple[str, ...]


class Predictor:
    """Prices the designs of K measurements on one target.

    All figures are slowness, so that every factor makes them larger: seconds, or seconds per unit where the metric is a
    throughput.

    Args:
        model: what was measured.
        target: where; calibration that it has already counts.
        measurements: with complete designs.

    Raises:
        UsageError: a design that the model or the target does not take.
        DataError: a design that does not fit its devices, or a measurement that is beyond belief.
    """

    def __init__(self, model: Model, target: Target, measurements: Sequence[Measurement]) -> None:
        self.target = target
        self.measured = slowness(measurements, np.array([m.value for m in measurements]))
        self.noise = np.array([m.noise for m in measurements])
        self.metrics = np.array([m.metric for m in measurements])
        self.parts = _parts(model, measurements)
        self.before = self.column(np.ones(COUNT))
        self.roofline, self.sigmas, self.notes = self._checked(measurements)

    def column(self, scales: Array) -> Column:
        """Return the predictions (K,) with the factors' seconds multiplied by ``scales`` (F,)."""
        target = scaled(self.target, scales)
        count = len(self.measured)
        value, slopes, variance = np.empty(count), np.empty((COUNT, count)), np.empty(count)
        for part in self.parts:
            priced = price_design(part.model, target, part.structure, part.load, part.site)
            for metric in dict.fromkeys(part.metrics):
                at = np.flatnonzero(np.array(part.metrics) == metric)
                rows, found = part.rows[at], _column(priced, metric, part.rows.shape).take(at)
                found = found.reciprocal() if metric in RATES else found
                value[rows], slopes[:, rows], variance[rows] = found.value, found.slopes, found.variance
        return Column(value, slopes, variance)

    def _checked(self, measurements: Sequence[Measurement]) -> tuple[Array, Array, tuple[str, ...]]:
        """Return the roofline of every measurement, the factors' sigmas, and what is odd."""
        roofline = np.empty(len(measurements))
        tight = []
        sigmas: Array = np.zeros(COUNT)
        for part in self.parts:
            priced = price_design(part.model, self.target, part.structure, part.load, part.site)
            sigmas = np.maximum(sigmas, priced.machine.sigmas)  # that of a link differs with the degree
            for index, row in enumerate(part.rows):
                m = measurements[row]
                reason = _reason(priced, len(part.rows), index)
                if reason.startswith("memory"):
                    tight.append(m.where)
                elif reason:
                    raise DataError(f"{m.where}: cannot have run: {reason}", "check the degrees, --nodes and --chunk")
            bounds = rooflines(priced, part)
            roofline[part.rows] = bounds
        ratio = slowness(measurements, self.measured / self.before.value)
        worst = int(np.argmax(np.abs(np.log(ratio))))
        if not 1 / FARTHEST < ratio[worst] < FARTHEST:
            m = measurements[worst]
            raise DataError(
                f"{m.where}: {m.metric} is {m.value:.3g} {UNITS[m.metric]}, {ratio[worst]:.2g} times the estimate",
                "check unit, target and design; latency of a language model is per output token, request_latency is "
                "of the whole request",
            )
        notes = (f"said not to fit in memory, yet measured: {', '.join(tight[:3])}",) if tight else ()
        return slowness(measurements, roofline), sigmas, notes


RATES = ("throughput",)
UNITS = {"ttft": "s", "tpot": "s", "latency": "s", "request_latency": "s", "throughput": "per s"}


def slowness(measurements: Sequence[Measurement], values: Array) -> Array:
    """Return ``values`` (K,) of the measurements' metrics as slowness, or slowness as values."""
    return np.where([m.metric in RATES for m in measurements], 1.0 / values, values)


def scaled(target: Target, scales: Array) -> Target:
    """Return ``target`` with its factors' seconds multiplied by ``scales`` (F,), on top of the calibration it has."""
    if (scales == 1.0).all():
        return target
    before = {entry.name: entry for entry in target.calibration}
    entries = dict(before)
    for f in F:
        name = LABELS[f]
        # without one of their own, long messages follow the link
        if scales[f] != 1.0 or (f is F.LONG_LINK and scales[F.LINK] != 1.0):
            scale = float(scales[f]) * (before[name].scale if name in before else 1.0)
            entries[name] = Calibration(name, scale, 0.1, Method.CALIBRATED, "trial")
    return msgspec.structs.replace(target, calibration=tuple(entries[name] for name in sorted(entries)))


def rooflines(priced: Priced, part: Part) -> Array:
    """Return what peak rate and bandwidth alone would give each measurement of ``part``, in its metric's unit.

    A phase takes ``max(FLOP / peak, bytes / bandwidth)``: no floor, no host, no link, no efficiency.
    """
    bandwidth = priced.machine.bandwidth
    seconds = [np.maximum(phase.peak_seconds, phase.bytes / bandwidth) for phase in priced.phases]
    shape = part.rows.shape
    if not (generates(part.model) and part.structure.mode != "training"):
        whole = np.broadcast_to(sum(seconds), shape)
        units = _column(priced, "latency", shape).value * _column(priced, "throughput", shape).value
        found = {"latency": whole, "throughput": units / whole}
    else:
        found = _served(part, *(np.broadcast_to(s, shape) for s in seconds))
    return np.array([found[metric][index] for index, metric in enumerate(part.metrics)])


def _served(part: Part, prefill: Array, decode: Array) -> dict[str, Array]:
    """Return the metrics of serving, from the seconds of a prefill and of all decode steps."""
    batch, _, generate, replicas = part.load.arrays()
    further = np.maximum(generate - 1.0, 1.0)
    step = decode * part.structure.pp / further
    first = prefill * part.structure.pp
    if part.structure.in_turn:
        ttft, tpot = first, step
        whole = ttft + tpot * (generate - 1.0)
        throughput = batch * generate / whole
    else:
        first = first / part.structure.ep
        ttft, tpot = first + 0.5 * step, step + first * batch / generate
        whole = ttft + tpot * (generate - 1.0)
        throughput = batch / tpot
    return {
        "ttft": ttft,
        "tpot": tpot,
        "request_latency": whole,
        "latency": whole / generate,
        "throughput": throughput * replicas,
    }


def _parts(model: Model, measurements: Sequence[Measurement]) -> tuple[Part, ...]:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, m in enumerate(measurements):
        d = m.design
        key = (d.layers, *(getattr(d, name) for name in STRUCTURAL))
        groups.setdefault(key, []).append(index)
    return tuple(_part(model, measurements, rows) for rows in groups.values())


def _part(model: Model, measurements: Sequence[Measurement], rows: list[int]) -> Part:
    designs = [measurements[row].design for row in rows]
    first = designs[0]
    options: dict[str, Any] = {name: getattr(first, name) for name in STRUCTURAL}
    for name in ("batch", "prompt", "generate"):
        values = [getattr(design, name) for design in designs]
        options[name] = None if None in values else np.array(values, dtype=np.float64)
    here = _of_layers(model, first)
    structure, load, site = split(here, options)
    metrics = tuple(measurements[row].metric for row in rows)
    return Part(here, structure, load, site, np.array(rows), metrics)


def _of_layers(model: Model, design: Design) -> Model:
    if design.layers is None:
        return model
    if not isinstance(model, ArchitectureModel):
        raise UsageError(f"{model.name} was measured with {design.layers} layers", "profile all of them")
    figures = shortened(model.name, model.preset.figures, design.layers)
    return msgspec.structs.replace(model, preset=msgspec.structs.replace(model.preset, figures=figures))


def _column(priced: Priced, metric: str, shape: tuple[int, ...]) -> Column:
    """Return a metric over the designs of a part, broadcast to all of them."""
    columns = priced.estimate.columns
    if metric not in columns:
        known = ", ".join(name for name in UNITS if name in columns)
        raise UsageError(f"{metric} is no figure of this model", f"it has {known}")
    return columns[metric] * np.ones(shape)


def _reason(priced: Priced, count: int, index: int) -> str:
    estimate = priced.estimate
    return estimate.reasons[int(np.broadcast_to(estimate.reason, (count,))[index])]
