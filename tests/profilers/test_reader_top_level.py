"""What stands around the events of a Kineto file, and files that are cut."""

from __future__ import annotations

import gzip
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from codesign.profilers.readers import kineto, read_trace
from codesign.profilers.readers.kineto import read_kineto
from codesign.testing.readers import check_reader, difference
from tests.profilers.kineto_files import EVENTS, FIELDS, SECRET, TRACES, event, read, refused, samples, written

PACKED = gzip.compress(b"[]", mtime=0)
"""Without the time of packing: names of tests hold it, and workers would collect different ones."""


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
            (b'["traceEvents", []]', "no list of events"),
            (b'[ \n project]\nname = "x"', "no list of events"),
            (b'[{"ph": "M"}, "x"]', "a text stands among the events"),
            (b"PK\x03\x04" + bytes(30), "it is a zip file, unpack it"),
            (b"\x28\xb5\x2f\xfd" + bytes(30), "it is a zstd file, unpack it"),
            (b"[1, 2]", "no list of events"),
            (b"[null]", "no list of events"),
            (b"[[]]", "no list of events"),
            (b'[{"id": 1}, {"id": 2}]', "a list of other objects"),
            (b"[,{}]", "no list of events"),
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
            (gzip.compress(b"", mtime=0), "it is empty"),
            (b"\xef\xbb\xbf", "it is empty"),
            (b"\0" * 5000, "no JSON"),
            (bytes(range(256)) * 20, "no JSON"),
            (json.dumps(EVENTS).encode("utf-16"), "another encoding"),
            (json.dumps(EVENTS).encode("utf-16-le"), "another encoding"),
            (json.dumps(EVENTS).encode("utf-16-be"), "another encoding"),
            (json.dumps({"traceEvents": []}).encode("utf-32"), "another encoding"),
            (gzip.compress(PACKED, mtime=0), "gzip inside gzip"),
            (b"\x1f", "no JSON"),
            (b"\x1f\x8b", "ends too early"),
            (PACKED + b"garbage", "damaged gzip file: what follows its packed text is no gzip"),
            (PACKED + b"\0\0garbage", "damaged gzip file: what follows its packed text is no gzip"),
            (PACKED + b"\x1f\x8bgarbage", "damaged gzip file"),
            (PACKED + b"\x1f", "ends too early"),
            (gzip.compress(b'{"schema": "1.1", "pid": 1, "a": 1, "b": 2, "nodes": []}', mtime=0), "execution trace"),
            (b'{"rocprofiler-sdk-tool": [{"a": 1}]}', "rocprofv3"),
            (gzip.compress(b"SQLite format 3\0" + bytes(100), mtime=0), "gzip"),
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
        empty = gzip.compress(b"", mtime=0)
        for packed in (
            empty + gzip.compress(content[:200], mtime=0) + empty + gzip.compress(content[200:], mtime=0) + empty,
            gzip.compress(content, mtime=0) + b"\0" * 40_000,
            gzip.compress(content[:200], mtime=0) + b"\0" * 7 + gzip.compress(content[200:], mtime=0),
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
            packed = gzip.compress(content, mtime=0)
            for length in range(len(packed)):
                refused(written(tmp_path / "a.gz", packed[:length]))

    def test_a_wrong_checksum_is_noticed(self, tmp_path: Path) -> None:
        for place in range(-8, 0):
            packed = bytearray(gzip.compress(json.dumps(EVENTS).encode(), mtime=0))
            packed[place] ^= 1
            assert "damaged gzip" in refused(written(tmp_path / "a.gz", bytes(packed)))

    def test_conformance(self, tmp_path: Path) -> None:
        for name, content in samples():
            check_reader(read_trace, written(tmp_path / f"{name}.json", content))
            check_reader(read_trace, written(tmp_path / f"{name}.gz", gzip.compress(content, mtime=0)))

    @pytest.mark.parametrize("name", ["nccl_a100", "dlrm_v100_rank1", "bert_small_mi300x", "synthetic/odd_events"])
    def test_conformance_with_public_traces(self, name: str) -> None:
        found = next((p for s in (".json.gz", ".json") if (p := TRACES / f"{name}{s}").exists()), None)
        if found is None:
            pytest.skip("the public traces are not here")
        check_reader(read_trace, found)
