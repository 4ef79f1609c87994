"""Exports of Nsight Systems: what they say is read to the nanosecond, what they hide is neither run nor repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codesign.profilers.readers import read_trace
from codesign.profilers.trace import NONE, Work
from codesign.testing.nsys_export import (
    NEW,
    OLD,
    Call,
    Copy,
    Graph,
    Kernel,
    Range,
    Variant,
    write_nsys_export,
)
from tests.profilers.nsys_files import (
    CALLS,
    EPOCH,
    HOSTILE,
    KERNELS,
    PARTS,
    RANGES,
    altered,
    named,
    read,
    refused,
    worked,
    written,
)


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
