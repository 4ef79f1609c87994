"""This machine as a target: measured in under half a minute, in the form of the catalogue.

Peaks, bandwidth and dispatch cost are measured through torch, each a median over repeats with an interval from the
worst quarter to the best repeat; capacity, cores and caches are read from the system. Power is not visible on most
machines and stays an assumption with a wide interval. A detected ``peak`` is a sustained rate, not a data-sheet one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping

from codesign.errors import EnvironmentLacks, UsageError, nearest
from codesign.quantity import Origin
from codesign.targets import probes, system
from codesign.targets.probes import Sample
from codesign.targets.target import Host, Memory, Power, Target, Unit, Value

CPU_DTYPES = ("fp32", "bf16", "int8")
CUDA_DTYPES = ("fp32", "tf32", "fp16", "bf16", "int8")
CPU_SIZES = (256, 1024)
"""Sides of the square products: one that stays in the cache and one that does not fit the inner ones."""
CUDA_SIZES = (4096, 8192)
BUSY_SPREAD = 0.6
WATTS_PER_CORE = (3.5, 1.5, 8.0)
"""Thermal design power of server processors per logical core, W: assumed value, low, high."""


def detect(device: str = "cpu", seconds: float = 20.0) -> Target:
    """Measure a device of this machine.

    Args:
        device: ``cpu`` or ``cuda`` (the first one).
        seconds: Time for the measurements; they finish within about this.

    Returns:
        The target, ``this-cpu`` or ``this-gpu``; ``write_target`` makes it a file that every command accepts.

    Raises:
        EnvironmentLacks: no such device here.
        UsageError: an unknown device or an absurd time.
    """
    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}", nearest(device, ("cpu", "cuda")))
    if not 0.1 <= seconds <= 600.0:
        raise UsageError(f"{seconds:g} s for measuring", "expected 0.1 to 600 seconds")
    return _cpu(seconds) if device == "cpu" else _cuda(seconds)


def _cpu(seconds: float) -> Target:
    import torch

    found = system.processor()
    threads, load = torch.get_num_threads(), system.load_average()
    slot = seconds / (len(CPU_DTYPES) * len(CPU_SIZES) + 5)
    products = _products("cpu", CPU_DTYPES, CPU_SIZES, slot)
    buffer = int(max(64 * 2**20, 4 * (found.cache_bytes or 16 * 2**20)))
    buffer = min(buffer, (found.memory_bytes or 2**33) // 8)
    memory = _faster(probes.copy_bandwidth("cpu", buffer, slot), probes.triad_bandwidth("cpu", buffer, slot))
    cache = probes.copy_bandwidth("cpu", (found.cache_bytes or 0) // 4, slot) if found.cache_bytes else None
    dispatch, linear = probes.dispatch_cost("cpu", slot), probes.linear_cost("cpu", slot)
    how = f"torch {torch.__version__.split('+')[0]}, {threads} threads"
    peaks = {dtype: _rate(sample, size, how) for dtype, (size, sample) in products.items()}
    memories = [
        Memory("memory", _read(found.memory_bytes or 2**33, "B", "memory of this machine"),
               _measured(memory, "B/s", f"copy or triad of {buffer / 2**20:.0f} MiB, {how}")),
    ]  # fmt: skip
    if found.cache_bytes and cache is not None:
        size = _read(found.cache_bytes, "B", "last-level cache as the system reports it")
        memories.append(Memory("cache", size, _measured(cache, "B/s", f"copy of a quarter of it, {how}")))
    watts, low, high = (found.cores * watts for watts in WATTS_PER_CORE)
    power = Value(
        watts, "W", f"assumed: {WATTS_PER_CORE[0]} W per logical core of a server", False, Origin.ASSUMED, low, high
    )
    clock = _read(found.clock_hz, "Hz", "current clock as the system reports it") if found.clock_hz else None
    return Target(
        id="this-cpu",
        name=found.name,
        vendor=found.vendor,
        kind="cpu",
        architecture=found.architecture,
        units=_units(peaks, matrix=("bf16", "int8")),
        memories=tuple(memories),
        links=(),
        host=Host(_measured(dispatch, "s", f"one eager addition of one element, {how}")),
        power=Power(power),
        core_count=_read(found.cores, "", "logical processors that this process may use"),
        clock_rate=clock,
        notes=(
            f"torch threads: {threads}",
            f"an eager nn.Linear of width 8 takes {linear.value * 1e6:.1f} us",
            *_sizes(products),
            *(["a virtual machine: caches and clock are the host's own account of itself"] if found.virtual else []),
            *_busy([memory, dispatch, *(sample for _, sample in products.values())], load, found.cores),
        ),
    )


def _cuda(seconds: float) -> Target:
    import torch

    if not torch.cuda.is_available():
        raise EnvironmentLacks("no CUDA device here", "`codesign doctor` lists what this machine has")
    card = torch.cuda.get_device_properties(0)
    slot = seconds / (len(CUDA_DTYPES) * len(CUDA_SIZES) + 5)
    products = _products("cuda", CUDA_DTYPES, CUDA_SIZES, slot)
    buffer = min(2**30, int(card.total_memory) // 8)
    memory = _faster(probes.copy_bandwidth("cuda", buffer, slot), probes.triad_bandwidth("cuda", buffer, slot))
    dispatch, linear = probes.dispatch_cost("cuda", slot), probes.linear_cost("cuda", slot)
    how = f"torch {torch.__version__.split('+')[0]}"
    peaks = {dtype: _rate(sample, size, how) for dtype, (size, sample) in products.items()}
    memories = [
        Memory("memory", _read(int(card.total_memory), "B", "memory that the driver reports"),
               _measured(memory, "B/s", f"copy or triad of {buffer / 2**20:.0f} MiB, {how}")),
    ]  # fmt: skip
    if cache := int(getattr(card, "L2_cache_size", 0)):
        memories.append(Memory("cache", _read(cache, "B", "L2 that the driver reports")))
    return Target(
        id="this-gpu",
        name=str(card.name),
        vendor="AMD" if getattr(torch.version, "hip", None) else "NVIDIA",
        kind="gpu",
        architecture=f"sm{card.major}{card.minor}",
        units=_units(peaks, matrix=("tf32", "fp16", "bf16", "int8")),
        memories=tuple(memories),
        links=(),
        host=Host(_measured(dispatch, "s", f"one eager addition of one element, {how}")),
        power=Power(_power_limit()),
        core_count=_read(int(card.multi_processor_count), "", "multiprocessors that the driver reports"),
        notes=(
            f"an eager nn.Linear of width 8 takes {linear.value * 1e6:.1f} us",
            *_sizes(products),
            *_busy([memory, *(sample for _, sample in products.values())], None, 1),
        ),
    )


def _products(device: str, dtypes: Iterable[str], sizes: Iterable[int], slot: float) -> dict[str, tuple[int, Sample]]:
    """Return, per dtype that torch can multiply, the size with the highest median rate and its sample."""
    found: dict[str, tuple[int, Sample]] = {}
    for dtype in dtypes:
        samples = [(size, probes.matrix_rate(device, dtype, size, slot)) for size in sizes]
        done = [(size, sample) for size, sample in samples if sample is not None]
        if done:
            found[dtype] = max(done, key=lambda pair: pair[1].value)
    if "fp32" not in found:
        raise EnvironmentLacks(f"torch cannot multiply fp32 matrices on {device}", "check the installation of torch")
    return found


def _units(peaks: Mapping[str, Value], matrix: tuple[str, ...]) -> tuple[Unit, ...]:
    fast = {dtype: peak for dtype, peak in peaks.items() if dtype in matrix}
    rest = {dtype: peak for dtype, peak in peaks.items() if dtype not in matrix}
    return (*((Unit("matrix", fast),) if fast else ()), Unit("vector", rest))


def _rate(sample: Sample, size: int, how: str) -> Value:
    return _measured(sample, "FLOP/s", f"product of {size} x {size} matrices, {how}")


def _measured(sample: Sample, unit: str, how: str) -> Value:
    source = f"measured here: {how}, median of {sample.repeats}"
    low, high = min(sample.low, sample.value), max(sample.high, sample.value)
    return Value(_digits(sample.value), unit, source, True, Origin.MEASURED, _digits(low), _digits(high))


def _read(number: float, unit: str, source: str) -> Value:
    return Value(float(number), unit, source, True, Origin.MEASURED)


def _digits(value: float) -> float:
    """Return ``value`` to six digits: more would be noise."""
    return float(f"{value:.6g}")


def _faster(a: Sample, b: Sample) -> Sample:
    return max(a, b, key=lambda sample: sample.value)


def _sizes(products: Mapping[str, tuple[int, Sample]]) -> list[str]:
    shown = ", ".join(f"{dtype} at {size}" for dtype, (size, _) in products.items())
    return [f"fastest square products: {shown}"]


def _busy(samples: list[Sample], load: float | None, cores: int) -> list[str]:
    """Return a note when the repeats or the load say that other work ran beside the measurement."""
    wide = max(sample.spread for sample in samples)
    if wide < BUSY_SPREAD and (load is None or load < 0.5 * cores):
        return []
    seen = f"repeats spread by up to {wide:.0%}" + (
        f", load before {load:.1f} on {cores} cores" if load is not None else ""
    )
    return [f"the machine may have been busy while it was measured: {seen}; measure again when it is idle"]


def _power_limit() -> Value:
    """Return the power limit that the driver reports, or an assumption."""
    program = shutil.which("nvidia-smi")
    query = ["--query-gpu=power.limit", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run([program or "", *query], capture_output=True, text=True, timeout=10, check=True)
        return _read(float(answer.stdout.strip()), "W", "power limit that the driver reports")
    except (OSError, ValueError, subprocess.SubprocessError):
        return Value(350.0, "W", "assumed: the driver does not say", False, Origin.ASSUMED, 70.0, 1000.0)
