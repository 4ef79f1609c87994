"""What a target is: a header (identity, power, price, embodied carbon) and a machine (a device graph).

Everything is SI: FLOP/s, B, B/s, s, W, g CO2e, $/h. Every number is a ``Value`` that knows its source, whether
a public document confirms it, and an interval where one is known. What is not known is absent, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from codesign.errors import UsageError
from codesign.quantity import Method, Origin


class Value(msgspec.Struct, frozen=True):
    """A number of a target, in the SI unit of its field."""

    value: float
    unit: str
    source: str = ""
    verified: bool = False
    origin: Origin = Origin.PUBLISHED
    low: float | None = None
    high: float | None = None


class Unit(msgspec.Struct, frozen=True):
    """A compute unit: dense peak in FLOP/s per dtype, a multiply-add counting 2."""

    name: str
    peak: Mapping[str, Value]


class Memory(msgspec.Struct, frozen=True):
    """A memory level: capacity in bytes, bandwidth in B/s where known."""

    name: str
    capacity: Value
    bandwidth: Value | None = None


class Link(msgspec.Struct, frozen=True):
    """A link of one device: B/s in one direction, seconds per hop.

    ``place`` is node (between the devices of a node), network (between nodes), host (to the processor's memory) or
    pair (a bridge between two cards, which collectives over more than two devices cannot use).
    """

    place: str
    name: str
    bandwidth: Value
    latency: Value


class Host(msgspec.Struct, frozen=True):
    """The processor that launches work: seconds to dispatch one eager operator."""

    dispatch: Value


class Power(msgspec.Struct, frozen=True):
    """Watts: thermal design power, power with nothing running, and power with a live context and nothing running.

    A reserved device that waits for requests draws ``context``, which is 26 to 66 W above ``idle`` on data-centre
    GPUs (arXiv 2605.23918).
    """

    tdp: Value
    idle: Value | None = None
    context: Value | None = None


class Calibration(msgspec.Struct, frozen=True):
    """One calibrated factor: a multiplier of the model's seconds (or joules), with its spread and origin."""

    name: str
    scale: float
    sigma: float
    method: Method
    source: str


OPERATOR_LAYOUT = 4
"""Of the models of operators: what the numbers of a fitted model, and so those of a calibration, mean."""


class OperatorCalibration(msgspec.Struct, frozen=True):
    """What measured operators of this card tell of one fitted model of operators.

    Attributes:
        expert: Name of the model.
        change: Added to the logarithms of the parameters of its physical form.
        level: Added to the logarithm of every latency.
        half: 90 % quantile of |ln(measured / predicted)| that is left.
        rows: Measured operators behind it.
        source: Where they were measured.
        trust: Share of the shape term that holds, 0 to 1.
        formats: That were measured; empty where that is not known.
    """

    expert: str
    change: tuple[float, ...]
    level: float
    half: float
    rows: int
    source: str
    trust: float = 1.0
    formats: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """A device that workloads run on."""

    id: str
    name: str
    vendor: str
    kind: str
    architecture: str
    units: tuple[Unit, ...]
    memories: tuple[Memory, ...]
    links: tuple[Link, ...]
    host: Host
    power: Power
    year: int | None = None
    aliases: tuple[str, ...] = ()
    core_count: Value | None = None
    clock_rate: Value | None = None
    exponentials: Value | None = None
    devices_per_node: int = 1
    price_per_hour: Value | None = None
    embodied: Value | None = None
    process: str = ""
    die_area: Value | None = None
    calibration: tuple[Calibration, ...] = ()
    operators: tuple[OperatorCalibration, ...] = ()
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Hash by identity of content that matters for caching: the id and the overlay."""
        return hash((self.id, self.calibration, self.operators, self.memories[0].capacity.value))

    @property
    def cores(self) -> float | None:
        """Streaming multiprocessors, compute units or processor cores, where known."""
        return self.core_count.value if self.core_count is not None else None

    @property
    def clock(self) -> float | None:
        """Boost clock in Hz, where known."""
        return self.clock_rate.value if self.clock_rate is not None else None

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Compute dtypes with a known peak."""
        return tuple(dict.fromkeys(dtype for unit in self.units for dtype in unit.peak))

    def supports(self, dtype: str) -> bool:
        """Return whether the target computes in ``dtype``."""
        return dtype in self.dtypes

    def peak(self, dtype: str) -> Value:
        """Return the highest dense peak of ``dtype`` over the units.

        Raises:
            UsageError: the target has no such dtype; the message names those it has.
        """
        found = [unit.peak[dtype] for unit in self.units if dtype in unit.peak]
        if not found:
            raise UsageError(f"dtype: {self.id} has no {dtype}", f"it computes in {', '.join(self.dtypes)}")
        return max(found, key=lambda value: value.value)

    @property
    def memory_capacity(self) -> float:
        """Bytes of the main memory."""
        return self.memories[0].capacity.value

    @property
    def memory_bandwidth_value(self) -> Value:
        """Bandwidth of the main memory with its source."""
        bandwidth = self.memories[0].bandwidth
        if bandwidth is None:
            raise UsageError(f"{self.id} declares no memory bandwidth", "add memory.bandwidth to its file")
        return bandwidth

    @property
    def memory_bandwidth(self) -> float:
        """B/s of the main memory."""
        return self.memory_bandwidth_value.value

    @property
    def cache_bytes(self) -> float | None:
        """Bytes of the last-level cache, where known."""
        return self.memories[1].capacity.value if len(self.memories) > 1 else None

    @property
    def last_level_bandwidth(self) -> float | None:
        """B/s of the last-level cache, where known."""
        bandwidth = self.memories[1].bandwidth if len(self.memories) > 1 else None
        return None if bandwidth is None else bandwidth.value

    def link(self, place: str) -> Link | None:
        """Return the link at ``place`` (node, network, host), or None."""
        return next((link for link in self.links if link.place == place), None)
