"""The Kineto reader: columns by hand, every generation of files, odd values, blocks of any size."""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.profilers.readers import kineto
from codesign.profilers.readers.columns import Columns
from codesign.profilers.readers.consistency import fault
from codesign.profilers.readers.event import UNNAMED, Category, Role
from codesign.profilers.readers.reasons import NO_START
from codesign.profilers.readers.repair import read_events
from codesign.profilers.readers.stamps import (
    from_nanoseconds,
)
from codesign.profilers.trace import NONE, Work
from codesign.testing.readers import difference
from tests.profilers.kineto_files import (
    DECIMALS,
    EVENTS,
    FIELDS,
    RECORDINGS,
    event,
    named,
    only,
    read,
    read_alone,
    samples,
    written,
)


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
            ("c.json", gzip.compress(json.dumps(EVENTS).encode(), mtime=0)),
            ("d.txt", json.dumps({"traceEvents": EVENTS}, indent=4).replace("\n", "\r\n").encode()),
            ("e", b"\xef\xbb\xbf" + json.dumps(EVENTS).encode()),
            ("f", b"\xef\xbb\xbf \n" + json.dumps({"traceEvents": EVENTS}).encode() + b"\n\n"),
            ("g", b"\n" * 3_000_000 + json.dumps(EVENTS).encode()),
            ("h", json.dumps(EVENTS).replace("}, {", "} \t ,\r\n {").replace("}]", "},\n]").encode()),
        ):
            assert difference(read(written(tmp_path / name, content)), bare) is None, name

    def test_the_smallest_traces(self, tmp_path: Path) -> None:
        for content in (b"[]", b" [ ] ", b'{"traceEvents":[]}', gzip.compress(b"[]", mtime=0)):
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
        _, threads, peak = read_alone(path)
        assert threads == 3_000
        assert peak < 200 << 20

    def test_an_event_counts_once_however_often_it_is_decoded(self, tmp_path: Path) -> None:
        good, unfinished = event("cpu_op", "a", 1), {"ph": "E", "ts": 1}
        bad = [event("cpu_op", "b", float("nan")), event("kernel", "c", 1, args={"correlation": 2**70})]
        trace = only(tmp_path, *[good, unfinished] * 40, *bad, *[unfinished, good] * 40)
        assert trace.event_count == 162
        assert trace.skipped == {"no complete event (ph is not X)": 80, NO_START: 1}
        assert (len(trace.operators), len(trace.work), trace.names) == (80, 1, ("a", "c"))


class TestBlocks:
    """Where the text is cut into blocks changes nothing."""

    @pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in samples()])
    def test_any_size_of_block(self, tmp_path: Path, content: bytes) -> None:
        path = written(tmp_path / "a.json", content)
        whole = read(path)
        assert len(whole.work) >= 5
        packed = written(tmp_path / "a.gz", gzip.compress(content[:99], mtime=0) + gzip.compress(content[99:], mtime=0))
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


def test_duplicated_ids_overlaps_and_a_clock_that_goes_backwards_are_data(tmp_path: Path) -> None:
    """The reader takes over what the file says; what it means is for the analysis."""
    events = [event("kernel", "k", 10 - n, 20, args={"correlation": 1, "device": 0, "stream": 7}) for n in range(5)]
    trace = only(tmp_path, *events)
    assert trace.work.start.tolist() == [4_000, 3_000, 2_000, 1_000, 0]
    assert trace.work.correlation.tolist() == [1] * 5
    assert np.ptp(trace.work.end) == 4_000
