"""Our own recordings: what is written comes back to the last bit, and a file that says otherwise is refused."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from codesign.errors import DataError, EnvironmentLacks
from codesign.profilers.readers import read_trace, recording
from codesign.profilers.readers.consistency import FARTHEST, HOST_TABLES, HOST_TYPES, WORK_TYPES, fault, overflow
from codesign.profilers.readers.facts import SAFE
from codesign.profilers.readers.kineto import read_kineto
from codesign.profilers.readers.reasons import REASONS
from codesign.profilers.readers.recording import read_recording, write_recording
from codesign.profilers.trace import NONE, Trace, Work, device_events, host_events
from codesign.testing.readers import check_reader, check_refusal, difference

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"


def column(kind: str, low: int, high: int, length: int, draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Return a column whose numbers lie close together, anywhere, or at the ends of their range."""
    few = st.integers(low, min(high, low + 3))
    number = draw(st.sampled_from([few, st.integers(low, high), st.sampled_from([low, high])]))
    return np.array(draw(st.lists(number, min_size=length, max_size=length)), kind)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Return any trace that is consistent."""
    names = tuple(draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=4,
                                unique=True)))  # fmt: skip
    threads = tuple(draw(st.lists(st.tuples(st.text("a1 ", max_size=3), st.text("b2", max_size=3)), min_size=1)))
    ids, times, rest = (NONE, 2**63 - 1), (-FARTHEST, FARTHEST), (-(2**63), 2**63 - 1)
    ranges = {"name": (0, len(names) - 1), "thread": (0, len(threads) - 1), "start": times, "duration": (0, FARTHEST),
              "correlation": ids, "external": ids, "work": (0, max(Work)), "bytes": (0, 2**63 - 1), "device": rest,
              "stream": rest}  # fmt: skip
    tables = {
        name: host_events([column(kind, *ranges[f], n, draw) for f, kind in HOST_TYPES.items()])
        for name in HOST_TABLES for n in [draw(st.sampled_from([0, 0, 1, 2, 5]))]
    }  # fmt: skip
    length = draw(st.integers(0, 5))
    work = device_events([column(kind, *ranges[f], length, draw) for f, kind in WORK_TYPES.items()])
    used = length + sum(map(len, tables.values()))
    return Trace(
        format=draw(st.sampled_from(["kineto", "nsys", "codesign"])), names=names, threads=threads, work=work,
        origin=draw(st.integers(-(2**62), 2**62)), event_count=used + draw(st.integers(0, 2**40)),
        operator_steps=draw(st.integers(0, len(tables["annotations"]))),
        device_names=draw(st.sampled_from([(), ("a",)])),
        facts=draw(st.dictionaries(st.sampled_from(SAFE), st.text("a1.", max_size=4), max_size=2)),
        skipped=draw(st.dictionaries(st.sampled_from(sorted(REASONS)), st.integers(1, 9), max_size=2)), **tables,
    )  # fmt: skip


def small() -> Trace:
    """Return a trace with something in every table."""
    host = host_events(([0, 1, 1], [0, 5, 900], [4, 3, 100_000], [0, 1, 0], [7, NONE, 2**40], [NONE, 3, 4]))
    work = device_events(([0, 1], [2, 0], [10, 20], [5, 5], [0, 1], [7, 8], [7, NONE], [0, 4096]))
    return Trace(
        format="kineto", names=("a", "b", "kernel"), threads=(("1", "2"), ("1", "3")), origin=10**18, event_count=20,
        operators=host, calls=host, annotations=host, functions=host, overhead=host, work=work, operator_steps=1,
        device_names=("GPU",), facts={"schemaVersion": "1"}, skipped={"no complete event (ph is not X)": 2},
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a small recording."""
    write_recording(small(), tmp_path / "a.trace")
    return tmp_path / "a.trace"


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_recording(path)
    check_refusal(caught.value, path)
    return caught.value.message


def changed(path: Path, columns: bytes | None = None, **fields: Any) -> Path:
    """Write the recording again with other fields in its header, or with other columns."""
    head, _, rest = gzip.decompress(path.read_bytes()).partition(b"\n")
    header = {**json.loads(head), **fields}
    text = json.dumps({name: value for name, value in header.items() if value is not ...}, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode() + b"\n" + (rest if columns is None else columns), mtime=0))
    return path


class TestRoundTrip:
    @settings(max_examples=150)
    @given(traces())
    def test_any_trace(self, tmp_path_factory: Any, trace: Trace) -> None:
        assert fault(trace) is None
        path = tmp_path_factory.mktemp("a") / "a.trace"
        write_recording(trace, path)
        assert difference(read_recording(path), trace) is None
        if overflow(trace) is None:
            assert difference(read_trace(path), trace) is None
        else:
            with pytest.raises(DataError, match="add up to more than"):
                read_trace(path)
        written = path.read_bytes()
        write_recording(read_recording(path), path)
        assert path.read_bytes() == written

    @pytest.mark.parametrize("name", ["cpu_decoder_t1", "cpu_decoder_t128"])
    def test_a_recorded_trace(self, tmp_path: Path, name: str) -> None:
        trace = read_kineto(RECORDINGS / f"{name}.json.gz")
        write_recording(trace, tmp_path / "a.trace")
        assert difference(read_trace(tmp_path / "a.trace"), trace) is None
        assert (tmp_path / "a.trace").stat().st_size < 6 * trace.event_count

    def test_conformance(self, path: Path) -> None:
        check_reader(read_recording, path)
        check_reader(read_trace, path)

    def test_what_is_not_consistent_is_not_written(self, tmp_path: Path) -> None:
        for wrong in ({"event_count": 16}, {"origin": 2**62 + 1}, {"names": ("a", "a", "kernel")}, {"threads": ()}):
            with pytest.raises(ValueError, match="not consistent"):
                write_recording(replace(small(), **wrong), tmp_path / "a.trace")
        assert list(tmp_path.iterdir()) == []

    def test_a_place_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentLacks):
            write_recording(small(), tmp_path / "missing" / "a.trace")


class TestDamage:
    def test_every_changed_byte_is_noticed_or_means_nothing(self, path: Path) -> None:
        whole, chance = path.read_bytes(), random.Random(5)
        outcomes: Counter[str] = Counter()
        for place in range(len(whole)):
            for change in {1 << chance.randrange(8), chance.randrange(1, 256), 0xFF}:
                content = bytearray(whole)
                content[place] ^= change
                path.write_bytes(content)
                try:
                    assert difference(read_recording(path), small()) is None
                    outcomes["same"] += 1
                except DataError as error:
                    check_refusal(error, path)
                    outcomes["refused"] += 1
        # of the ten bytes before the stream five mean nothing here: time, effort and system
        assert 0 < outcomes["same"] <= 30
        assert outcomes["refused"] > 500

    def test_every_cut_is_noticed(self, path: Path) -> None:
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            refused(path)

    def test_every_changed_byte_within_is_consistent_or_refused(self, path: Path) -> None:
        """Where the checksum is right because the file was made to deceive."""
        inside, chance = gzip.decompress(path.read_bytes()), random.Random(6)
        outcomes: Counter[str] = Counter()
        for _ in range(1_500):
            content = bytearray(inside)
            for _ in range(chance.choice((1, 1, 3))):
                content[chance.randrange(len(content))] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
            path.write_bytes(gzip.compress(bytes(content), compresslevel=1, mtime=0))
            try:
                assert fault(read_recording(path)) is None
                outcomes["read"] += 1
            except DataError as error:
                check_refusal(error, path)
                outcomes["refused"] += 1
        assert min(outcomes["read"], outcomes["refused"]) > 100, outcomes

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"codesign_trace": 2}, "version 2, this program reads 1"),
            ({"codesign_trace": "1"}, "header of the recording is wrong"),
            ({"origin": ...}, "header of the recording is wrong"),
            ({"more\x1b[31m\n": 1}, "header of the recording is wrong"),
            ({"x" * 5_000: 1}, "header of the recording is wrong"),
            ({"names": ["a", "b", "\ud800"]}, "header of the recording is wrong"),
            ({"lengths": {"operators": 3}}, "has tables operators"),
            ({"lengths": {"a\x1b\n" + "b" * 999: 3}}, "has tables a??"),
            ({"types": ["i8"]}, "column types"),
            ({"types": ["i3"] * 38}, "column types"),
            ({"names": ["a", "b", "b"]}, "occurs twice"),
            ({"names": ["a"]}, "an index is outside"),
            ({"threads": []}, "an index is outside"),
            ({"event_count": 3}, "17 events in a file of 3"),
            ({"event_count": -(10**30)}, "events in a file of"),
            ({"origin": 10**30}, "origin is out of range"),
            ({"operator_steps": 9}, "9 steps among 3"),
            ({"skipped": {"a": -1}}, "skipped events is negative"),
        ],
    )
    def test_headers_that_lie(self, path: Path, fields: dict[str, Any], says: str) -> None:
        assert says in refused(changed(path, **fields))

    @pytest.mark.parametrize("lengths", [{"calls": -1}, {"calls": 10**30}, {"calls": 50_000_001}])
    def test_lengths_that_cannot_be(self, path: Path, lengths: dict[str, int]) -> None:
        known = {name: 3 for name in HOST_TABLES} | {"work": 2}
        assert "more than 50,000,000 events, or fewer" in refused(changed(path, lengths=known | lengths))

    def test_columns_that_are_missing_or_too_many(self, path: Path) -> None:
        rest = gzip.decompress(path.read_bytes()).partition(b"\n")[2]
        assert "column work.bytes is cut" in refused(changed(path, rest[:-1]))
        assert "column operators.name is cut" in refused(changed(path, b""))
        assert "something follows the last column" in refused(changed(path, rest + b"\0"))

    def test_numbers_beyond_their_type(self, path: Path) -> None:
        rest = gzip.decompress(path.read_bytes()).partition(b"\n")[2]
        types = ["i1"] * len(recording.COLUMNS)
        types[0] = "i8"  # operators.name, three numbers, the bytes of equal weight together
        wide = b"\0" * 3 * 7 + b"\x10" * 3
        assert "column operators.name has a number that int32 cannot hold" in refused(
            changed(path, wide + rest, types=types)
        )

    @pytest.mark.parametrize(
        "content",
        [b"", b"x", b'{"codesign_trace":1}\n']
        + [gzip.compress(text, mtime=0) for text in (
            b"", b"hello\n", b"{}\n", b'{"codesign_trace":1}', b'{"codesign_trace":' + b"[" * 10**6 + b"\n",
            b'{"codesign_trace":\xff}\n')],
    )  # fmt: skip
    def test_what_is_no_recording(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a\n.trace").write_bytes(content)
        refused(tmp_path / "a\n.trace")

    def test_what_follows_the_recording(self, path: Path) -> None:
        whole = path.read_bytes()
        for more in (b"x", whole, gzip.compress(b"x", mtime=0), b"\0\0x"):
            path.write_bytes(whole + more)
            refused(path)


class TestLimits:
    def test_a_bomb(self, path: Path) -> None:
        """Fifty million events in three MB: refused before any of them is unpacked."""
        count = 50_000_000
        lengths = dict.fromkeys((*HOST_TABLES, "work"), 0) | {"calls": count}
        changed(path, b"", lengths=lengths, types=["i8"] * len(recording.COLUMNS), event_count=count)
        path.write_bytes(path.read_bytes() + bytes(3_000_000))
        assert "promises 2,400,000,000 bytes of columns, more than the file can hold" in refused(path)

    def test_what_a_small_file_promises(self, path: Path) -> None:
        lengths = dict.fromkeys((*HOST_TABLES, "work"), 0) | {"calls": 1_000_000}
        changed(path, b"", lengths=lengths, types=["i1"] * len(recording.COLUMNS), event_count=1_000_000)
        assert "more than the file can hold" in refused(path)

    def test_a_long_trace_that_repeats_itself_is_read(self, tmp_path: Path) -> None:
        zeros = np.zeros(200_000, np.int64)
        none = host_events([()] * 6)
        trace = replace(
            small(), calls=host_events([zeros] * 6), event_count=200_000, operators=none, annotations=none,
            functions=none, overhead=none, operator_steps=0, work=device_events([()] * 8),
        )  # fmt: skip
        write_recording(trace, tmp_path / "a.trace")
        assert difference(read_recording(tmp_path / "a.trace"), trace) is None

    def test_a_header_without_an_end(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recording, "LONGEST_HEADER", 1 << 20)
        path.write_bytes(gzip.compress(b'{"codesign_trace":1' + b" " * (1 << 22), mtime=0))
        assert "the header is cut, or of more than the 1,048,576 bytes" in refused(path)

    def test_a_memory_that_is_full(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> Any:
            raise MemoryError

        monkeypatch.setattr(recording, "_unpacked", full)
        assert "memory" in refused(path)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        assert "cannot read missing" in refused(tmp_path / "missing")
        assert "it is a folder" in refused(tmp_path)
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no pipes with names")
        os.mkfifo(tmp_path / "pipe")
        assert "it is a pipe" in refused(tmp_path / "pipe")
