"""Bombs, nesting, large events, and what is no regular file: refused at a stated limit, soon."""

from __future__ import annotations

import gzip
import json
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codesign.errors import DataError
from codesign.profilers.readers import columns as columns_module
from codesign.profilers.readers import kineto, read_trace, text
from codesign.profilers.readers.kineto import read_kineto
from tests.profilers.kineto_files import EVENTS, event, only, read, read_alone, refused, written


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
            (b'{"a":"', b"x", "no traceEvents in its first"), (b"[", b"}", "is no list"), (b'{"a":[', b"5,", "first"),
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
        assert (
            read(written(tmp_path / "a.gz", gzip.compress(json.dumps(events).encode(), mtime=0))).event_count == 2_000
        )

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
        path = written(tmp_path / "a.gz", gzip.compress(b"[]", mtime=0) + gzip.compress(b"", mtime=0) * 200_000)
        assert read(path).event_count == 0

    def test_a_memory_that_is_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(parts: Any, width: int) -> Any:
            raise MemoryError

        monkeypatch.setattr(columns_module, "_joined", full)
        assert "memory" in refused(written(tmp_path / "a.json", EVENTS))

    def test_the_memory_of_a_long_trace_is_its_columns(self, tmp_path: Path) -> None:
        """Ten times the events add no more than ten times their columns, twice over."""
        one = json.dumps(event("cpu_op", "aten::add", 1, args={"x": "y" * 300})).encode()
        used = []
        for count in (20_000, 200_000):
            path = written(tmp_path / f"{count}.json", b"[" + b",\n".join([one] * count) + b"]")
            events, _, peak = read_alone(path)
            assert events == count
            used.append(peak)
        assert used[1] - used[0] < 180_000 * 200  # half of the text; the columns and their joining take 118


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
