"""Damaged and hostile exports of Nsight Systems: refused in a line, or read without the damage; nothing runs."""

from __future__ import annotations

import gzip
import random
import signal
import sqlite3
import struct
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.errors import DataError
from codesign.profilers.readers import nsys, sqlite_columns
from codesign.profilers.readers.consistency import fault
from codesign.profilers.readers.nsys import read_nsys
from codesign.profilers.readers.sqlite_columns import LONGEST_CELL, LONGEST_TEXT
from codesign.profilers.trace import NONE
from codesign.testing.nsys_export import (
    OLD,
    Call,
    Copy,
    Graph,
    Kernel,
    Range,
    Set,
    write_nsys_export,
)
from codesign.testing.readers import check_reader
from tests.profilers.nsys_files import (
    CALLS,
    EPOCH,
    HOSTILE,
    KERNELS,
    RANGES,
    altered,
    named,
    read,
    refused,
    worked,
    written,
)


class TestCells:
    """SQLite holds anything in any column."""

    NO_TIMES = (None, "soon", b"\x00\x01", 1.5, -1, 2**63 - 1)

    @pytest.mark.parametrize("cell", [*NO_TIMES, 0], ids=repr)
    def test_device_work_without_times(self, tmp_path: Path, cell: Any) -> None:
        wrong = [Kernel("bad", cell, EPOCH + 9_000, 1), Kernel("bad", EPOCH + 9_000, cell, 1)]
        trace = read(written(tmp_path / "a", kernels=[*wrong, *KERNELS]))
        assert trace.skipped == {"no usable times": 2}
        assert worked(trace) == worked(read(written(tmp_path / "b")))
        assert "bad" not in trace.names

    @pytest.mark.parametrize("cell", NO_TIMES, ids=repr)
    def test_calls_and_ranges_without_times(self, tmp_path: Path, cell: Any) -> None:
        calls = [Call("bad", cell, EPOCH + 9, 1), Call("bad", EPOCH, cell, 1), *CALLS]
        trace = read(written(tmp_path / "a", calls=calls, ranges=[Range("open", EPOCH, cell), *RANGES]))
        assert trace.skipped == {"no usable times": 3}
        assert len(trace.calls) == len(CALLS)

    def test_an_end_before_its_start(self, tmp_path: Path) -> None:
        trace = read(written(tmp_path / "a", kernels=[Kernel("bad", EPOCH + 9, EPOCH + 8, 1), *KERNELS]))
        assert trace.skipped == {"no usable times": 1}

    def test_zeros_for_both_times(self, tmp_path: Path) -> None:
        trace = read(write_nsys_export(tmp_path / "a", kernels=[Kernel("lost", 0, 0, 1), Kernel("k", 5, 5, 2)]))
        assert worked(trace) == ["k"]
        assert trace.work.duration.tolist() == [0]

    @pytest.mark.parametrize("start", [12, EPOCH - (1 << 51), EPOCH + (1 << 51)])
    def test_times_of_another_age(self, tmp_path: Path, start: int) -> None:
        trace = read(written(tmp_path / "a", kernels=[Kernel("bad", start, start + 10, 1), *KERNELS]))
        assert trace.skipped == {"far from all other times": 1}
        assert trace.origin == EPOCH

    def test_a_duration_of_years(self, tmp_path: Path) -> None:
        trace = read(written(tmp_path / "a", kernels=[Kernel("bad", EPOCH + 9, EPOCH + (1 << 52), 1), *KERNELS]))
        assert trace.skipped == {"far from all other times": 1}

    @pytest.mark.parametrize("cell", [None, "x", b"\xff", 0.25], ids=repr)
    def test_other_columns(self, tmp_path: Path, cell: Any) -> None:
        path = write_nsys_export(
            tmp_path / "a",
            calls=[Call(cell, 1, 2, cell)],
            kernels=[Kernel("k", 1, 2, cell, device=cell, stream=cell)],
            copies=[Copy(cell, cell, 1, 2)],
            sets=[Set(-5, 1, 2)],
        )
        trace = read(path)
        assert trace.skipped == {}
        assert (trace.calls.correlation.tolist(), trace.work.correlation.tolist()) == ([NONE], [NONE] * 3)
        assert (trace.work.device.tolist(), trace.work.stream.tolist()) == ([NONE, 0, 0], [NONE, 7, 7])
        assert trace.work.bytes.tolist() == [0, 0, 0]

    def test_huge_numbers_stay(self, tmp_path: Path) -> None:
        huge = 2**63 - 1
        trace = read(write_nsys_export(tmp_path / "a", copies=[Copy(1, huge, 1, 2, huge, device=huge, stream=huge)]))
        assert [int(getattr(trace.work, f)[0]) for f in ("correlation", "device", "stream")] == [huge] * 3
        assert int(trace.work.bytes[0]) == 0  # no copy moves that

    def test_texts_that_are_no_text(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a")
        altered(path, "UPDATE StringIds SET value = CAST(x'ff41' AS TEXT) WHERE value = 'relu'")
        altered(path, "UPDATE StringIds SET value = x'4142' WHERE value = 'second'")
        assert worked(read(path))[1:4] == ["\ufffdA", "first", "(unnamed)"]

    @pytest.mark.parametrize("cell", [b"bytes", None], ids=repr)
    def test_texts_beside_the_rows_that_are_no_text(self, tmp_path: Path, cell: Any) -> None:
        ranges = [Range(cell, 1, 2), Range("named", 3, 4)]
        path = write_nsys_export(tmp_path / "a", ranges=ranges, schema_version=cell, variant=OLD)
        trace = read(path)
        assert named(trace, trace.annotations) == ["(unnamed)", "named"]
        assert trace.facts == {}

    def test_names_are_cut_and_refused_where_they_are_absurd(self, tmp_path: Path) -> None:
        path = write_nsys_export(tmp_path / "a", kernels=[Kernel("k" * (LONGEST_TEXT + 9), 1, 2)])
        assert worked(read(path)) == ["k" * LONGEST_TEXT]
        assert "too big" in refused(write_nsys_export(tmp_path / "b", kernels=[Kernel("k" * (LONGEST_CELL + 9), 1, 2)]))

    def test_what_a_program_printed_does_no_harm(self, tmp_path: Path) -> None:
        path = altered(written(tmp_path / "a"), f"INSERT INTO StringIds VALUES (9999, '{'x' * (LONGEST_CELL + 9)}')")
        assert len(read(path).work) == 8

    def test_a_hostile_name_is_a_name(self, tmp_path: Path) -> None:
        path = write_nsys_export(tmp_path / "a", calls=[Call(HOSTILE, 1, 2)], kernels=[Kernel(HOSTILE, 1, 2)])
        assert read(path).names == (HOSTILE,)


class TestCode:
    """Whatever in the file is code is left alone."""

    ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"

    @pytest.mark.parametrize("table", ["CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS", "TARGET_INFO_GPU"])
    def test_a_view_named_like_a_table(self, tmp_path: Path, table: str) -> None:
        path = altered(
            written(tmp_path / "a.sqlite"),
            f"DROP TABLE {table}",
            f"CREATE VIEW {table} AS {self.ENDLESS} SELECT i AS id, i AS start, i + 1 AS \"end\", 'n' AS name FROM n",
        )
        trace = read(path)
        left = {"CUPTI_ACTIVITY_KIND_RUNTIME": trace.calls, "NVTX_EVENTS": trace.annotations}.get(table, ())
        assert len(left) == 0
        assert len(trace.work) == 8
        assert trace.device_names == (() if table == "TARGET_INFO_GPU" else ("NVIDIA H100 PCIe",))

    def test_a_view_for_the_strings_is_no_export(self, tmp_path: Path) -> None:
        path = altered(
            written(tmp_path / "a.sqlite"),
            "DROP TABLE StringIds",
            f"CREATE VIEW StringIds AS {self.ENDLESS} SELECT i FROM n",
        )
        assert "no export" in refused(path)

    def test_a_trigger_named_like_a_table(self, tmp_path: Path) -> None:
        path = altered(
            written(tmp_path / "a.sqlite", copies=[]),
            "CREATE TRIGGER CUPTI_ACTIVITY_KIND_MEMCPY AFTER UPDATE ON StringIds BEGIN DELETE FROM StringIds; END",
        )
        before = path.read_bytes()
        assert len(read(path).work) == 6
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.sqlite"]

    def test_a_virtual_table(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.sqlite", ranges=[])
        try:
            altered(path, 'CREATE VIRTUAL TABLE NVTX_EVENTS USING rtree(id, start, "end")')
        except sqlite3.OperationalError:
            pytest.skip("this SQLite has no virtual table to try")
        altered(path, "INSERT INTO NVTX_EVENTS VALUES (1, 2, 3)")
        assert read(path).event_count == 14

    def test_generated_columns(self, tmp_path: Path) -> None:
        path = altered(
            written(tmp_path / "a.sqlite", OLD, kernels=[], copies=[], sets=[]),
            "DROP TABLE TARGET_INFO_GPU",
            "CREATE TABLE TARGET_INFO_GPU (id INTEGER, name TEXT GENERATED ALWAYS AS ('made by code') VIRTUAL)",
            "INSERT INTO TARGET_INFO_GPU (id) VALUES (0)",
            'CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, "end" INTEGER, globalPid INTEGER,'
            " name INTEGER GENERATED ALWAYS AS (1) VIRTUAL, deviceId INTEGER GENERATED ALWAYS AS (3) STORED)",
            f'INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL (start, "end") VALUES ({EPOCH + 1}, {EPOCH + 2})',
        )
        trace = read(path)
        assert worked(trace) == ["(unnamed)"]
        assert trace.work.device.tolist() == [NONE]
        assert trace.device_names == ()

    def test_an_index_that_lies_is_not_asked(self, tmp_path: Path) -> None:
        columns = 'start, "end", correlationId, globalTid, nameId'  # all that is read of calls
        path = written(tmp_path / "a.sqlite")
        altered(path, f"CREATE INDEX i ON CUPTI_ACTIVITY_KIND_RUNTIME ({columns})")
        with closing(sqlite3.connect(path)) as connection:
            root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'i'").fetchone()[0]
        content = bytearray(path.read_bytes())
        content[(root - 1) * 4096 + 3 : (root - 1) * 4096 + 5] = b"\0\0"  # the index has no cells
        path.write_bytes(content)
        assert len(read(path).calls) == len(CALLS)


class TestRefusals:
    """Files that cannot be read: one line, the file, what was found, what to do."""

    def test_no_export(self, tmp_path: Path) -> None:
        path = altered(tmp_path / "a.sqlite", 'CREATE TABLE "pho\nto\x1b[31m" (a)')
        assert "no export of Nsight Systems: its tables are 'pho\\nto\\x1b[31m'" in refused(path)

    def test_the_database_of_the_older_profiler(self, tmp_path: Path) -> None:
        path = altered(
            tmp_path / "nvvp.sqlite",
            "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INT, end INT, name INT)",
            "CREATE TABLE StringTable (_id_ INTEGER, value TEXT)",
        )
        assert "no export of Nsight Systems" in refused(path)

    def test_strings_alone_are_no_export(self, tmp_path: Path) -> None:
        path = altered(tmp_path / "a.sqlite", "CREATE TABLE StringIds (id INT, value TEXT)", "CREATE TABLE songs (a)")
        assert "its tables are 'StringIds, songs'" in refused(path)

    def test_a_database_without_tables(self, tmp_path: Path) -> None:
        assert "its tables are 'none'" in refused(altered(tmp_path / "a", "CREATE TABLE a (b)", "DROP TABLE a"))

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", "is empty"),
            (b"SQLite", "is no SQLite file"),
            (b"SQLite format 3\0", "damaged"),
            (b'{"traceEvents": []}', "is no SQLite file"),
            (gzip.compress(b"SQLite format 3\0", mtime=0), "gzip"),
        ],
    )
    def test_no_database(self, tmp_path: Path, content: bytes, found: str) -> None:
        path = tmp_path / "a.sqlite"
        path.write_bytes(content)
        assert found in refused(path)

    @pytest.mark.parametrize("name", ["missing.sqlite", "."])
    def test_no_file(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(DataError, match="cannot read"):
            read_nsys(tmp_path / name)

    def test_names_of_files_may_be_anything(self, tmp_path: Path) -> None:
        path = tmp_path / "50% of #1? a&mode=rwc\udcff.sqlite"
        assert len(read(written(path)).work) == 8
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]

    def test_too_many_events(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = written(tmp_path / "a.sqlite")
        monkeypatch.setattr(nsys, "MOST_EVENTS", 18)
        assert read(path).event_count == 18
        monkeypatch.setattr(nsys, "MOST_EVENTS", 17)
        assert "more than 17 events" in refused(path)

    def test_a_table_is_not_read_beyond_the_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = written(tmp_path / "a.sqlite", calls=[Call("c", i + 1, i + 2) for i in range(5_000)])
        monkeypatch.setattr(nsys, "MOST_EVENTS", 10)
        seen = Counter[str]()
        monkeypatch.setattr(np, "fromiter", lambda *given, _real=np.fromiter: seen.update(["block"]) or _real(*given))
        assert "more than 10 events" in refused(path)
        assert seen["block"] == 1

    @pytest.mark.parametrize(
        ("name", "found"), [(b"Str\n\x1bgIds", "(Str??gIds)"), (b"Str\xff\x1bgIds", "its schema is no text")]
    )
    def test_messages_of_sqlite_are_made_printable(self, tmp_path: Path, name: bytes, found: str) -> None:
        path = written(tmp_path / "a.sqlite")
        content = path.read_bytes().replace(b"CREATE TABLE StringIds", b"CREATE TUBLE StringIds")
        record = b"tableStringIdsStringIds"
        assert record in content
        path.write_bytes(content.replace(record, b"table" + 2 * name))
        assert found in refused(path)


def compact(path: Path) -> bytes:
    """Return the export with small pages, so that most of its bytes mean something."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
    return path.read_bytes()


class TestDamage:
    """Bytes changed, lost and turned in circles: a consistent trace or a refusal, soon."""

    def test_changed_bytes(self, tmp_path: Path) -> None:
        whole = compact(written(tmp_path / "whole", overhead=CALLS[:2], graphs=[Graph(1, EPOCH + 5, EPOCH + 6, 3)]))
        path, generator, outcomes = tmp_path / "a.sqlite", random.Random(4), Counter[str]()
        reference = read(tmp_path / "whole")
        for _ in range(400):
            content = bytearray(whole)
            for _ in range(generator.choice((1, 1, 2, 8, 40))):
                # a third of the changes hit the header and the schema, where most can go wrong
                place = generator.randrange(generator.choice((len(whole), len(whole), 4_096)))
                content[place] = generator.choice((0, 0xFF, 0x7F, content[place] ^ 1 << generator.randrange(8)))
            path.write_bytes(content)
            try:
                trace = read_nsys(path)
            except DataError as error:
                outcomes["refused" if str(error).isprintable() else "unprintable"] += 1
                continue
            assert fault(trace) is None
            outcomes["same" if repr(trace) == repr(reference) else "other"] += 1
        assert outcomes["unprintable"] == 0
        assert min(outcomes[kind] for kind in ("refused", "same", "other")) >= 20, outcomes

    def test_cut_files(self, tmp_path: Path) -> None:
        whole = compact(written(tmp_path / "whole"))
        path = tmp_path / "a.sqlite"
        for length in (*range(1, len(whole), 509), len(whole) - 1):
            path.write_bytes(whole[:length])
            refused(path)

    def lattice(self, path: Path, table: str) -> Path:
        """Make ``table`` of the export one of 72**12 leaves in a dozen pages: each of 72 children is the next page."""
        content = bytearray(compact(path))
        with closing(sqlite3.connect(path)) as connection:
            query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
            root = connection.execute(query, (table,)).fetchone()[0]
        leaf = bytes(content[(root - 1) * 512 : root * 512])
        assert leaf[0] == 0x0D  # a leaf of a table
        places = range(512 - 5 * 71, 512, 5)  # of cells: number of a child, and its largest row
        pages = []
        for number in range(len(content) // 512 + 1, len(content) // 512 + 13):
            child = struct.pack(">I", number)
            page = struct.pack(">BHHHB4s71H", 0x05, 0, 71, places[0], 0, child, *places)
            pages.append(page.ljust(places[0], b"\0") + (child + b"\1") * 71)
        content[(root - 1) * 512 : root * 512] = pages[0]
        content += b"".join(pages[1:]) + leaf
        content[28:32] = struct.pack(">I", len(content) // 512)
        path.write_bytes(content)
        return path

    def test_pages_in_circles_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_columns, "LEAST_STEPS", 5_000_000)
        message = refused(self.lattice(written(tmp_path / "a.sqlite"), "CUPTI_ACTIVITY_KIND_RUNTIME"))
        assert "its pages form a circle" in message

    @pytest.mark.parametrize("table", ["CUPTI_ACTIVITY_KIND_RUNTIME", "StringIds"])
    def test_interrupting_is_no_damage(self, tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_columns, "LEAST_STEPS", 5_000_000)
        # no string is the one looked for, so SQLite goes through all of them in one step of Python's
        path = self.lattice(write_nsys_export(tmp_path / "a.sqlite", calls=[Call(7_777, 1, 2)]), table)

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                read_nsys(path)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def test_the_reader_conforms(tmp_path: Path) -> None:
    check_reader(
        read_nsys, write_nsys_export(tmp_path / "a.sqlite", kernels=[Kernel("k", 10, 20), Kernel("q", 30, 45)])
    )
