"""What the system says of this machine without measuring: processor, cores, caches, memory, limits of a container.

Roots of the file systems are arguments, so that tests can describe other machines.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import msgspec

ROOT = Path("/")


class Processor(msgspec.Struct, frozen=True):
    """A processor as its operating system describes it; None where it does not say."""

    name: str
    vendor: str
    architecture: str
    cores: int
    clock_hz: float | None
    memory_bytes: int | None
    cache_bytes: int | None
    virtual: bool


def processor(root: Path = ROOT) -> Processor:
    """Return what the system under ``root`` says of its processor."""
    info = _read(root / "proc/cpuinfo")
    vendor = _field(info, "vendor_id")
    clock = _field(info, "cpu MHz")
    return Processor(
        name=_field(info, "model name") or platform.processor() or platform.machine(),
        vendor={"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}.get(vendor, vendor) or "unknown",
        architecture=platform.machine() or "unknown",
        cores=usable_cores(root),
        clock_hz=float(clock) * 1e6 if clock and float(clock) > 0 else None,
        memory_bytes=memory_bytes(root),
        cache_bytes=last_level_cache(root),
        virtual="hypervisor" in info,
    )


def usable_cores(root: Path = ROOT) -> int:
    """Return the cores this process may use: its affinity, and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]) > 0:
        cores = min(cores, max(1, round(int(quota[0]) / int(quota[1]))))
    return cores


def memory_bytes(root: Path = ROOT) -> int | None:
    """Return the memory of the machine, or the limit of this container where that is lower."""
    found = re.search(r"MemTotal:\s*(\d+) kB", _read(root / "proc/meminfo"))
    limit = _read(root / "sys/fs/cgroup/memory.max").strip()
    sizes = [int(found.group(1)) * 1024] if found else []
    sizes += [int(limit)] if limit.isdigit() and int(limit) > 0 else []
    return min(sizes, default=None)


def last_level_cache(root: Path = ROOT) -> int | None:
    """Return the bytes of the largest cache that the first core reaches."""
    sizes = []
    for index in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        match = re.fullmatch(r"(\d+)([KMG]?)", _read(index / "size").strip())
        if match and _read(index / "type").strip() != "Instruction":
            sizes.append(int(match.group(1)) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match.group(2)])
    if not sizes and (match := re.search(r"cache size\s*:\s*(\d+) KB", _read(root / "proc/cpuinfo"))):
        sizes.append(int(match.group(1)) * 2**10)
    return max(sizes, default=None)


def load_average(root: Path = ROOT) -> float | None:
    """Return the load of the last minute, in running processes."""
    text = _read(root / "proc/loadavg").split()
    return float(text[0]) if text else None


def _field(info: str, name: str) -> str:
    match = re.search(rf"^{name}\s*:\s*(.+)$", info, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
