"""Exports of Nsight Systems: what they say is read to the nanosecond, what they hide is neither run nor repeated."""

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
from codesign.profilers.readers import nsys, read_trace, sqlite_columns
from codesign.profilers.readers.consistency import fault
from codesign.profilers.readers.nsys import read_nsys
from codesign.profilers.readers.sqlite_columns import LONGEST_CELL, LONGEST_TEXT
from codesign.profilers.trace import NONE, HostEvents, Trace, Work
from codesign.testing.nsys_export import (
    NEW,
    OLD,
    SECRET,
    Call,
    Copy,
    Graph,
    Kernel,
    Range,
    Set,
    Variant,
    write_nsys_export,
)
from codesign.testing.readers import check_reader

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


class TestHandComputed:
    """The export above, by hand."""

    @pytest.mark.parametrize("kernel_name", ["demangledName", "name"])
    @pytest.mark.parametrize("inline_text", [False, True])
    @pytest.mark.parametrize("process", [False, True])
    def test_every_generation_says_the_same(
        self, tmp_path: Path, process: bool, inline_text: bool, kernel_name: str
    ) -> None:
        trace = read(written(tmp_path / "a.sqlite", Variant(process, kernel_name, inline_text)))
        assert trace.origin == EPOCH
        assert trace.format == "nsys"
        # rows of the file: 6 calls, 5 kernels, 2 copies, 1 set, 4 events of NVTX of which one is a mark
        assert trace.event_count == 18
        assert trace.skipped == {}
        assert trace.device_names == ("NVIDIA H100 PCIe",)
        assert trace.facts == {"nsys_schema_version": "3.11.0"}
        assert named(trace, trace.calls) == [
            "cudaLaunchKernel", "cudaLaunchKernel", "cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemsetAsync",
            "cudaDeviceSynchronize",
        ]  # fmt: skip
        assert trace.calls.start.tolist() == [1_000, 5_000, 12_000, 20_000, 22_000, 23_000]
        assert trace.calls.duration.tolist() == [3_000, 1_001, 3_000, 1_000, 700, 7_000]
        assert trace.calls.correlation.tolist() == [1, 2, 3, 4, 5, 6]
        assert set(trace.calls.external.tolist()) == {NONE}
        assert [trace.threads[thread] for thread in trace.calls.thread[:3]] == [
            ("100", "101"), ("100", "102"), ("100", "101"),
        ]  # fmt: skip
        kernels = ["void gemm<float, 4>(float*)", "relu", "first", "second", "first"]
        assert worked(trace) == [*kernels, "Memcpy HtoD", "Memcpy DtoH", "Memset"]
        work = trace.work
        assert work.work.tolist() == [Work.KERNEL] * 5 + [Work.COPY] * 2 + [Work.SET]
        assert work.start.tolist() == [6_500, 9_500, 16_000, 17_000, 17_600, 24_000, 25_500, 26_000]
        assert work.duration.tolist() == [3_000, 501, 1_000, 500, 400, 1_000, 100, 1]
        assert work.bytes.tolist() == [0, 0, 0, 0, 0, 4_096, 12, 512]
        assert work.device.tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
        assert work.stream.tolist() == [7, 7, 13, 13, 13, 7, 7, 7]

    def test_launch_latencies_and_graphs(self, tmp_path: Path) -> None:
        trace = read(written(tmp_path / "a.sqlite"))
        launched = dict(zip(trace.calls.correlation.tolist(), trace.calls.start.tolist(), strict=True))
        kernels = trace.kernels
        latency = [
            start - launched[correlation]
            for start, correlation in zip(trace.work.start[kernels], trace.work.correlation[kernels], strict=True)
        ]
        assert latency == [5_500, 4_500, 4_000, 5_000, 5_600]  # ns; the last three of one graph launch
        of_graph = (
            trace.work.correlation[kernels]
            == trace.calls.correlation[named(trace, trace.calls).index("cudaGraphLaunch")]
        )
        assert of_graph.tolist() == [False, False, True, True, True]

    def test_ranges(self, tmp_path: Path) -> None:
        trace = read(written(tmp_path / "a.sqlite"))
        assert named(trace, trace.operators) == ["aten::linear", "aten::linear"]
        assert trace.operators.start.tolist() == [500, 4_900]
        assert trace.operators.end.tolist() == [4_500, 6_100]
        assert trace.operators.correlation.tolist() == [NONE, NONE]
        assert trace.threads[trace.operators.thread[1]] == ("100", "102")
        assert named(trace, trace.annotations) == ["decode"]
        assert trace.annotations.duration.tolist() == [31_000]

    def test_the_entry_goes_by_content(self, tmp_path: Path) -> None:
        assert read_trace(written(tmp_path / "trace.json")).format == "nsys"


@pytest.mark.parametrize(
    ("text", "operator", "name"),
    [
        ("aten::linear, seq = 12, op_id = 3", True, "aten::linear"),
        ("aten::linear, seq = 12", True, "aten::linear"),  # PyTorch before 1.9
        ("aten::empty, op_id = 7", True, "aten::empty"),
        ("aten::mm, op_id = 7, sizes = [[1, 2], [2, 3]], input_op_ids = [(3,0)]", True, "aten::mm"),
        ("aten::mm, sizes = [[1, 2]]", True, "aten::mm"),
        ("aten::mm", True, "aten::mm"),
        ("AddmmBackward0, seq = 5, op_id = 9", True, "AddmmBackward0"),
        ("autograd::engine::evaluate_function: AddmmBackward0, op_id = 8", True,
         "autograd::engine::evaluate_function: AddmmBackward0"),
        ("c10d::allreduce_, seq = 1, op_id = 2", True, "c10d::allreduce_"),
        ("my step, op_id = 4", False, "my step"),  # record_function under emit_nvtx
        ("ProfilerStep#3, op_id = 4", False, "ProfilerStep#3"),
        ("prefill, seq = 2048", False, "prefill, seq = 2048"),
        ("batch, sizes = [4, 5]", False, "batch, sizes = [4, 5]"),
        ("ncclAllReduce", False, "ncclAllReduce"),
        ("std::sort", False, "std::sort"),
        ("", False, ""),
        (HOSTILE, False, HOSTILE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inline_text", [False, True])
def test_what_is_an_operator(tmp_path: Path, text: str, operator: bool, name: str, inline_text: bool) -> None:
    path = write_nsys_export(tmp_path / "a", ranges=[Range(text, 1, 2)], variant=Variant(inline_text=inline_text))
    trace = read(path)
    expected = ([name], []) if operator else ([], [name])
    assert (named(trace, trace.operators), named(trace, trace.annotations)) == expected


class TestVariants:
    """What comes and goes with versions and with what was recorded."""

    @pytest.mark.parametrize("missing", PARTS)
    def test_tables_are_made_lazily(self, tmp_path: Path, missing: str) -> None:
        trace = read(written(tmp_path / "a", NEW, **{missing: []}))
        counts = {
            "calls": len(trace.calls),
            "kernels": trace.kernels.sum(),
            "copies": (trace.work.work == Work.COPY).sum(),
            "sets": (trace.work.work == Work.SET).sum(),
            "ranges": len(trace.operators) + len(trace.annotations) + (missing != "ranges"),  # and a mark
        }
        assert counts == {part: 0 if part == missing else len(rows) for part, rows in PARTS.items()}
        assert trace.event_count == 18 - len(PARTS[missing])

    def test_an_export_without_events(self, tmp_path: Path) -> None:
        trace = read(write_nsys_export(tmp_path / "a"))
        assert (trace.event_count, trace.origin, trace.names) == (0, 0, ())

    def test_a_graph_traced_whole_is_one_kernel(self, tmp_path: Path) -> None:
        trace = read(written(tmp_path / "a", kernels=KERNELS[:2], graphs=[Graph(5, EPOCH + 16_000, EPOCH + 18_000, 3)]))
        assert worked(trace)[2] == "CUDA graph 5 (traced whole)"
        assert trace.kernels.tolist() == [True] * 3 + [False] * 3
        assert (trace.work.duration[2], trace.work.correlation[2]) == (2_000, 3)

    @pytest.mark.parametrize(
        ("kind", "count"), [(59, 1), (60, 1), (70, 1), (71, 1), (34, 0), (39, 0), (75, 0), (None, 0)]
    )
    def test_instants_are_no_ranges(self, tmp_path: Path, kind: Any, count: int) -> None:
        trace = read(write_nsys_export(tmp_path / "a", ranges=[Range("r", 1, 2), Range("r", 3, 4, kind)]))
        assert (len(trace.annotations), trace.event_count, trace.skipped) == (1 + count, 2, {})

    def test_ranges_without_a_type(self, tmp_path: Path) -> None:
        path = altered(written(tmp_path / "a"), "ALTER TABLE NVTX_EVENTS DROP COLUMN eventType")
        trace = read(path)
        assert named(trace, trace.annotations) == ["decode"]
        assert trace.skipped == {"no usable times": 1}  # the mark

    def test_overhead_of_the_profiler(self, tmp_path: Path) -> None:
        overhead = [Call("CUDA profiling data flush overhead", EPOCH + 3_000, EPOCH + 3_400)]
        trace = read(written(tmp_path / "a", overhead=overhead))
        assert named(trace, trace.overhead) == ["CUDA profiling data flush overhead"]
        assert trace.overhead.duration.tolist() == [400]

    @pytest.mark.parametrize(
        ("kind", "name"),
        [(1, "Memcpy HtoD"), (8, "Memcpy DtoD"), (10, "Memcpy PtoP"), (11, "Memcpy HtoD (unified)"), (0, "Memcpy"),
         (14, "Memcpy"), (-3, "Memcpy"), (None, "Memcpy"), ("far", "Memcpy"), (2**63 - 1, "Memcpy")],
    )  # fmt: skip
    def test_directions_of_copies(self, tmp_path: Path, kind: Any, name: str) -> None:
        assert worked(read(write_nsys_export(tmp_path / "a", copies=[Copy(kind, 1, 1, 2)]))) == [name]

    @pytest.mark.parametrize(
        ("recorded", "name"),
        [("cudaLaunchKernelExC_v11060", "cudaLaunchKernelExC"), ("cuMemcpyHtoDAsync_v2", "cuMemcpyHtoDAsync"),
         ("cuLaunchKernel_ptsz", "cuLaunchKernel"), ("cuLaunchKernelEx", "cuLaunchKernelEx"),
         ("cudaMemcpyAsync_ptsz_v7000", "cudaMemcpyAsync"), ("_v1", "(unnamed)"), ("a_v1\n", "a_v1\n")],
    )  # fmt: skip
    def test_suffixes_of_calls(self, tmp_path: Path, recorded: str, name: str) -> None:
        trace = read(write_nsys_export(tmp_path / "a", calls=[Call(recorded, 1, 2)]))
        assert named(trace, trace.calls) == [name]

    def test_devices_are_named_once_and_shortly(self, tmp_path: Path) -> None:
        trace = read(write_nsys_export(tmp_path / "a", gpus=["A", "B", "A", "C" * 1_000, None, 7]))
        assert trace.device_names == ("A", "B", "C" * 64, "7")  # the affinity of a text column makes 7 a text

    @pytest.mark.parametrize("version", ["", "a" * 10, "1" * 1_000, "<b>", "1.2\n"])
    def test_only_a_version_is_a_version(self, tmp_path: Path, version: str) -> None:
        assert read(write_nsys_export(tmp_path / "a", schema_version=version)).facts == {}

    def test_names_that_no_string_tells(self, tmp_path: Path) -> None:
        path = write_nsys_export(
            tmp_path / "a", calls=[Call(77, 1, 2)], kernels=[Kernel(None, 1, 2), Kernel("k", 1, 2)]
        )
        trace = read(path)
        assert named(trace, trace.calls) == ["(unnamed)"]
        assert worked(trace) == ["(unnamed)", "k"]


class TestProcesses:
    """One process used a device, or nothing tells whose call started what."""

    THEIRS = (
        Call("cudaMalloc_v3020", EPOCH + 10, EPOCH + 20, 900, process=200, thread=200),
        Call("cudaFree_v3020", EPOCH + 30, EPOCH + 40, 901, process=200, thread=200),
    )

    @pytest.mark.parametrize("variant", [NEW, OLD])
    def test_host_events_of_others_are_dropped_and_counted(self, tmp_path: Path, variant: Variant) -> None:
        ranges = [*RANGES, Range("theirs", EPOCH + 1, EPOCH + 2, process=200, thread=200)]
        trace = read(written(tmp_path / "a", variant, calls=[*self.THEIRS, *CALLS], ranges=ranges))
        assert trace.skipped == {"of processes without device work": 3}
        assert trace.event_count == 21
        assert {process for process, _ in trace.threads} == {"100"}
        assert not {"theirs", "cudaMalloc", "cudaFree"} & set(trace.names)

    @pytest.mark.parametrize("variant", [NEW, OLD])
    def test_two_with_device_work_are_refused(self, tmp_path: Path, variant: Variant) -> None:
        calls = [*CALLS, Call("cudaLaunchKernel_v7000", EPOCH + 10, EPOCH + 20, 1, process=200, thread=200)]
        kernels = [*KERNELS, Kernel("k", EPOCH + 50, EPOCH + 60, 1, process=200)]
        message = refused(written(tmp_path / "a.sqlite", variant, calls=calls, kernels=kernels))
        assert "2 processes (ids 100, 200)" in message

    def test_ids_that_say_nothing_accuse_nobody(self, tmp_path: Path) -> None:
        idle = Call("cudaGetDevice", EPOCH + 50, EPOCH + 60, 0, process=200, thread=200)
        lost = Kernel("lost", EPOCH + 9_000, EPOCH + 9_100, 0)
        trace = read(written(tmp_path / "a", OLD, calls=[idle, *CALLS], kernels=[lost, *KERNELS]))
        assert trace.skipped == {"of processes without device work": 1}

    def test_host_events_of_nobody_stay(self, tmp_path: Path) -> None:
        path = altered(written(tmp_path / "a"), "UPDATE CUPTI_ACTIVITY_KIND_RUNTIME SET globalTid = NULL")
        trace = read(path)
        assert {trace.threads[thread] for thread in trace.calls.thread} == {("", "")}
        assert (len(trace.calls), trace.skipped) == (6, {})

    def test_many_are_named_shortly(self, tmp_path: Path) -> None:
        kernels = [Kernel("k", 1, 2, process=process) for process in range(1, 400)]
        message = refused(write_nsys_export(tmp_path / "a.sqlite", kernels=kernels))
        assert "399 processes (ids 1, 2, 3, 4, 5, 6, 7, 8, ...)" in message

    def test_without_device_work_all_stay(self, tmp_path: Path) -> None:
        trace = read(write_nsys_export(tmp_path / "a", calls=[*self.THEIRS, *CALLS]))
        assert {process for process, _ in trace.threads} == {"100", "200"}
        assert trace.skipped == {}


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
            (gzip.compress(b"SQLite format 3\0"), "gzip"),
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
