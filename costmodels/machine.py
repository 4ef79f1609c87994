"""A target resolved for one placement: flat SI numbers that the formulas use, and its error factors.

This is the one place where cost models read targets. Overlays (calibration of this card) change the
numbers, the sigma and the method of single factors; they never edit the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from codesign.costmodels import efficiency as tables
from codesign.costmodels.collectives.line import Line, line_of
from codesign.costmodels.factors import COUNT, LABELS, F
from codesign.costmodels.fitted_factors import fitted_factors
from codesign.costmodels.peaks import cache_bandwidth, vector_peak
from codesign.errors import UsageError
from codesign.quantity import Array, Column, Factor, Method, Origin, soft_maximum
from codesign.targets import Target
from codesign.workload.einsum import Compute


class Curve(msgspec.Struct, frozen=True):
    """Sustained shares and floor of one operator family."""

    rate: float
    memory: float
    floor: float
    own: float


class Machine(msgspec.Struct, frozen=True, eq=False):
    """Everything the latency, energy, carbon and price formulas need from a target."""

    target: Target
    lines: Mapping[str, Line]
    bandwidth: float
    capacity: float
    cache_bytes: float
    cache_bandwidth: float
    dispatch: float
    thermal_power: float
    idle_power: float
    price_per_second: float | None
    embodied_grams: float | None
    factors: tuple[Factor, ...]
    scales: Mapping[F, float]

    @property
    def sigmas(self) -> Array:
        """Standard deviation of the logarithm of each factor."""
        return np.array([factor.sigma for factor in self.factors])

    def peak(self, compute: Compute) -> float:
        """Return the dense peak in FLOP/s of the unit and dtype that ``compute`` names."""
        if compute.unit == "tensor":
            return float(self.target.peak(compute.dtype).value)
        return vector_peak(self.target)

    def efficiency(self, family: str, compute: Compute | None) -> Curve:
        """Return the curve of an operator family; softmax inside attention runs at the vector rate."""
        return _curve(self, family, compute)

    def link(self, axis: str) -> Line:
        """Return the link that carries the collectives of a mesh axis ("host" is the link to host memory)."""
        if axis not in self.lines:
            raise UsageError(
                f"target {self.target.id} declares no link for the {axis} axis",
                "use a degree of 1, or a target with an interconnect",
            )
        return self.lines[axis]

    def with_host(self, device: Column, launches: Any, execution: str) -> Column:
        """Return the latency of launching ``launches`` kernels whose device time is ``device``."""
        defaults = tables.table().execution
        launches = np.asarray(launches, dtype=np.float64)
        if launches.ndim and device.value.ndim > launches.ndim:
            launches = launches[None]
        if execution == "graph":
            gaps = defaults.graph_launch_us * 1e-6 + launches * defaults.graph_gap_us * 1e-6
            return device + self._host(np.broadcast_to(gaps, device.value.shape))
        per_group = defaults.eager_operators_per_group if execution == "eager" else 1.0
        host = np.broadcast_to(launches * per_group * self.dispatch, device.value.shape)
        if self.target.kind == "cpu":
            # it launches its own kernels, one after the other: what a call costs is in their floors already
            floors = device.slopes[F.FLOOR]
            return device + self._host(np.maximum(host - floors / max(self.scales.get(F.HOST, 1.0), 1e-9), 0.0))
        return soft_maximum(device, self._host(host))

    def _host(self, seconds: Array) -> Column:
        return Column.of_factor(seconds * self.scales.get(F.HOST, 1.0), F.HOST, COUNT)


@lru_cache(maxsize=8192)
def _curve(machine: Machine, family: str, compute: Compute | None) -> Curve:
    kind, architecture, scale = machine.target.kind, machine.target.architecture, machine.scales.get
    on_vector = compute is None or compute.unit != "tensor"
    dtype = compute.dtype if compute is not None else "fp32"
    entry = tables.efficiency(kind, family, dtype, architecture)
    rate = tables.efficiency(kind, "vector", dtype, architecture).rate if on_vector else entry.rate
    factor = F.VECTOR if on_vector else _family_factor(family)
    return Curve(
        rate / scale(factor, 1.0),
        entry.memory / scale(F.BANDWIDTH, 1.0),
        entry.floor_us * 1e-6 * scale(F.FLOOR, 1.0),
        entry.own,
    )


def _family_factor(family: str) -> F:
    return F.ATTENTION if family.startswith("attention") else F.MATRIX


@lru_cache(maxsize=512)
def machine(target: Target, axes: tuple[tuple[str, int], ...] = (), nodes: int = 1, family: str = "gemm") -> Machine:
    """Resolve ``target`` for a mesh of ``axes`` over ``nodes`` nodes.

    Axes are placed innermost first (tp, ep, pp, dp): an axis stays inside the node while the product of
    extents up to it does not exceed the devices of the replica per node.
    """
    total = int(np.prod([extent for _, extent in axes])) if axes else 1
    per_node = max(1, total // nodes)
    lines: dict[str, Line] = {}
    scale = _scales(target).get(F.LINK, 1.0)
    inner = 1
    for axis, extent in axes:
        inner *= extent
        inside = min(extent, max(1, per_node * extent // inner))
        line = line_of(target, "node" if inner <= per_node else "network", scale, extent, inside)
        if line is not None and extent > 1:
            lines[axis] = line
    axes_lines = tuple(lines.values())
    host = line_of(target, "host", scale)
    if host is not None:
        lines["host"] = host
    dtype = target.dtypes[0] if target.dtypes else "fp32"
    return Machine(
        target=target,
        lines=lines,
        bandwidth=float(target.memory_bandwidth),
        capacity=float(target.memory_capacity),
        cache_bytes=float(target.cache_bytes or 0.0),
        cache_bandwidth=cache_bandwidth(target),
        dispatch=float(target.host.dispatch.value),
        thermal_power=float(target.power.tdp.value),
        idle_power=_reserved_power(target),
        price_per_second=target.price_per_hour.value / 3600.0 if target.price_per_hour is not None else None,
        embodied_grams=float(target.embodied.value) if target.embodied is not None else None,
        factors=factors_of(target, dtype, axes_lines),
        scales=_scales(target),
    )


IDLE_SHARE = 0.15
"""Power of a reserved but idle device as a share of its thermal design power, where none is declared (assumed)."""


def _reserved_power(target: Target) -> float:
    """Return the power of a device that is reserved: with a live context where known, else idle, else a share."""
    known = target.power.context or target.power.idle
    return float(known.value) if known is not None else IDLE_SHARE * float(target.power.tdp.value)


def _scales(target: Target) -> dict[F, float]:
    """Return how much slower (or hungrier) than modelled each calibrated factor was measured to be.

    Where nothing was measured with long messages, they are as much slower as the others.
    """
    known = {label: index for index, label in LABELS.items()}
    found = {known[entry.name]: entry.scale for entry in target.calibration if entry.name in known}
    return {F.LONG_LINK: found[F.LINK], **found} if F.LINK in found else found


BANDWIDTH_SIGMA = (0.10, 0.45)
"""Spread of the sustained share of memory bandwidth: accelerators, processors (assumed)."""


def factors_of(target: Target, dtype: str, lines: tuple[Line, ...] = ()) -> tuple[Factor, ...]:
    """Return the error factors of ``target`` in the order of ``F``, calibrated entries replacing defaults.

    The least certain of the ``lines`` in use speaks for all; without any, the link inside a node does.
    """
    link = max(lines, key=lambda line: line.sigma, default=line_of(target, "node")) or Line(0.0, 0.0, "none")
    kind = target.kind
    power = tables.table().power
    power_sigma = power.sigma if target.architecture in power.families else power.other_sigma
    own_measurement = target.memory_bandwidth_value.origin is Origin.MEASURED
    # peaks measured here are measured inputs; the efficiencies on top stay assumptions until calibrated
    peaks = Origin.MEASURED if own_measurement else Origin.PUBLISHED
    method = Method.ANALYTICAL

    def of(family: str, scale: float = 1.0) -> float:
        return tables.efficiency(kind, family, dtype, target.architecture).shared * scale

    defaults = {
        F.MATRIX: (of("gemm"), method, peaks),
        F.ATTENTION: (of("attention_prefill"), Method.ANALYTICAL, Origin.PUBLISHED),
        F.VECTOR: (of("vector"), Method.ANALYTICAL, Origin.PUBLISHED),
        F.BANDWIDTH: (BANDWIDTH_SIGMA[int(kind == "cpu")], method, peaks),
        F.FLOOR: (0.30, Method.ANALYTICAL, Origin.PUBLISHED),
        F.HOST: (0.40, Method.ANALYTICAL, target.host.dispatch.origin),
        F.LINK: (link.sigma, link.method, link.origin),
        F.LONG_LINK: (link.sigma, link.method, link.origin),
        F.POWER: (power_sigma, Method.SAME_FAMILY if power_sigma == power.sigma else Method.NEW_FAMILY,
                  target.power.tdp.origin),
        F.GRID: (0.06, Method.ANALYTICAL, Origin.PUBLISHED),
        F.PUE: (0.06, Method.ANALYTICAL, Origin.ASSUMED),
        F.EMBODIED: (_sigma_of(target.embodied, 0.4), Method.ANALYTICAL, _origin_of(target.embodied)),
        F.PRICE: (_sigma_of(target.price_per_hour, 0.3), Method.ANALYTICAL, _origin_of(target.price_per_hour)),
        **fitted_factors(target),
    }  # fmt: skip
    calibrated = {entry.name: entry for entry in target.calibration}
    factors = []
    for index in F:
        name = LABELS[index]
        if name in calibrated:
            entry = calibrated[name]
            factors.append(Factor(name, entry.sigma, entry.method, Origin.MEASURED, entry.source))
        else:
            sigma, how, origin = defaults[index]
            factors.append(Factor(name, sigma, how, origin))
    return tuple(factors)


def _origin_of(value: Any) -> Origin:
    return value.origin if value is not None else Origin.ASSUMED


def _sigma_of(value: Any, default: float) -> float:
    """Return the log standard deviation that the value's own 90 % range implies."""
    if value is None or not value.low or not value.high:
        return default
    return float(np.log(value.high / value.low) / (2 * 1.6448536269514722))
