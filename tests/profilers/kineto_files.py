"""Small Kineto files for the tests of their reader, and reading them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from codesign.errors import DataError
from codesign.profilers.readers import read_trace
from codesign.profilers.readers.consistency import HOST_TABLES, fault
from codesign.profilers.readers.kineto import read_kineto
from codesign.profilers.readers.stamps import LARGEST
from codesign.profilers.trace import HostEvents, Trace
from codesign.testing.readers import check_refusal

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
SECRET = "hunter2-swordfish"
EPOCH = "1712195495505582.988"
"""A stamp in us that no double holds."""


def event(category: str, name: str, start: Any, duration: Any = 1, **more: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": 1, "ts": start, "dur": duration, **more}


EVENTS: list[dict[str, Any]] = [
    event("cpu_op", "aten::linear", 10, 30, args={"External id": 7}),
    event("cuda_runtime", "cudaLaunchKernel", 12.5, 2.25, args={"correlation": 3, "External id": 7}),
    event("kernel", "gemm", 20.001, 5, pid=0, tid=7, args={"device": 0, "stream": 7, "correlation": 3}),
    event("gpu_memcpy", "Memcpy HtoD", 40, 1.5, pid=0, tid=7, args={"device": 0, "stream": 7, "bytes": 4096}),
    event("gpu_memset", "Memset", 42, 0.5, pid=0, tid=7, args={"device": 1, "stream": 8, "bytes": "64"}),
    event("user_annotation", "forward", 9, 40, tid=2),
    event("python_function", "train.py(3): step", 8, 44),
    event("overhead", "Activity Buffer Request", 1, 4, pid=-1, tid=0),
    {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "ts": 0, "args": {"name": "python"}},
    {"ph": "s", "id": 3, "pid": 1, "tid": 1, "ts": 12, "cat": "ac2g", "name": "ac2g"},
    {"ph": "B", "cat": "cpu_op", "name": "unfinished", "pid": 1, "tid": 1, "ts": 50},
    event("Trace", "PyTorch Profiler (0)", 0, 60, tid="PyTorch Profiler"),
]
FIELDS: dict[str, Any] = {
    "schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "NVIDIA H100"}, {"id": 1, "name": "NVIDIA H100"}],
    "distributedInfo": {"backend": "nccl", "rank": 2, "world_size": 8}, "record_shapes": 1,
}  # fmt: skip


def written(path: Path, content: Any) -> Path:
    """Write JSON, or bytes as they are."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def read(path: Path, block: int | None = None) -> Trace:
    trace = read_trace(path) if block is None else read_kineto(path, block)
    assert fault(trace) is None
    assert len(trace.work) + sum(len(getattr(trace, t)) for t in HOST_TABLES) <= trace.event_count
    return trace


def refused(path: Path, reader: Callable[[Path], Trace] = read_trace) -> str:
    with pytest.raises(DataError) as caught:
        reader(path)
    check_refusal(caught.value, path)
    return caught.value.message


def named(trace: Trace, table: HostEvents) -> list[str]:
    return [trace.names[number] for number in table.name]


def only(tmp_path: Path, *events: Any) -> Trace:
    """Return the trace of a file with these events, each JSON or bytes as they are."""
    texts = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    return read(written(tmp_path / "only.json", b"[" + b",".join(texts) + b"]"))


def samples() -> Iterator[tuple[str, bytes]]:
    """Yield traces with something difficult at every place."""
    hard = [
        *EVENTS, event("kernel", "}, {", 50, 1.0005), event("kernel", '"}]', 51, args={"a": [{}, {"b": []}]}),
        event("cpu_op", "x", 52, tid="7"), event("cpu_op", "x", 53, tid=7), event("kernel", "d", 10**14),
    ]  # fmt: skip
    yield "plain", json.dumps({**FIELDS, "traceEvents": hard, "displayTimeUnit": "ms"}).encode()
    yield "list", b"\xef\xbb\xbf\n " + json.dumps(hard, indent=1).encode() + b" \n"
    text_ = json.dumps(hard, separators=(",", ":")).replace('"ts":53,', f'"ts":{EPOCH},').replace('"x"', r'"C:\x"')
    yield "mended", b'{"a":{"traceEvents":[{}]},"traceEvents" :\n[' + text_[1:].encode() + b', "x": [1, {"a": 2}, {}]}'
    yield "nan", json.dumps([*hard, event("kernel", "k", float("nan")), event("cpu_op", "a", 3, float("inf"))]).encode()


DECIMALS = st.builds(
    lambda negative, whole, places, digits: (
        f"{'-' if negative else ''}{whole}" + (f".{digits % 10**places:0{places}}" if places else "")
    ),
    st.booleans(), st.one_of(st.integers(0, 10**4), st.integers(0, LARGEST // 1000 - 1)), st.integers(0, 9),
    st.integers(0, 10**9),
)  # fmt: skip


READ_ALONE = r"""
import re, sys
from pathlib import Path
from codesign.profilers.readers import read_trace
trace = read_trace(Path(sys.argv[1]))
peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
print(trace.event_count, len(trace.threads), int(peak[1]) * 1024)
"""
"""``getrusage`` would not do: Linux counts what the parent holds at the fork as the child's peak."""


def read_alone(path: Path) -> tuple[int, int, int]:
    """Return the events, the threads and the peak memory (bytes) of a process that reads one trace."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the peak memory of a process of its own is read from /proc")
    done = subprocess.run([sys.executable, "-c", READ_ALONE, path], capture_output=True, text=True, check=True)
    events, threads, peak = map(int, done.stdout.split())
    return events, threads, peak
