"""The numbers of targets that operator formulas use, as columns over rows of operators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import numpy as np
from numpy.typing import NDArray

from codesign.costmodels.operators.formats import Format
from codesign.costmodels.peaks import cache_bytes_per_core_cycle, vector_peak
from codesign.errors import UsageError
from codesign.quantity import Array
from codesign.targets import Target, load_target
from codesign.targets.loader import shipped

GENERATIONS = {
    "pascal": 6.0, "volta": 7.0, "turing": 7.5, "ampere": 8.0, "ada": 8.9, "hopper": 9.0, "blackwell": 10.0,
}  # fmt: skip
"""Compute capability of an architecture, by which its vendor orders them."""

PREDICTED_KINDS = ("gpu", "superchip", "cpu")
"""Of targets whose operators are predicted."""

FUNCTION_BYTES = 2.0
"""Bytes that a core could read from the last-level cache while it does one exponential, where its target states no
other: 32 bytes and 16 exponentials a clock (Shah et al., FlashAttention-3, 2024, section 3: 3.9 T a second beside 989
TFLOP/s of products on an H100). Processors, whose cores read 64 bytes, do 32 (assumed)."""

PROCESS = r"(\d+) ?(?:nm|N)"
"""Nanometres within the name of a process."""

COARSE, SHRINK = 12.0, 1.2
"""Processes from this many nanometres on take the same energy an operation: 12 nm is 16 nm with denser cells. Finer
ones take less by this power of their size (assumed): half at 7 nm, a third at 5 nm."""

PRIVATE_CACHE = 2.0**20
"""Bytes of cache that a core of a processor has to itself (assumed: half a MiB to two on servers of today)."""


class Device(msgspec.Struct, frozen=True):
    """One device, SI.

    Attributes:
        id: Of the target.
        vendor: Who makes it.
        architecture: Devices of one share how efficiency varies.
        matrix: Dtype -> dense peak of its matrix units, FLOP/s; on processors of those units that have it.
        vector: Peak of its vector units in fp32, FLOP/s.
        bandwidth: Of main memory, B/s.
        cache: Capacity of the last-level cache, B.
        cache_bandwidth: 32 bytes a core and clock, 64 on processors, B/s.
        cores: Streaming multiprocessors or compute units.
        power: Thermal design power, W.
        functions: Exponentials of all cores a second.
        generation: Order of its architecture among its vendor's; NaN where unknown.
        energy: What an operation takes by its process, relative to one of 12 nm; 1 where the process is unknown.
        private: Capacity of the caches that cores have to themselves, of all cores, B; 0 on accelerators.
        last_level: Bandwidth of the last-level cache as the target states it, B/s; 0 where it does not.
    """

    id: str
    vendor: str
    architecture: str
    matrix: dict[str, float]
    vector: float
    bandwidth: float
    cache: float
    cache_bandwidth: float
    cores: float
    power: float
    functions: float
    generation: float = float("nan")
    energy: float = 1.0
    private: float = 0.0
    last_level: float = 0.0

    @property
    def reference(self) -> float:
        """Return the rate to which the power is compared: of 16-bit matrix products, else of the vector units."""
        return max((self.matrix[dtype] for dtype in ("bf16", "fp16") if dtype in self.matrix), default=self.vector)

    def peak(self, form: Format) -> float:
        """Return FLOP/s of what ``form`` computes in; fp32 without matrix units for it runs on the vector units.

        Raises:
            UsageError: the device has no such dtype.
        """
        if form.compute in self.matrix:
            return self.matrix[form.compute]
        if form.compute == "fp32":
            return self.vector
        known = ", ".join(("fp32", *(dtype for dtype in self.matrix if dtype != "fp32")))
        raise UsageError(f"{self.id} has no {form.compute}", f"it computes in {known}")


def device_of(target: Target) -> Device:
    """Return the numbers of ``target``.

    Raises:
        UsageError: it does not state its cores, clock or cache, or is of a kind whose kernels nobody measured.
    """
    if target.kind not in PREDICTED_KINDS:
        raise UsageError(
            f"target {target.id} is of kind {target.kind}, and kernels were measured on GPUs and processors only",
            f"price whole models: codesign estimate MODEL --target {target.id}",
        )
    for name, value in (("cores", target.cores), ("clock", target.clock), ("cache", target.cache_bytes)):
        if not value:
            raise UsageError(f"target {target.id} states no {name}", f"add machine.{name} to its file")
    cores, clock, cache = target.cores or 0.0, target.clock or 0.0, target.cache_bytes or 0.0
    cache_bandwidth = cache_bytes_per_core_cycle(target.kind) * cores * clock
    stated = target.exponentials
    # processors without matrix units, or without them for a narrow format, have instructions for it
    units = [unit for unit in target.units if unit.name == "vector" and target.kind == "cpu"]
    units += [unit for unit in target.units if unit.name != "vector"]
    matrix = {k: v.value for unit in units for k, v in unit.peak.items() if unit.name != "vector" or k != "fp32"}
    return Device(
        id=target.id, vendor=target.vendor, architecture=target.architecture, matrix=matrix, vector=vector_peak(target),
        bandwidth=float(target.memory_bandwidth), cache=float(cache),
        cache_bandwidth=cache_bandwidth, cores=cores,
        power=float(target.power.tdp.value), generation=GENERATIONS.get(target.architecture, float("nan")),
        energy=process_energy(target.process), private=PRIVATE_CACHE * cores if target.kind == "cpu" else 0.0,
        functions=cache_bandwidth / FUNCTION_BYTES if stated is None else stated.value * cores * clock,
        last_level=float(target.last_level_bandwidth or 0.0),
    )  # fmt: skip


def process_energy(process: str) -> float:
    """Return the energy of an operation on a process, relative to one of 12 nm; 1 where its name tells no size."""
    found = re.search(PROCESS, process)
    return min((float(found[1]) / COARSE) ** SHRINK, 1.0) if found and float(found[1]) > 0.0 else 1.0


def known_devices() -> tuple[Device, ...]:
    """Return the accelerators of the shipped catalogue that state all that operators need."""
    found = []
    for name in shipped():
        target = load_target(name)
        if target.kind != "cpu":
            with suppress(UsageError):
                found.append(device_of(target))
    return tuple(found)


OF_DEVICE = (
    "vector", "bandwidth", "cache", "cache_bandwidth", "cores", "power", "reference", "generation", "energy", "private",
    "functions", "last_level",
)  # fmt: skip
OF_FORMAT = ("weight", "activation", "output", "converting", "tile", "full")
"""Columns that are attributes of a device, and of a format."""


class Columns(msgspec.Struct, frozen=True, eq=False):
    """Device, format and stack numbers of each row, shape (n,), SI; attributes as those of the three.

    None stands for plain stacks.
    """

    peak: Array
    vector: Array
    bandwidth: Array
    cache: Array
    cache_bandwidth: Array
    cores: Array
    power: Array
    reference: Array
    generation: Array
    energy: Array
    private: Array
    functions: Array
    last_level: Array
    weight: Array
    activation: Array
    output: Array
    converting: Array
    tile: Array
    full: Array
    sharing: Array | None = None
    packed: Array | None = None
    gathers: Array | None = None
    elsewhere: Array | None = None

    @staticmethod
    def single(device: Device, form: Format) -> Columns:
        """Return the columns of one device and format, as numbers.

        Raises:
            UsageError: the device has no dtype of the format.
        """
        numbers = {name: np.asarray(getattr(device, name)) for name in OF_DEVICE}
        numbers |= {name: np.asarray(getattr(form, name)) for name in OF_FORMAT}
        return Columns(peak=np.asarray(device.peak(form)), **numbers)

    @staticmethod
    def of(
        devices: Sequence[Device], device: NDArray[np.int64], formats: Sequence[Format], form: NDArray[np.int64]
    ) -> Columns:
        """Return the columns of rows whose device and format are positions in ``devices`` and ``formats``.

        Raises:
            UsageError: a device of a row has no dtype of its format.
        """
        peaks = np.full((len(devices), len(formats)), np.nan)
        pairs = np.unique(device * len(formats) + form)
        for pair in pairs.tolist():
            d, f = divmod(pair, len(formats))
            peaks[d, f] = devices[d].peak(formats[f])
        of_device = {name: np.array([getattr(d, name) for d in devices])[device] for name in OF_DEVICE}
        of_format = {name: np.array([getattr(f, name) for f in formats])[form] for name in OF_FORMAT}
        return Columns(peak=peaks[device, form], **of_device, **of_format)
