"""This machine as a target: measured in under half a minute and written in the form of the catalogue.

Peaks, bandwidth and dispatch cost are measured through torch; capacity, cores and caches are read from the system;
power is not visible on most machines and stays an assumption with a wide interval.
"""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path

from codesign.errors import EnvironmentLacks, UsageError, nearest
from codesign.targets import probes
from codesign.targets.loader import SCHEMA, parse_target
from codesign.targets.target import Target

CPU_DTYPES = ("fp32", "bf16", "int8")
CUDA_DTYPES = ("fp32", "tf32", "fp16", "bf16", "int8")
BUSY_SPREAD = 0.6
WATTS_PER_CORE = (3.5, 2.0, 8.0)
"""Assumed share of a server processor's thermal design power per logical core: nominal, low, high."""


def detect(device: str = "cpu", seconds: float = 20.0) -> tuple[Target, str]:
    """Measure a device of this machine.

    Args:
        device: ``cpu`` or ``cuda``.
        seconds: time for the measurements; they finish within about this.

    Returns:
        The target, and the YAML text that describes it.

    Raises:
        EnvironmentLacks: no such device here.
        UsageError: an unknown device or an absurd time.
    """
    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}", nearest(device, ("cpu", "cuda")))
    if not 0.5 <= seconds <= 600:
        raise UsageError(f"{seconds:g} s for measuring", "expected 0.5 to 600 seconds")
    text = _cpu(seconds) if device == "cpu" else _cuda(seconds)
    return parse_target(text, f"this-{device}.yaml"), text


def save(text: str, path: str | Path, force: bool = False) -> Path:
    """Write a detected target's YAML to ``path``; an existing file is replaced only with ``force``."""
    file = Path(path)
    if file.exists() and not force:
        raise UsageError(f"{file} exists", "choose another --out, or --force to replace it")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentLacks(f"{file}: {error.strerror}", "choose a folder that can be written") from None
    return file


def _cpu(seconds: float) -> str:
    import torch

    slot = seconds / 8
    threads = torch.get_num_threads()
    peaks = {dtype: probes.matrix_rate("cpu", dtype, 1024, slot) for dtype in CPU_DTYPES}
    found = {dtype: peak for dtype, peak in peaks.items() if peak is not None}
    cache = _cache_bytes()
    bandwidth = probes.copy_bandwidth("cpu", int(max(256e6, 4 * (cache or 0))), slot)
    dispatch = probes.dispatch_cost("cpu", slot)
    cores = os.cpu_count() or 1
    lines = _header("this-cpu", _processor_name(), _vendor(), "cpu", platform.machine())
    lines += _power(cores)
    lines += ["machine:", f"  cores: {_given(f'{cores}', 'logical processors of this machine')}"]
    # integer and floating products run on the same vector units; torch measures each as it executes it
    lines += ["  matrix:", *(f"    {d}: {_measured(p, 'FLOP/s', f'torch product of 1024, {threads} threads')}" for d, p in found.items())]
    lines += ["  vector:", f"    fp32: {_measured(found['fp32'], 'FLOP/s', 'as the fp32 product: the same units')}"]
    lines += ["  memory:", f"    capacity: {_given(f'{_memory_bytes()} B', 'memory of this machine')}"]
    lines += [f"    bandwidth: {_measured(bandwidth, 'B/s', f'torch copy beyond the cache, {threads} threads')}"]
    if cache:
        lines += ["  cache:", f"    capacity: {_given(f'{cache} B', 'last-level cache as the system reports it')}"]
    lines += [f"  host: {_measured(dispatch, 's', 'one eager torch operator on one element')}"]
    return "\n".join([*lines, *_notes([bandwidth, dispatch, *found.values()])]) + "\n"


def _cuda(seconds: float) -> str:
    import torch

    if not torch.cuda.is_available():
        raise EnvironmentLacks("no CUDA device here", "`codesign doctor` lists what this machine has")
    properties = torch.cuda.get_device_properties(0)
    slot = seconds / 10
    peaks = {dtype: probes.matrix_rate("cuda", dtype, 8192, slot) for dtype in CUDA_DTYPES}
    found = {dtype: peak for dtype, peak in peaks.items() if peak is not None}
    bandwidth = probes.copy_bandwidth("cuda", 2**30, slot)
    dispatch = probes.dispatch_cost("cuda", slot)
    lines = _header("this-gpu", properties.name, "NVIDIA" if torch.version.cuda else "AMD", "gpu", f"sm{properties.major}{properties.minor}")
    lines += ["power:", "  tdp: {value: 400 W, source: \"assumed: read it with NVML\", origin: assumed, low: 70 W, high: 1000 W}"]
    lines += ["machine:", f"  cores: {_given(str(properties.multi_processor_count), 'multiprocessors')}"]
    lines += ["  matrix:", *(f"    {d}: {_measured(p, 'FLOP/s', 'torch product of 8192')}" for d, p in found.items() if d != "fp32")]
    lines += ["  vector:", f"    fp32: {_measured(found['fp32'], 'FLOP/s', 'torch product of 8192')}"]
    lines += ["  memory:", f"    capacity: {_given(f'{properties.total_memory} B', 'memory of the device')}"]
    lines += [f"    bandwidth: {_measured(bandwidth, 'B/s', 'torch copy of 1 GiB')}"]
    lines += ["  cache:", f"    capacity: {_given(f'{properties.L2_cache_size} B', 'L2 of the device')}"]
    lines += [f"  host: {_measured(dispatch, 's', 'one eager torch operator on one element')}"]
    return "\n".join([*lines, *_notes([bandwidth, dispatch, *found.values()])]) + "\n"


def _header(identity: str, name: str, vendor: str, kind: str, architecture: str) -> list[str]:
    return [
        f"schema: {SCHEMA}", f"id: {identity}", f"name: {json.dumps(name)}", f"vendor: {json.dumps(vendor)}",
        f"kind: {kind}", f"architecture: {json.dumps(architecture)}",
    ]  # fmt: skip


def _power(cores: int) -> list[str]:
    nominal, low, high = (cores * watts for watts in WATTS_PER_CORE)
    source = f"assumed: {WATTS_PER_CORE[0]} W per logical core of a server processor"
    return ["power:", f"  tdp: {{value: {nominal:g} W, source: {json.dumps(source)}, origin: assumed, low: {low:g} W, high: {high:g} W}}"]


def _measured(s: probes.Sample, unit: str, how: str) -> str:
    source = f"measured: {how}, median of {s.repeats}"
    return f"{{value: {s.value:.6g} {unit}, source: {json.dumps(source)}, verified: true, origin: measured, low: {s.low:.6g} {unit}, high: {s.high:.6g} {unit}}}"


def _given(text: str, source: str) -> str:
    return f"{{value: {text}, source: {json.dumps(source)}, verified: true, origin: measured}}"


def _notes(samples: list[probes.Sample]) -> list[str]:
    if max(s.spread for s in samples) < BUSY_SPREAD:
        return []
    return ['notes: ["the repeats spread widely: the machine was busy while it was measured; the intervals say how much"]']


def _processor_name() -> str:
    match = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    return match.group(1).strip() if match else platform.processor() or platform.machine()


def _vendor() -> str:
    match = re.search(r"vendor_id\s*:\s*(\S+)", _read("/proc/cpuinfo"))
    known = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}
    return known.get(match.group(1), match.group(1)) if match else "unknown"


def _memory_bytes() -> int:
    match = re.search(r"MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    if match:
        return int(match.group(1)) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cache_bytes() -> int | None:
    text = _read("/sys/devices/system/cpu/cpu0/cache/index3/size").strip()
    match = re.fullmatch(r"(\d+)([KM]?)", text)
    return int(match.group(1)) * {"": 1, "K": 1024, "M": 1024**2}[match.group(2)] if match else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
