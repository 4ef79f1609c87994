"""Traces changed at random, two thousand times and more: a consistent trace or one line of error, soon, never a part.

Whatever is read is analysed as well. Python's own ``json`` decides what of a changed text is still a trace.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from codesign.errors import DataError
from codesign.profilers.analysis import analyse
from codesign.profilers.readers import read_trace
from codesign.profilers.readers.consistency import fault
from codesign.profilers.readers.recording import write_recording
from codesign.profilers.trace import Trace
from codesign.testing.readers import check_refusal, difference

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
PUBLIC = ("bert_small_h100", "dlrm_v100_rank1", "qwen3_8b_decode_graph_mi300x", "nccl_a100", "gpu_only_mi210")
EACH = 15
"""Events of a kind that are kept of a trace: the changes shall hit every kind of place, and reading be fast."""
CHANGES = 340
"""Changed files made of each trace."""
LIMIT = 5.0
"""Seconds that one small file may take on a slow machine."""
NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1", b"0", b"1e-400", b"null", b"true", b'"7"', b"12.5", b"",
           b"9" * 19, b"9" * 400, b"-4611686018427387904", b"9223372036854775807", b"1700000000000000.123")  # fmt: skip
MARKS = (b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u", b"\0", b"\xff", b" ", b"\n", b"}]}", b"}, {")
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
MARK = re.compile(rb'["{}\[\],:]')
ESCAPE = re.compile(r'\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})|\\\\')

Change = Callable[[bytearray, random.Random], None]


def flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def piece(content: bytearray, chance: random.Random) -> slice:
    start = chance.randrange(len(content))
    return slice(start, start + chance.choice((1, 3, 40, 400, 3_000)))


def double(content: bytearray, chance: random.Random) -> None:
    taken = piece(content, chance)
    content[taken.stop : taken.stop] = content[taken]


def delete(content: bytearray, chance: random.Random) -> None:
    del content[piece(content, chance)]


def swap(content: bytearray, chance: random.Random) -> None:
    first, second = piece(content, chance), piece(content, chance)
    content[first], content[second] = content[second], content[first]


def numbers(content: bytearray, chance: random.Random) -> None:
    _replaced(content, chance, NUMBER, NUMBERS)


def marks(content: bytearray, chance: random.Random) -> None:
    _replaced(content, chance, MARK, MARKS)


def whole_events(content: bytearray, chance: random.Random) -> None:
    """Drop or repeat what lies between two events, so that what remains is mostly JSON."""
    borders = [found.start() for found in re.finditer(rb"(?<=\}), ?\{", content)]
    if borders:
        first, last = sorted(chance.choices(borders, k=2))
        content[first:last] = content[first:last] * chance.choice((0, 2))


def _replaced(content: bytearray, chance: random.Random, pattern: re.Pattern[bytes], others: tuple[bytes, ...]) -> None:
    for _ in range(chance.choice((1, 1, 2, 5))):
        places = list(pattern.finditer(content))
        if places:
            found = chance.choice(places)
            content[found.start() : found.end()] = chance.choice(others)


CHANGE: tuple[Change, ...] = (flip, cut, double, delete, swap, numbers, numbers, marks, marks, whole_events)


def gpu_like(origin: int, step: int, old: bool) -> bytes:
    """Return the text of a trace of three steps: operators that launch kernels, a graph, a copy, a set, another device.

    Args:
        origin: First stamp, ns.
        step: Nanoseconds that every time is a multiple of.
        old: Whether categories and threads are written as old profilers do.
    """
    names = {"cpu_op": "Operator", "cuda_runtime": "Runtime", "kernel": "Kernel", "gpu_memcpy": "Memcpy",
             "gpu_memset": "Memset"} if old else {}  # fmt: skip
    events: list[dict[str, Any]] = [{"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "python"}}]

    def add(kind: str, name: str, begin: int, duration: int, *ids: int, device: int | None = None, **more: Any) -> None:
        at, lasts = origin + begin * step, duration * step
        times = {"ts": f"@{at // 1000}.{at % 1000:03}@", "dur": f"@{lasts // 1000}.{lasts % 1000:03}@"}
        given = {**dict(zip(("correlation", "External id"), ids)), **more}
        if device is None:
            owner: dict[str, Any] = {"pid": 100, "tid": "4711 (python)" if old else 4711}
        else:
            stream = given.setdefault("stream", 7)
            owner = {"pid": device, "tid": f"stream {stream}" if old else stream}
            given["device"] = device
        events.append({"ph": "X", "cat": names.get(kind, kind), "name": name, **owner, **times, "args": given})

    for turn in range(3):
        at, one = turn * 1_000, turn * 10
        add("cpu_op" if old else "user_annotation", f"ProfilerStep#{turn}", at, 900)
        for n in range(3):
            add("cpu_op", "aten::linear", at + 10 + 100 * n, 60, -1, one + n)
            add("cpu_op", "aten::addmm", at + 12 + 100 * n, 50, -1, one + n, dims=[[1, 2], []])
            add("cuda_runtime", "cudaLaunchKernel", at + 20 + 100 * n, 5, one + n, one + n)
            add("kernel", f"void gemm<{n}>(float*)", at + 40 + 100 * n, 80, one + n, device=0, grid=[1, 2, 3])
        add("cuda_runtime", "cudaGraphLaunch", at + 400, 10, one + 5)
        for n in range(3):
            add("kernel", "relu", at + 420 + 20 * n, 15, one + 5, device=0)
        add("cuda_runtime", "cudaMemcpyAsync", at + 500, 4, one + 6)
        add("gpu_memcpy", "Memcpy HtoD", at + 505, 30, one + 6, device=0, stream=8, bytes=4096)
        add("gpu_memset", "Memset", at + 540, 2, one + 7, device=0, stream=8, bytes="64")
        add("kernel", "ncclKernel_AllReduce_RING", at + 530, 200, one + 8, device=1, stream=9)
        add("python_function", "train.py(3): step", at + 1, 880)
    text = json.dumps({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "H100"}], "traceEvents": events,
                       "traceName": "trace.json"}, indent=1 if old else None)  # fmt: skip
    return re.sub(r'"@([^@]*?)(\.000)?@"', r"\1", text).encode()


def shortened(path: Path) -> bytes:
    """Return the trace in ``path`` with some of its events, of all kinds, the way it is written."""
    trace = json.loads(gzip.decompress(path.read_bytes()))
    events = trace["traceEvents"]
    kinds: dict[Any, list[Any]] = {}
    for event in events:
        kinds.setdefault((event.get("cat"), event.get("ph")), []).append(event)
    kept = {id(event) for group in kinds.values() for event in group[:EACH]}
    return json.dumps({**trace, "traceEvents": [event for event in events if id(event) in kept]}).encode()


def sources() -> Iterator[Any]:
    """Yield the traces that are changed, as functions that make their text."""
    for name in ("cpu_decoder_t1", "cpu_decoder_t128"):
        yield pytest.param(lambda name=name: shortened(RECORDINGS / f"{name}.json.gz"), id=name)
    yield pytest.param(lambda: gpu_like(0, 1_000, old=True), id="old categories")
    yield pytest.param(lambda: gpu_like(5_000_000_123, 17, old=False), id="nanoseconds")
    yield pytest.param(lambda: gpu_like(1_712_195_495_505_582_988, 1_001, old=False), id="absolute")
    yield pytest.param(
        lambda: gpu_like(0, 3, old=False).partition(b'"traceEvents": ')[2].rpartition(b",")[0], id="list"
    )
    for name in PUBLIC:
        here = (TRACES / f"{name}.json.gz").exists()
        missing = pytest.mark.skipif(not here, reason="the public traces are not here")
        yield pytest.param(lambda name=name: shortened(TRACES / f"{name}.json.gz"), id=name, marks=missing)


class Late(BaseException):
    """A file took too long; no handler of the program may take it for its own."""


@contextmanager
def in_time() -> Iterator[None]:
    """End what takes longer than ``LIMIT``."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Late(f"more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read(path: Path) -> Trace | None:
    """Return the trace, analysed, or None where it is refused as it should be."""
    with in_time():
        try:
            trace = read_trace(path)
        except DataError as error:
            check_refusal(error, path)
            return None
        assert fault(trace) is None
        analyse(trace)
    return trace


def events_of(text: bytes) -> list[dict[str, Any]] | None:
    """Return the events of a text that Python takes for a trace once its escapes are mended; None if it does not."""
    keys = Counter[str]()

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys.update(key for key, value in pairs if key == "traceEvents")
        return dict(pairs)

    decoded = ESCAPE.sub(r"\\\\", text.decode("utf-8", "replace"))
    try:
        value = json.loads(decoded, strict=False, object_pairs_hook=counted)
    except (ValueError, RecursionError):
        return None
    bare = isinstance(value, list)
    events = value if bare else value.get("traceEvents") if isinstance(value, dict) else None
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events) or keys.total() > 1:
        return None
    if bare and events and not any(isinstance(event.get("ph"), str) and event["ph"] for event in events):
        return None  # a list of something else
    return events


@pytest.mark.parametrize("source", list(sources()))
def test_changed_texts(tmp_path: Path, source: Callable[[], bytes]) -> None:
    whole, chance, outcomes = source(), random.Random(11), Counter[str]()
    path = tmp_path / "trace.json"
    path.write_bytes(whole)
    reference = read(path)
    assert reference is not None
    assert len(reference.operators) + len(reference.work) >= 15
    for number in range(CHANGES):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 1, 3))):
            if content:
                CHANGE[chance.randrange(len(CHANGE))](content, chance)
        path.write_bytes(content)
        trace, events = read(path), events_of(bytes(content))
        if trace is None:
            assert events is None, f"change {number} is JSON, and was refused"
            outcomes["refused"] += 1
            continue
        if events is None:  # a comma before the last bracket is the one thing that we read beyond Python
            events = events_of(re.sub(rb",\s*\](?=[^\[\]{}]*\}?\s*\Z)", b"]", bytes(content)))
        assert events is not None, f"change {number} is no JSON, and was read"
        assert trace.event_count == len(events), f"change {number}: a part was read"
        outcomes["same" if difference(trace, reference) is None else "other"] += 1
    assert min(outcomes.values()) >= 10, outcomes


@pytest.mark.parametrize("source", [source for source in sources() if source.id in ("cpu_decoder_t1", "nanoseconds")])
def test_changed_files(tmp_path: Path, source: Any) -> None:
    """Of gzip and of our own recordings every change is noticed or means nothing."""
    chance, outcomes = random.Random(12), Counter[str]()
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress(source(), mtime=0))
    reference = read(path)
    assert reference is not None
    write_recording(reference, tmp_path / "trace.codesign")
    for whole in (path.read_bytes(), (tmp_path / "trace.codesign").read_bytes()):
        for number in range(150):
            content = bytearray(whole)
            change = chance.choice((flip, flip, cut, double, delete, swap))
            change(content, chance)
            path.write_bytes(content)
            trace = read(path)
            assert trace is None or difference(trace, reference) is None, f"change {number}: {change.__name__}"
            outcomes["refused" if trace is None else "same"] += 1
    assert outcomes["refused"] > 200, outcomes
