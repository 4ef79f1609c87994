"""Kineto traces of every generation and in every state: exact columns, or one line that says what is wrong."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.errors import DataError
from codesign.profilers.readers import columns as columns_module
from codesign.profilers.readers import kineto, read_trace, text
from codesign.profilers.readers.columns import FAR, LONGEST, Columns
from codesign.profilers.readers.consistency import HOST_TABLES, fault
from codesign.profilers.readers.event import UNNAMED, Category, Role
from codesign.profilers.readers.kineto import read_kineto
from codesign.profilers.readers.repair import NEGATIVE, NO_DURATION, NO_START, read_events
from codesign.profilers.readers.stamps import (
    LARGEST,
    NeedsText,
    NotPlain,
    from_nanoseconds,
    from_numbers,
    from_texts,
    nanoseconds_of,
)
from codesign.profilers.trace import NONE, HostEvents, Trace, Work
from codesign.testing.readers import check_reader, check_refusal, difference

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


class TestByHand:
    def test_every_column(self, tmp_path: Path) -> None:
        trace = read(written(tmp_path / "a.json", {**FIELDS, "traceEvents": EVENTS}))
        assert (trace.format, trace.origin, trace.event_count, trace.operator_steps) == ("kineto", 1_000, 12, 0)
        assert trace.skipped == {"no complete event (ph is not X)": 1}
        assert trace.names == (
            "aten::linear", "cudaLaunchKernel", "gemm", "Memcpy HtoD", "Memset", "forward", "train.py(3): step",
            "Activity Buffer Request",
        )  # fmt: skip
        assert trace.threads == (("1", "1"), ("1", "2"), ("-1", "0"))
        assert trace.device_names == ("NVIDIA H100",)
        assert trace.facts == {
            "schemaVersion": "1", "record_shapes": "1", "distributed backend": "nccl", "distributed rank": "2",
            "distributed world_size": "8",
        }  # fmt: skip
        call = trace.calls
        assert (call.start.tolist(), call.duration.tolist()) == ([11_500], [2_250])
        assert (call.correlation.tolist(), call.external.tolist(), call.thread.tolist()) == ([3], [7], [0])
        assert (trace.operators.start.tolist(), trace.operators.external.tolist()) == ([9_000], [7])
        assert (trace.annotations.start.tolist(), trace.annotations.thread.tolist()) == ([8_000], [1])
        assert (trace.functions.start.tolist(), trace.functions.correlation.tolist()) == ([7_000], [NONE])
        assert (trace.overhead.start.tolist(), trace.overhead.thread.tolist()) == ([0], [2])
        work = trace.work
        assert work.work.tolist() == [Work.KERNEL, Work.COPY, Work.SET]
        assert work.start.tolist() == [19_001, 39_000, 41_000]
        assert work.duration.tolist() == [5_000, 1_500, 500]
        assert (work.device.tolist(), work.stream.tolist()) == ([0, 0, 1], [7, 7, 8])
        assert (work.correlation.tolist(), work.bytes.tolist()) == ([3, NONE, NONE], [0, 4096, 64])

    def test_list_object_and_gzip_say_the_same(self, tmp_path: Path) -> None:
        bare = read(written(tmp_path / "a.json", EVENTS))
        for name, content in (
            ("b.gz", json.dumps({"traceEvents": EVENTS}).encode()),  # not gzip, whatever its name says
            ("c.json", gzip.compress(json.dumps(EVENTS).encode())),
            ("d.txt", json.dumps({"traceEvents": EVENTS}, indent=4).replace("\n", "\r\n").encode()),
            ("e", b"\xef\xbb\xbf" + json.dumps(EVENTS).encode()),
            ("f", b"\xef\xbb\xbf \n" + json.dumps({"traceEvents": EVENTS}).encode() + b"\n\n"),
            ("g", b"\n" * 3_000_000 + json.dumps(EVENTS).encode()),
            ("h", json.dumps(EVENTS).replace("}, {", "} \t ,\r\n {").replace("}]", "},\n]").encode()),
        ):
            assert difference(read(written(tmp_path / name, content)), bare) is None, name

    def test_the_smallest_traces(self, tmp_path: Path) -> None:
        for content in (b"[]", b" [ ] ", b'{"traceEvents":[]}', gzip.compress(b"[]")):
            trace = read(written(tmp_path / "a", content))
            assert (trace.event_count, trace.names, trace.threads, trace.origin) == (0, (), (), 0)

    @settings(max_examples=60)
    @given(st.randoms(use_true_random=False), st.integers(1, 400))
    def test_columns_of_many_events(self, tmp_path_factory: Any, chance: random.Random, block: int) -> None:
        """Events in any order and number, against plain Python."""
        categories = {"cpu_op": "operators", "cuda_driver": "calls", "user_annotation": "annotations",
                      "python_function": "functions", "overhead": "overhead", "kernel": "work"}  # fmt: skip
        events = [
            event(chance.choice([*categories, "Trace"]), f"n{chance.randrange(4)}", chance.randrange(-99, 10**9) / 8,
                  chance.randrange(10**6) / 8, tid=chance.randrange(3), args={"correlation": chance.randrange(-2, 9)})
            for _ in range(chance.randrange(40))
        ]  # fmt: skip
        trace = read(written(tmp_path_factory.mktemp("a") / "a.json", {"traceEvents": events}), block)
        used = [e for e in events if e["cat"] in categories]
        origin = min((int(e["ts"] * 1000) for e in used), default=0)
        assert (trace.origin, trace.event_count, trace.skipped) == (origin, len(events), {})
        assert list(trace.names) == list(dict.fromkeys(e["name"] for e in used))
        for category, field in categories.items():
            table, mine = getattr(trace, field), [e for e in events if e["cat"] == category]
            assert named(trace, table) == [e["name"] for e in mine]
            assert table.start.tolist() == [int(e["ts"] * 1000) - origin for e in mine]
            assert table.duration.tolist() == [int(e["dur"] * 1000) for e in mine]
            assert table.correlation.tolist() == [max(NONE, e["args"]["correlation"]) for e in mine]
            if field != "work":
                assert [trace.threads[n] for n in table.thread] == [("1", str(e["tid"])) for e in mine]


class TestGenerations:
    SPELLINGS = (
        ("kernel", "Kernel", "KERNEL"), ("gpu_memcpy", "Memcpy", "memcpy"), ("gpu_memset", "Memset", "memset"),
        ("cpu_op", "Operator", "operator"), ("cuda_runtime", "Runtime", "xpu_runtime", "privateuse1_driver"),
        ("user_annotation", "User_Annotation"), ("python_function", "Python_Function"), ("overhead", "Overhead"),
        ("ac2g", "gpu_user_annotation", "cuda_sync", "cpu_instant_event", "async", "Trace", "something new", ""),
    )  # fmt: skip

    @pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda s: str(s[0]))
    def test_spellings_of_a_category_have_one_role(self, tmp_path: Path, spellings: tuple[str, ...]) -> None:
        traces = [only(tmp_path, event(category, "n", 5, 2)) for category in spellings]
        assert all(difference(trace, traces[0]) is None for trace in traces)
        assert len({Category.of(category).role for category in spellings}) == 1

    def test_roles_are_all_told_apart(self) -> None:
        assert [Category.of(s[0]).role for s in self.SPELLINGS] == [
            Role.KERNEL, Role.COPY, Role.SET, Role.OPERATOR, Role.CALL, Role.ANNOTATION, Role.FUNCTION, Role.OVERHEAD,
            Role.OTHER,
        ]  # fmt: skip

    def test_steps_among_the_operators_of_old_files(self, tmp_path: Path) -> None:
        steps = [event("Operator", f"ProfilerStep#{n}", n * 10, 9, tid="12 (python)") for n in range(3)]
        trace = only(tmp_path, *steps, event("Operator", "aten::add", 1, 2, tid="12 (python)"))
        assert (named(trace, trace.annotations), trace.operator_steps) == ([s["name"] for s in steps], 3)
        assert named(trace, trace.operators) == ["aten::add"]
        assert trace.threads == (("1", "12 (python)"),)

    def test_a_thread_is_one_whether_number_or_text(self, tmp_path: Path) -> None:
        trace = only(tmp_path, *(event("cpu_op", "a", n, tid=tid) for n, tid in enumerate((7, "7", 8, "7", 7))))
        assert trace.threads == (("1", "7"), ("1", "8"))
        assert trace.operators.thread.tolist() == [0, 0, 1, 0, 0]

    def test_escapes_of_old_writers(self, tmp_path: Path) -> None:
        good = json.dumps(event("kernel", "k", 1)).encode()
        bad = good.replace(b'"k"', rb'"C:\Users\me\.cache\q.py \u12 caf\u00e9"')
        trace = only(tmp_path, good, bad, good)
        # \q and \U are no escapes; \u00e9 is one
        assert trace.names == ("k", "C:\\Users\\me\\.cache\\q.py \\u12 café")
        assert len(trace.work) == 3

    def test_bare_nan_among_arguments_is_no_harm(self, tmp_path: Path) -> None:
        bad = json.dumps(event("kernel", "k", 1, args={"correlation": 4, "occupancy": float("nan")})).encode()
        assert b"NaN" in bad
        assert only(tmp_path, bad).work.correlation.tolist() == [4]

    def test_a_broken_event_costs_its_neighbours_nothing(self, tmp_path: Path) -> None:
        """Few events are read slowly because one in a thousand has an escape that is none."""
        good = json.dumps(event("cpu_op", "a", 1, args={"External id": 1, "Input Dims": [[1, 2]]})).encode()
        many = [good] * 60_000
        plain = written(tmp_path / "a.json", b"[" + b",".join(many) + b"]")
        many[::1000] = [good.replace(b'"a"', rb'"C:\x"')] * 60
        broken = written(tmp_path / "b.json", b"[" + b",".join(many) + b"]")

        def seconds(path: Path) -> float:
            start = time.process_time()
            assert read(path).event_count == 60_000
            return time.process_time() - start

        assert min(seconds(broken) for _ in range(3)) < 8.0 * min(seconds(plain) for _ in range(3))


DECIMALS = st.builds(
    lambda negative, whole, places, digits: (
        f"{'-' if negative else ''}{whole}" + (f".{digits % 10**places:0{places}}" if places else "")
    ),
    st.booleans(), st.one_of(st.integers(0, 10**4), st.integers(0, LARGEST // 1000 - 1)), st.integers(0, 9),
    st.integers(0, 10**9),
)  # fmt: skip


def rounded(number: str) -> int:
    with localcontext() as context:
        context.prec = 60
        return int((Decimal(number) * 1000).to_integral_value(ROUND_HALF_EVEN))


class TestStamps:
    @settings(max_examples=400)
    @given(st.lists(DECIMALS, max_size=8))
    def test_text_is_exact(self, numbers: list[str]) -> None:
        try:
            assert from_texts([n.encode() for n in numbers]).tolist() == [rounded(n) for n in numbers]
        except NotPlain:  # more digits than 64 bits hold
            assert any(abs(int(n.replace(".", ""))) * 10 ** max(0, 3 - len(n.partition(".")[2])) >= LARGEST - 1000
                       for n in numbers)  # fmt: skip
        assert [nanoseconds_of(Decimal(n)) for n in numbers] == [rounded(n) for n in numbers]

    @settings(max_examples=400)
    @given(st.lists(DECIMALS, min_size=1, max_size=8))
    def test_numbers_are_exact_or_refused(self, numbers: list[str]) -> None:
        try:
            found = from_numbers([json.loads(n) for n in numbers])
        except NeedsText:
            assert any("." in n and (len(n.partition(".")[2]) > 3 or abs(float(n)) >= 2**42) for n in numbers)
        else:
            assert found.tolist() == [rounded(n) for n in numbers]

    @given(st.integers(-(2**42) * 1000 + 1, 2**42 * 1000 - 1))
    def test_numbers_in_whole_nanoseconds_need_no_text(self, nanoseconds: int) -> None:
        number = str(Decimal(nanoseconds).scaleb(-3))
        assert from_numbers([float(number)]).tolist() == [nanoseconds]

    @pytest.mark.parametrize(
        ("number", "nanoseconds"),
        [("0.0005", 0), ("0.0015", 2), ("-0.0005", 0), ("-0.0015", -2), ("0.00050000000000001", 1), (EPOCH, None)],
    )
    def test_ties_go_to_the_even_one(self, number: str, nanoseconds: int | None) -> None:
        wanted = rounded(number) if nanoseconds is None else nanoseconds
        assert from_texts([number.encode(), b"1"]).tolist() == [wanted, 1000]
        assert nanoseconds_of(number) == wanted
        with pytest.raises(NeedsText):
            from_numbers([float(number)])

    @pytest.mark.parametrize(
        "number",
        [b"1e3", b"null", b'"5"', b"9" * 40, b"4611686018427387.904", b"-4611686018427387.904", b"1." + b"0" * 19],
    )
    def test_what_is_not_plain_is_left_to_the_slow_way(self, number: bytes) -> None:
        with pytest.raises(NotPlain):
            from_texts([b"1", number])

    @pytest.mark.parametrize(
        "value",
        [None, True, "", "x", "nan", "-Infinity", "1e40", [], {}, LARGEST, "1e999999999", "1e-99999999999999999999"],
    )
    def test_what_is_no_time(self, value: Any) -> None:
        assert nanoseconds_of(value) is None

    def test_spellings_of_a_time(self) -> None:
        texts = ("5", "5.0", "0.5e1", " 5 ", "50E-1")
        assert {nanoseconds_of(value) for value in (5, Decimal("5.000"), *texts)} == {5_000}
        assert nanoseconds_of("1e-999999999") == 0

    def test_stamps_that_need_text_are_not_read_the_slow_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(kineto, "read_events")
        stamp = b'{"ph": "X", "cat": "kernel", "name": "k", "ts": %s, "dur": 0.0625}'
        assert only(tmp_path, *[stamp % EPOCH.encode()] * 9, stamp % b"1712195495505583").event_count == 10

    def test_absolute_stamps_keep_their_nanoseconds(self, tmp_path: Path) -> None:
        late = b'{"ph": "X", "cat": "kernel", "name": "k", "ts": %s, "dur": 0.001}'
        trace = only(tmp_path, late % EPOCH.encode(), late % b"1712195495505582.989")
        assert (trace.origin, trace.work.start.tolist()) == (1_712_195_495_505_582_988, [0, 1])

    @pytest.mark.parametrize(
        ("start", "duration", "reason"),
        [
            ("NaN", "1", NO_START), ("Infinity", "1", NO_START), ("1e400", "1", NO_START),
            ("1e4611686018427387904", "1", NO_START), ("null", "1", NO_START),
            ('"soon"', "1", NO_START), ("true", "1", NO_START), ("[]", "1", NO_START), ("9" * 5000, "1", NO_START),
            ("1", "NaN", NO_DURATION), ("1", "-Infinity", NO_DURATION), ("1", "null", NO_DURATION),
            ("1", "9" * 30, NO_DURATION), ("1", "-1", NEGATIVE), ("1", "-0.001", NEGATIVE),
            ("1e15", "1", FAR), ("-1e15", "1", FAR), ("4e15", "1", FAR), ("1", "1.2e12", FAR),
        ],
    )  # fmt: skip
    def test_times_that_are_none_are_skipped_and_counted(
        self, tmp_path: Path, start: str, duration: str, reason: str
    ) -> None:
        good = [event("kernel", "k", n, tid=3) for n in range(3)]
        for category in ("kernel", "cpu_op"):
            bad = f'{{"ph": "X", "cat": "{category}", "name": "bad", "tid": 9, "ts": {start}, "dur": {duration}}}'
            trace = only(tmp_path, *good, bad.encode())
            assert (trace.skipped, trace.event_count) == ({reason: 1}, 4)
            assert (trace.work.start.tolist(), trace.names, trace.threads) == ([0, 1_000, 2_000], ("k",), ())

    def test_far_is_far_from_the_median(self, tmp_path: Path) -> None:
        edge = LONGEST // 1000
        kept = only(tmp_path, event("kernel", "k", 0), event("kernel", "k", 0), event("cpu_op", "a", edge, edge))
        assert (kept.skipped, kept.operators.start.tolist()) == ({}, [edge * 1000])
        trace = only(
            tmp_path, event("cpu_op", "first", -(10**15)), event("kernel", "k", 5), event("kernel", "k", 5),
            event("cpu_op", "a", 6, tid=2), event("cpu_op", "last", 10**15),
        )  # fmt: skip
        assert trace.skipped == {FAR: 2}
        assert (trace.origin, trace.names, trace.threads) == (5_000, ("k", "a"), (("1", "2"),))
        assert (named(trace, trace.operators), trace.operators.thread.tolist()) == (["a"], [0])


VALUES = ["null", "true", '"12"', '"x"', "12.0", "12.5", "-3", str(2**62), str(2**63), str(2**80), "9" * 4400, "[]",
          "{}", "1e400", "1e-4611686018427387904", "NaN", "0", "7"]  # fmt: skip
KEYS = ("ph", "cat", "name", "pid", "tid", "ts", "dur", "args")
INSIDE = ("correlation", "External id", "external id", "device", "stream", "bytes")


@st.composite
def odd_events(draw: st.DrawFn) -> str:
    """Return the text of an event some of whose values are of another type, missing, or given twice."""
    arguments = {key: draw(st.sampled_from(VALUES)) for key in draw(st.lists(st.sampled_from(INSIDE), max_size=3))}
    inside = ", ".join(f'"{key}": {value}' for key, value in arguments.items())
    fields = [
        ("ph", '"X"'), ("cat", draw(st.sampled_from(['"kernel"', '"cpu_op"', '"Runtime"', '"gpu_memcpy"']))),
        ("name", '"a"'), ("pid", "1"), ("tid", draw(st.sampled_from(["1", '"stream 7"', '"1"']))),
        ("ts", draw(DECIMALS)), ("dur", draw(DECIMALS)), ("args", f"{{{inside}}}"),
    ]  # fmt: skip
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=2)):
        fields.append((key, draw(st.sampled_from(VALUES))))
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=1)):
        fields = [field for field in fields if field[0] != key]
    return "{" + ", ".join(f'"{key}": {value}' for key, value in fields) + "}"


class TestOddValues:
    @settings(max_examples=300)
    @given(st.lists(odd_events(), min_size=1, max_size=3))
    def test_the_slow_way_reads_as_the_fast_one(self, texts: list[str]) -> None:
        fast, slow = Columns(), Columns()
        taken = kineto._added(",".join(texts).encode(), fast)
        slow.add(read_events([text.encode() for text in texts], 0, slow.skipped), from_nanoseconds)
        found = slow.trace("kineto", {})
        assert fault(found) is None
        # what the fast way does not take leaves nothing behind
        same = found if taken else Columns().trace("kineto", {})
        assert difference(fast.trace("kineto", {}), same) is None

    @pytest.mark.parametrize(
        ("given_", "kept"),
        [("-7", NONE), ("0", 0), ('"12"', 12), ("12.0", 12), ("1.2e1", 12), ("12.5", NONE), ("null", NONE),
         ("true", NONE), ("[1]", NONE), (str(2**63 - 1), 2**63 - 1), (str(2**63), NONE), ("1" * 5000, NONE),
         ('"x"', NONE), ("NaN", NONE)],
    )  # fmt: skip
    def test_correlation_ids(self, tmp_path: Path, given_: str, kept: int) -> None:
        text_ = '{"ph": "X", "cat": "%s", "name": "n", "ts": 1, "dur": 1, "args": {"correlation": %s}}'
        trace = only(tmp_path, *((text_ % (category, given_)).encode() for category in ("kernel", "cuda_runtime")))
        assert trace.work.correlation.tolist() == trace.calls.correlation.tolist() == [kept]

    @pytest.mark.parametrize(
        ("arguments", "kept"),
        [('"External id": 3', 3), ('"external id": 4', 4), ('"external id": 4, "External id": 3', 3),
         ('"External id": -1, "external id": 4', 4), ('"External id": 0, "external id": 4', 0), ("", NONE)],
    )  # fmt: skip
    @pytest.mark.parametrize("broken", ["", ', "x": NaN'])
    def test_external_ids(self, tmp_path: Path, arguments: str, kept: int, broken: str) -> None:
        start = '{"ph": "X", "cat": "cpu_op", "name": "n", "ts": 1, "dur": 1'
        trace = only(tmp_path, f'{start}{broken}, "args": {{{arguments}}}}}'.encode())
        assert trace.operators.external.tolist() == [kept]

    @pytest.mark.parametrize(
        ("more", "device", "stream"),
        [
            ({"pid": 2, "tid": 7}, 2, 7),
            ({"pid": "GPU 2", "tid": "stream 7"}, 2, 7),
            ({"pid": 2, "tid": 7, "args": None}, 2, 7),
            ({"pid": 2, "tid": 7, "args": [1]}, 2, 7),
            ({"pid": 9, "tid": 9, "args": {"device": "2", "stream": "7"}}, 2, 7),
            ({"pid": 9, "tid": 9, "args": {"device": 2.0, "stream": 7}}, 2, 7),
            ({"pid": 2, "tid": 7, "args": {"device": -1, "stream": None}}, 2, 7),
            ({"pid": 2, "tid": 7, "args": {"device": True, "stream": 10**30}}, 2, 7),
            ({"pid": None, "tid": "none"}, NONE, NONE),
            ({"pid": -4, "tid": 10**30}, NONE, NONE),
            ({"pid": True, "tid": 1.5}, NONE, NONE),
            ({"pid": "9" * 30, "tid": "x" * 10**6 + "7"}, NONE, NONE),
        ],
    )  # fmt: skip
    def test_devices_and_streams(self, tmp_path: Path, more: dict[str, Any], device: int, stream: int) -> None:
        work = only(tmp_path, event("kernel", "k", 1, **more)).work
        assert (work.device.tolist(), work.stream.tolist()) == ([device], [stream])

    @pytest.mark.parametrize(
        ("given_", "kept"),
        [(64, 64), ("64", 64), (64.0, 64), (-1, 0), (None, 0), ("many", 0), (10**30, 0), (2**48 + 1, 0), (True, 0)],
    )
    def test_bytes(self, tmp_path: Path, given_: Any, kept: int) -> None:
        assert only(tmp_path, event("gpu_memcpy", "c", 1, args={"bytes": given_})).work.bytes.tolist() == [kept]

    @pytest.mark.parametrize(
        ("given_", "shown"),
        [(5, "5"), ("5", "5"), (None, ""), (True, ""), (1.5, ""), (5.0, "5"), (10**30, str(10**30))],
    )
    def test_processes_and_threads(self, tmp_path: Path, given_: Any, shown: str) -> None:
        trace = only(tmp_path, event("cpu_op", "a", 1, pid=given_, tid=given_), event("cpu_op", "a", 2, pid=3))
        assert trace.threads == ((shown, shown), ("3", "1"))

    @pytest.mark.parametrize("name", [None, 5, True, ["a"]])
    def test_events_without_a_name_are_kept(self, tmp_path: Path, name: Any) -> None:
        nameless = {key: value for key, value in event("kernel", "", 2).items() if key != "name"}
        trace = only(tmp_path, event("kernel", name, 1), nameless, event("kernel", "", 3))
        assert [trace.names[n] for n in trace.work.name] == [UNNAMED, UNNAMED, ""]

    def test_names_are_data(self, tmp_path: Path) -> None:
        names = ["a\x1b[31m\n", "\x00", "</script>", "é \U0001f600", "}, {", '"', "\\", "], ["]
        assert only(tmp_path, *(event("kernel", n, 1) for n in names)).names == tuple(names)
        raw = b'{"ph": "X", "cat": "kernel", "name": "%s", "ts": 1, "dur": 1}'
        assert only(tmp_path, raw % b"a\xffb", raw % b"tab\there", raw % rb"\ud800").names == (
            "a\ufffdb",
            "tab\there",
            "?",
        )

    def test_a_number_given_as_text_costs_no_memory(self, tmp_path: Path) -> None:
        """One thread of a long name among many short ones: no column is as wide as the longest."""
        events = [event("cpu_op", "a", n, tid=n) for n in range(3_000)]
        events[-1]["tid"] = "x" * 400_000
        path = written(tmp_path / "a.json", events)
        program = (
            "import resource, sys; from pathlib import Path; from codesign.profilers.readers import read_trace\n"
            "assert len(read_trace(Path(sys.argv[1])).threads) == 3000\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        )
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        assert int(done.stdout) < 400

    def test_an_event_counts_once_however_often_it_is_decoded(self, tmp_path: Path) -> None:
        good, unfinished = event("cpu_op", "a", 1), {"ph": "E", "ts": 1}
        bad = [event("cpu_op", "b", float("nan")), event("kernel", "c", 1, args={"correlation": 2**70})]
        trace = only(tmp_path, *[good, unfinished] * 40, *bad, *[unfinished, good] * 40)
        assert trace.event_count == 162
        assert trace.skipped == {"no complete event (ph is not X)": 80, NO_START: 1}
        assert (len(trace.operators), len(trace.work), trace.names) == (80, 1, ("a", "c"))


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


class TestBlocks:
    """Where the text is cut into blocks changes nothing."""

    @pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in samples()])
    def test_any_size_of_block(self, tmp_path: Path, content: bytes) -> None:
        path = written(tmp_path / "a.json", content)
        whole = read(path)
        assert len(whole.work) >= 5
        packed = written(tmp_path / "a.gz", gzip.compress(content[:99]) + gzip.compress(content[99:]))
        for size in (*range(1, 40), *range(40, len(content), 61)):
            assert difference(read(path, size), whole) is None, f"blocks of {size}"
            assert difference(read(packed, size), whole) is None, f"packed, blocks of {size}"

    def test_recordings(self, tmp_path: Path) -> None:
        for name in ("cpu_decoder_t1", "cpu_decoder_t128"):
            path = RECORDINGS / f"{name}.json.gz"
            whole = read(path)
            for size in (1_009, 65_537, 300_007):
                assert difference(read(path, size), whole) is None

    @settings(max_examples=150)
    @given(st.lists(odd_events(), max_size=5), st.integers(1, 300))
    def test_odd_events_in_any_size_of_block(self, tmp_path_factory: Any, texts: list[str], size: int) -> None:
        folder = tmp_path_factory.mktemp("a")
        path = written(folder / "a.json", ('{"traceEvents": [' + ", ".join(texts) + "]}").encode())
        assert difference(read(path, size), read(path)) is None


class TestTopLevel:
    def test_the_order_of_fields_does_not_matter(self, tmp_path: Path) -> None:
        fields = {**FIELDS, "traceEvents": EVENTS}
        orders = [dict(order) for order in permutations(fields.items())]
        first = read(written(tmp_path / "a.json", orders[0]))
        for order in orders[1:]:
            assert difference(read(written(tmp_path / "a.json", order)), first) is None

    def test_fields_with_what_old_writers_get_wrong(self, tmp_path: Path) -> None:
        before = rb'{"traceName": "C:\tmp\Users.json", "x": NaN, "schemaVersion": 1, "traceEvents": '
        after = rb', "cupti_version": 22.5, "y": "\Q", "with_flops": -Infinity}'
        trace = read(written(tmp_path / "a.json", before + json.dumps(EVENTS).encode() + after))
        assert trace.facts == {"schemaVersion": "1", "cupti_version": "22.5"}

    @pytest.mark.parametrize(
        ("info", "found"),
        [
            ({"rank": 3, "host": SECRET}, {"distributed rank": "3"}),
            (json.dumps({"rank": 3, "world_size": 4}), {"distributed rank": "3", "distributed world_size": "4"}),
            ("{broken", {}), ([1], {}), (None, {}), ("\ud800", {}), ("[" * 5000, {}), ({"rank": [SECRET]}, {}),
        ],
    )  # fmt: skip
    def test_distributed_info_is_object_text_or_nothing(self, tmp_path: Path, info: Any, found: dict[str, str]) -> None:
        assert read(written(tmp_path / "a.json", {"traceEvents": [], "distributedInfo": info})).facts == found

    def test_facts_are_short_and_can_be_shown(self, tmp_path: Path) -> None:
        odd = {"schemaVersion": "1\n\x1b[31m" + "9" * 200, "cupti_version": 10**4000, "record_shapes": {"a": SECRET}}
        devices = [{"name": "A\n100" + "x" * 99}, {"name": 5}, 7, {"name": ""}, *({"name": f"d{n}"} for n in range(99))]
        trace = read(written(tmp_path / "a.json", {**odd, "deviceProperties": devices, "traceEvents": []}))
        assert trace.facts == {"schemaVersion": "1[31m" + "9" * 57, "cupti_version": "1" + "0" * 63}
        assert trace.device_names[:2] == ("A100" + "x" * 59, "d0")
        assert len(trace.device_names) == 61
        large = {"deviceProperties": [{"name": "a", "more": "x" * 2_000_000}], "traceEvents": []}
        assert read(written(tmp_path / "a.json", large)).device_names == ()

    def test_secrets_stay_in_the_file(self, tmp_path: Path) -> None:
        hidden = {"HF_TOKEN": SECRET, SECRET: SECRET}
        events: list[dict[str, Any]] = [
            {"ph": "M", "name": "process_labels", "pid": SECRET, "tid": SECRET, "args": {"labels": SECRET, **hidden}},
            {"ph": "i", "cat": SECRET, "name": SECRET, "s": "g", "ts": 1},
            {"ph": "X", "cat": SECRET, "name": SECRET, "pid": SECRET, "tid": SECRET, "ts": 1, "dur": 1},
            event("cpu_op", "a", 1, args={"Call stack": SECRET, "env": hidden}, hostname=SECRET),
            event("kernel", "k", 2, args={"device": SECRET, "stream": SECRET, "bytes": SECRET, "correlation": SECRET}),
            event("kernel", SECRET, float("nan")), event("cpu_op", SECRET, 10**15, pid=SECRET),
        ]  # fmt: skip
        fields = {
            "environ": hidden, "hostname": SECRET, "argv": [SECRET], "metadata": hidden, "traceName": f"/home/{SECRET}",
            "distributedInfo": {"rank": 0, "hostname": SECRET}, "record_shapes": [SECRET], "with_stack": hidden,
            "deviceProperties": [{"name": "GPU", "host": SECRET}, SECRET], SECRET: 1,
        }  # fmt: skip
        contents: tuple[Any, ...] = (
            {**fields, "traceEvents": events}, {"traceEvents": events, **fields}, [e for e in events if e["ph"] != "M"],
        )  # fmt: skip
        for content in contents:
            trace = read(written(tmp_path / "a.json", content))
            assert len(trace.work) == len(trace.operators) == 1
            assert SECRET not in repr(trace)

    @pytest.mark.parametrize("cut", ["", "]", "]}}", '], "x": }', "}]}", '],, "x": 1}'])
    def test_refusals_do_not_repeat_events(self, tmp_path: Path, cut: str) -> None:
        events = json.dumps([event("cpu_op", SECRET, 1, args={SECRET: SECRET})])[1:-1]
        path = written(
            tmp_path / "a.json", f'{{"environ": "{SECRET}", "traceEvents": [{events}, {events}{cut}'.encode()
        )
        assert SECRET not in refused(path)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b'{"a": {"traceEvents": []}}', "JSON with a but without a list of traceEvents"),
            (b'{"a": "\\"traceEvents\\": []", "b": 2}', "JSON with a, b but without"),
            (b'{"a": "traceEvents", "b": [{"ph": "X"}]}', "JSON with a, b but without"),
            (b'{"traceEvents": {}}', "traceEvents are no list"),
            (b'{"traceEvents": null, "x": 1}', "traceEvents are no list"),
            (b'{"traceEvents": "[]"}', "traceEvents are no list"),
            (b'{"traceEvents": [], "traceEvents": []}', "more than once"),
            (b'{"traceEvents": [], "x": NaN, "traceEvents": 1}', "more than once"),
            (b'{"traceEvents": [] "x": 1}', "no comma"),
            (b'{"traceEvents": [], }', "but no field"),
            (b'{"traceEvents": [], , "x": 1}', "no JSON"),
            (b'{"traceEvents": []', "not closed"),
            (b'{"traceEvents": []}}', "no JSON"),
            (b'{"traceEvents": []}{"traceEvents": []}', "no JSON"),
            (b'{"x": , "traceEvents": []}', "no JSON"),
            (b'{"x": 1 "traceEvents": []}', "no JSON"),
            (b'{,"traceEvents": []}', "no JSON"),
            (b'["traceEvents", []]', "a text stands among the events"),
            (b"[1, 2]", "no event"),
            (b"[null]", "no event"),
            (b"[[]]", "no event"),
            (b'[{"id": 1}, {"id": 2}]', "a list of other objects"),
            (b"[,{}]", "no event"),
            (b'[{"ph": "M"},,{"ph": "M"}]', "no event"),
            (b'[{"ph": "M"} {"ph": "M"}]', "no event"),
            (b'[{"ph": "M"}, 5]', "no event"),
            (b'[{"ph": "M"}}', "no event"),
            (b'[{"ph": "M"}]]', "follows the list"),
            (b'[{"ph": "M"}] [', "follows the list"),
            (b'[{"ph": "M"}]\0\0', "follows the list"),
            (b'[{"ph": "M"}, {"ph" "M"}]', "event 2 is no JSON"),
            (b'[{"ph": "M"}, {"ph": [1}}, {}]', "event 2 is no JSON"),
            (b'[{"ph": "M"}\0, {"ph": "M"}]', "no event"),
            (b"{'traceEvents': []}", "no JSON"),
            (b"{}", "no keys"),
            (b'{"\\u001b\n": 1}', "no JSON"),
            (b'{"\x1b[31m' + b"k" * 99 + b'": 1}', "no JSON"),
            ('{"k\u200bk%s": 1}'.encode() % (b"k" * 99), "JSON with k?k"),
            (b"", "is empty"),
            (b" \n ", "it is empty"),
            (gzip.compress(b""), "it is empty"),
            (b"\xef\xbb\xbf", "it is empty"),
            (b"\0" * 5000, "no JSON"),
            (bytes(range(256)) * 20, "no JSON"),
            (json.dumps(EVENTS).encode("utf-16"), "another encoding"),
            (json.dumps(EVENTS).encode("utf-16-le"), "another encoding"),
            (json.dumps(EVENTS).encode("utf-16-be"), "another encoding"),
            (json.dumps({"traceEvents": []}).encode("utf-32"), "another encoding"),
            (gzip.compress(gzip.compress(b"[]")), "gzip inside gzip"),
            (b"\x1f", "no JSON"),
            (b"\x1f\x8b", "ends too early"),
            (gzip.compress(b"[]") + b"garbage", "damaged gzip"),
            (gzip.compress(b"[]") + b"\0\0garbage", "damaged gzip"),
            (gzip.compress(b"[]") + b"\x1f", "ends too early"),
            (gzip.compress(b'{"schema": "1.1", "pid": 1, "a": 1, "b": 2, "c": 3, "nodes": []}'), "execution trace"),
            (b'{"rocprofiler-sdk-tool": [{"a": 1}]}', "rocprofv3"),
            (gzip.compress(b"SQLite format 3\0" + bytes(100)), "gzip"),
        ],
    )  # fmt: skip
    def test_what_is_no_trace(self, tmp_path: Path, content: bytes, says: str) -> None:
        path = written(tmp_path / "a.json", content)
        assert says in refused(path)
        if b"SQLite" not in content[:6] and says != "is empty" and b"\x1f" not in content[:1]:
            # as far down the file, and in blocks of a few bytes
            assert says in refused(path, lambda p: read_kineto(p, 3))

    def test_a_long_execution_trace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kineto, "LARGEST_PART", 1 << 16)
        long = {"schema": "1.1", "nodes": [{"id": n} for n in range(20_000)]}
        assert "execution trace" in refused(written(tmp_path / "a.json", long), lambda p: read_kineto(p, 1 << 14))
        assert "no traceEvents in its first" in refused(
            written(tmp_path / "a.json", {"x": long}), lambda p: read_kineto(p, 1 << 14)
        )

    def test_members_of_gzip(self, tmp_path: Path) -> None:
        content = json.dumps({**FIELDS, "traceEvents": EVENTS}).encode()
        whole = read(written(tmp_path / "a.json", content))
        empty = gzip.compress(b"")
        for packed in (
            empty + gzip.compress(content[:200]) + empty + gzip.compress(content[200:]) + empty,
            gzip.compress(content) + b"\0" * 40_000,
            gzip.compress(content[:200]) + b"\0" * 7 + gzip.compress(content[200:]),
        ):
            path = written(tmp_path / "a.json", packed)
            assert difference(read(path), whole) is None
            assert difference(read(path, 5), whole) is None


class TestCuts:
    @pytest.mark.parametrize(
        ("content", "step"), [pytest.param(c, 1 if n == "mended" else 5, id=n) for n, c in samples()]
    )
    def test_a_beginning_of_a_file_is_refused(self, tmp_path: Path, content: bytes, step: int) -> None:
        path = tmp_path / "a.json"
        whole = read(written(path, content))
        end = len(content.rstrip())
        for length in (*range(0, end, step), *range(end - 60, end)):
            path.write_bytes(content[:length])
            refused(path)
        path.write_bytes(content.rstrip())
        assert difference(read(path), whole) is None

    def test_a_beginning_of_a_gzip_is_refused(self, tmp_path: Path) -> None:
        for content in (json.dumps(EVENTS).encode(), json.dumps({"traceEvents": EVENTS, **FIELDS}).encode()):
            packed = gzip.compress(content)
            for length in range(len(packed)):
                refused(written(tmp_path / "a.gz", packed[:length]))

    def test_a_wrong_checksum_is_noticed(self, tmp_path: Path) -> None:
        for place in range(-8, 0):
            packed = bytearray(gzip.compress(json.dumps(EVENTS).encode()))
            packed[place] ^= 1
            assert "damaged gzip" in refused(written(tmp_path / "a.gz", bytes(packed)))

    def test_conformance(self, tmp_path: Path) -> None:
        for name, content in samples():
            check_reader(read_trace, written(tmp_path / f"{name}.json", content))
            check_reader(read_trace, written(tmp_path / f"{name}.gz", gzip.compress(content)))

    @pytest.mark.parametrize("name", ["nccl_a100", "dlrm_v100_rank1", "bert_small_mi300x", "synthetic/odd_events"])
    def test_conformance_with_public_traces(self, name: str) -> None:
        found = next((p for s in (".json.gz", ".json") if (p := TRACES / f"{name}{s}").exists()), None)
        if found is None:
            pytest.skip("the public traces are not here")
        check_reader(read_trace, found)


def bomb(path: Path, before: bytes, part: bytes, repeats: int) -> Path:
    """Write a gzip of ``before`` and then of ``part`` again and again, without an end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    path.write_bytes(start + again * repeats)
    return path


SHORT = 10.0
"""Seconds of processor time that no refusal may take on a slow machine; what grows with a square takes minutes."""


@pytest.fixture
def soon() -> Iterator[None]:
    """Fail a test that takes long."""
    start = time.process_time()
    yield
    taken = time.process_time() - start
    assert taken < SHORT, f"{taken:.1f} s"


@pytest.mark.usefixtures("soon")
class TestLimits:
    """Nothing takes long, fills the memory or overflows the stack."""

    DEEP = 1_000_000

    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
    @pytest.mark.parametrize("closed", [True, False])
    @pytest.mark.parametrize(
        "around",
        [(b'[{"ph":"X","cat":"kernel","ts":1,"dur":1,"args":{"x":', b"}}]"), (b'{"x":', b',"traceEvents":[]}'),
         (b'{"traceEvents":[],"x":', b"}"), (b"[", b"]"), (b'[{"ph":"X","cat":"kernel","ts":', b"}]")],
        ids=["args", "before", "after", "list", "stamp"],
    )  # fmt: skip
    def test_absurd_nesting(
        self, tmp_path: Path, around: tuple[bytes, bytes], closed: bool, opening: bytes, closing: bytes
    ) -> None:
        deep = opening * self.DEEP + (b"1" + closing * self.DEEP if closed else b"")
        refused(written(tmp_path / "a.json", around[0] + deep + around[1]))

    def test_nesting_that_is_not_absurd(self, tmp_path: Path) -> None:
        deep = event("kernel", "k", 1, args={"correlation": 5, "x": json.loads("[" * 200 + "]" * 200)})
        assert only(tmp_path, deep).work.correlation.tolist() == [5]

    @pytest.mark.parametrize(
        ("before", "part", "says"),
        [
            (b'{"traceEvents":[', b" ", "300 times"), (b"", b"\n", "300 times"), (b"[]", b" ", "300 times"),
            (b'{"traceEvents":[]', b" ", "follow the events"), (b'{"traceEvents":[{"a":"', b"x", "an event of more"),
            (b'[{"a":"', b"\\n", "an event of more"), (b'[{"ph":"M"}', b" ", "an event of more"),
            (b'{"a":"', b"x", "no traceEvents in its first"), (b"[", b"}", "no event"), (b'{"a":[', b"5,", "first"),
        ],
    )  # fmt: skip
    def test_bombs(self, tmp_path: Path, before: bytes, part: bytes, says: str) -> None:
        """Five GiB of text in five MiB."""
        path = bomb(tmp_path / "a.gz", before, part * ((8 << 20) // len(part)), 640)
        assert says in refused(path)

    def test_a_bomb_of_events(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "FREE_TEXT", 16 << 20)
        path = bomb(tmp_path / "a.gz", b'[{"ph":"M"}', b',{"ph":"M"}' * 50_000, 200)
        assert "300 times" in refused(path)

    def test_what_compresses_as_traces_do_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "FREE_TEXT", 0)
        events = [event("kernel", "k", n, args={"Call stack": "x.py(1): f;" * 250}) for n in range(2_000)]
        assert read(written(tmp_path / "a.gz", gzip.compress(json.dumps(events).encode()))).event_count == 2_000

    def test_the_limit_of_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "MOST_TEXT", 1 << 20)
        assert "of text" in refused(written(tmp_path / "a.json", b"[" + b" " * (1 << 20) + b"]"))

    def test_too_many_events(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = written(tmp_path / "a.json", EVENTS * 100)
        monkeypatch.setattr(kineto, "MOST_EVENTS", len(EVENTS) * 100)
        assert read(path).event_count == 1_200
        monkeypatch.setattr(kineto, "MOST_EVENTS", len(EVENTS) * 100 - 1)
        assert "more than 1,199 events" in refused(path, lambda p: read_kineto(p, 500))

    def test_one_event_of_100_mb(self, tmp_path: Path) -> None:
        start = b'[{"ph": "X", "cat": "kernel", "ts": 1, "dur": 1, "name": "'
        assert "an event of more than 16 MiB" in refused(written(tmp_path / "a.json", start + b"a" * 10**8 + b'"}]'))

    @pytest.mark.parametrize("name", [b"a", b"\\n", b"\\q", b"}", b"},{", b"{", b'\\"', b"\xff"])
    def test_one_event_of_many_mb(self, tmp_path: Path, name: bytes) -> None:
        start = b'[{"ph": "X", "cat": "kernel", "ts": 1, "dur": 1, "name": "'
        path = written(tmp_path / "a.json", start + name * ((6 << 20) // len(name)) + b'"}, {"ph": "M"}]')
        assert len(read(path).names[0]) >= 2_000_000

    def test_many_false_lists_of_events(self, tmp_path: Path) -> None:
        decoys = b'{"a": [' + b'{"traceEvents": []}, ' * 200_000 + b'{}], "traceEvents": []}'
        assert read(written(tmp_path / "a.json", decoys)).event_count == 0

    def test_many_members_of_gzip(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.gz", gzip.compress(b"[]") + gzip.compress(b"") * 200_000)
        assert read(path).event_count == 0

    def test_a_memory_that_is_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(parts: Any, width: int) -> Any:
            raise MemoryError

        monkeypatch.setattr(columns_module, "_joined", full)
        assert "memory" in refused(written(tmp_path / "a.json", EVENTS))

    def test_the_memory_of_a_long_trace_is_its_columns(self, tmp_path: Path) -> None:
        """Ten times the events add no more than ten times their columns, twice over."""
        program = (
            "import resource, sys; from pathlib import Path; from codesign.profilers.readers import read_trace\n"
            "print(read_trace(Path(sys.argv[1])).event_count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        one = json.dumps(event("cpu_op", "aten::add", 1, args={"x": "y" * 300})).encode()
        used = []
        for count in (20_000, 200_000):
            path = written(tmp_path / f"{count}.json", b"[" + b",\n".join([one] * count) + b"]")
            done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
            events, kibibytes = map(int, done.stdout.split())
            assert events == count
            used.append(kibibytes * 1024)
        assert used[1] - used[0] < 180_000 * 120


class TestFiles:
    @pytest.mark.parametrize("name", [".", "missing.json", "a" * 300, "a\0b", "file/inside"])
    def test_no_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_bytes(b"[]")
        with pytest.raises(DataError, match="cannot read") as caught:
            read_trace(tmp_path / name)
        assert str(caught.value).isprintable()
        assert str(tmp_path) not in str(caught.value) or name == "."

    def test_names_are_made_printable(self, tmp_path: Path) -> None:
        assert "a?b?.json is empty" in refused(written(tmp_path / "a\nb\x1b.json", b""))

    def test_devices(self) -> None:
        if not Path("/dev/zero").is_char_device():
            pytest.skip("this system has no /dev/zero")
        assert "zero: it is a device" in refused(Path("/dev/zero"))

    def test_pipes_and_sockets(self, tmp_path: Path) -> None:
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no pipes with names")
        os.mkfifo(tmp_path / "pipe")
        assert "it is a pipe" in refused(tmp_path / "pipe")
        # a link to a folder, a link to nothing, a link to itself
        (tmp_path / "folder").symlink_to(tmp_path)
        assert "it is a folder" in refused(tmp_path / "folder")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        assert "cannot read loop" in refused(tmp_path / "loop")

    def test_a_file_without_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: Any, **__: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        path = written(tmp_path / "a.json", b"[]")
        monkeypatch.setattr(Path, "open", denied)
        assert refused(path) == "cannot read a.json: permission denied"

    def test_a_disk_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Failing:
            def __enter__(self) -> Failing:
                return self

            def __exit__(self, *_: Any) -> None:
                pass

            def read(self, count: int) -> bytes:
                raise OSError(5, "Input/output error")

        path = written(tmp_path / "a.json", b"[]")
        monkeypatch.setattr(text, "open_file", lambda path: Failing())
        assert refused(path) == "cannot read a.json: input/output error"

    def test_a_link_to_a_trace_is_a_trace(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(written(tmp_path / "a.json", EVENTS))
        assert read(tmp_path / "link").event_count == len(EVENTS)


def test_duplicated_ids_overlaps_and_a_clock_that_goes_backwards_are_data(tmp_path: Path) -> None:
    """The reader takes over what the file says; what it means is for the analysis."""
    events = [event("kernel", "k", 10 - n, 20, args={"correlation": 1, "device": 0, "stream": 7}) for n in range(5)]
    trace = only(tmp_path, *events)
    assert trace.work.start.tolist() == [4_000, 3_000, 2_000, 1_000, 0]
    assert trace.work.correlation.tolist() == [1] * 5
    assert np.ptp(trace.work.end) == 4_000
