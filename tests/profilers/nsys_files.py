"""Small exports of Nsight Systems for the tests of their reader, and reading them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError
from codesign.profilers.readers.consistency import fault
from codesign.profilers.readers.nsys import read_nsys
from codesign.profilers.trace import HostEvents, Trace
from codesign.testing.nsys_export import (
    NEW,
    SECRET,
    Call,
    Copy,
    Kernel,
    Range,
    Set,
    Variant,
    write_nsys_export,
)

EPOCH = 1_700_000_000_000_000_123
"""A stamp that no double holds, ns."""
HOSTILE = '</script><script>alert("x")</script>'

CALLS = [
    Call("cudaLaunchKernel_v7000", EPOCH + 1_000, EPOCH + 4_000, 1),
    Call("cudaLaunchKernel_ptsz_v7000", EPOCH + 5_000, EPOCH + 6_001, 2, thread=102),
    Call("cudaGraphLaunch_v10000", EPOCH + 12_000, EPOCH + 15_000, 3),
    Call("cudaMemcpyAsync_v3020", EPOCH + 20_000, EPOCH + 21_000, 4),
    Call("cudaMemsetAsync_v3020", EPOCH + 22_000, EPOCH + 22_700, 5),
    Call("cudaDeviceSynchronize_v3020", EPOCH + 23_000, EPOCH + 30_000, 6),
]
KERNELS = [
    Kernel("void gemm<float, 4>(float*)", EPOCH + 6_500, EPOCH + 9_500, 1),
    Kernel("relu", EPOCH + 9_500, EPOCH + 10_001, 2),
    Kernel("first", EPOCH + 16_000, EPOCH + 17_000, 3, stream=13),
    Kernel("second", EPOCH + 17_000, EPOCH + 17_500, 3, stream=13),
    Kernel("first", EPOCH + 17_600, EPOCH + 18_000, 3, stream=13),
]
COPIES = [
    Copy(1, 4_096, EPOCH + 24_000, EPOCH + 25_000, 4),
    Copy(2, 12, EPOCH + 25_500, EPOCH + 25_600, 4, device=1),
]
SETS = [Set(512, EPOCH + 26_000, EPOCH + 26_001, 5)]
RANGES = [
    Range("aten::linear, seq = 12, op_id = 3", EPOCH + 500, EPOCH + 4_500),
    Range("aten::linear, seq = 13, op_id = 4", EPOCH + 4_900, EPOCH + 6_100, thread=102),
    Range("decode", EPOCH, EPOCH + 31_000, 60),
    Range("a mark", EPOCH + 700, None, 34),
]
PARTS: dict[str, Any] = {"calls": CALLS, "kernels": KERNELS, "copies": COPIES, "sets": SETS, "ranges": RANGES}


def written(path: Path, variant: Variant = NEW, **more: Any) -> Path:
    """Write the export above; ``more`` replaces its tables."""
    return write_nsys_export(path, gpus=["NVIDIA H100 PCIe"], variant=variant, **(PARTS | more))


def altered(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


def read(path: Path) -> Trace:
    trace = read_nsys(path)
    assert fault(trace) is None
    assert SECRET not in repr((trace.names, trace.threads, trace.facts, trace.device_names, trace.skipped))
    return trace


def refused(path: Path) -> str:
    """Return the message of the refusal to read ``path``: one line that names the file and says what to do."""
    with pytest.raises(DataError) as caught:
        read_nsys(path)
    message, hint = caught.value.message, caught.value.hint
    assert hint
    assert (message + hint).isprintable()
    assert path.name in message
    assert str(path.parent) not in message
    assert SECRET not in message
    return message


def named(trace: Trace, events: HostEvents) -> list[str]:
    return [trace.names[index] for index in events.name]


def worked(trace: Trace) -> list[str]:
    return [trace.names[index] for index in trace.work.name]
